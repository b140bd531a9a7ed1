//! SAEs that know nothing: what is left of a score when the features are not the model's.

use faer::Mat;

use super::{ActivationFn, Codes, Sae, SaeError};
use crate::gpu::Tensor;
use crate::kernels::{Product, matmul};
use crate::rng::Rng;

/// A random rotation of the activations that an SAE reads.
#[derive(Debug, Clone)]
pub struct Rotation {
    /// Orthogonal, [D, D]; `x·turn` is a product with its transpose's rows, as [`matmul`] takes them.
    turn: Tensor,
    /// What turns about the decoder bias add, [D].
    shift: Tensor,
}

impl Rotation {
    /// A uniformly random orthogonal matrix (the Q of a Gaussian one, signs by the diagonal of R), about the SAE's
    /// decoder bias: near the middle of the activations, so that what they have in common stays where it was.
    ///
    /// # Errors
    /// When the device failed.
    pub async fn new(sae: &Sae, seed: u64) -> Result<Self, SaeError> {
        let d = sae.config.d_in;
        let mut random = Rng::new(seed);
        let gaussian = Mat::from_fn(d, d, |_, _| random.normal());
        let qr = gaussian.qr();
        let (q, r) = (qr.compute_thin_Q(), qr.R());
        let entry = |i: usize, j: usize| q[(i, j)] * r[(j, j)].signum();
        let turn: Vec<f32> =
            (0..d).flat_map(|i| (0..d).map(move |j| (i, j))).map(|(i, j)| entry(i, j) as f32).collect();
        let b_dec = sae.b_dec.read_f32().await?;
        // (x − b)·Qᵀ + b = x·Qᵀ + (b − b·Qᵀ).
        let turned = |i: usize| (0..d).map(|j| f64::from(b_dec[j]) * entry(i, j)).sum::<f64>();
        let shift = (0..d).map(|i| (f64::from(b_dec[i]) - turned(i)) as f32).collect();
        let engine = sae.b_dec.engine();
        Ok(Self {
            turn: Tensor::from_f32(engine, &[d, d], turn),
            shift: Tensor::from_f32(engine, &[d], shift),
        })
    }

    /// Turns activations [n, D].
    pub fn apply(&self, x: &Tensor) -> Tensor {
        matmul(x, &self.turn, &Product { bias: Some(&self.shift), ..Product::default() })
    }
}

impl Sae {
    /// As many features that point in random directions from the decoder bias (normally distributed entries), TopK;
    /// encodes by [`Sae::encode_like`]. Decodes nothing of meaning.
    pub fn random_like(&self, seed: u64) -> Self {
        let (d, f) = (self.config.d_in, self.config.d_sae);
        let mut random = Rng::new(seed);
        // A length is no matter: all of them have about the same, √D·(1 ± 1/√(2D)).
        let entries = (0..d * f).map(|_| random.normal() as f32).collect();
        let engine = self.w_enc.engine();
        let mut sae = self.clone();
        sae.config.apply_b_dec_to_input = true;
        sae.w_enc = Tensor::from_f32(engine, &[d, f], entries);
        sae.b_enc = Tensor::zeros(engine, &[f]);
        sae.activation = ActivationFn::TopK { k: 1 };
        sae.magnitudes = sae.activation.magnitudes(&sae.b_enc);
        sae.input_bias = self.b_dec.clone();
        sae
    }

    /// Features of `x` [n, D] of a TopK SAE, on each token as many as are active in `like`.
    ///
    /// # Errors
    /// As [`Sae::encode`].
    ///
    /// # Panics
    /// When this is no TopK SAE, or `like` has another number of tokens.
    pub async fn encode_like(&self, x: &Tensor, like: &Codes) -> Result<Codes, SaeError> {
        assert!(matches!(self.activation, ActivationFn::TopK { .. }), "encode_like: TopK");
        let mut sae = self.clone();
        sae.activation = ActivationFn::TopK { k: like.widest().clamp(1, self.config.d_sae) };
        let codes = sae.encode(x).await?;
        Ok(codes.largest((0..like.tokens()).map(|t| like.row(t).0.len())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{each_engine, normal};
    use crate::sae::{SaeConfig, SaeWeights};

    fn sae(engine: &crate::gpu::Engine, d: usize, f: usize) -> Sae {
        let weights = SaeWeights {
            w_enc: normal(1, d * f),
            b_enc: normal(2, f),
            w_dec: normal(3, d * f),
            b_dec: normal(4, d),
            ..SaeWeights::default()
        };
        Sae::new(engine, SaeConfig::new(d, f), weights)
    }

    #[test]
    fn a_rotation_keeps_distances_and_the_decoder_bias() {
        each_engine(|engine| {
            let sae = sae(engine, 24, 40);
            let rotation = pollster::block_on(Rotation::new(&sae, 7)).expect("a device");
            let b_dec = pollster::block_on(sae.b_dec.read_f32()).expect("a device");
            let x = [normal(5, 24), normal(6, 24), b_dec.clone()].concat();
            let turned = rotation.apply(&Tensor::from_f32(engine, &[3, 24], x.clone()));
            let y = pollster::block_on(turned.read_f32()).expect("a device");
            let distance = |v: &[f32], s: usize, t: usize| {
                (0..24).map(|j| f64::from(v[s * 24 + j] - v[t * 24 + j]).powi(2)).sum::<f64>().sqrt()
            };
            // Products of 24 in f32, rounded to 6e-8 each.
            for (s, t) in [(0, 1), (0, 2), (1, 2)] {
                assert!((distance(&x, s, t) - distance(&y, s, t)).abs() < 1e-5);
            }
            for (y, b) in y[48..].iter().zip(&b_dec) {
                assert!((y - b).abs() < 1e-5, "{y} {b}");
            }
            assert!(distance(&[&x[..24], &y[..24]].concat(), 0, 1) > 1.0, "nothing was turned");
        });
    }

    #[test]
    fn random_features_are_as_many() {
        each_engine(|engine| {
            let sae = sae(engine, 24, 40);
            let x = Tensor::from_f32(engine, &[6, 24], normal(9, 6 * 24));
            let trained = pollster::block_on(sae.encode(&x)).expect("codes");
            let random = sae.random_like(3);
            let codes = pollster::block_on(random.encode_like(&x, &trained)).expect("codes");
            assert_eq!(codes.n_features, 40);
            // About half of 40 features are positive, of the random SAE, too, which may have fewer to give.
            for t in 0..6 {
                let (got, wanted) = (codes.row(t).0.len(), trained.row(t).0.len());
                assert!(got <= wanted && got > 8, "{got} of {wanted}");
            }
            assert_ne!(codes.indices, trained.indices);
        });
    }
}
