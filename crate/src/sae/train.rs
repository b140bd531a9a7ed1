//! Training: TopK with an auxiliary loss for dead features, and the paper's ReLU with an L1 penalty.
//!
//! Symbols: B tokens in a batch, D width, F features; x [B, D] activations, f [B, F] features, x̂ reconstruction.
//!
//! TopK (Gao et al. 2024), on x as it is: f = TopK((x − b_d)·W_e + b_e), x̂ = f·W_d + b_d,
//! loss = Σ‖x̂ − x‖² / (B·V) + 1/32 · Σ‖ê − e‖² / (B·V), where V is the variance of the first batch,
//! e = x − x̂ taken as a constant, and ê what the features that have not fired for a while make of it, the
//! `aux_k` largest of each token. The decoder's rows have norm 1 after every step.
//!
//! ReLU and L1 (the paper, section 2), on tokens u = s·x with s = √D/‖x‖:
//! f = ReLU((u − b_d)·W_e + b_e), û = f·W_d + b_d, and
//! loss = mean over B and D of (û − u)² / √(Σ_d (u − batch mean)²) + λ · mean over B of Σ_j f_j·‖W_d,j‖.
//! This is the paper's loss with f and b_d in units of the normalised token: f here is s times the paper's, and
//! b_d here stands where the paper has s·b_d. A bias that is scaled token by token cannot be said in SAELens's
//! format; this one is its `constant_norm_rescale`.

use super::{Architecture, Sae, SaeConfig, SaeError, SaeWeights};
use serde::Serialize;

use crate::gpu::{Engine, Tensor};
use crate::kernels::{
    Activation, AdamStep, Binary, Divisor, Layout, Normalize, Product, adam, age, column_sums, count_rows,
    decoder_penalty, divide_rows, matmul, only_dead, row_norms, row_spread, sae_error, sae_gate, sae_input,
    topk, zip,
};
use crate::rng::Rng;

/// What makes features sparse.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SaeKind {
    /// Only the k largest features of a token stay.
    TopK {
        /// Features kept per token.
        k: usize,
    },
    /// A penalty on their sum.
    Relu {
        /// Its coefficient λ.
        l1: f64,
    },
}

/// Settings of a training run.
#[derive(Debug, Clone, PartialEq)]
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
    /// Steps over which λ rises from 0.
    pub l1_warm_up: usize,
    /// TopK: a feature that has not fired for this many tokens is dead.
    pub dead_after: usize,
    /// TopK: dead features per token that take part in the auxiliary loss.
    pub aux_k: usize,
    /// Steps between two readings of the statistics (and of which features are dead).
    pub report_every: usize,
    /// Of the initial weights.
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
            l1_warm_up: steps / 10,
            dead_after: 200_000,
            aux_k: (d_in / 2).max(1),
            report_every: 50,
            seed: 0,
            model_name: None,
            hook_name: None,
        }
    }

    fn check(&self) -> Result<(), SaeError> {
        let wrong = |what: &str| Err(SaeError::Training(what.to_owned()));
        match self.kind {
            _ if self.d_in == 0 || self.features == 0 => {
                wrong("width and number of features must be positive")
            }
            SaeKind::TopK { k } if k == 0 || k > self.features => wrong(&format!(
                "k is {k}, but must be between 1 and the number of features, {}",
                self.features
            )),
            SaeKind::Relu { l1 } if !(l1.is_finite() && l1 >= 0.0) => {
                wrong(&format!("the L1 coefficient is {l1}, but must be 0 or more"))
            }
            _ if !(self.lr.is_finite() && self.lr > 0.0) => {
                wrong(&format!("the learning rate is {}, but must be positive", self.lr))
            }
            _ => Ok(()),
        }
    }

    /// Learning rate of step `t`, from 0.
    fn rate(&self, t: usize) -> f64 {
        let rise = (t + 1) as f64 / (self.warm_up + 1) as f64;
        let fall = self.steps.saturating_sub(t) as f64 / (self.cool_down + 1) as f64;
        self.lr * rise.min(fall).min(1.0)
    }

    /// λ of step `t`, from 0; none for TopK.
    fn penalty(&self, t: usize) -> f64 {
        match self.kind {
            SaeKind::TopK { .. } => 0.0,
            SaeKind::Relu { l1 } => l1 * (t as f64 / self.l1_warm_up.max(1) as f64).min(1.0),
        }
    }
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Default)]
pub struct TrainStats {
    /// Steps done when it was read.
    pub step: usize,
    /// Tokens seen.
    pub tokens: usize,
    /// Error term of the last batch's loss; for TopK the share of variance not explained.
    pub error: f64,
    /// Penalty term of the last batch's loss.
    pub penalty: f64,
    /// Features per token in the last batch.
    pub l0: f64,
    /// Share of features that are dead.
    pub dead: f64,
}

