//! Features of activations, and activations of features.

use super::activation::Magnitudes;
use super::{ActivationFn, Codes, SaeConfig, SaeError, SaeWeights};
use crate::gpu::{Engine, Tensor};
use crate::kernels::{
    Binary, Divisor, EncoderWeights, Layout, Normalize, Product, Sparse, columns, embed, encode, matmul,
    paste, row_norms, sae_error, sae_input, sae_output, sparse_decode, zip,
};

/// Bytes that the dense features of one block may take.
const BLOCK_BYTES: usize = 64 << 20;

/// A sparse autoencoder on an engine, ready to encode. D = `d_in`, F = `d_sae`.
#[derive(Debug, Clone)]
pub struct Sae {
    /// What it is.
    pub config: SaeConfig,
    /// Encoder, [D, F].
    pub w_enc: Tensor,
    /// Encoder bias, [F].
    pub b_enc: Tensor,
    /// Decoder, [F, D].
    pub w_dec: Tensor,
    /// Decoder bias, [D].
    pub b_dec: Tensor,
    /// What turns pre-activations into features.
    pub activation: ActivationFn<Tensor>,
    /// What is subtracted before encoding, [D]: `b_dec` or zeros.
    pub(super) input_bias: Tensor,
    /// How selected pre-activations become features, by `activation` and `b_enc`.
    pub(super) magnitudes: Magnitudes,
}

/// Features of a stretch of tokens with what reconstructing them costs.
#[derive(Debug, Clone)]
pub(super) struct Measured {
    pub(super) codes: Codes,
    /// ‖x − x̂‖² of each token.
    pub(super) squared_errors: Vec<f32>,
}

impl Sae {
    /// Puts weights on an engine.
    ///
    /// # Panics
    /// When a weight does not have the configuration's shape.
    pub fn new(engine: &Engine, config: SaeConfig, weights: SaeWeights) -> Self {
        let (d, f) = (config.d_in, config.d_sae);
        let SaeWeights { w_enc, b_enc, w_dec, b_dec, activation } = weights;
        assert!(activation.parameters().iter().all(|own| own.values.len() == f), "parameters of {config:?}");
        let b_dec = Tensor::from_f32(engine, &[d], b_dec);
        let input_bias =
            if config.apply_b_dec_to_input { b_dec.clone() } else { Tensor::zeros(engine, &[d]) };
        let (b_enc, activation) = (Tensor::from_f32(engine, &[f], b_enc), activation.on(engine));
        Self {
            config,
            w_enc: Tensor::from_f32(engine, &[d, f], w_enc),
            w_dec: Tensor::from_f32(engine, &[f, d], w_dec),
            b_dec,
            input_bias,
            magnitudes: activation.magnitudes(&b_enc),
            b_enc,
            activation,
        }
    }

    /// Reads the weights back.
    ///
    /// # Errors
    /// When the device failed.
    pub async fn weights(&self) -> Result<SaeWeights, SaeError> {
        Ok(SaeWeights {
            w_enc: self.w_enc.read_f32().await?,
            b_enc: self.b_enc.read_f32().await?,
            w_dec: self.w_dec.read_f32().await?,
            b_dec: self.b_dec.read_f32().await?,
            activation: self.activation.read().await?,
        })
    }

    /// Features of activations `x` [.., D], as sparse rows, one a token. The dense features never leave the
    /// device and are made in blocks.
    ///
    /// # Errors
    /// When `x` has another width, a feature is not finite, or the device failed.
    pub async fn encode(&self, x: &Tensor) -> Result<Codes, SaeError> {
        let (features, _) = self.sparse_features(x).await?;
        self.codes(&features).await
    }

    /// The codes of these features, which must be finite.
    async fn codes(&self, features: &Sparse) -> Result<Codes, SaeError> {
        let mut codes = Codes::new(self.config.d_sae);
        codes.push(features, features.values.read_f32().await?);
        match codes.not_finite() {
            None => Ok(codes),
            Some((token, feature, value)) => {
                Err(SaeError::Infinite { name: self.config.name(), token, feature, value })
            }
        }
    }

    /// Features of `x` [.., D] as a sparse matrix, and the scale that undoes the normalisation. Places may hold zeros.
    async fn sparse_features(&self, x: &Tensor) -> Result<(Sparse, Tensor), SaeError> {
        let (rows, cols) = x.rows_cols();
        self.config.check_width(cols)?;
        let (input, scale) = sae_input(&x.reshape(&[rows, cols]), &self.input_bias, self.config.normalize);
        let encoder = EncoderWeights { w: &self.w_enc, layout: Layout::Nn, bias: &self.b_enc };
        let norms = row_norms(&input);
        let kept = encode(&input, &encoder, &[self.activation.selection()]).await?.remove(0);
        // A product with what is not finite may be NaN, which no activation lets pass: features would be missing.
        if norms.read_f32().await?.iter().any(|norm| !norm.is_finite()) {
            // A sum of squares may pass the largest number by itself: then the values are looked at.
            let values = input.read_f32().await?;
            if let Some(at) = values.iter().position(|v| !v.is_finite()) {
                let (name, value) = (self.config.name(), values[at]);
                return Err(SaeError::Overflow { name, token: at / cols, value });
            }
        }
        let mut features = self.magnitudes.of(kept);
        if self.config.normalize == Normalize::Centered {
            // Back to the token's own scale; there is no shift.
            let entries = features.entries();
            let tokens = (0..rows as u32).flat_map(|t| features.row(t as usize).map(move |_| t)).collect();
            let tokens = Tensor::from_u32(x.engine(), &[entries], tokens);
            let scales = embed(&[columns(&scale, 1, 1)], &tokens).reshape(&[entries]);
            features = features.with_values(zip(&features.values, &scales, Binary::Mul));
        }
        Ok((features, scale))
    }

