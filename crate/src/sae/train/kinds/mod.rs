//! The kinds of SAE that are trained, a file each: how it selects, what it begins with, what its penalty is on, how dead
//! features are revived, and how it ends. A new one is a file here and its lines in this one.

mod batch_topk;
mod gated;
mod jump_relu;
mod relu;
#[cfg(test)]
mod stand_in;
mod topk;

use serde::{Deserialize, Serialize};

pub use batch_topk::BatchTopK;
pub(super) use batch_topk::{largest, mean_threshold};
pub use gated::Gated;
pub use jump_relu::JumpRelu;
pub use relu::Relu;
#[cfg(test)]
pub use stand_in::StandIn;
pub use topk::TopK;

use super::TrainConfig;
use crate::gpu::Tensor;
use crate::kernels::{EntryKind, Selection, Sparse};
use crate::sae::ActivationFn;

/// What makes features sparse.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi, from_wasm_abi))]
pub enum SaeKind {
    /// Only the k largest features of a token stay (Gao et al. 2024, 2406.04093).
    TopK(TopK),
    /// Only the k·B largest features of a batch of B tokens stay (Bussmann et al. 2024, 2412.06410).
    BatchTopK(BatchTopK),
    /// A threshold for each feature, learned with a penalty on the number of active features (Rajamanoharan et al.
    /// 2024, 2407.14435).
    JumpRelu(JumpRelu),
    /// A gate for each feature, learned with a penalty on its sum (Rajamanoharan et al. 2024, 2404.16014).
    Gated(Gated),
    /// A penalty on the sum of features (the paper, section 2).
    Relu(Relu),
    /// Of tests: one threshold for all.
    #[cfg(test)]
    StandIn(StandIn),
}

impl SaeKind {
    pub(super) fn rules(&self) -> &dyn Kind {
        match self {
            Self::TopK(kind) => kind,
            Self::BatchTopK(kind) => kind,
            Self::JumpRelu(kind) => kind,
            Self::Gated(kind) => kind,
            Self::Relu(kind) => kind,
            #[cfg(test)]
            Self::StandIn(kind) => kind,
        }
    }

    /// Its name in SAELens's words, and on the command line.
    pub fn name(&self) -> &'static str {
        self.rules().name()
    }

    /// The k, or the coefficient of the penalty.
    pub fn number(&self) -> f64 {
        self.rules().number()
    }

    /// Whether its penalty shrinks what features say: then decoders may be fine-tuned without it, and SAEs pruned.
    pub fn shrinks(&self) -> bool {
        self.rules().shrinks()
    }
}

/// What a kind of SAE does in a way of its own. The head of `train` states the losses and names the symbols.
pub(super) trait Kind {
    /// As [`SaeKind::name`].
    fn name(&self) -> &'static str;

    /// As [`SaeKind::number`].
    fn number(&self) -> f64;

    /// As [`SaeKind::shrinks`].
    fn shrinks(&self) -> bool {
        false
    }

    /// Features a token keeps, at least on average, where that is fixed. Such a kind has no penalty.
    fn k(&self) -> Option<usize> {
        None
    }

    /// What activations are measured in.
    fn scale(&self) -> Scale {
        Scale::Deviation
    }

    /// Whether its steps are dense while many features are active (`dense.rs`, which knows the loss of
    /// [`Scale::Token`] and ReLU alone).
    fn may_be_dense(&self) -> bool {
        false
    }

    /// Which pre-activations of a token a step looks at; `scalars` [F, 4] are what features own.
    fn selection(&self, config: &TrainConfig, scalars: &Tensor) -> Selection;

    /// How many of what was selected in a batch of so many tokens stay, where that is fixed.
    fn most_of_batch(&self, _tokens: usize) -> Option<usize> {
        None
    }

    /// How a pre-activation that was selected becomes a feature, and which scalars a feature owns.
    fn entries(&self) -> EntryKind {
        EntryKind::Plain
    }

    /// A feature's scalars at first. `threshold` is what few of the first pre-activations exceed.
    fn first_scalars(&self, _threshold: f32) -> [f32; 4] {
        [0.0; 4]
    }

    /// What the penalty is on in a batch, given what was selected of it, the features that this became, and the norms of
    /// the decoder's rows.
    fn penalized(&self, _pre: &Sparse, _features: &Tensor, _norms: &Tensor) -> Penalized {
        Penalized::Nothing
    }

    /// How its dead features come back.
    fn revival(&self) -> Revival;

    /// The activation function of the SAE that comes out.
    fn finish(&self, trained: &TrainedScalars) -> ActivationFn<Vec<f32>>;
}

/// What activations are measured in while they are trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// All tokens in the deviation of an element in the first batch. Errors are a share of a token's variance, and the
    /// decoder's rows have norm 1.
    Deviation,
    /// Each token in its own norm over √D, as the paper has it. Errors are over the root of a token's spread, and the
    /// decoder's rows have any norm, which the penalty sees.
    Token,
}

/// What a penalty is on, by batch.
pub(super) enum Penalized {
    Nothing,
    /// How many values of a tensor are positive.
    Positive(Tensor),
    /// The sum of a tensor.
    Values(Tensor),
    /// Activities weighted by these norms.
    Norms(Tensor),
}

/// How dead features come back.
pub(super) enum Revival {
    /// They learn what the others leave, by the auxiliary loss.
    AuxiliaryLoss,
    /// They are resampled.
    Resampling {
        /// Norm of the new row in the encoder, as a share of the mean norm of living ones.
        norm: f64,
        /// The scalars of a feature that opens at this pre-activation.
        scalars: fn(f64) -> [f32; 4],
    },
}

/// What else features own when training has ended.
pub(super) struct TrainedScalars {
    /// [F, 4].
    pub(super) scalars: Vec<f32>,
    /// What features are multiplied with for the SAE to read activations as they are.
    pub(super) unit: f32,
    /// The running mean of the least feature that a batch kept.
    pub(super) threshold: f32,
}

impl TrainedScalars {
    /// A column, [F].
    pub(super) fn column(&self, column: usize) -> impl Iterator<Item = f32> {
        self.scalars.chunks_exact(4).map(move |own| own[column])
    }
}
