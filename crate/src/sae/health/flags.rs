//! When an SAE is not healthy enough to be correlated.

use serde::{Deserialize, Serialize};

use super::Health;
use crate::sae::Codes;

/// More of the features than this at once are no sparse code (a tenth).
const MOST_ACTIVE: f64 = 0.1;
/// A reconstruction that recovers less of the model's loss than this misses what the model uses.
const LEAST_RECOVERED: f64 = 0.5;
/// More of the features than this are dead.
const MOST_DEAD: f64 = 0.5;
/// On fewer tokens than this a feature that never fired may just be rare, and nothing is said of it.
const DEAD_TOKENS: u64 = 10_000;

/// One reason why an SAE should not be correlated before somebody has looked at it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct Flag {
    /// The figure, by its name in [`Health`].
    pub figure: String,
    /// Its value; `None` when it is not finite.
    pub value: Option<f64>,
    /// What it should not be above (or below); `None` when it only has to be finite.
    pub threshold: Option<f64>,
    /// The same as a sentence.
    pub reason: String,
}

impl Flag {
    fn new(figure: &str, value: f64, threshold: f64, reason: String) -> Self {
        Self { figure: figure.to_owned(), value: Some(value), threshold: Some(threshold), reason }
    }

    fn not_finite(figure: &str, reason: String) -> Self {
        Self { figure: figure.to_owned(), value: None, threshold: None, reason }
    }

    /// L0 above a tenth of the features.
    fn dense(l0: f64, features: f64) -> Option<Self> {
        let most = MOST_ACTIVE * features;
        let reason = || format!("L0 is {l0:.1}, more than a tenth of the {features} features ({most:.1})");
        (l0 > most).then(|| Self::new("l0", l0, most, reason()))
    }

    fn dead(dead: f64, tokens: u64) -> Option<Self> {
        let percent = dead * 100.0;
        let reason =
            || format!("{percent:.1} % of the features never fired on {tokens} tokens, more than 50 %");
        (dead > MOST_DEAD && tokens >= DEAD_TOKENS).then(|| Self::new("dead", dead, MOST_DEAD, reason()))
    }
}

impl Health {
    /// Why this SAE should not be correlated as it is, most telling first; empty for a healthy one.
    ///
    /// - `l0` > features / 10: the codes are not sparse.
    /// - `dead` > 0.5, on at least 10,000 tokens.
    /// - `explained_variance` < 0: the mean activation reconstructs better.
    /// - `ce_recovered` < 0.5, where it was measured.
    /// - A figure, or a value of the decoder, that is not finite.
    pub fn flags(&self) -> Vec<Flag> {
        if self.tokens == 0 {
            return vec![Flag::not_finite("tokens", "no token was measured".to_owned())];
        }
        let mut flags: Vec<Flag> = Vec::new();
        for (figure, value) in self.figures() {
            if !value.is_finite() {
                flags.push(Flag::not_finite(
                    figure,
                    format!("{figure} is {value}, which is not a finite number"),
                ));
            }
        }
        if let Some(decoder) = self.decoder.as_ref().filter(|d| d.norms.not_finite > 0) {
            let rows = decoder.norms.not_finite;
            flags.push(Flag::not_finite(
                "decoder.norms",
                format!("{rows} rows of the decoder are not finite"),
            ));
        }
        flags.extend(Flag::dense(self.l0, self.features as f64));
        flags.extend(Flag::dead(self.dead, self.tokens));
        let ev = self.explained_variance;
        if ev < 0.0 {
            let reason = format!(
                "the explained variance is {ev:.3}, below 0: the mean activation reconstructs better"
            );
            flags.push(Flag::new("explained_variance", ev, 0.0, reason));
        }
        if let Some(recovered) = self.spliced.as_ref().and_then(|s| s.ce_recovered)
            && recovered < LEAST_RECOVERED
        {
            let reason = format!("{recovered:.3} of the model's loss is recovered, less than a half");
            flags.push(Flag::new("spliced.ce_recovered", recovered, LEAST_RECOVERED, reason));
        }
        flags
    }

    /// The figures that have to be finite.
    fn figures(&self) -> Vec<(&'static str, f64)> {
        let mut all =
            vec![("l0", self.l0), ("explained_variance", self.explained_variance), ("mse", self.mse)];
        if let Some(s) = &self.spliced {
            all.extend([("spliced.ce_clean", s.ce_clean), ("spliced.ce_spliced", s.ce_spliced)]);
            all.extend([("spliced.ce_zero", s.ce_zero), ("spliced.kl_spliced", s.kl_spliced)]);
            all.push(("spliced.kl_zero", s.kl_zero));
        }
        all
    }
}

