//! Training: one SAE, a batch at a time.
//!
//! Symbols: B tokens in a batch, D width, F features; x [B, D] activations, u [B, D] what is trained on,
//! p = (u − b_d)·W_e + b_e [B, F] pre-activations, f [B, F] features, û = f·W_d + b_d.
//!
//! All kinds but ReLU train on u = x / σ, with σ the standard deviation of an element of the first batch about its
//! column's mean, and V = D the variance of such a token; the SAE that comes out has σ folded into its biases and
//! thresholds and reads x as it is. Their decoder's rows have norm 1 after every step.
//!
//! - TopK: f = the k largest positive p of a token.
//!   loss = Σ‖û − u‖² / (B·V) + 1/32 · Σ‖ê − e‖² / (B·V) with e = u − û taken as a constant, and ê what the features
//!   that have not fired for a while make of it, the `aux_k` largest of each token.
//! - BatchTopK: the same with the k·B largest of the batch, of which a token brings its 8k largest at most. The SAE
//!   that comes out is a JumpReLU with one threshold for all features, the running mean of the least that was kept.
//! - JumpReLU: f = p where p > θ; loss = Σ‖û − u‖² / (B·V) + λ · L0; ln θ is trained, by straight-through gradients.
//! - Gated: π = p opens the gate, f = 1[π > 0]·ReLU((p − b_e)·exp(r) + b_mag);
//!   loss = (Σ‖û − u‖² + Σ‖û(ReLU(π)) − u‖²) / (B·V) + λ/B · Σ ReLU(π), where the second term leaves the decoder alone.
//! - ReLU and L1 (the paper, section 2), on tokens u = s·x with s = √D/‖x‖: f = ReLU(p),
//!   loss = mean over B and D of (û − u)² / √(Σ_d (u − batch mean)²) + λ · mean over B of Σ_j f_j·‖W_d,j‖.
//!   This is the paper's loss with f and b_d in units of the normalised token: f here is s times the paper's, and
//!   b_d here stands where the paper has s·b_d. A bias that is scaled token by token cannot be said in SAELens's
//!   format; this one is its `constant_norm_rescale`. At the end W_d may be fine-tuned with λ = 0; b_d, which the paper's
//!   library tunes along, stays, because the encoder reads it and features would change.
//!
//! A step's loss is divided by the error of the step before: what Adam sees is the gradient of the error's logarithm.
//! Without that the large gradients of the first steps stay in the second moments for a thousand more, and keep the
//! later ones short. (The libraries clip the gradient's norm, to the same end; that would need the whole gradient first.)
//!
//! A step is sparse: one product for the pre-activations; everything behind it, both weights' gradients and Adam
//! included, touches the features that are active in the batch. A feature that rests keeps its
//! weights while its moments decay. (Dense Adam would go on moving it for as long as its momentum lasts. Making up for
//! these moves was tried: at a high rate it killed a tenth to a third of TopK's features, and it helped nowhere.)
//! Only ReLU without a penalty to speak of is not sparse: above F/32 features a token its steps are dense.

mod config;
mod dense;
mod finish;
pub mod kinds;
mod resample;
mod snapshot;
mod sparse;
mod state;
mod target;

use serde::{Deserialize, Serialize};

pub use config::TrainConfig;
use kinds::Penalized;
pub use kinds::SaeKind;
pub use snapshot::{Facts, Snapshot};
use state::{L0, State};
use target::Target;

use super::SaeError;
use crate::failure::Failure;
use crate::gpu::{Engine, Tensor};
use crate::kernels::{AdamStep, age};

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Default)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct TrainStats {
    /// Steps done when it was read.
    pub step: usize,
    /// Tokens seen.
    pub tokens: usize,
    /// Error term of the last batch's loss; but for ReLU the share of variance not explained.
    pub error: f64,
    /// Penalty term of the last batch's loss.
    pub penalty: f64,
    /// Features per token in the last batch.
    pub l0: f64,
    /// 1 − Σ‖û − u‖² / Σ‖u − mean‖² over the last batch.
    pub explained_variance: f64,
    /// Share of features that are dead.
    pub dead: f64,
    /// Dead features that were resampled so far.
    pub resampled: usize,
}

/// Trains one SAE, a batch at a time.
pub struct Trainer {
    engine: Engine,
    config: TrainConfig,
    state: Option<State>,
    step: usize,
    tokens: usize,
    /// Number of dead features when the statistics were last read.
    dead: usize,
    resampled: usize,
    stats: TrainStats,
}

/// What a step leaves on the engine. Only a report and a resampling read it.
struct Pass {
    target: Target,
    /// Error term of each token, [B].
    errors: Tensor,
    /// Sum of each feature, [F].
    activity: Tensor,
    /// Penalty term of the loss, without its coefficient.
    penalized: Penalized,
}

