//! BatchTopK: a batch keeps the k·B largest features of its B tokens. The SAE that comes out is a JumpReLU one with one
//! threshold for all features, the running mean of the least that was kept.

use serde::{Deserialize, Serialize};

use super::kind::{Kind, Revival, TrainedScalars};
use crate::gpu::Tensor;
use crate::kernels::{Selection, Sparse};
use crate::sae::{ActivationFn, SaeError};

/// Of a token at most this many times k features are looked at.
const CANDIDATES: usize = 8;
/// Share of a new batch in the running mean of the threshold.
const THRESHOLD_RATE: f32 = 0.01;

/// See [`SaeKind::BatchTopK`](super::SaeKind::BatchTopK).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify))]
pub struct BatchTopK {
    /// Features kept per token, on average.
    pub k: usize,
}

impl Kind for BatchTopK {
    fn name(&self) -> &'static str {
        "batchtopk"
    }

    fn number(&self) -> f64 {
        self.k as f64
    }

    fn k(&self) -> Option<usize> {
        Some(self.k)
    }

    fn selection(&self, scalars: &Tensor, _: &Tensor) -> Selection {
        Selection::Largest(scalars.rows_cols().0.min(CANDIDATES * self.k))
    }

    fn most_of_batch(&self, tokens: usize) -> Option<usize> {
        Some(self.k * tokens)
    }

    fn revival(&self) -> Revival {
        Revival::AuxiliaryLoss
    }

    fn finish(&self, trained: &TrainedScalars) -> ActivationFn<Vec<f32>> {
        let features = trained.scalars.len() / 4;
        ActivationFn::JumpRelu { threshold: vec![trained.threshold * trained.unit; features] }
    }
}

/// The `most` largest of all entries, and the least of them; of equal ones the first.
pub(in crate::sae::train) async fn largest(pre: &Sparse, most: usize) -> Result<(Sparse, f32), SaeError> {
    let values = pre.values.read_f32().await?;
    let mut order: Vec<u32> = (0..values.len() as u32).collect();
    if most < order.len() {
        order.select_nth_unstable_by(most - 1, |&a, &b| {
            values[b as usize].total_cmp(&values[a as usize]).then(a.cmp(&b))
        });
        order.truncate(most);
        order.sort_unstable();
    }
    let kept: Vec<f32> = order.iter().map(|&e| values[e as usize]).collect();
    let least = kept.iter().copied().fold(f32::INFINITY, f32::min);
    let indices = order.iter().map(|&e| pre.indices[e as usize]).collect();
    let indptr = pre.indptr.iter().map(|&start| order.partition_point(|&e| e < start) as u32).collect();
    let kept = Tensor::from_f32(pre.values.engine(), &[kept.len()], kept);
    Ok((Sparse::new(pre.cols, indptr, indices, kept), if least.is_finite() { least } else { 0.0 }))
}

/// The running mean of the threshold, NaN before the first batch, after a batch whose least feature was this.
pub(in crate::sae::train) fn mean_threshold(mean: f32, least: f32) -> f32 {
    if mean.is_nan() { least } else { mean + THRESHOLD_RATE * (least - mean) }
}
