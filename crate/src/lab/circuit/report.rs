//! What a circuit experiment reports: the content of `circuit.json`, and of the page's view.

use serde::{Deserialize, Serialize};

use crate::circuits::{Answers, Means};
use crate::lab::Timing;
use crate::model::Capability;

/// Everything that decides the numbers of a circuit experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi, from_wasm_abi))]
pub struct CircuitSettings {
    /// Number of prompts.
    pub prompts: usize,
    /// Tokens of each.
    pub tokens: usize,
    /// Seed of the prompts.
    pub seed: u64,
    /// The layer that is taken apart; else the one whose last state matters most.
    pub layer: Option<usize>,
    /// Layer and head that receive; else the head that matters most.
    pub receiver: Option<[usize; 2]>,
    /// Whether writes decay as in the paper's notebook.
    pub published: bool,
    /// Groups of a Mamba's channels whose hidden attention is looked at apart.
    pub groups: usize,
}

impl Default for CircuitSettings {
    /// 64 prompts of 64 tokens, as long as the paper's.
    fn default() -> Self {
        Self { prompts: 64, tokens: 64, seed: 1, layer: None, receiver: None, published: false, groups: 1 }
    }
}

/// The experiments by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi, from_wasm_abi))]
#[serde(rename_all = "kebab-case")]
pub enum CircuitName {
    /// Each head's `hook_z` at the last position from an unrelated prompt.
    HeadToLogit,
    /// Each earlier head's `hook_z` at B, through the receiver, from an unrelated prompt.
    HeadToHead,
    /// Each layer's last state rebuilt from a prompt with another B.
    StateToLogit,
    /// Each layer's y at the last position from a prompt with another end.
    YToLogit,
    /// x, Δ, B, C or the gate of each layer from a prompt with another B.
    SsmParts,
    /// One position's write into a layer's last state from a prompt with another B.
    WritePosition,
    /// Taps of each layer's convolution at B and behind it from a prompt with another A and B.
    ConvTaps,
    /// Each layer's convolution without one of its taps, with taps that read later, or its SSM fed sooner.
    OffByOne,
}

impl CircuitName {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::HeadToLogit,
        Self::HeadToHead,
        Self::StateToLogit,
        Self::YToLogit,
        Self::SsmParts,
        Self::WritePosition,
        Self::ConvTaps,
        Self::OffByOne,
    ];

    /// Its name in commands and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::HeadToLogit => "head-to-logit",
            Self::HeadToHead => "head-to-head",
            Self::StateToLogit => "state-to-logit",
            Self::YToLogit => "y-to-logit",
            Self::SsmParts => "ssm-parts",
            Self::WritePosition => "write-position",
            Self::ConvTaps => "conv-taps",
            Self::OffByOne => "off-by-one",
        }
    }

    /// What a model must have for it.
    pub fn needs(self) -> &'static [Capability] {
        match self {
            Self::HeadToLogit | Self::HeadToHead => &[Capability::Attention],
            Self::StateToLogit | Self::YToLogit | Self::SsmParts | Self::WritePosition => {
                &[Capability::Recurrence]
            }
            Self::ConvTaps | Self::OffByOne => &[Capability::Convolution, Capability::Recurrence],
        }
    }

    /// Whether it takes heads apart, and its cells are heads.
    pub fn of_heads(self) -> bool {
        self.needs().contains(&Capability::Attention)
    }

    /// What is done, in a sentence.
    pub fn what(self) -> &'static str {
        match self {
            Self::HeadToLogit => {
                "hook_z of one head at the last position comes from an unrelated prompt; all other heads there are frozen"
            }
            Self::HeadToHead => {
                "hook_z of one head at B comes from an unrelated prompt (other heads there are frozen); what the receiver \
                 then says at the last position is patched alone"
            }
            Self::StateToLogit => {
                "a layer's last state is rebuilt from a prompt with another B; all other layers' last states are frozen"
            }
            Self::YToLogit => {
                "a layer's y at the last position comes from a prompt with another last token; other layers' y there are frozen"
            }
            Self::SsmParts => {
                "one part of a layer's recurrence comes from a prompt with another B at every position, its other parts as the run has \
                 them"
            }
            Self::WritePosition => {
                "only one position's write into the layer's last state comes from a prompt with another B; all other layers' last \
                 states are frozen"
            }
            Self::ConvTaps => {
                "the convolution's output at one position is made anew with some taps reading a prompt with another A and B; later \
                 layers' last states are frozen"
            }
            Self::OffByOne => {
                "a layer's convolution is run without one tap, or with taps that read one position later, or its SSM is given the \
                 next position's input"
            }
        }
    }
}

/// One intervention and what it does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct CircuitCell {
    /// What was changed, e.g. `head 5.0`.
    pub label: String,
    /// Its layer.
    pub layer: usize,
    /// Its head, position or number in the layer.
    pub unit: usize,
    /// Means of the answers.
    pub answer: Means,
    /// Means of what changed, prompt by prompt.
    pub change: Means,
    /// The answer to every prompt.
    pub prompts: Answers,
}

/// The result of a circuit experiment.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct CircuitReport {
    /// Version of the lab that made it.
    pub version: String,
    /// Engine: `cpu` or `gpu`.
    pub engine: String,
    /// Name of the adapter or processor engine.
    pub adapter: String,
    /// Name of the model.
    pub model: String,
    /// Its `model_type`, e.g. `gpt_neox`.
    pub architecture: String,
    /// Number of layers.
    pub layers: usize,
    /// Which experiment.
    pub experiment: CircuitName,
    /// What is done, in a sentence.
    pub what: String,
    /// What was asked for, with what was chosen where nothing was.
    pub settings: CircuitSettings,
    /// Means of the unchanged answers.
    pub clean: Means,
    /// The unchanged answer to every prompt.
    pub clean_prompts: Answers,
    /// Every intervention.
    pub cells: Vec<CircuitCell>,
    /// Wall time by stage.
    pub timings: Vec<Timing>,
}

impl CircuitReport {
    /// The cell that lowers the logit of B most.
    pub fn strongest(&self) -> Option<&CircuitCell> {
        self.cells.iter().min_by(|x, y| x.change.logit.mean.total_cmp(&y.change.logit.mean))
    }
}
