//! A kind for tests, which shows what a new one takes: features fire above one threshold, which nobody learns.

use serde::{Deserialize, Serialize};

use super::kind::{Kind, Revival, TrainedScalars};
use crate::gpu::Tensor;
use crate::kernels::Selection;
use crate::sae::ActivationFn;

/// See [`SaeKind::StandIn`](super::SaeKind::StandIn).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify))]
pub struct StandIn {
    /// In standard deviations of the input.
    pub threshold: f32,
}

impl Kind for StandIn {
    fn name(&self) -> &'static str {
        "standin"
    }

    fn number(&self) -> f64 {
        0.0
    }

    fn bound(&self, _: f64) -> f32 {
        self.threshold
    }

    fn selection(&self, _: &Tensor, bound: &Tensor) -> Selection {
        Selection::Above(bound.clone())
    }

    fn revival(&self) -> Revival {
        Revival::AuxiliaryLoss
    }

    fn finish(&self, trained: &TrainedScalars) -> ActivationFn<Vec<f32>> {
        ActivationFn::JumpRelu {
            threshold: trained.column(0).map(|_| self.threshold * trained.unit).collect(),
        }
    }
}
