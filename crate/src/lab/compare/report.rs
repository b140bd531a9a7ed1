//! What a comparison reports: the content of `report.json`, and of the page.

use serde::{Deserialize, Serialize};

use super::plan::ComparePlan;
use crate::corpus::{Context, Tag};
use crate::lab::shared::{Input, Timing};
use crate::sae::Flag;
use crate::stats::Interval;
use crate::universality::{Curve, DepthMatch, Summary};

/// The result of `mppc compare` and `mppc reproduce`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct Report {
    /// Version of the lab that made it.
    pub version: String,
    /// Engine and adapter, e.g. `cpu` / `processor`.
    pub engine: String,
    /// Name of the adapter or processor engine.
    pub adapter: String,
    /// What was asked for.
    pub plan: ComparePlan,
    /// Tokens that were correlated over: those asked for, or all that the corpus has.
    pub tokens: usize,
    /// Tokens that the neuron baseline is over.
    pub neuron_tokens: usize,
    /// The files that went in, with their hashes; none in the page.
    #[serde(default)]
    pub inputs: Vec<Input>,
    /// The first model (rows of the heat map).
    pub a: Subject,
    /// The second model (columns of the heat map).
    pub b: Subject,
    /// Features of A, each against all features of all layers of B.
    pub a_to_b: Direction,
    /// Features of B, each against all features of all layers of A.
    pub b_to_a: Direction,
    /// One-to-one matches of features; null when the plan has none.
    #[serde(default)]
    pub matching: Option<Matching>,
    /// How alike the activations themselves are; null when the plan does not ask.
    #[serde(default)]
    pub likeness: Option<Likeness>,
    /// The best pairs of features, best first.
    pub pairs: Vec<Pair>,
    /// Wall time by stage.
    pub timings: Vec<Timing>,
}

/// A model and its SAEs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct Subject {
    /// Name or path of the model.
    pub name: String,
    /// Its `model_type`, e.g. `gpt_neox`.
    pub architecture: String,
    /// Number of layers.
    pub layers: usize,
    /// Width of the residual stream.
    pub d_model: usize,
    /// One SAE a layer.
    pub saes: Vec<SaeSummary>,
}

/// One SAE on the tokens of this run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct SaeSummary {
    /// Where it reads, e.g. `blocks.2.hook_resid_post`.
    pub hook: String,
    /// Its layer.
    pub layer: usize,
    /// Number of features.
    pub features: usize,
    /// Mean number of active features a token.
    pub l0: f64,
    /// Features that never fire here.
    pub dead: usize,
    /// Features that are neither dead, rare nor always on, by the plan's filter: the filtered ones.
    pub kept: usize,
    /// What its codes have that a healthy SAE's don't ([`code_flags`](crate::sae::code_flags)): too many active
    /// features, too many dead ones. Reconstruction and loss are measured by `mppc sae health`.
    #[serde(default)]
    pub flags: Vec<Flag>,
}

/// MPPC of one model's features against the other model.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct Direction {
    /// All features that have variance.
    pub all: Summary,
    /// Without rare and always-on features.
    pub filtered: Summary,
    /// MPPC of MLP neurons (paper section 3), without any SAE; empty when the plan has none.
    pub neurons: Summary,
    /// MPPC of the filtered features against the other model's tokens in shuffled order; empty without such a null.
    pub null: Summary,
    /// What stands beside the scores, plain and filtered.
    #[serde(default)]
    pub baselines: Vec<Baseline>,
    /// How many features are matched better than chance; null without p-values.
    #[serde(default)]
    pub significance: Option<Significance>,
    /// The filtered features' shares above thresholds.
    pub above: Curve,
    /// Mean over the filtered features of the SAE `[i]` of their best correlation within the other model's SAE
    /// `[j]`; null where there is no such feature.
    pub layer_mean: Vec<Vec<Option<f64>>>,
    /// How many filtered features of the SAE `[i]` have their best partner in the SAE `[j]`.
    pub best_layer: Vec<Vec<usize>>,
    /// How depth goes with depth.
    pub depth: DepthMatch,
    /// The mean over fewer tokens, fewest first, the whole run last; empty when the plan does not ask.
    #[serde(default)]
    pub convergence: Vec<Converging>,
    /// The two halves of the tokens against each other; null when the plan does not ask.
    #[serde(default)]
    pub halves: Option<Halves>,
    /// MPPC by how much context it takes to tell what a feature fires on; empty without ground truth.
    #[serde(default)]
    pub complexity: Vec<Complexity>,
}

