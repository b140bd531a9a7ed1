//! What comes out of a model, computed when it is looked at.

use std::ops::Range;

use crate::gpu::{GpuError, Tensor};
use crate::kernels::{Product, columns, matmul_parts};

/// The logits of a run. A vocabulary is wide: 2,048 tokens of Pythia-160M have 400 MB of logits. So a run returns
/// what they are made from, and the unembedding is done for the positions that are asked for.
pub struct Logits {
    /// Residual stream after the last norm [B, T, D].
    normalized: Tensor,
    /// Unembedding [V, D], in parts by rows.
    unembed: Vec<Tensor>,
}

impl std::fmt::Debug for Logits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Logits{:?}", self.shape())
    }
}

impl Logits {
    pub(super) fn new(normalized: Tensor, unembed: Vec<Tensor>) -> Self {
        Self { normalized, unembed }
    }

    /// [B, T, V], padding rows of the vocabulary included.
    pub fn shape(&self) -> [usize; 3] {
        let vocab = self.unembed.iter().map(|part| part.shape()[0]).sum();
        [self.normalized.shape()[0], self.normalized.shape()[1], vocab]
    }

    /// Positions whose logits the engine can hold in one tensor.
    fn at_once(&self) -> usize {
        let [.., vocab] = self.shape();
        (self.normalized.engine().largest_tensor() / (4 * vocab)).max(1)
    }

    /// Stretches of positions, counted through the batch from 0 to B·T, each of which [`Logits::at`] can give.
    pub fn stretches(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let ([batch, len, _], most) = (self.shape(), self.at_once());
        let all = batch * len;
        (0..all).step_by(most).map(move |start| start..(start + most).min(all))
    }

    /// Logits [n, V] of n neighbouring positions, counted through the batch.
    ///
    /// # Panics
    /// When the range ends behind the last position.
    pub fn at(&self, positions: Range<usize>) -> Tensor {
        let (all, width) = self.normalized.rows_cols();
        assert!(positions.end <= all, "positions {positions:?} of {all}");
        let n = positions.len();
        let flat = self.normalized.reshape(&[1, all * width]);
        let x = columns(&flat, positions.start * width, n * width).reshape(&[n, width]);
        matmul_parts(&x, &self.unembed, &Product::default())
    }

    /// Those of the last position of each prompt: [B, 1, V].
    pub fn last(&self) -> Self {
        let [batch, len, _] = self.shape();
        let width = self.normalized.rows_cols().1;
        let last = columns(&self.normalized.reshape(&[batch, len * width]), (len - 1) * width, width);
        Self::new(last.reshape(&[batch, 1, width]), self.unembed.clone())
    }

    /// All logits, [B, T, V] in order.
    ///
    /// # Errors
    /// What went wrong on the device.
    pub async fn read(&self) -> Result<Vec<f32>, GpuError> {
        let mut all = Vec::with_capacity(self.shape().iter().product());
        for positions in self.stretches() {
            all.extend(self.at(positions).read_f32().await?);
        }
        Ok(all)
    }
}
