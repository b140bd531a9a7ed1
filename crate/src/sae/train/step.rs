//! What a step is told, and what it leaves.

use super::kinds::Penalized;
use super::target::BatchTarget;
use crate::gpu::Tensor;
use crate::kernels::AdamStep;

/// Where a step is.
#[derive(Debug, Clone, Copy)]
pub(super) struct At {
    /// From 0.
    pub(super) step: usize,
    /// Number of dead features.
    pub(super) dead: usize,
}

impl At {
    pub(super) fn adam(self, lr: f64) -> AdamStep {
        AdamStep { lr, beta1: 0.9, beta2: 0.999, eps: 1e-8, step: self.step as u32 + 1 }
    }
}

/// What a step leaves on the engine. Only a report and a resampling read it.
pub(super) struct StepTrace {
    pub(super) target: BatchTarget,
    /// Error term of each token, [B].
    pub(super) errors: Tensor,
    /// Sum of each feature, [F].
    pub(super) activity: Tensor,
    /// Penalty term of the loss, without its coefficient.
    pub(super) penalized: Penalized,
}
