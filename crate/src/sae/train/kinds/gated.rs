//! Gated: a gate decides whether a feature fires, a magnitude how strongly. The gate learns by a reconstruction of its
//! own.

use serde::{Deserialize, Serialize};

use super::kind::{Kind, Penalized, Revival, TrainedScalars};
use crate::gpu::Tensor;
use crate::kernels::scalar::{B_MAG, BIAS, R_MAG};
use crate::kernels::{EntryKind, Selection, Sparse};
use crate::sae::ActivationFn;

/// See [`SaeKind::Gated`](super::SaeKind::Gated).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify))]
pub struct Gated {
    /// Coefficient of the penalty, in the units of [`JumpRelu::l0`](super::JumpRelu::l0).
    pub l1: f64,
}

/// A gate with this bias.
fn with_bias(bias: f32) -> [f32; 4] {
    let mut scalars = [0.0; 4];
    scalars[BIAS] = bias;
    scalars
}

impl Kind for Gated {
    fn name(&self) -> &'static str {
        "gated"
    }

    fn number(&self) -> f64 {
        self.l1
    }

    /// Open gates.
    fn selection(&self, _: &Tensor, _: &Tensor) -> Selection {
        Selection::Positive
    }

    fn entries(&self) -> EntryKind {
        EntryKind::Gated
    }

    fn first_scalars(&self, threshold: f32) -> [f32; 4] {
        with_bias(-threshold)
    }

    /// The sum of the gates.
    fn penalized(&self, pre: &Sparse, _: &Tensor, _: &Tensor) -> Penalized {
        Penalized::Values(pre.values.clone())
    }

    fn revival(&self) -> Revival {
        Revival::Resampling { norm: 0.6, scalars: |opens| with_bias(-opens as f32) }
    }

    fn finish(&self, trained: &TrainedScalars) -> ActivationFn<Vec<f32>> {
        ActivationFn::Gated {
            b_mag: trained.column(B_MAG).map(|b| b * trained.unit).collect(),
            r_mag: trained.column(R_MAG).collect(),
        }
    }
}
