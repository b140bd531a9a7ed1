//! A step that touches active features only.

use super::state::State;
use super::{At, Pass, SaeKind, Sparsity, TrainConfig};
use crate::gpu::Tensor;
use crate::kernels::{
    Activation, Binary, ByColumn, Divisor, Encoder, EntryGradients, EntryKind, Keep, Layout, Normalize,
    Product, Sparse, SparseAdam, adam, column_sums, columns, divide_rows, encode, entry_features,
    entry_gradients, entry_sums, map, matmul, row_norms, row_spread, sae_error, sae_input, sparse_adam,
    sparse_decode, sparse_dot, zip,
};
use crate::sae::SaeError;

/// Weight of the auxiliary loss.
const AUX_WEIGHT: f32 = 1.0 / 32.0;
/// BatchTopK: of a token at most this many times k features are looked at.
pub(super) const CANDIDATES: usize = 8;
/// BatchTopK: share of a new batch in the running mean of the threshold.
const THRESHOLD_RATE: f32 = 0.01;

/// What a batch is trained on.
pub(super) struct Target {
    /// u, [B, D].
    pub(super) target: Tensor,
    /// u − b_d.
    pub(super) input: Tensor,
    /// What each token's squared error is divided by, as [`sae_error`] takes it.
    pub(super) spread: Tensor,
    pub(super) divisor: Divisor,
    pub(super) factor: f32,
    /// Σ_d (u − batch mean)², [B].
    pub(super) own_spread: Tensor,
}

impl Target {
    pub(super) fn new(state: &State, config: &TrainConfig, x: &Tensor) -> Self {
        let engine = x.engine();
        let (tokens, d) = x.rows_cols();
        let x = x.reshape(&[tokens, d]);
        let relu = matches!(config.kind, SaeKind::Relu { .. });
        let target = match relu {
            true => sae_input(&x, &Tensor::zeros(engine, &[d]), Normalize::ConstantNorm).0,
            false => zip(&x, &Tensor::from_f32(engine, &[d], vec![state.scale; d]), Binary::Mul),
        };
        let input = zip(&target, &state.params.b_dec, Binary::Sub);
        let own_spread = row_spread(&target, &column_sums(&target));
        let (spread, divisor, factor) = match relu {
            true => (own_spread.clone(), Divisor::RootSpread, 1.0 / (tokens * d) as f32),
            false => {
                let variance = Tensor::from_f32(engine, &[tokens], vec![d as f32; tokens]);
                (variance, Divisor::Spread, 1.0 / tokens as f32)
            }
        };
        let factor = factor * state.pace();
        Self { target, input, spread, divisor, factor, own_spread }
    }

    /// Gradient of the (weighted) squared error, and the error of each token.
    pub(super) fn error(&self, recon: &Tensor, wanted: &Tensor, weight: f32) -> (Tensor, Tensor) {
        sae_error(recon, wanted, &self.spread, self.divisor, weight * self.factor)
    }

    /// What [`Target::error`] multiplies each token's squared error with.
    pub(super) async fn weights(&self) -> Result<Vec<f32>, SaeError> {
        let weight = |s: f32| {
            let width = s.max(1e-12);
            self.factor / if self.divisor == Divisor::RootSpread { width.sqrt() } else { width }
        };
        Ok(self.spread.read_f32().await?.into_iter().map(weight).collect())
    }
}

/// The gradients of a batch, as sums over entries.
pub(super) struct Gradients {
    pub(super) by: ByColumn,
    /// [entries, 2]: what weighs a row of `outputs` in the decoder's gradient, of `inputs` in the encoder's.
    pub(super) weights: Tensor,
    /// Gradients of reconstructions, [R, D]. R is B, and 2B with an auxiliary loss.
    pub(super) outputs: Tensor,
    /// What was encoded, [R, D].
    pub(super) inputs: Tensor,
    /// ReLU: what the penalty adds to the gradient of each decoder row, in units of the row, [F].
    pub(super) along: Option<Tensor>,
    /// Of b_dec.
    pub(super) b_dec: Tensor,
    /// Of what else features own, and in the last column their activity, [F, 4].
    pub(super) small: Tensor,
    /// Features per token.
    pub(super) l0: f64,
    pub(super) errors: Tensor,
    pub(super) sparsity: Sparsity,
}

impl State {
    /// A step on the features that are active in the batch `x` [B, D].
    pub(super) async fn sparse_step(
        &mut self,
        config: &TrainConfig,
        x: &Tensor,
        at: At,
    ) -> Result<Pass, SaeError> {
        let target = Target::new(self, config, x);
        let gradients = self.sparse_gradients(config, &target, at).await?;
        self.sparse_update(config, &gradients, at);
        self.l0 = gradients.l0;
        self.note(&gradients.errors).await?;
        Ok(Pass {
            errors: gradients.errors,
            weights: target.weights().await?,
            spread: target.own_spread,
            activity: columns(&gradients.small, 3, 1).reshape(&[config.features]),
            sparsity: gradients.sparsity,
        })
    }

