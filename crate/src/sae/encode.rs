//! Features of activations, and activations of features.

use super::{Architecture, Codes, SaeConfig, SaeError};
use crate::gpu::{Engine, Tensor};
use crate::kernels::{
    Activation, Divisor, Encoder, EntryKind, Gate, Keep, Layout, Normalize, Product, Sparse, embed, encode,
    entry_features, gated, jump_relu, matmul, paste, row_norms, sae_error, sae_input, sae_output,
    sparse_decode, topk,
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
    /// Encoder bias, [F]; of a gated SAE its gate's.
    pub b_enc: Tensor,
    /// Decoder, [F, D].
    pub w_dec: Tensor,
    /// Decoder bias, [D].
    pub b_dec: Tensor,
    /// Thresholds of JumpReLU, [F].
    pub threshold: Option<Tensor>,
    /// The magnitude of a gated SAE.
    pub gate: Option<GateTensors>,
    /// What is subtracted before encoding, [D]: `b_dec` or zeros.
    pub(super) input_bias: Tensor,
    /// Of a gated SAE, what each feature owns as [`entry_features`] takes it, [F, 4].
    pub(super) own: Option<Tensor>,
}

/// The magnitude's own parameters of a gated SAE on an engine.
#[derive(Debug, Clone)]
pub struct GateTensors {
    /// Bias of the magnitude, [F].
    pub b_mag: Tensor,
    /// Logarithm of the magnitude's scale, [F].
    pub r_mag: Tensor,
}

/// The magnitude's own parameters of a gated SAE in host memory.
#[derive(Debug, Clone, PartialEq)]
pub struct GateWeights {
    /// Bias of the magnitude, [F].
    pub b_mag: Vec<f32>,
    /// Logarithm of the magnitude's scale, [F].
    pub r_mag: Vec<f32>,
}

/// The weights of a SAE in host memory, row-major, in the shapes of [`Sae`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SaeWeights {
    /// Encoder, [D, F].
    pub w_enc: Vec<f32>,
    /// Encoder bias, [F]; of a gated SAE its gate's.
    pub b_enc: Vec<f32>,
    /// Decoder, [F, D].
    pub w_dec: Vec<f32>,
    /// Decoder bias, [D].
    pub b_dec: Vec<f32>,
    /// Thresholds, [F]: there if and only if the SAE is a JumpReLU one.
    pub threshold: Option<Vec<f32>>,
    /// There if and only if the SAE is a gated one.
    pub gate: Option<GateWeights>,
}

/// Features of a stretch of tokens with what reconstructing them costs.
#[derive(Debug, Clone)]
pub(super) struct Measured {
    pub(super) codes: Codes,
    /// ‖x − x̂‖² of each token.
    pub(super) squared_errors: Vec<f32>,
}

