//! What a kind of SAE does in a way of its own.

use crate::gpu::Tensor;
use crate::kernels::{EntryKind, Selection, Sparse};
use crate::sae::ActivationFn;

/// What a kind of SAE does in a way of its own. The head of `train` states the losses and names the symbols.
pub(in crate::sae::train) trait Kind {
    /// As [`SaeKind::name`](super::SaeKind::name).
    fn name(&self) -> &'static str;

    /// As [`SaeKind::number`](super::SaeKind::number).
    fn number(&self) -> f64;

    /// As [`SaeKind::shrinks`](super::SaeKind::shrinks).
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

    /// What [`Kind::selection`] is given for each feature, the same in every step. Thresholds learn from what is
    /// closer to them than half of the `bandwidth`.
    fn bound(&self, _bandwidth: f64) -> f32 {
        0.0
    }

    /// Which pre-activations of a token a step looks at. `scalars` [F, 4] are what features own, `bound` [F] is
    /// [`Kind::bound`].
    fn selection(&self, scalars: &Tensor, bound: &Tensor) -> Selection;

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

    /// What the penalty is on in a batch, given what was selected of it, the features that this became, and the
    /// norms of the decoder's rows.
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
pub(in crate::sae::train) enum Scale {
    /// All tokens in the deviation of an element in the first batch. Errors are a share of a token's variance, and the
    /// decoder's rows have norm 1.
    Deviation,
    /// Each token in its own norm over √D, as the paper has it. Errors are over the root of a token's spread, and the
    /// decoder's rows have any norm, which the penalty sees.
    Token,
}

/// What a penalty is on, by batch.
pub(in crate::sae::train) enum Penalized {
    Nothing,
    /// How many values of a tensor are positive.
    Positive(Tensor),
    /// The sum of a tensor.
    Values(Tensor),
    /// Activities weighted by these norms.
    Norms(Tensor),
}

/// How dead features come back.
pub(in crate::sae::train) enum Revival {
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
pub(in crate::sae::train) struct TrainedScalars {
    /// [F, 4].
    pub(in crate::sae::train) scalars: Vec<f32>,
    /// What features are multiplied with for the SAE to read activations as they are.
    pub(in crate::sae::train) unit: f32,
    /// The running mean of the least feature that a batch kept.
    pub(in crate::sae::train) threshold: f32,
}

impl TrainedScalars {
    /// A column, [F].
    pub(in crate::sae::train) fn column(&self, column: usize) -> impl Iterator<Item = f32> {
        self.scalars.chunks_exact(4).map(move |own| own[column])
    }
}