/// What codes alone say of the health of the SAE that made them: L0 above a tenth of the features, more than half
/// of them dead. It costs a pass over the codes; how well the SAE reconstructs needs the activations
/// ([`HealthAccumulator`](super::HealthAccumulator)).
pub fn code_flags(codes: &Codes) -> Vec<Flag> {
    let tokens = codes.tokens();
    if tokens == 0 || codes.n_features == 0 {
        return Vec::new();
    }
    let mut fired = vec![false; codes.n_features];
    codes.indices.iter().for_each(|&j| fired[j as usize] = true);
    let dead = fired.iter().filter(|f| !**f).count() as f64 / codes.n_features as f64;
    let l0 = codes.indices.len() as f64 / tokens as f64;
    Flag::dense(l0, codes.n_features as f64).into_iter().chain(Flag::dead(dead, tokens as u64)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sae::Spliced;
    use crate::sae::health::{DecoderHealth, Distribution, Histogram};

    fn healthy() -> Health {
        Health {
            features: 1_000,
            tokens: 20_000,
            l0: 30.0,
            explained_variance: 0.8,
            mse: 0.1,
            dead: 0.01,
            spliced: Some(Spliced::new([2.0, 2.2, 7.0], [0.2, 4.0])),
            ..Health::default()
        }
    }

    /// Figures that are flagged after a change, and the first reason.
    fn flagged(change: impl FnOnce(&mut Health)) -> (Vec<String>, String) {
        let mut health = healthy();
        change(&mut health);
        let flags = health.flags();
        let first = flags.first().map(|f| f.reason.clone()).unwrap_or_default();
        (flags.into_iter().map(|f| f.figure).collect(), first)
    }

    #[test]
    fn a_healthy_one_has_no_flags() {
        assert_eq!(healthy().flags(), []);
        // The bounds themselves are healthy, and so is what was not measured.
        assert_eq!(flagged(|h| (h.l0, h.dead, h.explained_variance) = (100.0, 0.5, 0.0)).0.len(), 0);
        assert_eq!(flagged(|h| h.spliced = None).0.len(), 0);
        // On few tokens nobody knows what is dead.
        assert_eq!(flagged(|h| (h.dead, h.tokens) = (0.9, 9_999)).0.len(), 0);
    }

    #[test]
    fn each_illness_has_its_reason() {
        let spliced = |loss: f64| Some(Spliced::new([2.0, loss, 7.0], [3.0, 4.0]));
        for (change, figure, reason) in [
            (
                &(|h: &mut Health| h.l0 = 100.1) as &dyn Fn(&mut Health),
                "l0",
                "L0 is 100.1, more than a tenth of the 1000 features (100.0)",
            ),
            (
                &|h| h.dead = 0.62,
                "dead",
                "62.0 % of the features never fired on 20000 tokens, more than 50 %",
            ),
            (
                &|h| h.explained_variance = -0.25,
                "explained_variance",
                "the explained variance is -0.250, below 0: the mean activation reconstructs better",
            ),
            (
                &|h| h.spliced = spliced(4.6),
                "spliced.ce_recovered",
                "0.480 of the model's loss is recovered, less than a half",
            ),
            (&|h| h.mse = f64::INFINITY, "mse", "mse is inf, which is not a finite number"),
            (
                &|h| h.spliced = spliced(f64::NAN),
                "spliced.ce_spliced",
                "spliced.ce_spliced is NaN, which is not a finite number",
            ),
            (&|h| h.tokens = 0, "tokens", "no token was measured"),
            (
                &|h| {
                    let norms = Distribution::of(&[1.0, f32::NAN], Histogram::even(0.0, 1.0, 2));
                    h.decoder = Some(DecoderHealth { norms, nearest_cosine: Distribution::default() });
                },
                "decoder.norms",
                "1 rows of the decoder are not finite",
            ),
        ] {
            assert_eq!(flagged(change), (vec![figure.to_owned()], reason.to_owned()));
        }
        let (figures, _) = flagged(|h| (h.l0, h.explained_variance) = (900.0, -1.0));
        assert_eq!(figures, ["l0", "explained_variance"]);
    }

    #[test]
    fn codes_tell_what_they_can() {
        let codes = |rows: usize, active: std::ops::Range<u32>| {
            let mut codes = Codes::new(20);
            for t in 1..=rows as u64 {
                codes.indices.extend(active.clone());
                codes.values.extend(active.clone().map(|_| 1.0));
                codes.indptr.push(t * active.len() as u64);
            }
            codes
        };
        let figures = |codes: &Codes| code_flags(codes).into_iter().map(|f| f.figure).collect::<Vec<_>>();
        assert_eq!(figures(&codes(5, 0..2)), Vec::<String>::new());
        assert_eq!(figures(&codes(5, 0..3)), ["l0"]);
        assert_eq!(figures(&codes(10_000, 0..2)), ["dead"]);
        assert_eq!(
            code_flags(&codes(10_000, 0..3))[0].reason,
            "L0 is 3.0, more than a tenth of the 20 features (2.0)"
        );
        assert_eq!(figures(&Codes::new(20)), Vec::<String>::new());
    }
}
