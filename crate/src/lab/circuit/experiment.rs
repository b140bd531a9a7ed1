//! The paper's circuit experiments by name, and what each needs.

use serde::{Deserialize, Serialize};

use crate::circuits::Corruption;
use crate::lab::{LabError, LabModel};
use crate::model::Capability;

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
                "hook_z of one head at the last position comes from an unrelated prompt; all other heads there are \
                 frozen"
            }
            Self::HeadToHead => {
                "hook_z of one head at B comes from an unrelated prompt (other heads there are frozen); what the \
                 receiver then says at the last position is patched alone"
            }
            Self::StateToLogit => {
                "a layer's last state is rebuilt from a prompt with another B; all other layers' last states are frozen"
            }
            Self::YToLogit => {
                "a layer's y at the last position comes from a prompt with another last token; other layers' y \
                 there are frozen"
            }
            Self::SsmParts => {
                "one part of a layer's recurrence comes from a prompt with another B at every position, its other \
                 parts as the run has them"
            }
            Self::WritePosition => {
                "only one position's write into the layer's last state comes from a prompt with another B; all \
                 other layers' last states are frozen"
            }
            Self::ConvTaps => {
                "the convolution's output at one position is made anew with some taps reading a prompt with \
                 another A and B; later layers' last states are frozen"
            }
            Self::OffByOne => {
                "a layer's convolution is run without one tap, or with taps that read one position later, or its \
                 SSM is given the next position's input"
            }
        }
    }

    /// How its prompts are corrupted.
    pub(super) fn corruption(self) -> Corruption {
        match self {
            Self::HeadToLogit | Self::HeadToHead => Corruption::Unrelated,
            Self::YToLogit => Corruption::Last,
            Self::ConvTaps => Corruption::AAndB,
            Self::StateToLogit | Self::SsmParts | Self::WritePosition | Self::OffByOne => Corruption::B,
        }
    }

    /// Whether positions are compared, so that A stands at the same one in all prompts, the first.
    pub(super) fn at_one_place(self) -> bool {
        self == Self::WritePosition
    }

    /// Whether a layer that is given is the only one that is taken apart.
    pub(super) fn of_one_layer(self) -> bool {
        matches!(self, Self::SsmParts | Self::WritePosition | Self::ConvTaps | Self::OffByOne)
    }
}

/// The experiments on what a model has.
pub(super) fn experiments_of(model: &LabModel) -> Vec<CircuitName> {
    let fits = |name: &CircuitName| name.needs().iter().all(|needed| model.model.has(*needed));
    CircuitName::ALL.into_iter().filter(fits).collect()
}

/// Refuses an experiment that takes something apart that the model does not have.
pub(super) fn fits(model: &LabModel, experiment: CircuitName) -> Result<(), LabError> {
    let Some(lacking) = experiment.needs().iter().find(|needed| !model.model.has(**needed)) else {
        return Ok(());
    };
    let others: Vec<&str> = experiments_of(model).into_iter().map(CircuitName::name).collect();
    let advice = match &others[..] {
        [] => "choose another model".to_owned(),
        others => format!("for it there are {}", others.join(", ")),
    };
    let (name, needed) = (experiment.name(), lacking.needed());
    Err(LabError::refused(format!("{name} takes {needed} apart, and {} has none", model.name()), advice))
}