/// Weight of the auxiliary loss.
const AUX_WEIGHT: f32 = 1.0 / 32.0;

/// The four arrays that are trained, or one value for each of their elements.
#[derive(Debug, Clone)]
pub(super) struct Parameters {
    pub(super) w_enc: Tensor,
    pub(super) b_enc: Tensor,
    pub(super) w_dec: Tensor,
    pub(super) b_dec: Tensor,
}

/// What a forward and backward pass leaves behind.
pub(super) struct Pass {
    pub(super) grads: Parameters,
    features: Tensor,
    /// Sum of each feature, [F].
    activity: Tensor,
    /// Norms of the decoder's rows, [F]; zeros for TopK.
    norms: Tensor,
    /// Error term of each token, [B].
    errors: Tensor,
}

/// What the first batch decides.
pub(super) struct State {
    pub(super) params: Parameters,
    first: Parameters,
    second: Parameters,
    /// Tokens since each feature fired, [F].
    pub(super) age: Tensor,
    /// TopK: V, for each token of a batch. ReLU: unused.
    spread: Tensor,
    /// Zeros, [D] and [F].
    zero: (Tensor, Tensor),
    /// Size of one element of the (centred) input: what a bias moves in.
    unit: f64,
}

/// Trains one SAE, a batch at a time.
pub struct Trainer {
    engine: Engine,
    pub(super) config: TrainConfig,
    pub(super) state: Option<State>,
    step: usize,
    tokens: usize,
    /// Number of dead features when the statistics were last read.
    pub(super) dead: usize,
    stats: TrainStats,
}

impl Trainer {
    /// A trainer that waits for its first batch.
    ///
    /// # Errors
    /// [`SaeError::Training`] for impossible settings.
    pub fn new(engine: &Engine, config: TrainConfig) -> Result<Self, SaeError> {
        config.check()?;
        let stats = TrainStats::default();
        Ok(Self { engine: engine.clone(), config, state: None, step: 0, tokens: 0, dead: 0, stats })
    }

    /// Steps done.
    pub fn steps_done(&self) -> usize {
        self.step
    }

    /// The statistics as last read: every `report_every` steps.
    pub fn stats(&self) -> TrainStats {
        self.stats
    }

    /// One step of Adam on a batch [B, D]. Waits for the device only where statistics are due, and at the first
    /// batch.
    ///
    /// # Errors
    /// When the batch has another width or another number of tokens than the first, the first has none or is not
    /// finite, or the device failed.
    pub async fn step(&mut self, batch: &Tensor) -> Result<(), SaeError> {
        let (tokens, width) = batch.rows_cols();
        if width != self.config.d_in || tokens == 0 {
            return Err(SaeError::Training(format!(
                "a batch has the shape {:?}, but must have tokens of width {}",
                batch.shape(),
                self.config.d_in
            )));
        }
        if let Some(state) = &self.state
            && state.spread.len() != tokens
        {
            return Err(SaeError::Training(format!(
                "a batch has {tokens} tokens, but the first had {}; drop the rest that does not fill a batch",
                state.spread.len()
            )));
        }
        if self.state.is_none() {
            self.state = Some(State::new(&self.config, batch).await?);
        }
        let Some(state) = &mut self.state else { unreachable!("made above") };
        let pass = state.gradients(&self.config, batch, self.step, self.dead);
        state.update(&self.config, &pass.grads, self.step);
        age(&mut state.age, &pass.activity, tokens);
        self.step += 1;
        self.tokens += tokens;
        if self.step.is_multiple_of(self.config.report_every.max(1)) {
            self.read_stats(&pass).await?;
        }
        Ok(())
    }

