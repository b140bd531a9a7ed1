//! What a reproduction reports: the content of `report.json`, and of the page.

use serde::{Deserialize, Serialize};

use crate::sae::Flag;
use crate::universality::Summary;

/// The result of `mppc reproduce`.
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
    pub settings: Settings,
    /// The first model (rows of the heat map).
    pub a: Subject,
    /// The second model (columns of the heat map).
    pub b: Subject,
    /// Features of A, each against all features of all layers of B.
    pub a_to_b: Direction,
    /// Features of B, each against all features of all layers of A.
    pub b_to_a: Direction,
    /// The best pairs of features, best first.
    pub pairs: Vec<Pair>,
    /// Wall time by stage.
    pub timings: Vec<Timing>,
}

/// Everything that decides the numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi, from_wasm_abi))]
pub struct Settings {
    /// `builtin` or the name of the file.
    pub corpus: String,
    /// Seed of the built-in corpus and of the shuffled-token null.
    pub seed: u64,
    /// Tokens kept (BOS, EOS and PAD are dropped).
    pub tokens: usize,
    /// Tokens of which the neuron baseline is computed.
    pub neuron_tokens: usize,
    /// Documents are cut to this many tokens, BOS included.
    pub context: usize,
    /// Documents in a batch.
    pub batch: usize,
    /// Whether the mean over d_model is taken from A's residuals first (paper section 1).
    pub center_resid: bool,
    /// Filtered summaries leave out features that fire on a smaller share of tokens than this …
    pub min_density: f64,
    /// … or on a larger one than this.
    pub max_density: f64,
}

/// A model and its SAEs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct Subject {
    /// Name or path of the model.
    pub name: String,
    /// `gpt_neox` or `mamba`.
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
    /// Number of features.
    pub features: usize,
    /// Mean number of active features a token.
    pub l0: f64,
    /// Features that never fire here.
    pub dead: usize,
    /// Features that are neither dead, rare nor always on, by the density bounds of the settings: the filtered
    /// ones.
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
    /// MPPC of MLP neurons (paper section 3), without any SAE.
    pub neurons: Summary,
    /// MPPC of the filtered features against the other model's tokens in shuffled order.
    pub null: Summary,
    /// Mean over the filtered features of layer `[i]` of their best correlation within the other model's layer
    /// `[j]`; null where there is no such feature.
    pub layer_mean: Vec<Vec<Option<f64>>>,
    /// How many filtered features of layer `[i]` have their best partner in layer `[j]`.
    pub best_layer: Vec<Vec<usize>>,
    /// Spearman correlation between a filtered feature's layer and its partner's layer; null when one of them
    /// is the same for all.
    pub depth_spearman: Option<f64>,
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

/// How long a stage took.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct Timing {
    /// Name of the stage.
    pub stage: String,
    /// Wall time, seconds.
    pub seconds: f64,
}

impl Default for Settings {
    /// The built-in corpus, 100,000 tokens, contexts of 256, no centring; filtered features fire on at least one
    /// token in 10,000 and at most half of them.
    fn default() -> Self {
        Self {
            corpus: "builtin".to_owned(),
            seed: 2,
            tokens: 100_000,
            neuron_tokens: 100_000,
            context: 256,
            batch: 8,
            center_resid: false,
            min_density: 1e-4,
            max_density: 0.5,
        }
    }
}