impl Direction {
    /// What tables and figures call [`Direction::neurons`].
    pub const NEURONS: &'static str = "neurons (baseline)";

    /// The summaries that tables begin with, by name; that of neurons where there is one.
    pub fn summaries(&self) -> impl Iterator<Item = (&'static str, &Summary)> {
        let neurons = (self.neurons.count > 0).then_some((Self::NEURONS, &self.neurons));
        [("all features with variance", &self.all), ("filtered features", &self.filtered)]
            .into_iter()
            .chain(neurons)
    }
}

/// What MPPC is where it should be low.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct Baseline {
    /// Which.
    pub kind: BaselineKind,
    /// How many runs of it there were; the summaries are of the first.
    pub runs: usize,
    /// All features that have variance.
    pub all: Summary,
    /// Without dead, rare and always-on features.
    pub filtered: Summary,
}

/// The kinds of [`Baseline`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
#[serde(rename_all = "lowercase")]
pub enum BaselineKind {
    /// One model's tokens in shuffled order.
    Shuffled,
    /// One model's tokens moved on in a circle.
    Shifted,
    /// B's SAEs read activations that are turned by a random rotation about the decoder bias.
    Rotated,
    /// Random directions, as many active on each token, in place of B's SAEs.
    Random,
}

impl BaselineKind {
    /// All of them, in the order in which they are computed and told.
    pub const ALL: [Self; 4] = [Self::Shuffled, Self::Shifted, Self::Rotated, Self::Random];

    /// Whether nothing corresponds in it, so that its maxima are what chance reaches.
    pub fn is_null(self) -> bool {
        matches!(self, Self::Shuffled | Self::Shifted)
    }

    /// What tables call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Shuffled => "tokens shuffled (null)",
            Self::Shifted => "tokens shifted (null)",
            Self::Rotated => "SAEs on rotated activations",
            Self::Random => "random SAEs",
        }
    }
}

/// Features whose MPPC is improbable without correspondence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct Significance {
    /// Null maxima behind each p-value, at least. The nulls are exact; that neighbours by density share theirs is an
    /// estimate.
    pub draws: usize,
    /// Features that have a p-value.
    pub tested: usize,
    /// Share of them with p < 0.05.
    pub p_below_5: f64,
    /// Share of them that are found at a false discovery rate of 0.05 (Benjamini and Hochberg).
    pub q_below_5: f64,
}

/// The mean MPPC over so many tokens, of the features that the whole run's filter keeps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct Converging {
    /// The first so many tokens.
    pub tokens: usize,
    /// How many of the features have variance there.
    pub count: usize,
    /// Their mean.
    pub mean: Option<f64>,
    /// Its 95 % interval.
    pub interval: Option<Interval>,
}

/// What the two halves of the tokens say of the same features.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct Halves {
    /// Filtered features that have variance in both.
    pub count: usize,
    /// Mean MPPC in either half.
    pub means: [Option<f64>; 2],
    /// Spearman correlation of the features' MPPC in the two halves.
    pub spearman: Option<f64>,
    /// Mean difference between them, without its sign.
    pub difference: Option<f64>,
    /// Share of the features that have the same partner in both.
    pub same_partner: Option<f64>,
}

/// MPPC of the filtered features whose best tag takes so much context.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct Complexity {
    /// The context; null for features that no tag tells with the F1 that it takes.
    pub context: Option<Context>,
    /// F1 that it takes.
    pub least_f1: f64,
    /// Their MPPC.
    pub summary: Summary,
}

/// One-to-one matches of features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct Matching {
    /// Features that are each other's best over all layers.
    pub mutual: Matches,
    /// The assignment of the largest sum among pairs of which one is the other's best within its layer (of all pairs it
    /// could only be larger).
    pub one_to_one: Matches,
    /// Matches by decoder cosine, of each SAE of A with the SAE of B that it is most alike; empty where widths differ.
    pub decoders: Vec<DecoderMatch>,
}

