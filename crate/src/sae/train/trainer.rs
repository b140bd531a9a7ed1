//! A trainer: its steps, and the figures that it reads now and then.

use serde::{Deserialize, Serialize};

use super::config::TrainConfig;
use super::dense::ABOVE as DENSE_ABOVE;
use super::kinds::Penalized;
use super::state::{L0, State, positive};
use super::step::{At, StepTrace};
use crate::failure::Failure;
use crate::gpu::{Engine, Tensor};
use crate::kernels::age;
use crate::sae::SaeError;

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
    pub(super) engine: Engine,
    pub(super) config: TrainConfig,
    pub(super) state: Option<State>,
    pub(super) step: usize,
    pub(super) tokens: usize,
    /// Number of dead features when the statistics were last read.
    pub(super) dead: usize,
    pub(super) resampled: usize,
    pub(super) stats: TrainStats,
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
            && matches!(state.l0, L0::Known(l0) if l0 * DENSE_ABOVE > self.config.features as f64);
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

    async fn read_stats(&mut self, pass: &StepTrace) -> Result<(), SaeError> {
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