    /// What the encoder keeps of a batch: pre-activations, and those of dead features for the auxiliary loss.
    async fn select(
        &mut self,
        config: &TrainConfig,
        input: &Tensor,
        dead: usize,
    ) -> Result<[Sparse; 2], SaeError> {
        let features = config.features;
        let bias = columns(&self.params.small, 0, 1).reshape(&[features]);
        let encoder = Encoder { w: &self.params.w_enc, layout: Layout::Nt, bias: &bias };
        let learning; // thresholds, less what they can learn from below themselves
        let keep = match config.kind {
            SaeKind::TopK { k } => Keep::Largest(k),
            SaeKind::BatchTopK { k } => Keep::Largest(features.min(CANDIDATES * k)),
            SaeKind::JumpRelu { .. } => {
                let below = vec![-0.5 * config.bandwidth as f32; features];
                let below = Tensor::from_f32(input.engine(), &[features], below);
                let threshold =
                    map(&columns(&self.params.small, 1, 1).reshape(&[features]), Activation::NegExp);
                learning = zip(&below, &threshold, Binary::Sub);
                Keep::Above(&learning)
            }
            SaeKind::Gated { .. } | SaeKind::Relu { .. } => Keep::Positive,
        };
        let aux =
            Keep::LargestOf { k: config.aux_k.min(dead), age: &self.age, limit: config.dead_after as f32 };
        let with_aux = config.kind.k().is_some() && config.aux_k > 0 && dead > 0;
        let mut found = encode(input, &encoder, &[keep, aux][..1 + usize::from(with_aux)]).await?;
        let aux = if with_aux { found.remove(1) } else { Sparse::empty(input.engine(), features) };
        let mut pre = found.remove(0);
        if let SaeKind::BatchTopK { k } = config.kind {
            let least;
            (pre, least) = largest_of_batch(&pre, k * input.rows_cols().0).await?;
            self.threshold = match self.threshold.is_nan() {
                true => least,
                false => self.threshold + THRESHOLD_RATE * (least - self.threshold),
            };
        }
        Ok([pre, aux])
    }

    /// The loss's gradients at the present parameters.
    pub(super) async fn sparse_gradients(
        &mut self,
        config: &TrainConfig,
        target: &Target,
        at: At,
    ) -> Result<Gradients, SaeError> {
        let [pre, aux] = self.select(config, &target.input, at.dead).await?;
        let (engine, tokens) = (target.input.engine(), target.input.rows_cols().0);
        let (w_dec, b_dec, small) = (&self.params.w_dec, &self.params.b_dec, &self.params.small);
        let kind = match config.kind {
            SaeKind::JumpRelu { .. } => EntryKind::JumpRelu,
            SaeKind::Gated { .. } => EntryKind::Gated,
            _ => EntryKind::Plain,
        };
        let relu = matches!(config.kind, SaeKind::Relu { .. });
        let penalty = self.pace() * (config.penalty(at.step) / tokens as f64) as f32;
        let norms = match relu {
            true => row_norms(w_dec),
            false => Tensor::from_f32(engine, &[config.features], vec![1.0; config.features]),
        };

        let features = entry_features(&pre, kind, small);
        let recon = sparse_decode(&pre.with_values(features.clone()), w_dec, b_dec);
        let (grad, errors) = target.error(&recon, &target.target, 1.0);
        let q = sparse_dot(&pre, &grad, w_dec);
        let q_gate = match kind {
            EntryKind::Gated => {
                let (grad, _) = target.error(&sparse_decode(&pre, w_dec, b_dec), &target.target, 1.0);
                sparse_dot(&pre, &grad, w_dec)
            }
            _ => q.clone(),
        };
        let bandwidth = config.bandwidth as f32;
        let what = EntryGradients {
            kind,
            q: &q,
            q_gate: &q_gate,
            small,
            norms: &norms,
            penalty,
            bandwidth,
            fired: true,
        };
        let (mut parts, mut weights) = entry_gradients(&pre, &what);
        let active = match kind {
            EntryKind::Plain => pre.entries(),
            // Of what was selected some do not pass their threshold, or have no magnitude.
            _ => features.read_f32().await?.iter().filter(|&&f| f > 0.0).count(),
        };
        let sparsity = match config.kind {
            SaeKind::JumpRelu { .. } => Sparsity::Sum(active as f64),
            SaeKind::Gated { .. } => Sparsity::Values(pre.values.clone()),
            SaeKind::Relu { .. } => Sparsity::Norms(norms.clone()),
            _ => Sparsity::None,
        };

        let (mut outputs, mut inputs, mut entries) = (grad.clone(), target.input.clone(), pre);
        if aux.rows() > 0 {
            let residual = zip(&target.target, &recon, Binary::Sub);
            let silent = Tensor::zeros(engine, b_dec.shape());
            let (grad, _) = target.error(&sparse_decode(&aux, w_dec, &silent), &residual, AUX_WEIGHT);
            let q = sparse_dot(&aux, &grad, w_dec);
            let more = entry_gradients(&aux, &EntryGradients { q: &q, q_gate: &q, fired: false, ..what });
            let both = |a: &Tensor, b: &Tensor| {
                let (rows, cols) = a.rows_cols();
                Tensor::concat(&[a.clone(), b.clone()]).reshape(&[rows + b.rows_cols().0, cols])
            };
            (parts, weights) = (both(&parts, &more.0), both(&weights, &more.1));
            (outputs, inputs) = (both(&outputs, &grad), both(&inputs, &target.input));
            entries = Sparse::concat(vec![entries, aux]);
        }

        let by = ByColumn::new(&entries);
        let small = entry_sums(&by, &parts, config.features);
        // b_d is added to the output and subtracted from the input.
        let sums = entry_sums(&by, &weights, config.features);
        let encoder = columns(&sums, 1, 1);
        let layout = Product { layout: Layout::Nn, ..Product::default() };
        let through_input = matmul(&encoder.reshape(&[1, config.features]), &self.params.w_enc, &layout);
        let b_dec = zip(&column_sums(&grad), &through_input.reshape(&[config.d_in]), Binary::Sub);
        let l0 = active as f64 / tokens as f64;
        let along = relu.then(|| {
            let times = Tensor::from_f32(engine, &[1], vec![penalty]);
            let mut rows = zip(&columns(&small, 3, 1), &times, Binary::Mul);
            divide_rows(&mut rows, &norms);
            rows.reshape(&[config.features])
        });
        Ok(Gradients { by, weights, outputs, inputs, along, b_dec, small, l0, errors, sparsity })
    }