/// How many features are matched, and how well.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct Matches {
    /// Pairs.
    pub count: usize,
    /// Their share of A's features with variance.
    pub share_of_a: Option<f64>,
    /// Their share of B's features with variance.
    pub share_of_b: Option<f64>,
    /// Mean correlation of the pairs.
    pub mean: Option<f64>,
    /// Share of the pairs above 0.5.
    pub above_half: Option<f64>,
}

/// Features of two SAEs matched one to one by the directions they write (Paulo and Belrose 2025).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct DecoderMatch {
    /// Layer of A.
    pub a: usize,
    /// Layer of B: the one with the largest mean MPPC within it.
    pub b: usize,
    /// Mean over A's features of the largest cosine.
    pub best: Option<f64>,
    /// Mean cosine of the one-to-one assignment.
    pub matched: Option<f64>,
    /// Share of A's features that the assignment gives a cosine above 0.7.
    pub above_07: f64,
    /// Share of A's features that are given the feature they correlate best with in that layer.
    pub same_as_mppc: Option<f64>,
}

/// A figure for each SAE `[i]` of A and each `[j]` of B; null where it is not defined.
pub type LayerPairs = Vec<Vec<Option<f64>>>;

/// How alike the activations are that the SAEs read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct Likeness {
    /// Tokens.
    pub tokens: usize,
    /// Of these, evenly chosen, those that RSA is over.
    pub rsa_tokens: usize,
    /// Linear CKA (Kornblith et al. 2019).
    pub cka: LayerPairs,
    /// Its debiased estimate.
    pub cka_debiased: LayerPairs,
    /// SVCCA (Raghu et al. 2017) of the directions that hold 0.99 of the variance.
    pub svcca: LayerPairs,
    /// PWCCA (Morcos et al. 2018), weighted by the side of fewer columns.
    pub pwcca: LayerPairs,
    /// RSA (Kriegeskorte et al. 2008): Spearman correlation of dissimilarities.
    pub rsa: LayerPairs,
}

/// One feature and the most correlated feature of the other model.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct Pair {
    /// The feature of A.
    pub a: Feature,
    /// The feature of B.
    pub b: Feature,
    /// Their Pearson correlation.
    pub mppc: f64,
}

/// A feature and where it fires.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct Feature {
    /// Layer of its SAE.
    pub layer: usize,
    /// Index in its SAE.
    pub index: usize,
    /// Share of tokens it fires on.
    pub density: f64,
    /// Its strongest tokens, strongest first.
    pub top: Vec<Example>,
}

/// A token in its context.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct Example {
    /// Text before the token.
    pub before: String,
    /// The token.
    pub token: String,
    /// Text after it.
    pub after: String,
    /// Activation of the feature there.
    pub activation: f32,
}

/// One feature: a row of `features_a.csv` or `features_b.csv`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FeatureRow {
    /// Hook that its SAE reads.
    pub hook: String,
    /// Layer of its SAE.
    pub layer: usize,
    /// Index in its SAE.
    pub index: usize,
    /// Share of tokens it fires on.
    pub density: f64,
    /// Mean activation over all tokens.
    pub mean: f64,
    /// Largest activation.
    pub max: f32,
    /// Whether it is neither dead, rare nor always on.
    pub filtered: bool,
    /// Best correlation with a feature of the other model; empty without variance.
    pub mppc: Option<f32>,
    /// The partner's layer.
    pub partner_layer: Option<usize>,
    /// The partner's index in its SAE.
    pub partner_index: Option<usize>,
    /// Best correlation with the other model's tokens shuffled.
    pub null_mppc: Option<f32>,
    /// Share of null maxima at least as large, its own and those of its neighbours by density.
    pub p: Option<f64>,
    /// Smallest false discovery rate at which it would be found.
    pub q: Option<f64>,
    /// The ground-truth tag that its firing tells best.
    pub tag: Option<Tag>,
    /// How much context that tag takes.
    pub tag_context: Option<Context>,
    /// How well it tells it: F1.
    pub tag_f1: Option<f64>,
}
