//! What to train, and how.

use serde::{Deserialize, Serialize};

use super::kinds::{Revival, SaeKind};
use crate::failure::Failure;
use crate::sae::SaeError;

/// Settings of a training run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainConfig {
    /// Width D of the activations.
    pub d_in: usize,
    /// Number of features F.
    pub features: usize,
    /// What makes features sparse.
    pub kind: SaeKind,
    /// Number of batches that will come; the schedules below depend on it.
    pub steps: usize,
    /// Learning rate of Adam.
    pub lr: f64,
    /// Steps over which the learning rate rises from 0.
    pub warm_up: usize,
    /// Last steps, over which it falls to 0.
    pub cool_down: usize,
    /// Steps over which a penalty rises from 0.
    pub penalty_warm_up: usize,
    /// Last steps, in which only the decoder learns and without a penalty: against shrinkage. ReLU only.
    pub fine_tune: usize,
    /// A feature that has not fired for this many tokens is dead.
    pub dead_after: usize,
    /// Kinds with an auxiliary loss: dead features per token that take part in it; 0 for none.
    pub aux_k: usize,
    /// The other kinds: steps between two resamplings of dead features; 0 for none.
    pub resample_every: usize,
    /// JumpReLU: width of the window around a threshold in which it learns, in standard deviations of the input.
    pub bandwidth: f64,
    /// Steps between two readings of the statistics (and of which features are dead).
    pub report_every: usize,
    /// Of the initial weights, and of resampling.
    pub seed: u64,
    /// The model, for the SAE's configuration.
    pub model_name: Option<String>,
    /// The hook, for the SAE's configuration.
    pub hook_name: Option<String>,
}

impl TrainConfig {
    /// Settings that work for small SAEs.
    pub fn new(d_in: usize, features: usize, kind: SaeKind, steps: usize) -> Self {
        Self {
            d_in,
            features,
            kind,
            steps,
            lr: 1e-3,
            warm_up: steps / 20,
            cool_down: steps / 5,
            penalty_warm_up: steps / 10,
            fine_tune: 0,
            dead_after: 200_000,
            aux_k: (d_in / 2).max(1),
            resample_every: steps / 8,
            bandwidth: 0.5,
            report_every: 50,
            seed: 0,
            model_name: None,
            hook_name: None,
        }
    }

    /// Refuses impossible settings.
    pub(super) fn check(&self) -> Result<(), SaeError> {
        let wrong = |what: String| Err(SaeError::Training(what.into()));
        if self.d_in == 0 || self.features == 0 {
            return wrong("width and number of features must be positive".to_owned());
        }
        let kind = self.kind.rules();
        if let Some(k) = kind.k()
            && (k == 0 || k > self.features)
        {
            let features = self.features;
            return wrong(format!("k is {k}, but must be between 1 and the number of features, {features}"));
        }
        let (name, number) = (kind.name(), kind.number());
        if !(number.is_finite() && number >= 0.0) {
            return wrong(format!("the coefficient of {name} is {number}, but must be 0 or more"));
        }
        if !(self.lr.is_finite() && self.lr > 0.0) {
            return wrong(format!("the learning rate is {}, but must be positive", self.lr));
        }
        if !(self.bandwidth.is_finite() && self.bandwidth > 0.0) {
            return wrong(format!("the bandwidth is {}, but must be positive", self.bandwidth));
        }
        if self.fine_tune > 0 && !kind.shrinks() {
            let other =
                Failure::new("fine-tuning is against the shrinkage of l1", format!("{name} has none"));
            return Err(SaeError::Training(other));
        }
        Ok(())
    }

    /// Learning rate of step `t`, from 0. Fine-tuning has a rise and a fall of its own.
    pub(super) fn rate(&self, t: usize) -> f64 {
        let main = self.steps.saturating_sub(self.fine_tune);
        let (t, steps) = if t < main { (t, main) } else { (t - main, self.fine_tune) };
        let rise = (t + 1) as f64 / (self.warm_up.min(steps / 4) + 1) as f64;
        let fall = steps.saturating_sub(t) as f64 / (self.cool_down.min(steps / 2) + 1) as f64;
        self.lr * rise.min(fall).min(1.0)
    }

    /// Whether step `t` only fine-tunes the decoder.
    pub(super) fn fine_tunes(&self, t: usize) -> bool {
        t >= self.steps.saturating_sub(self.fine_tune)
    }

    /// Coefficient of the penalty at step `t`, from 0; 0 for a kind that has none.
    pub(super) fn penalty(&self, t: usize) -> f64 {
        let kind = self.kind.rules();
        if kind.k().is_some() || self.fine_tunes(t) {
            return 0.0;
        }
        kind.number() * (t as f64 / self.penalty_warm_up.max(1) as f64).min(1.0)
    }

    /// Whether dead features are resampled after step `t`: never while the learning rate falls, when they could
    /// not learn any more.
    pub(super) fn resamples(&self, t: usize) -> bool {
        let last = self.steps.saturating_sub(self.fine_tune + self.cool_down + self.steps / 10);
        matches!(self.kind.rules().revival(), Revival::Resampling { .. })
            && self.resample_every > 0
            && t > 0
            && t < last
            && t.is_multiple_of(self.resample_every)
    }
}
