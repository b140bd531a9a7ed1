//! TopK: a token keeps its k largest features.

use serde::{Deserialize, Serialize};

use super::kind::{Kind, Revival, TrainedScalars};
use crate::gpu::Tensor;
use crate::kernels::Selection;
use crate::sae::ActivationFn;

/// See [`SaeKind::TopK`](super::SaeKind::TopK).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify))]
pub struct TopK {
    /// Features kept per token.
    pub k: usize,
}

impl Kind for TopK {
    fn name(&self) -> &'static str {
        "topk"
    }

    fn number(&self) -> f64 {
        self.k as f64
    }

    fn k(&self) -> Option<usize> {
        Some(self.k)
    }

    fn selection(&self, _: &Tensor, _: &Tensor) -> Selection {
        Selection::Largest(self.k)
    }

    fn revival(&self) -> Revival {
        Revival::AuxiliaryLoss
    }

    fn finish(&self, _: &TrainedScalars) -> ActivationFn<Vec<f32>> {
        ActivationFn::TopK { k: self.k }
    }
}
