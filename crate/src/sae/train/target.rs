//! What a batch is trained on.

use super::config::TrainConfig;
use super::kinds::Scale;
use super::state::State;
use crate::gpu::Tensor;
use crate::kernels::{Binary, Divisor, Normalize, column_sums, row_spread, sae_error, sae_input, zip};
use crate::sae::SaeError;

/// What a batch is trained on.
pub(super) struct BatchTarget {
    /// u, [B, D].
    pub(super) target: Tensor,
    /// u − b_d.
    pub(super) input: Tensor,
    /// What each token's squared error is divided by, as [`sae_error`] takes it.
    pub(super) spread: Tensor,
    pub(super) divisor: Divisor,
    pub(super) factor: f32,
    /// Σ_d (u − batch mean)², [B].
    pub(super) own_spread: Tensor,
}

impl BatchTarget {
    pub(super) fn new(state: &State, config: &TrainConfig, x: &Tensor) -> Self {
        let (tokens, d) = x.rows_cols();
        let x = x.reshape(&[tokens, d]);
        let scale = config.kind.rules().scale();
        let target = match scale {
            Scale::Token => sae_input(&x, &Tensor::zeros(x.engine(), &[d]), Normalize::ConstantNorm).0,
            Scale::Deviation => zip(&x, &state.constants.scale, Binary::Mul),
        };
        let input = zip(&target, &state.params.b_dec, Binary::Sub);
        let own_spread = row_spread(&target, &column_sums(&target));
        let (spread, divisor, factor) = match scale {
            Scale::Token => (own_spread.clone(), Divisor::RootSpread, 1.0 / (tokens * d) as f32),
            Scale::Deviation => (state.constants.spread.clone(), Divisor::Spread, 1.0 / tokens as f32),
        };
        let factor = factor * state.pace();
        Self { target, input, spread, divisor, factor, own_spread }
    }

    /// Gradient of the (weighted) squared error, and the error of each token.
    pub(super) fn error(&self, recon: &Tensor, wanted: &Tensor, weight: f32) -> (Tensor, Tensor) {
        sae_error(recon, wanted, &self.spread, self.divisor, weight * self.factor)
    }

    /// What [`BatchTarget::error`] multiplies each token's squared error with.
    pub(super) async fn weights(&self) -> Result<Vec<f32>, SaeError> {
        let weight = |s: f32| {
            let width = s.max(1e-12);
            self.factor / if self.divisor == Divisor::RootSpread { width.sqrt() } else { width }
        };
        Ok(self.spread.read_f32().await?.into_iter().map(weight).collect())
    }
}
