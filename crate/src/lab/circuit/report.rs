//! What a circuit experiment reports: the content of `circuit.json`, and of the page's view.

use serde::{Deserialize, Serialize};

use super::experiment::CircuitName;
use crate::circuits::{Answers, Means};
use crate::lab::Timing;

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

    /// Fills in what another experiment's settings leave open by what this one has found: the layer whose last state
    /// matters most, or the head of a later layer than the first.
    pub(super) fn settle(&self, settings: &mut CircuitSettings) {
        match self.experiment.of_heads() {
            true => {
                let later = self.cells.iter().filter(|cell| cell.layer > 0);
                let best = later.min_by(|x, y| x.change.logit.mean.total_cmp(&y.change.logit.mean));
                settings.receiver = best.map(|cell| [cell.layer, cell.unit]);
            }
            false => settings.layer = self.strongest().map(|cell| cell.layer),
        }
    }
}
