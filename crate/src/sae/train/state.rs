//! What is trained, and what a step needs to remember.

use super::config::TrainConfig;
use super::kinds::Scale;
use crate::gpu::{Engine, Tensor};
use crate::kernels::{Normalize, sae_input};
use crate::rng::Rng;
use crate::sae::SaeError;

/// The arrays that are trained, or one value for each of their elements.
#[derive(Debug, Clone)]
pub(super) struct Parameters {
    /// Encoder, a row for each feature: [F, D].
    pub(super) w_enc: Tensor,
    /// Decoder, [F, D].
    pub(super) w_dec: Tensor,
    /// What else a feature owns, [F, 4], by the columns of [`scalar`](crate::kernels::scalar). What is beyond its
    /// kind's numbers means nothing.
    pub(super) scalars: Tensor,
    /// Decoder bias, [D].
    pub(super) b_dec: Tensor,
}

impl Parameters {
    fn zeros(engine: &Engine, d: usize, f: usize) -> Self {
        Self {
            w_enc: Tensor::zeros(engine, &[f, d]),
            w_dec: Tensor::zeros(engine, &[f, d]),
            scalars: Tensor::zeros(engine, &[f, 4]),
            b_dec: Tensor::zeros(engine, &[d]),
        }
    }

    /// All four with their names in a checkpoint.
    pub(super) fn named(&self) -> [(&'static str, &Tensor); 4] {
        [("w_enc", &self.w_enc), ("w_dec", &self.w_dec), ("small", &self.scalars), ("b_dec", &self.b_dec)]
    }
}

/// What the first batch begins and every step changes.
pub(super) struct State {
    pub(super) params: Parameters,
    /// Adam's moments.
    pub(super) first: Parameters,
    pub(super) second: Parameters,
    /// Number of the step, from 1, that touched each feature's rows last; 0 for none.
    pub(super) touched: Vec<u32>,
    /// Tokens since each feature fired, [F].
    pub(super) age: Tensor,
    /// Tokens of a batch.
    pub(super) batch: usize,
    /// What activations are multiplied with: one over the standard deviation of an element, taken over the first
    /// batch. ReLU: 1, its tokens are normalised one by one.
    pub(super) scale: f32,
    /// BatchTopK: running mean of the least feature that a batch kept; NaN before the first.
    pub(super) threshold: f32,
    /// Features per token in the last batch.
    pub(super) l0: L0,
    /// Error of the last batch, which this one's loss is divided by; 1 before the first.
    pub(super) error: f64,
    pub(super) constants: Constants,
}

/// What steps read and none changes.
pub(super) struct Constants {
    /// [`State::scale`] for each element of a token, [D].
    pub(super) scale: Tensor,
    /// What a token's squared error is divided by with [`Scale::Deviation`]: D, [B].
    pub(super) spread: Tensor,
    /// Norms of the decoder's rows with [`Scale::Deviation`]: 1, [F].
    pub(super) norms: Tensor,
    /// The kind's bound for each feature, [F].
    pub(super) bound: Tensor,
}

impl Constants {
    /// Those of a run whose batches have this many tokens and are multiplied with `scale`.
    pub(super) fn new(engine: &Engine, config: &TrainConfig, batch: usize, scale: f32) -> Self {
        let (d, f) = (config.d_in, config.features);
        let all = |len: usize, value: f32| Tensor::from_f32(engine, &[len], vec![value; len]);
        Self {
            scale: all(d, scale),
            spread: all(batch, d as f32),
            norms: all(f, 1.0),
            bound: all(f, config.kind.rules().bound(config.bandwidth)),
        }
    }
}

/// Features per token in a batch.
pub(super) enum L0 {
    Known(f64),
    /// As many as these features [n] are positive, over so many tokens. Only a report counts them.
    Positive(Tensor, usize),
}

impl L0 {
    pub(super) async fn read(&self) -> Result<f64, SaeError> {
        Ok(match self {
            Self::Known(l0) => *l0,
            Self::Positive(features, tokens) => positive(features).await? as f64 / *tokens as f64,
        })
    }
}

/// How many values of a tensor are positive.
pub(super) async fn positive(values: &Tensor) -> Result<usize, SaeError> {
    Ok(values.read_f32().await?.iter().filter(|&&v| v > 0.0).count())
}

/// An error below this is none.
const LEAST_ERROR: f64 = 1e-6;

impl State {
    /// What this step's loss is multiplied with.
    pub(super) fn pace(&self) -> f32 {
        (1.0 / self.error.max(LEAST_ERROR)) as f32
    }

