//! From what was trained to an SAE that reads activations as they are.

use super::kinds::{Scale, TrainedScalars};
use super::trainer::Trainer;
use crate::failure::Failure;
use crate::kernels::Normalize;
use crate::kernels::scalar::BIAS;
use crate::sae::{Heads, Sae, SaeConfig, SaeError, SaeWeights};

impl Trainer {
    /// The trained SAE, its decoder's rows of norm 1.
    ///
    /// # Errors
    /// When no batch came, training diverged, or the device failed.
    pub async fn finish(self) -> Result<Sae, SaeError> {
        let Some(state) = &self.state else {
            return Err(SaeError::Training("there was no batch to train on".into()));
        };
        let (d, f, kind) = (self.config.d_in, self.config.features, self.config.kind.rules());
        let rows = state.params.w_enc.read_f32().await?;
        // The encoder reads σ·u, so features come out σ times as large with the same weights, and whatever is added
        // to them or compared with them must be, too.
        let unit = 1.0 / state.scale;
        let scalars = state.params.scalars.read_f32().await?;
        let trained = TrainedScalars { scalars, unit, threshold: state.threshold };
        let mut w_enc = vec![0.0; d * f];
        for (j, row) in rows.chunks_exact(d).enumerate() {
            row.iter().enumerate().for_each(|(c, &w)| w_enc[c * f + j] = w);
        }
        let mut weights = SaeWeights {
            w_enc,
            b_enc: trained.column(BIAS).map(|b| b * unit).collect(),
            w_dec: state.params.w_dec.read_f32().await?,
            b_dec: state.params.b_dec.read_f32().await?.into_iter().map(|b| b * unit).collect(),
            activation: kind.finish(&trained),
        };
        let normalize = match kind.scale() {
            Scale::Deviation => Normalize::None,
            Scale::Token => {
                weights.fold_decoder_norms(d);
                Normalize::ConstantNorm
            }
        };
        if weights.not_finite().is_some() {
            return Err(SaeError::Training(Failure::new(
                "the weights diverged",
                "use a smaller learning rate",
            )));
        }
        let config = SaeConfig {
            normalize,
            model_name: self.config.model_name,
            heads: self.config.hook_name.as_deref().map_or(Heads::Flat, Heads::all_of),
            hook_name: self.config.hook_name,
            ..SaeConfig::new(d, f)
        };
        Ok(Sae::new(&self.engine, config, weights))
    }
}