    async fn read_stats(&mut self, pass: &Pass) -> Result<(), SaeError> {
        let Some(state) = &self.state else { return Ok(()) };
        let sum = |values: &[f32]| values.iter().map(|&v| f64::from(v)).sum::<f64>();
        let counts = count_rows(&pass.features).read_u32().await?;
        let tokens = counts.len() as f64;
        let (activity, norms) = (pass.activity.read_f32().await?, pass.norms.read_f32().await?);
        let weighted = activity.iter().zip(&norms).map(|(&a, &n)| f64::from(a) * f64::from(n)).sum::<f64>();
        let ages = state.age.read_f32().await?;
        self.dead = ages.iter().filter(|&&age| age >= self.config.dead_after as f32).count();
        self.stats = TrainStats {
            step: self.step,
            tokens: self.tokens,
            error: sum(&pass.errors.read_f32().await?),
            penalty: self.config.penalty(self.step - 1) * weighted / tokens,
            l0: counts.iter().map(|&c| f64::from(c)).sum::<f64>() / tokens,
            dead: self.dead as f64 / self.config.features as f64,
        };
        Ok(())
    }

    /// The trained SAE, its decoder's rows of norm 1.
    ///
    /// # Errors
    /// When no batch came, training diverged, or the device failed.
    pub async fn finish(self) -> Result<Sae, SaeError> {
        let Some(State { params, .. }) = self.state else {
            return Err(SaeError::Training("there was no batch to train on".to_owned()));
        };
        let mut weights = SaeWeights {
            w_enc: params.w_enc.read_f32().await?,
            b_enc: params.b_enc.read_f32().await?,
            w_dec: params.w_dec.read_f32().await?,
            b_dec: params.b_dec.read_f32().await?,
            ..SaeWeights::default()
        };
        let all = [&weights.w_enc, &weights.b_enc, &weights.w_dec, &weights.b_dec];
        if all.into_iter().flatten().any(|v| !v.is_finite()) {
            return Err(SaeError::Training("the weights diverged; use a smaller learning rate".to_owned()));
        }
        let (architecture, normalize) = match self.config.kind {
            SaeKind::TopK { k } => (Architecture::TopK { k }, Normalize::None),
            SaeKind::Relu { .. } => {
                weights.fold_decoder_norms(self.config.d_in);
                (Architecture::Relu, Normalize::ConstantNorm)
            }
        };
        let config = SaeConfig {
            d_in: self.config.d_in,
            d_sae: self.config.features,
            architecture,
            apply_b_dec_to_input: true,
            normalize,
            rescale_acts_by_decoder_norm: false,
            model_name: self.config.model_name,
            hook_name: self.config.hook_name,
        };
        Ok(Sae::new(&self.engine, config, weights))
    }
}

