//! ReLU with an L1 penalty, as in the paper: features weighted by the norms of their decoder's rows.

use serde::{Deserialize, Serialize};

use super::kind::{Kind, Penalized, Revival, Scale, TrainedScalars};
use crate::gpu::Tensor;
use crate::kernels::{Selection, Sparse};
use crate::sae::ActivationFn;

/// See [`SaeKind::Relu`](super::SaeKind::Relu).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify))]
pub struct Relu {
    /// Coefficient λ of the penalty.
    pub l1: f64,
}

impl Kind for Relu {
    fn name(&self) -> &'static str {
        "l1"
    }

    fn number(&self) -> f64 {
        self.l1
    }

    fn shrinks(&self) -> bool {
        true
    }

    fn scale(&self) -> Scale {
        Scale::Token
    }

    fn may_be_dense(&self) -> bool {
        true
    }

    fn selection(&self, _: &Tensor, _: &Tensor) -> Selection {
        Selection::Positive
    }

    fn penalized(&self, _: &Sparse, _: &Tensor, norms: &Tensor) -> Penalized {
        Penalized::Norms(norms.clone())
    }

    /// No threshold waits: a small row lets the feature into few tokens.
    fn revival(&self) -> Revival {
        Revival::Resampling { norm: 0.2, scalars: |_| [0.0; 4] }
    }

    fn finish(&self, _: &TrainedScalars) -> ActivationFn<Vec<f32>> {
        ActivationFn::Relu
    }
}
