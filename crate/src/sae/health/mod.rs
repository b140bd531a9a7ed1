//! How good an SAE is: the figures everybody reports, their distributions, and when to be warned.

mod accumulator;
mod decoder;
mod flags;
mod histogram;

use serde::Serialize;

pub use accumulator::HealthAccumulator;
pub use decoder::{DecoderHealth, DecoderScan};
pub use flags::{Flag, code_flags};
pub use histogram::{Distribution, Histogram, Quantiles};

/// Health figures of an SAE on some tokens. Shares are between 0 and 1, losses in nats per prediction. A figure that is
/// not finite is `null` in JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct Health {
    /// Number of features F.
    pub features: u64,
    /// Tokens measured, N.
    pub tokens: u64,
    /// Mean number of active features a token: Σ over tokens of L0(t) / N.
    pub l0: f64,
    /// How L0(t) is distributed over tokens.
    pub l0_quantiles: Option<Quantiles>,
    /// 1 − Σ‖x − x̂‖² / Σ‖x − mean‖², sums over tokens, the mean being the mean token.
    pub explained_variance: f64,
    /// Fraction of variance unexplained, 1 − `explained_variance`.
    pub fvu: f64,
    /// Mean over tokens and dimensions of (x − x̂)².
    pub mse: f64,
    /// Share of features that fired on no token.
    pub dead: f64,
    /// Share of features that fired on 99% of the tokens or more.
    pub always_on: f64,
    /// The features by their density, the share of tokens they fired on: a quarter of a decade a bin, from 10⁻⁷ to 1;
    /// the dead ones, of density 0, are counted in `zero`.
    pub density: Histogram,
    /// The decoder's rows, where they were measured ([`DecoderScan`]).
    pub decoder: Option<DecoderHealth>,
    /// What is left of the model's predictions, where that was measured.
    pub spliced: Option<Spliced>,
}

/// What is left of a model's predictions of the next token when the reconstruction stands in for the activations, or
/// zeros do. Means over predictions: cross-entropy (CE) with the token that came, and the divergence
/// KL(clean ‖ changed) = Σ P (ln P − ln Q) of the distribution over the vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Default)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct Spliced {
    /// CE of the model as it is.
    pub ce_clean: f64,
    /// CE with the reconstruction in place of the activations.
    pub ce_spliced: f64,
    /// CE with zeros in their place.
    pub ce_zero: f64,
    /// (zero − spliced) / (zero − clean); nothing where zeros do no harm, since there is nothing to recover then.
    pub ce_recovered: Option<f64>,
    /// KL(clean ‖ spliced).
    pub kl_spliced: f64,
    /// KL(clean ‖ zeros).
    pub kl_zero: f64,
    /// 1 − `kl_spliced` / `kl_zero`: the clean model has no divergence from itself. Nothing where zeros change nothing.
    pub kl_recovered: Option<f64>,
}

impl Spliced {
    /// From the means: CE clean, spliced and with zeros; KL spliced and with zeros.
    pub fn new([ce_clean, ce_spliced, ce_zero]: [f64; 3], [kl_spliced, kl_zero]: [f64; 2]) -> Self {
        let share = |spliced: f64, zero: f64, clean: f64| {
            let harm = zero - clean;
            (harm > 0.0 || harm.is_nan()).then(|| (zero - spliced) / harm)
        };
        Self {
            ce_clean,
            ce_spliced,
            ce_zero,
            ce_recovered: share(ce_spliced, ce_zero, ce_clean),
            kl_spliced,
            kl_zero,
            kl_recovered: share(kl_spliced, kl_zero, 0.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recovered_is_the_share_of_the_way_back() {
        let spliced = Spliced::new([2.0, 2.5, 7.0], [1.0, 4.0]);
        assert_eq!((spliced.ce_recovered, spliced.kl_recovered), (Some(0.9), Some(0.75)));
        let harmless = Spliced::new([2.0, 2.5, 1.9], [1.0, 0.0]);
        assert_eq!((harmless.ce_recovered, harmless.kl_recovered), (None, None));
        assert!(Spliced::new([2.0, 2.5, f64::NAN], [1.0, 1.0]).ce_recovered.expect("no number").is_nan());
    }

    #[test]
    fn what_is_not_finite_is_null() {
        let health = Health { mse: f64::NAN, explained_variance: f64::NEG_INFINITY, ..Health::default() };
        let json = serde_json::to_value(&health).expect("plain data");
        assert!(json["mse"].is_null() && json["explained_variance"].is_null());
        assert_eq!(json["l0"], 0.0);
    }
}