impl State {
    /// Initial weights: random decoder rows of one norm, the encoder their transpose, b_d the batch's mean.
    async fn new(config: &TrainConfig, batch: &Tensor) -> Result<Self, SaeError> {
        let engine = batch.engine();
        let (d, f) = (config.d_in, config.features);
        let tokens = batch.rows_cols().0;
        let (input, normalised) = match config.kind {
            SaeKind::TopK { .. } => (batch.clone(), false),
            SaeKind::Relu { .. } => {
                (sae_input(batch, &Tensor::zeros(engine, &[d]), Normalize::ConstantNorm).0, true)
            }
        };
        let values = input.read_f32().await?;
        let mut mean = vec![0.0f64; d];
        for (i, &v) in values.iter().enumerate() {
            mean[i % d] += f64::from(v) / tokens as f64;
        }
        let squares = values.iter().enumerate().map(|(i, &v)| (f64::from(v) - mean[i % d]).powi(2));
        let variance = squares.sum::<f64>() / tokens as f64;
        if !variance.is_finite() {
            return Err(SaeError::Training("the activations of the first batch are not finite".to_owned()));
        }
        // All tokens alike (or a single one): there is no scale, so any will do.
        let variance = if variance > 0.0 { variance } else { 1.0 };

        // With ReLU about half of the features are active at first, and f·W_d ≈ norm² · F / 2D · input: this
        // norm makes that the input itself. TopK keeps few features, whose rows have norm 1.
        let norm = if normalised { (2.0 * d as f64 / f as f64).sqrt().min(1.0) } else { 1.0 };
        let mut random = Rng::new(config.seed);
        let mut w_dec: Vec<f32> = (0..f * d).map(|_| random.normal() as f32).collect();
        let mut w_enc = vec![0.0; d * f];
        for (j, row) in w_dec.chunks_exact_mut(d).enumerate() {
            let length = row.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>().sqrt().max(1e-12);
            for (c, w) in row.iter_mut().enumerate() {
                *w = (f64::from(*w) * norm / length) as f32;
                w_enc[c * f + j] = *w;
            }
        }
        let zeros = || Parameters {
            w_enc: Tensor::zeros(engine, &[d, f]),
            b_enc: Tensor::zeros(engine, &[f]),
            w_dec: Tensor::zeros(engine, &[f, d]),
            b_dec: Tensor::zeros(engine, &[d]),
        };
        let params = Parameters {
            w_enc: Tensor::from_f32(engine, &[d, f], w_enc),
            b_enc: Tensor::zeros(engine, &[f]),
            w_dec: Tensor::from_f32(engine, &[f, d], w_dec),
            b_dec: Tensor::from_f32(engine, &[d], mean.iter().map(|&m| m as f32).collect()),
        };
        Ok(Self {
            params,
            first: zeros(),
            second: zeros(),
            age: Tensor::zeros(engine, &[f]),
            spread: Tensor::from_f32(engine, &[tokens], vec![variance as f32; tokens]),
            zero: (Tensor::zeros(engine, &[d]), Tensor::zeros(engine, &[f])),
            unit: if normalised { 1.0 } else { (variance / d as f64).sqrt() },
        })
    }

