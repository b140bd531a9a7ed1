//! What a comparison is to do: the content of a plan (TOML), and of a report's `plan`.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::keys;
use crate::failure::Failure;
use crate::lab::shared::CorpusPlan;
#[cfg(not(target_arch = "wasm32"))]
use crate::lab::shared::LabError;
use crate::universality::DensityFilter;
#[cfg(not(target_arch = "wasm32"))]
use crate::words::{echo, line as line_of, suggestion};

/// Two models, the texts they read, and what is computed of them. (The page states everything; only plans that people
/// write have defaults.)
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(
    target_arch = "wasm32",
    derive(tsify_next::Tsify),
    tsify(into_wasm_abi, from_wasm_abi, missing_as_null)
)]
#[serde(deny_unknown_fields)]
pub struct ComparePlan {
    /// The first model.
    pub a: SidePlan,
    /// The second model.
    pub b: SidePlan,
    /// The texts.
    #[cfg_attr(not(target_arch = "wasm32"), serde(default))]
    pub corpus: CorpusPlan,
    /// Which features the filtered summaries are about.
    #[cfg_attr(not(target_arch = "wasm32"), serde(default))]
    pub filter: DensityFilter,
    /// What stands beside the scores.
    #[cfg_attr(not(target_arch = "wasm32"), serde(default))]
    pub controls: Controls,
}

/// A model and which of its SAEs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(missing_as_null))]
#[serde(deny_unknown_fields)]
pub struct SidePlan {
    /// Directory, built-in or known model, or `owner/name[@revision]` of the hub.
    pub model: String,
    /// Directory of SAEs, one folder each; else those beside the model's weights.
    #[serde(default)]
    pub saes: Option<String>,
    /// Layers whose SAEs take part; else all.
    #[serde(default)]
    pub layers: Option<Vec<usize>>,
    /// Whether the mean over d_model is taken from the activations first (paper section 1).
    #[serde(default)]
    pub center_resid: bool,
}

/// What stands beside the scores. Everything is over the same tokens unless it has a number of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify))]
#[serde(deny_unknown_fields, default)]
pub struct Controls {
    /// Seed of the shuffles, shifts, rotations and random SAEs.
    pub seed: u64,
    /// Tokens of which the neuron baseline is computed; 0 for none.
    pub neuron_tokens: usize,
    /// Nulls with A's tokens in shuffled order, each a whole run.
    pub shuffled: usize,
    /// Nulls with A's tokens moved on in a circle, each a whole run.
    pub shifted: usize,
    /// Null maxima behind each p-value, at least; 0 for no p-values.
    pub draws: usize,
    /// Whether B's SAEs are also given activations that are turned by a random rotation.
    pub rotated: bool,
    /// Whether random directions, as many active on each token, stand in for B's SAEs.
    pub random: bool,
    /// Whether the run is repeated on a half of the tokens, the other half, a quarter, an eighth and a sixteenth.
    pub subsets: bool,
    /// Tokens over which the activations themselves are compared (CKA, SVCCA, PWCCA, RSA); 0 for none.
    pub likeness_tokens: usize,
    /// Whether features are matched one to one.
    pub matching: bool,
    /// Whether features are held against the ground truth of the built-in corpus.
    pub complexity: bool,
}

impl Default for Controls {
    /// Everything.
    fn default() -> Self {
        Self {
            seed: 2,
            neuron_tokens: 100_000,
            shuffled: 20,
            shifted: 20,
            draws: 1_000,
            rotated: true,
            random: true,
            subsets: true,
            likeness_tokens: 20_000,
            matching: true,
            complexity: true,
        }
    }
}

impl Controls {
    /// The neuron baseline and one null: what `mppc reproduce` and the page do.
    pub fn few() -> Self {
        Self {
            shuffled: 1,
            shifted: 0,
            draws: 0,
            rotated: false,
            random: false,
            subsets: false,
            likeness_tokens: 0,
            matching: false,
            complexity: false,
            ..Self::default()
        }
    }
}

/// Smallest density, largest density: a filter that says less is a mistake.
const SHARES: Range<f64> = 0.0..1.0 + f64::EPSILON;

impl ComparePlan {
    /// What `mppc reproduce` does with two models.
    pub fn reproduce(a: &str, b: &str) -> Self {
        let side = |model: &str| SidePlan { model: model.to_owned(), ..SidePlan::default() };
        Self {
            a: side(a),
            b: side(b),
            corpus: CorpusPlan::default(),
            filter: DensityFilter::default(),
            controls: Controls::few(),
        }
    }

