//! JumpReLU: a feature fires above its own threshold, which is learned.

use serde::{Deserialize, Serialize};

use super::kind::{Kind, Penalized, Revival, TrainedScalars};
use crate::gpu::Tensor;
use crate::kernels::scalar::LN_THRESHOLD;
use crate::kernels::{Activation, Binary, EntryKind, Selection, Sparse, columns, map, zip};
use crate::sae::ActivationFn;

/// See [`SaeKind::JumpRelu`](super::SaeKind::JumpRelu).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify))]
pub struct JumpRelu {
    /// Coefficient of the penalty: what an active feature costs, as a share of the variance.
    pub l0: f64,
}

/// A threshold of which this is the logarithm.
fn with_threshold(ln_threshold: f32) -> [f32; 4] {
    let mut scalars = [0.0; 4];
    scalars[LN_THRESHOLD] = ln_threshold;
    scalars
}

impl Kind for JumpRelu {
    fn name(&self) -> &'static str {
        "jumprelu"
    }

    fn number(&self) -> f64 {
        self.l0
    }

    /// How far below its threshold a feature is looked at: thresholds learn from there, too.
    fn bound(&self, bandwidth: f64) -> f32 {
        -0.5 * bandwidth as f32
    }

    fn selection(&self, scalars: &Tensor, bound: &Tensor) -> Selection {
        let features = bound.len();
        let threshold = map(&columns(scalars, LN_THRESHOLD, 1).reshape(&[features]), Activation::NegExp);
        Selection::Above(zip(bound, &threshold, Binary::Sub))
    }

    fn entries(&self) -> EntryKind {
        EntryKind::JumpRelu
    }

    fn first_scalars(&self, threshold: f32) -> [f32; 4] {
        with_threshold(threshold.ln())
    }

    /// The number of active features.
    fn penalized(&self, _: &Sparse, features: &Tensor, _: &Tensor) -> Penalized {
        Penalized::Positive(features.clone())
    }

    fn revival(&self) -> Revival {
        Revival::Resampling { norm: 0.6, scalars: |opens| with_threshold(opens.ln() as f32) }
    }

    fn finish(&self, trained: &TrainedScalars) -> ActivationFn<Vec<f32>> {
        let threshold = trained.column(LN_THRESHOLD).map(|ln| ln.exp() * trained.unit).collect();
        ActivationFn::JumpRelu { threshold }
    }
}