    /// A step has this error, summed over its tokens.
    pub(super) async fn note(&mut self, errors: &Tensor) -> Result<(), SaeError> {
        let sum = errors.read_f32().await?.iter().map(|&e| f64::from(e)).sum::<f64>();
        let error = sum / f64::from(self.pace());
        // A step that went wrong is found out at the end; until then the next ones keep their size.
        self.error = if error.is_finite() { error } else { self.error };
        Ok(())
    }
}

/// Pre-activations that JumpReLU and Gated begin with, per token: enough to learn from, few enough to be sparse.
const FIRST_L0: usize = 128;

impl State {
    /// Initial weights: random decoder rows of one norm, the encoder their transpose, b_d the batch's mean.
    pub(super) async fn new(config: &TrainConfig, batch: &Tensor) -> Result<Self, SaeError> {
        let engine = batch.engine();
        let (d, f) = (config.d_in, config.features);
        let tokens = batch.rows_cols().0;
        let kind = config.kind.rules();
        let by_token = kind.scale() == Scale::Token;
        let mode = if by_token { Normalize::ConstantNorm } else { Normalize::None };
        let values = sae_input(batch, &Tensor::zeros(engine, &[d]), mode).0.read_f32().await?;
        let mut mean = vec![0.0f64; d];
        for (i, &v) in values.iter().enumerate() {
            mean[i % d] += f64::from(v) / tokens as f64;
        }
        let squares = values.iter().enumerate().map(|(i, &v)| (f64::from(v) - mean[i % d]).powi(2));
        let variance = squares.sum::<f64>() / tokens as f64;
        if !variance.is_finite() {
            return Err(SaeError::Training("the activations of the first batch are not finite".into()));
        }
        // All tokens alike (or a single one): there is no scale, so any will do.
        let deviation = if variance > 0.0 { (variance / d as f64).sqrt() } else { 1.0 };
        let scale = if by_token { 1.0 } else { 1.0 / deviation };

        // With ReLU about half of the features are active at first, and f·W_d ≈ norm² · F / 2D · input: this
        // norm makes that the input itself. The others keep few features, whose rows have norm 1.
        let norm = if by_token { (2.0 * d as f64 / f as f64).sqrt().min(1.0) } else { 1.0 };
        let mut random = Rng::new(config.seed);
        let mut rows: Vec<f32> = (0..f * d).map(|_| random.normal() as f32).collect();
        for row in rows.chunks_exact_mut(d) {
            let length = row.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>().sqrt().max(1e-12);
            row.iter_mut().for_each(|w| *w = (f64::from(*w) * norm / length) as f32);
        }
        let matrix = |values: Vec<f32>| Tensor::from_f32(engine, &[f, d], values);
        let params = Parameters {
            w_enc: matrix(rows.clone()),
            w_dec: matrix(rows),
            scalars: Tensor::from_f32(engine, &[f, 4], kind.first_scalars(first_threshold(f)).repeat(f)),
            b_dec: Tensor::from_f32(engine, &[d], mean.iter().map(|&m| (m * scale) as f32).collect()),
        };
        Ok(Self {
            params,
            first: Parameters::zeros(engine, d, f),
            second: Parameters::zeros(engine, d, f),
            touched: vec![0; f],
            age: Tensor::zeros(engine, &[f]),
            batch: tokens,
            scale: scale as f32,
            threshold: f32::NAN,
            l0: L0::Known(f as f64 / 2.0),
            error: 1.0,
            constants: Constants::new(engine, config, tokens, scale as f32),
        })
    }
}

/// What [`FIRST_L0`] of the first pre-activations exceed: their standard deviation is about 1, so the normal
/// distribution tells.
pub(super) fn first_threshold(features: usize) -> f32 {
    upper_quantile((FIRST_L0 as f64 / features as f64).min(0.125)) as f32
}

/// z with P(Z > z) = `share`, Z normal and the share below a half: Abramowitz and Stegun 26.2.23, good to 4.5e-4.
fn upper_quantile(share: f64) -> f64 {
    let t = (-2.0 * share.ln()).sqrt();
    t - (2.515_517 + 0.802_853 * t + 0.010_328 * t * t)
        / (1.0 + 1.432_788 * t + 0.189_269 * t * t + 0.001_308 * t * t * t)
}
