//! New beginnings for dead features, of the kinds that have no auxiliary loss.
//!
//! As in Bricken et al. 2023 ("Towards Monosemanticity"): a dead feature takes the direction of a token that the SAE
//! reconstructs badly, drawn in proportion to its squared loss. Its encoder's row gets a share of the mean norm of
//! living rows, its threshold or gate, if it has one, opens at half of what its own token gives, and its moments
//! are forgotten.

use super::kinds::Revival;
use super::state::Parameters;
use super::step::StepTrace;
use super::target::BatchTarget;
use super::trainer::Trainer;
use crate::gpu::Tensor;
use crate::rng::Rng;
use crate::sae::SaeError;

impl Trainer {
    /// Resamples what is dead by now from the tokens of `batch`, whose pass this was. Gives how many were.
    pub(super) async fn resample(&mut self, batch: &Tensor, pass: &StepTrace) -> Result<usize, SaeError> {
        let (d, config) = (self.config.d_in, &self.config);
        let Some(state) = &mut self.state else { return Ok(0) };
        let Revival::Resampling { norm: share, scalars: scalars_of } = config.kind.rules().revival() else {
            return Ok(0);
        };
        let mut ages = state.age.read_f32().await?;
        let dead: Vec<usize> = (0..ages.len()).filter(|&j| ages[j] >= config.dead_after as f32).collect();
        let losses: Vec<f64> =
            pass.errors.read_f32().await?.iter().map(|&e| f64::from(e) * f64::from(e)).collect();
        let total = losses.iter().sum::<f64>();
        if dead.is_empty() || total <= 0.0 || !total.is_finite() {
            return Ok(0);
        }
        let input = BatchTarget::new(state, config, batch).input.read_f32().await?;
        let engine = batch.engine();
        let mut random = Rng::new(config.seed).fork(1 + self.step as u64);
        let mut w_enc = state.params.w_enc.read_f32().await?;
        let mut w_dec = state.params.w_dec.read_f32().await?;
        let mut scalars = state.params.scalars.read_f32().await?;
        let norm = |row: &[f32]| row.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>().sqrt();
        let living = (0..ages.len()).filter(|&j| ages[j] < config.dead_after as f32);
        let (sum, count) = living.fold((0.0, 0), |(s, n), j| (s + norm(&w_enc[j * d..][..d]), n + 1));
        let length = share * if count > 0 { sum / f64::from(count) } else { 1.0 };
        for &j in &dead {
            let mut left = random.uniform() * total;
            let drawn = losses.iter().position(|loss| {
                left -= loss;
                left < 0.0
            });
            let token = &input[drawn.unwrap_or(losses.len() - 1) * d..][..d];
            let size = norm(token).max(1e-12);
            for (c, &x) in token.iter().enumerate() {
                w_dec[j * d + c] = (f64::from(x) / size) as f32;
                w_enc[j * d + c] = (f64::from(x) / size * length) as f32;
            }
            // It waits for tokens like its own: any other threshold would let it into many of them at once.
            scalars[j * 4..][..4].copy_from_slice(&scalars_of(0.5 * length * size));
            ages[j] = 0.0;
            state.touched[j] = 0;
        }
        for Parameters { w_enc, w_dec, scalars, .. } in [&mut state.first, &mut state.second] {
            for (tensor, width) in [(w_enc, d), (w_dec, d), (scalars, 4)] {
                let mut values = tensor.read_f32().await?;
                dead.iter().for_each(|&j| values[j * width..][..width].fill(0.0));
                *tensor = Tensor::from_f32(engine, tensor.shape(), values);
            }
        }
        let put = |old: &Tensor, values: Vec<f32>| Tensor::from_f32(engine, old.shape(), values);
        state.params.w_enc = put(&state.params.w_enc, w_enc);
        state.params.w_dec = put(&state.params.w_dec, w_dec);
        state.params.scalars = put(&state.params.scalars, scalars);
        state.age = put(&state.age, ages);
        Ok(dead.len())
    }
}