    /// Activations as the SAE reconstructs them, shaped like `x` [.., D].
    ///
    /// # Errors
    /// When `x` has another width.
    pub fn decode_dense(&self, x: &Tensor) -> Result<Tensor, SaeError> {
        let blocks = self.blocks(x)?;
        if let [block] = &blocks[..] {
            return Ok(self.reconstruct(block).reshape(x.shape()));
        }
        // As one long row, into which the blocks are pasted one after the other.
        let mut all = Tensor::zeros(x.engine(), &[1, x.len()]);
        let mut start = 0;
        for block in blocks {
            let part = self.reconstruct(&block).reshape(&[1, block.len()]);
            all = paste(&all, start, &part);
            start += block.len();
        }
        Ok(all.reshape(x.shape()))
    }

    /// As [`Sae::encode`], with the squared error of each token's reconstruction.
    pub(super) async fn measure(&self, x: &Tensor) -> Result<Measured, SaeError> {
        let (features, scale) = self.sparse_features(x).await?;
        let recon = self.undo(sparse_decode(&features, &self.w_dec, &self.b_dec), &scale);
        let ones = Tensor::from_f32(x.engine(), &[features.rows()], vec![1.0; features.rows()]);
        let wanted = x.reshape(recon.shape());
        let (_, errors) = sae_error(&recon, &wanted, &ones, Divisor::Spread, 1.0);
        let codes = self.codes(&features).await?;
        Ok(Measured { codes, squared_errors: errors.read_f32().await? })
    }

    /// `x` cut into matrices [tokens, D] whose features fit into a block.
    fn blocks(&self, x: &Tensor) -> Result<Vec<Tensor>, SaeError> {
        let (rows, cols) = x.rows_cols();
        self.config.check_width(cols)?;
        let most = (BLOCK_BYTES / 4 / self.config.d_sae).max(1);
        let x = x.reshape(&[rows, cols]);
        if rows <= most {
            return Ok(vec![x]);
        }
        let cut = (0..rows).step_by(most).map(|start| {
            let end = (start + most).min(rows);
            let ids = (start as u32..end as u32).collect();
            embed(std::slice::from_ref(&x), &Tensor::from_u32(x.engine(), &[end - start], ids))
        });
        Ok(cut.collect())
    }

    /// Dense features [T, F] of `x` [T, D], and the scale that undoes the normalisation.
    pub(super) fn features(&self, x: &Tensor) -> (Tensor, Tensor) {
        let (input, scale) = sae_input(x, &self.input_bias, self.config.normalize);
        let features = self.activation.dense(&input, &self.w_enc, &self.b_enc);
        let features = match self.config.normalize {
            // Back to the token's own scale; there is no shift.
            Normalize::Centered => sae_output(&features, &scale),
            _ => features,
        };
        (features, scale)
    }

    fn decode(&self, features: &Tensor, scale: &Tensor) -> Tensor {
        let product = Product { layout: Layout::Nn, bias: Some(&self.b_dec), ..Product::default() };
        self.undo(matmul(features, &self.w_dec, &product), scale)
    }

    /// The normalisation, undone.
    fn undo(&self, output: Tensor, scale: &Tensor) -> Tensor {
        match self.config.normalize {
            Normalize::None | Normalize::Centered => output,
            Normalize::ConstantNorm | Normalize::LayerNorm => sae_output(&output, scale),
        }
    }