impl Sae {
    /// Puts weights on an engine. A `rescale_acts_by_decoder_norm` is folded into them: the encoder's columns
    /// and bias are multiplied with the norms of the decoder's rows, which become 1; features and
    /// reconstructions stay the same.
    ///
    /// # Panics
    /// When a weight does not have the configuration's shape, or one that the architecture needs is missing.
    pub fn new(engine: &Engine, mut config: SaeConfig, mut weights: SaeWeights) -> Self {
        let (d, f) = (config.d_in, config.d_sae);
        if config.rescale_acts_by_decoder_norm {
            weights.fold_decoder_norms(d);
            config.rescale_acts_by_decoder_norm = false;
        }
        let needs =
            (config.architecture == Architecture::JumpRelu, config.architecture == Architecture::Gated);
        assert_eq!((weights.threshold.is_some(), weights.gate.is_some()), needs, "weights of {config:?}");
        let own = weights.gate.as_ref().map(|gate| {
            let own = |j: usize| [weights.b_enc[j], gate.b_mag[j], gate.r_mag[j], 0.0];
            Tensor::from_f32(engine, &[f, 4], (0..f).flat_map(own).collect())
        });
        let per_feature = |values| Tensor::from_f32(engine, &[f], values);
        let b_dec = Tensor::from_f32(engine, &[d], weights.b_dec);
        let input_bias =
            if config.apply_b_dec_to_input { b_dec.clone() } else { Tensor::zeros(engine, &[d]) };
        Self {
            config,
            w_enc: Tensor::from_f32(engine, &[d, f], weights.w_enc),
            b_enc: per_feature(weights.b_enc),
            w_dec: Tensor::from_f32(engine, &[f, d], weights.w_dec),
            b_dec,
            threshold: weights.threshold.map(per_feature),
            gate: weights
                .gate
                .map(|g| GateTensors { b_mag: per_feature(g.b_mag), r_mag: per_feature(g.r_mag) }),
            input_bias,
            own,
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
            threshold: match &self.threshold {
                Some(threshold) => Some(threshold.read_f32().await?),
                None => None,
            },
            gate: match &self.gate {
                Some(gate) => Some(GateWeights {
                    b_mag: gate.b_mag.read_f32().await?,
                    r_mag: gate.r_mag.read_f32().await?,
                }),
                None => None,
            },
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
        let keep = match self.config.architecture {
            // A positive gate.
            Architecture::Relu | Architecture::Gated => Keep::Positive,
            Architecture::TopK { k } => Keep::Largest(k),
            Architecture::JumpRelu => Keep::Above(self.threshold.as_ref().expect("JumpReLU has thresholds")),
        };
        let encoder = Encoder { w: &self.w_enc, layout: Layout::Nn, bias: &self.b_enc };
        let norms = row_norms(&input);
        let mut features = encode(&input, &encoder, &[keep]).await?.remove(0);
        // A product with what is not finite may be NaN, which no activation lets pass: features would be missing.
        if norms.read_f32().await?.iter().any(|norm| !norm.is_finite()) {
            // A sum of squares may pass the largest number by itself: then the values are looked at.
            let values = input.read_f32().await?;
            if let Some(at) = values.iter().position(|v| !v.is_finite()) {
                let (name, value) = (self.config.name(), values[at]);
                return Err(SaeError::Overflow { name, token: at / cols, value });
            }
        }
        if let Some(own) = &self.own {
            features = features.with_values(entry_features(&features, EntryKind::Gated, own));
        }
        if self.config.normalize == Normalize::Centered {
            // Back to the token's own scale; there is no shift.
            let (mut values, scale) = (features.values.read_f32().await?, scale.read_f32().await?);
            for row in 0..rows {
                values[features.row(row)].iter_mut().for_each(|v| *v *= scale[2 * row + 1]);
            }
            features = features.with_values(Tensor::from_f32(x.engine(), &[values.len()], values));
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
        let encoded = |bias, activation| {
            let product = Product { layout: Layout::Nn, bias, activation, ..Product::default() };
            matmul(&input, &self.w_enc, &product)
        };
        let bias = Some(&self.b_enc);
        let features = match self.config.architecture {
            Architecture::Relu => encoded(bias, Activation::Relu),
            Architecture::TopK { k } => topk(&encoded(bias, Activation::None), k),
            Architecture::JumpRelu => {
                let threshold = self.threshold.as_ref().expect("JumpReLU has thresholds");
                jump_relu(&encoded(bias, Activation::None), threshold)
            }
            Architecture::Gated => {
                let GateTensors { b_mag, r_mag } = self.gate.as_ref().expect("a gated SAE has magnitudes");
                gated(&encoded(None, Activation::None), &Gate { b_gate: &self.b_enc, r_mag, b_mag })
            }
        };
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
            // A gate's scale stays: what it scales already grows with the encoder.
            let gate = self.gate.as_mut().map(|g| &mut g.b_mag);
            for values in [Some(&mut self.b_enc), self.threshold.as_mut(), gate].into_iter().flatten() {
                values[j] = (f64::from(values[j]) * norm) as f32;
            }
            for row in self.w_enc.chunks_exact_mut(features) {
                row[j] = (f64::from(row[j]) * norm) as f32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{self, close, each_engine};

    #[test]
    fn blocks_are_seamless() {
        // A million features of activations of width 2: 16 tokens fill a block.
        let (d, f, tokens) = (2, 1 << 20, 35);
        let config = SaeConfig {
            d_in: d,
            d_sae: f,
            architecture: Architecture::TopK { k: 3 },
            apply_b_dec_to_input: true,
            normalize: Normalize::ConstantNorm,
            rescale_acts_by_decoder_norm: false,
            model_name: None,
            hook_name: None,
            heads: Default::default(),
        };
        let weights = SaeWeights {
            w_enc: testing::uniform(1, d * f).iter().map(|v| v - 0.5).collect(),
            b_enc: vec![0.0; f],
            w_dec: testing::uniform(2, f * d),
            b_dec: vec![0.1, -0.2],
            ..SaeWeights::default()
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

    #[test]
    fn infinite_features_are_an_error() {
        each_engine(|engine| {
            let config = SaeConfig {
                d_in: 2,
                d_sae: 3,
                architecture: Architecture::Relu,
                apply_b_dec_to_input: true,
                normalize: Normalize::None,
                rescale_acts_by_decoder_norm: false,
                model_name: None,
                hook_name: Some("blocks.0.hook_resid_post".to_owned()),
                heads: Default::default(),
            };
            let weights = SaeWeights {
                w_enc: vec![0.0, 1e30, 0.0, 0.0, 0.0, 1.0],
                b_enc: vec![0.0; 3],
                w_dec: vec![0.0; 6],
                b_dec: vec![0.0; 2],
                ..SaeWeights::default()
            };
            let sae = Sae::new(engine, config, weights);
            let x = Tensor::from_f32(engine, &[3, 2], vec![1.0, 1.0, 1e30, 1.0, 2.0, 1.0]);
            for error in [
                pollster::block_on(sae.encode(&x)).expect_err("too large"),
                pollster::block_on(sae.measure(&x)).expect_err("too large"),
            ] {
                let error = error.to_string();
                assert!(
                    error.starts_with("blocks.0.hook_resid_post: feature 1 is inf at token 1;"),
                    "{error}"
                );
            }
        });
    }

    #[test]
    fn no_tokens_give_no_codes() {
        each_engine(|engine| {
            let config = SaeConfig {
                d_in: 2,
                d_sae: 3,
                architecture: Architecture::Relu,
                apply_b_dec_to_input: false,
                normalize: Normalize::LayerNorm,
                rescale_acts_by_decoder_norm: false,
                model_name: None,
                hook_name: None,
                heads: Default::default(),
            };
            let weights = SaeWeights {
                w_enc: vec![1.0; 6],
                b_enc: vec![0.0; 3],
                w_dec: vec![1.0; 6],
                b_dec: vec![0.0; 2],
                ..SaeWeights::default()
            };
            let sae = Sae::new(engine, config, weights);
            let none = Tensor::zeros(engine, &[0, 2]);
            assert_eq!(pollster::block_on(sae.encode(&none)).expect("encode"), Codes::new(3));
            assert_eq!(sae.decode_dense(&none).expect("decode").shape(), [0, 2]);
        });
    }

    #[test]
    fn what_single_precision_cannot_hold_is_no_code() {
        each_engine(|engine| {
            let config = SaeConfig {
                d_in: 2,
                d_sae: 2,
                architecture: Architecture::Relu,
                apply_b_dec_to_input: false,
                normalize: Normalize::None,
                rescale_acts_by_decoder_norm: false,
                model_name: None,
                hook_name: Some("blocks.0.hook_resid_post".to_owned()),
                heads: Default::default(),
            };
            let weights = SaeWeights {
                w_enc: vec![1e30, 1.0, 1e30, -1.0],
                b_enc: vec![0.0; 2],
                w_dec: vec![1.0; 4],
                b_dec: vec![0.0; 2],
                ..SaeWeights::default()
            };
            let sae = Sae::new(engine, config, weights);
            let error = |x: Vec<f32>| {
                let x = Tensor::from_f32(engine, &[x.len() / 2, 2], x);
                pollster::block_on(sae.encode(&x)).map(|_| ()).map_err(|e| e.to_string())
            };
            assert_eq!(error(vec![1.0, 2.0, 3.0, 4.0]), Ok(()));
            let features = error(vec![1.0, 2.0, 1e10, 1e10]).unwrap_err();
            let first = "blocks.0.hook_resid_post: feature 0 is inf at token 1";
            assert!(features.starts_with(first), "{features}");
            // Feature 1 would be ∞ − ∞, which no ReLU lets pass.
            let x = error(vec![f32::INFINITY, f32::INFINITY]).unwrap_err();
            let first = "blocks.0.hook_resid_post: the activations of token 0 are not finite (inf)";
            assert!(x.starts_with(first), "{x}");
            assert!(error(vec![0.0, f32::NAN]).is_err());
        });
    }
}