impl Trainer {
    /// A trainer that waits for its first batch.
    ///
    /// # Errors
    /// [`SaeError::Training`] for impossible settings.
    pub fn new(engine: &Engine, config: TrainConfig) -> Result<Self, SaeError> {
        config.check()?;
        let stats = TrainStats::default();
        Ok(Self {
            engine: engine.clone(),
            config,
            state: None,
            step: 0,
            tokens: 0,
            dead: 0,
            resampled: 0,
            stats,
        })
    }

    /// The settings.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// The statistics as last read: every `report_every` steps.
    pub fn stats(&self) -> TrainStats {
        self.stats
    }

    /// One step of Adam on a batch [B, D].
    ///
    /// # Errors
    /// When the batch has another width or another number of tokens than the first, the first has none or is not
    /// finite, or the device failed.
    pub async fn step(&mut self, batch: &Tensor) -> Result<(), SaeError> {
        let (tokens, width) = batch.rows_cols();
        if width != self.config.d_in || tokens == 0 {
            return Err(SaeError::Training(
                format!(
                    "a batch has the shape {:?}, but must have tokens of width {}",
                    batch.shape(),
                    self.config.d_in
                )
                .into(),
            ));
        }
        if let Some(state) = &self.state
            && state.batch != tokens
        {
            return Err(SaeError::Training(Failure::new(
                format!("a batch has {tokens} tokens, but the first had {}", state.batch),
                "drop the rest that does not fill a batch",
            )));
        }
        if self.state.is_none() {
            self.state = Some(State::new(&self.config, batch).await?);
        }
        let Some(state) = &mut self.state else { unreachable!("made above") };
        let at = At { step: self.step, dead: self.dead };
        let dense = self.config.kind.rules().may_be_dense()
            && matches!(state.l0, L0::Known(l0) if l0 * dense::ABOVE > self.config.features as f64);
        let pass = match dense {
            true => state.dense_step(&self.config, batch, at).await?,
            false => state.sparse_step(&self.config, batch, at).await?,
        };
        age(&mut state.age, &pass.activity, tokens);
        self.step += 1;
        self.tokens += tokens;
        if self.config.resamples(self.step) {
            self.resampled += self.resample(batch, &pass).await?;
        }
        if self.step.is_multiple_of(self.config.report_every.max(1)) {
            self.read_stats(&pass).await?;
        }
        Ok(())
    }

    async fn read_stats(&mut self, pass: &Pass) -> Result<(), SaeError> {
        let Some(state) = &self.state else { return Ok(()) };
        let sum = |values: &[f32]| values.iter().map(|&v| f64::from(v)).sum::<f64>();
        let (errors, weights) = (pass.errors.read_f32().await?, pass.target.weights().await?);
        let squares = errors.iter().zip(&weights).map(|(&e, &w)| f64::from(e) / f64::from(w)).sum::<f64>();
        let penalized = match &pass.penalized {
            Penalized::Nothing => 0.0,
            Penalized::Positive(values) => positive(values).await? as f64,
            Penalized::Values(values) => sum(&values.read_f32().await?),
            Penalized::Norms(norms) => {
                let (activity, norms) = (pass.activity.read_f32().await?, norms.read_f32().await?);
                activity.iter().zip(&norms).map(|(&a, &n)| f64::from(a) * f64::from(n)).sum()
            }
        };
        let ages = state.age.read_f32().await?;
        self.dead = ages.iter().filter(|&&age| age >= self.config.dead_after as f32).count();
        self.stats = TrainStats {
            step: self.step,
            tokens: self.tokens,
            error: state.error,
            penalty: self.config.penalty(self.step - 1) * penalized / state.batch as f64,
            l0: state.l0.read().await?,
            explained_variance: 1.0 - squares / sum(&pass.target.own_spread.read_f32().await?),
            dead: self.dead as f64 / self.config.features as f64,
            resampled: self.resampled,
        };
        Ok(())
    }
}

/// How many values of a tensor are positive.
async fn positive(values: &Tensor) -> Result<usize, SaeError> {
    Ok(values.read_f32().await?.iter().filter(|&&v| v > 0.0).count())
}

/// Where a step is.
#[derive(Debug, Clone, Copy)]
struct At {
    /// From 0.
    step: usize,
    /// Number of dead features.
    dead: usize,
}

impl At {
    fn adam(self, lr: f64) -> AdamStep {
        AdamStep { lr, beta1: 0.9, beta2: 0.999, eps: 1e-8, step: self.step as u32 + 1 }
    }
}

#[cfg(test)]
mod gradient_tests;
#[cfg(test)]
mod tests;