    /// Reads a plan; `file` is its name in errors.
    ///
    /// # Errors
    /// [`LabError::Refused`] with the line that is wrong.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn from_toml(file: &str, text: &str) -> Result<Self, LabError> {
        let (file, text) = (echo(file), text.strip_prefix('\u{feff}').unwrap_or(text));
        let plan: Self = toml::from_str(text).map_err(|e| {
            let before = e.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            explained(&line_of(e.message())).at(format!("{file}, line {line}"))
        })?;
        plan.check().map_err(|failure| failure.at(&file))?;
        Ok(plan)
    }

    /// The plan as TOML, with everything that it leaves to defaults.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a plan is plain data")
    }

    /// What no run could do.
    ///
    /// # Errors
    /// One line that says what to change.
    pub fn check(&self) -> Result<(), Failure> {
        keys::check(self)?;
        let DensityFilter { min, max } = self.filter;
        if !(SHARES.contains(&min) && SHARES.contains(&max) && min < max) {
            let order = "are shares of the tokens, the smaller one first";
            return Err(format!("filter: min {min} and max {max} {order}").into());
        }
        if self.controls.draws > 0 && self.controls.shuffled + self.controls.shifted == 0 {
            return Err(Failure::new(
                "controls: p-values need nulls",
                "set shuffled or shifted, or draws = 0",
            ));
        }
        for (name, side) in [("a", &self.a), ("b", &self.b)] {
            if side.layers.as_ref().is_some_and(Vec::is_empty) {
                return Err(Failure::new(
                    format!("{name}: layers names no layer"),
                    "leave it out for all of them",
                ));
            }
        }
        Ok(())
    }
}

/// What is wrong with a key, and which one may have been meant.
#[cfg(not(target_arch = "wasm32"))]
fn explained(message: &str) -> Failure {
    let given = message.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`'));
    match given.and_then(|(given, _)| keys::section_of(given)) {
        Some(section) => Failure::new(message, format!("it belongs to [{section}]")),
        None => Failure::new(message, suggestion(message)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::shared::Bos;

    const LEAST: &str = "[a]\nmodel = \"x\"\n[b]\nmodel = \"y\"\n";

    #[test]
    fn what_a_plan_leaves_out_has_defaults() {
        let plan = ComparePlan::from_toml("p.toml", LEAST).expect("a plan");
        let controls = Controls::default();
        assert_eq!(plan, ComparePlan { controls, ..ComparePlan::reproduce("x", "y") });
        assert_eq!(ComparePlan::from_toml("p.toml", &plan.to_toml()).expect("a plan"), plan);
        let some = format!("{LEAST}layers = [0, 2]\n[corpus]\nbos = \"none\"\n[controls]\nshuffled = 3\n");
        let plan = ComparePlan::from_toml("p.toml", &some).expect("a plan");
        assert_eq!((plan.b.layers, plan.corpus.bos, plan.corpus.context), (Some(vec![0, 2]), Bos::None, 256));
        assert_eq!((plan.controls.shuffled, plan.controls.shifted), (3, 20));
    }

    #[test]
    fn mistakes_are_one_line() {
        let error = |text: &str| ComparePlan::from_toml("p.toml", text).expect_err("a mistake").to_string();
        for (text, wanted) in [
            ("[a]\nmodel = \"x\"\n".to_owned(), "p.toml, line 1: missing field `b`"),
            (format!("{LEAST}sae = \"s\"\n"), "p.toml, line 5: unknown field `sae`"),
            (format!("{LEAST}[corpus]\ntokens = -1\n"), "p.toml, line 6: invalid value: integer `-1`"),
            (format!("{LEAST}[corpus]\nbos = \"maybe\"\n"), "p.toml, line 6: unknown variant `maybe`"),
            ("[a\n".to_owned(), "p.toml, line 1: "),
            (
                format!("{LEAST}[corpus]\ntokens = 1\n"),
                "p.toml: corpus: tokens is 1, but must be 2 to 1000000000",
            ),
            (
                format!("{LEAST}[controls]\nshuffled = 2147483647\n"),
                "p.toml: controls: shuffled is 2147483647, but must be 0 to 1000",
            ),
            (format!("{LEAST}layers = [1, 10000]\n"), "p.toml: b: layers is 10000, but must be 0 to 9999"),
            (
                format!("{LEAST}[corpus]\nseed = 9223372036854775808\n"),
                "p.toml: corpus: seed is 9223372036854775808, but must be 0 to 9223372036854775807",
            ),
            (format!("{LEAST}[corpus]\nseed = 18446744073709551616\n"), "p.toml, line 6: "),
            (format!("{LEAST}[filter]\nmin = 0.5\nmax = 0.1\n"), "p.toml: filter: min 0.5 and max 0.1"),
            (format!("{LEAST}[filter]\nmax = 2.0\n"), "p.toml: filter: min 0.0001 and max 2"),
            (format!("{LEAST}layers = []\n"), "p.toml: b: layers names no layer"),
            (
                format!("{LEAST}[controls]\nshuffled = 0\nshifted = 0\n"),
                "p.toml: controls: p-values need nulls",
            ),
        ] {
            let error = error(&text);
            assert!(error.starts_with(wanted) && !error.contains('\n'), "{error}\n  lacks {wanted}");
        }
        for (text, wanted) in [
            (format!("{LEAST}[corpus]\ntokenz = 5\n"), "; did you mean tokens?"),
            (format!("{LEAST}[control]\nseed = 5\n"), "; did you mean controls?"),
            (format!("{LEAST}[corpus]\nbos = \"droop\"\n"), "; did you mean drop?"),
            (format!("{LEAST}[controls]\ntokens = 5\n"), "; it belongs to [corpus]"),
            (format!("shuffled = 3\n{LEAST}"), "; it belongs to [controls]"),
        ] {
            let error = error(&text);
            assert!(error.ends_with(wanted), "{error}\n  lacks {wanted}");
        }
        let marked = ComparePlan::from_toml("p.toml", &format!("\u{feff}{LEAST}")).expect("a plan");
        assert_eq!(marked, ComparePlan::from_toml("p.toml", LEAST).expect("a plan"));
    }
}
