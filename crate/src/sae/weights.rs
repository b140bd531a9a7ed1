//! The weights of an SAE in host memory.

use super::ActivationFn;

/// The weights of an SAE in host memory, row-major, in the shapes of [`Sae`](super::Sae).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SaeWeights {
    /// Encoder, [D, F].
    pub w_enc: Vec<f32>,
    /// Encoder bias, [F].
    pub b_enc: Vec<f32>,
    /// Decoder, [F, D].
    pub w_dec: Vec<f32>,
    /// Decoder bias, [D].
    pub b_dec: Vec<f32>,
    /// What turns pre-activations into features.
    pub activation: ActivationFn<Vec<f32>>,
}

impl SaeWeights {
    /// Makes the norms of the decoder's rows 1 by moving them into the encoder: features are scaled by them, and
    /// reconstructions stay the same. A row of zeros stays one, and its feature becomes silent.
    pub(super) fn fold_decoder_norms(&mut self, d_in: usize) {
        let features = self.b_enc.len();
        for (j, row) in self.w_dec.chunks_exact_mut(d_in).enumerate() {
            let norm = row.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>().sqrt();
            if norm > 0.0 {
                row.iter_mut().for_each(|w| *w = (f64::from(*w) / norm) as f32);
            }
            let own = self.activation.in_units_of_features();
            for values in [Some(&mut self.b_enc), own].into_iter().flatten() {
                values[j] = (f64::from(values[j]) * norm) as f32;
            }
            for row in self.w_enc.chunks_exact_mut(features) {
                row[j] = (f64::from(row[j]) * norm) as f32;
            }
        }
    }

    /// The first weight that is NaN or infinite: what its tensor is, where it is in it, and the value.
    pub(super) fn not_finite(&self) -> Option<(&'static str, usize, f32)> {
        let mut all = vec![
            ("the encoder", &self.w_enc),
            ("the encoder's bias", &self.b_enc),
            ("the decoder", &self.w_dec),
            ("the decoder's bias", &self.b_dec),
        ];
        all.extend(self.activation.parameters().into_iter().map(|own| (own.words, own.values)));
        all.into_iter().find_map(|(what, values)| {
            let at = values.iter().position(|v| !v.is_finite())?;
            Some((what, at, values[at]))
        })
    }
}
