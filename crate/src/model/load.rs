//! Weights onto an engine.

use super::hooks::Linear;
use crate::checkpoint::{CheckpointError, Weights};
use crate::gpu::{Engine, Tensor};

/// Takes tensors of a checkpoint to an engine.
pub(super) struct Loader<'a> {
    pub(super) engine: &'a Engine,
    pub(super) weights: &'a Weights,
}

impl Loader<'_> {
    /// A tensor of this shape.
    pub(super) fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor, CheckpointError> {
        Ok(Tensor::from_f32(self.engine, shape, self.weights.tensor(name, shape)?))
    }

    /// `name.weight` [n, k] and, if there is one, `name.bias` [n].
    pub(super) fn linear(&self, name: &str, n: usize, k: usize, bias: bool) -> Result<Linear, CheckpointError> {
        Ok(Linear {
            weight: self.tensor(&format!("{name}.weight"), &[n, k])?,
            bias: bias.then(|| self.tensor(&format!("{name}.bias"), &[n])).transpose()?,
        })
    }
}