    /// The loss's gradients at the present parameters; `dead` is the number of dead features.
    pub(super) fn gradients(&self, config: &TrainConfig, x: &Tensor, step: usize, dead: usize) -> Pass {
        let Parameters { w_enc, b_enc, w_dec, b_dec } = &self.params;
        let (tokens, d) = x.rows_cols();
        let product = |layout| Product { layout, ..Product::default() };
        let x = x.reshape(&[tokens, d]);

        // Forward.
        let (target, input, pre, features) = match config.kind {
            SaeKind::TopK { k } => {
                let (input, _) = sae_input(&x, b_dec, Normalize::None);
                let pre = matmul(&input, w_enc, &Product { bias: Some(b_enc), ..product(Layout::Nn) });
                let features = topk(&pre, k);
                (x.clone(), input, pre, features)
            }
            SaeKind::Relu { .. } => {
                let (target, _) = sae_input(&x, &self.zero.0, Normalize::ConstantNorm);
                let input = zip(&target, b_dec, Binary::Sub);
                let relu = Product { bias: Some(b_enc), activation: Activation::Relu, ..product(Layout::Nn) };
                let features = matmul(&input, w_enc, &relu);
                (target, input, features.clone(), features)
            }
        };
        let recon = matmul(&features, w_dec, &Product { bias: Some(b_dec), ..product(Layout::Nn) });
        let (spread, divisor, factor) = match config.kind {
            SaeKind::TopK { .. } => (self.spread.clone(), Divisor::Spread, 1.0 / tokens as f32),
            SaeKind::Relu { .. } => {
                let spread = row_spread(&target, &column_sums(&target));
                (spread, Divisor::RootSpread, 1.0 / (tokens * d) as f32)
            }
        };
        let (grad, errors) = sae_error(&recon, &target, &spread, divisor, factor);

        // Backward.
        let activity = column_sums(&features);
        let penalty = (config.penalty(step) / tokens as f64) as f32;
        let norms = match config.kind {
            SaeKind::TopK { .. } => self.zero.1.clone(),
            SaeKind::Relu { .. } => row_norms(w_dec),
        };
        let mut d_pre = matmul(&grad, w_dec, &product(Layout::Nt));
        sae_gate(&mut d_pre, &features, &norms, penalty);
        let mut d_w_dec = matmul(&features, &grad, &product(Layout::Tn));
        if penalty > 0.0 {
            decoder_penalty(&mut d_w_dec, w_dec, &norms, &activity, penalty);
        }
        if dead > 0 && matches!(config.kind, SaeKind::TopK { .. }) {
            let of_dead = only_dead(&pre, &self.age, config.dead_after as f32);
            let aux = topk(&of_dead, config.aux_k.min(dead));
            let aux_recon = matmul(&aux, w_dec, &product(Layout::Nn));
            let residual = zip(&target, &recon, Binary::Sub);
            let (aux_grad, _) = sae_error(&aux_recon, &residual, &spread, divisor, AUX_WEIGHT * factor);
            let mut d_aux = matmul(&aux_grad, w_dec, &product(Layout::Nt));
            sae_gate(&mut d_aux, &aux, &norms, 0.0);
            d_pre = zip(&d_pre, &d_aux, Binary::Add);
            let sum = Product { residual: Some(&d_w_dec), ..product(Layout::Tn) };
            d_w_dec = matmul(&aux, &aux_grad, &sum);
        }
        let d_b_enc = column_sums(&d_pre);
        // b_d is added to the output and subtracted from the input.
        let through_input = matmul(&d_b_enc.reshape(&[1, config.features]), w_enc, &product(Layout::Nt));
        let d_b_dec = zip(&column_sums(&grad), &through_input.reshape(&[d]), Binary::Sub);
        let d_w_enc = matmul(&input, &d_pre, &product(Layout::Tn));
        let grads = Parameters { w_enc: d_w_enc, b_enc: d_b_enc, w_dec: d_w_dec, b_dec: d_b_dec };
        Pass { grads, features, activity, norms, errors }
    }

    fn update(&mut self, config: &TrainConfig, grads: &Parameters, step: usize) {
        let at = |lr: f64| AdamStep { lr, beta1: 0.9, beta2: 0.999, eps: 1e-8, step: step as u32 + 1 };
        let rate = config.rate(step);
        // Adam's steps have the size of the learning rate whatever the gradient's, so where activations are not
        // normalised, biases step in units of the activations.
        let (weights, biases) = (at(rate), at(rate * self.unit));
        let (p, m, v) = (&mut self.params, &mut self.first, &mut self.second);
        adam(&mut p.w_enc, &mut m.w_enc, &mut v.w_enc, &grads.w_enc, &weights);
        adam(&mut p.b_enc, &mut m.b_enc, &mut v.b_enc, &grads.b_enc, &biases);
        adam(&mut p.w_dec, &mut m.w_dec, &mut v.w_dec, &grads.w_dec, &weights);
        adam(&mut p.b_dec, &mut m.b_dec, &mut v.b_dec, &grads.b_dec, &biases);
        if matches!(config.kind, SaeKind::TopK { .. }) {
            let norms = row_norms(&p.w_dec);
            divide_rows(&mut p.w_dec, &norms);
        }
    }
}

#[cfg(test)]
#[path = "train_tests.rs"]
mod tests;