    fn sparse_update(&mut self, config: &TrainConfig, gradients: &Gradients, at: At) {
        let step = at.adam(config.rate(at.step));
        let Gradients { by, weights, outputs, inputs, along, .. } = gradients;
        let now = at.step as u32 + 1;
        let rested: Vec<u32> = by
            .columns
            .iter()
            .map(|&j| now - 1 - std::mem::replace(&mut self.touched[j as usize], now).min(now - 1))
            .collect();
        let unit = !matches!(config.kind, SaeKind::Relu { .. });
        let rows =
            SparseAdam { by, weights, part: 0, table: outputs, along: along.as_ref(), unit, rested: &rested };
        let (p, m, v) = (&mut self.params, &mut self.first, &mut self.second);
        sparse_adam([&mut p.w_dec, &mut m.w_dec, &mut v.w_dec], &rows, &step);
        if config.fine_tunes(at.step) {
            return;
        }
        adam(&mut p.b_dec, &mut m.b_dec, &mut v.b_dec, &gradients.b_dec, &step);
        let rows = SparseAdam { part: 1, table: inputs, along: None, unit: false, ..rows };
        sparse_adam([&mut p.w_enc, &mut m.w_enc, &mut v.w_enc], &rows, &step);
        adam(&mut p.small, &mut m.small, &mut v.small, &gradients.small, &step);
    }
}

/// The `most` largest of all entries, and the least of them; of equal ones the first.
async fn largest_of_batch(pre: &Sparse, most: usize) -> Result<(Sparse, f32), SaeError> {
    let values = pre.values.read_f32().await?;
    let mut order: Vec<u32> = (0..values.len() as u32).collect();
    if most < order.len() {
        order.select_nth_unstable_by(most - 1, |&a, &b| {
            values[b as usize].total_cmp(&values[a as usize]).then(a.cmp(&b))
        });
        order.truncate(most);
        order.sort_unstable();
    }
    let kept: Vec<f32> = order.iter().map(|&e| values[e as usize]).collect();
    let least = kept.iter().copied().fold(f32::INFINITY, f32::min);
    let indices = order.iter().map(|&e| pre.indices[e as usize]).collect();
    let indptr = pre.indptr.iter().map(|&start| order.partition_point(|&e| e < start) as u32).collect();
    let kept = Tensor::from_f32(pre.values.engine(), &[kept.len()], kept);
    Ok((Sparse::new(pre.cols, indptr, indices, kept), if least.is_finite() { least } else { 0.0 }))
}