    fn reconstruct(&self, x: &Tensor) -> Tensor {
        let (features, scale) = self.features(x);
        self.decode(&features, &scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::Tier;
    use crate::kernels::testing::{self, close, each_engine};

    #[test]
    fn blocks_are_seamless() {
        // A million features of activations of width 2: 16 tokens fill a block.
        let (d, f, tokens) = (2, 1 << 20, 35);
        let config = SaeConfig { normalize: Normalize::ConstantNorm, ..SaeConfig::new(d, f) };
        let weights = SaeWeights {
            w_enc: testing::uniform(1, d * f).iter().map(|v| v - 0.5).collect(),
            b_enc: vec![0.0; f],
            w_dec: testing::uniform(2, f * d),
            b_dec: vec![0.1, -0.2],
            activation: ActivationFn::TopK { k: 3 },
        };
        let x = testing::normal(3, tokens * d);
        let engine = Engine::cpu();
        let sae = Sae::new(&engine, config, weights);
        let all = Tensor::from_f32(&engine, &[5, 7, d], x.clone());
        let codes = pollster::block_on(sae.encode(&all)).expect("encode");
        assert_eq!((codes.tokens(), codes.indices.len()), (tokens, 3 * tokens));
        let recon = sae.decode_dense(&all).expect("decode");
        assert_eq!(recon.shape(), [5, 7, d]);
        let mut one_by_one = Vec::new();
        for t in [0, 15, 16, 34] {
            let x = Tensor::from_f32(&engine, &[1, d], x[t * d..][..d].to_vec());
            let single = pollster::block_on(sae.encode(&x)).expect("encode");
            assert_eq!(single.row(0), codes.row(t));
            let got = Tensor::from_f32(&engine, &[d], recon.f32s()[t * d..][..d].to_vec());
            one_by_one.extend(sae.decode_dense(&x).expect("decode").f32s().iter().map(|&v| f64::from(v)));
            // Products may be summed in another order for another number of rows.
            close(&engine, &got, &one_by_one[one_by_one.len() - d..], 1e-5);
        }
    }

    /// A ReLU SAE of this encoder [2, F], whose decoder is zeros.
    fn encoder(engine: &Engine, w_enc: Vec<f32>, change: impl FnOnce(&mut SaeConfig)) -> Sae {
        let f = w_enc.len() / 2;
        let mut config = SaeConfig::new(2, f);
        change(&mut config);
        let weights = SaeWeights {
            b_enc: vec![0.0; f],
            w_dec: vec![0.0; w_enc.len()],
            b_dec: vec![0.0; 2],
            w_enc,
            ..SaeWeights::default()
        };
        Sae::new(engine, config, weights)
    }

    #[test]
    fn what_single_precision_cannot_hold_is_no_code() {
        each_engine(|engine| {
            let hook = "blocks.0.hook_resid_post";
            let sae = encoder(engine, vec![0.0, 1e30, 1.0, 0.0, 1e30, -1.0], |config| {
                config.hook_name = Some(hook.to_owned());
            });
            let errors = |x: Vec<f32>| {
                let x = Tensor::from_f32(engine, &[x.len() / 2, 2], x);
                [
                    pollster::block_on(sae.encode(&x)).err().map(|e| e.to_string()),
                    pollster::block_on(sae.measure(&x)).err().map(|e| e.to_string()),
                ]
            };
            assert_eq!(errors(vec![1.0, 2.0, 3.0, 4.0]), [None, None]);
            for (x, told) in [
                (vec![1.0, 2.0, 1e10, 1e10], "feature 1 is inf at token 1;"),
                (vec![1.0, 1.0, 1e30, 1.0, 2.0, 1.0], "feature 1 is inf at token 1;"),
                // Feature 2 would be ∞ − ∞, which no ReLU lets pass.
                (vec![f32::INFINITY; 2], "the activations of token 0 are not finite (inf)"),
                (vec![0.0, f32::NAN], "the activations of token 0 are not finite (NaN)"),
            ] {
                for error in errors(x) {
                    let error = error.expect("too large");
                    assert!(error.starts_with(&format!("{hook}: {told}")), "{error}");
                }
            }
        });
    }

    #[test]
    fn no_tokens_give_no_codes() {
        each_engine(|engine| {
            let sae = encoder(engine, vec![1.0; 6], |config| config.normalize = Normalize::LayerNorm);
            let none = Tensor::zeros(engine, &[0, 2]);
            assert_eq!(pollster::block_on(sae.encode(&none)).expect("encode"), Codes::new(3));
            assert_eq!(sae.decode_dense(&none).expect("decode").shape(), [0, 2]);
        });
    }

    #[test]
    fn what_was_encoded_comes_back_once() {
        let engine = pollster::block_on(Engine::gpu(Tier::Full)).expect("an adapter");
        let values = |seed| testing::normal(seed, 16);
        for (activation, normalize) in [
            (ActivationFn::Relu, Normalize::None),
            (ActivationFn::Relu, Normalize::Centered),
            (ActivationFn::TopK { k: 3 }, Normalize::ConstantNorm),
            (ActivationFn::JumpRelu { threshold: values(1) }, Normalize::None),
            (ActivationFn::Gated { b_mag: values(1), r_mag: values(2) }, Normalize::None),
        ] {
            let weights = SaeWeights {
                w_enc: testing::normal(3, 8 * 16),
                b_enc: values(4),
                w_dec: testing::normal(5, 16 * 8),
                b_dec: vec![0.0; 8],
                activation,
            };
            let what = format!("{:?}, {normalize:?}", weights.activation);
            let sae = Sae::new(&engine, SaeConfig { normalize, ..SaeConfig::new(8, 16) }, weights);
            let x = Tensor::from_f32(&engine, &[20, 8], testing::normal(6, 20 * 8));
            let (codes, [_, readbacks]) = testing::copies(&engine, || pollster::block_on(sae.encode(&x)));
            assert!(!codes.expect("encode").values.is_empty());
            // How many features each token has; which; their values; and the norms of what was read.
            assert_eq!(readbacks, 4, "{what}");
        }
    }
}
