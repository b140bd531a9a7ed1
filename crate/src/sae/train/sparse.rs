//! A step that touches active features only.

use super::config::TrainConfig;
use super::kinds::{self, Penalized, Revival, Scale};
use super::state::{L0, State};
use super::step::{At, StepTrace};
use super::target::BatchTarget;
use crate::gpu::Tensor;
use crate::kernels::scalar::{ACTIVITY, BIAS};
use crate::kernels::{
    Binary, ByColumn, EncoderWeights, EntryGradients, EntryKind, Layout, Product, Selection, Sparse,
    SparseAdam, adam, column_sums, columns, divide_rows, encode, entry_features, entry_gradients, entry_sums,
    matmul, row_norms, sparse_adam, sparse_decode, sparse_dot, zip,
};
use crate::sae::SaeError;

/// Weight of the auxiliary loss.
const AUX_WEIGHT: f32 = 1.0 / 32.0;

/// The gradients of a batch, as sums over entries.
pub(super) struct SparseGradients {
    pub(super) by: ByColumn,
    /// [entries, 2]: what weighs a row of `outputs` in the decoder's gradient, of `inputs` in the encoder's.
    pub(super) weights: Tensor,
    /// Gradients of reconstructions, [R, D]. R is B, and 2B with an auxiliary loss.
    pub(super) outputs: Tensor,
    /// What was encoded, [R, D].
    pub(super) inputs: Tensor,
    /// What the penalty on norms adds to the gradient of each decoder row, in units of the row, [F].
    pub(super) along: Option<Tensor>,
    /// Of b_dec.
    pub(super) b_dec: Tensor,
    /// Of what else features own, and in the last column their activity, [F, 4].
    pub(super) scalars: Tensor,
    pub(super) l0: L0,
    pub(super) errors: Tensor,
    pub(super) penalized: Penalized,
}

impl State {
    /// A step on the features that are active in the batch `x` [B, D].
    pub(super) async fn sparse_step(
        &mut self,
        config: &TrainConfig,
        x: &Tensor,
        at: At,
    ) -> Result<StepTrace, SaeError> {
        let target = BatchTarget::new(self, config, x);
        let gradients = self.sparse_gradients(config, &target, at).await?;
        self.sparse_update(config, &gradients, at);
        self.note(&gradients.errors).await?;
        self.l0 = gradients.l0;
        Ok(StepTrace {
            target,
            errors: gradients.errors,
            activity: columns(&gradients.scalars, ACTIVITY, 1).reshape(&[config.features]),
            penalized: gradients.penalized,
        })
    }

    /// What of a batch is worked with: pre-activations, and those of dead features for the auxiliary loss.
    async fn select(
        &mut self,
        config: &TrainConfig,
        input: &Tensor,
        dead: usize,
    ) -> Result<(Sparse, Option<Sparse>), SaeError> {
        let (features, kind) = (config.features, config.kind.rules());
        let scalars = &self.params.scalars;
        let bias = columns(scalars, BIAS, 1).reshape(&[features]);
        let encoder = EncoderWeights { w: &self.params.w_enc, layout: Layout::Nt, bias: &bias };
        let mut selections = vec![kind.selection(scalars, &self.constants.bound)];
        let with_aux = matches!(kind.revival(), Revival::AuxiliaryLoss) && config.aux_k > 0 && dead > 0;
        if with_aux {
            let (k, limit) = (config.aux_k.min(dead), config.dead_after as f32);
            selections.push(Selection::LargestOf { k, age: self.age.clone(), limit });
        }
        let mut found = encode(input, &encoder, &selections).await?;
        let aux = found.split_off(1).pop();
        let mut pre = found.remove(0);
        if let Some(most) = kind.most_of_batch(input.rows_cols().0) {
            let least;
            (pre, least) = kinds::largest(&pre, most).await?;
            self.threshold = kinds::mean_threshold(self.threshold, least);
        }
        Ok((pre, aux))
    }

    /// The loss's gradients at the present parameters.
    pub(super) async fn sparse_gradients(
        &mut self,
        config: &TrainConfig,
        target: &BatchTarget,
        at: At,
    ) -> Result<SparseGradients, SaeError> {
        let (pre, aux) = self.select(config, &target.input, at.dead).await?;
        let (engine, tokens) = (target.input.engine(), target.input.rows_cols().0);
        let (w_dec, b_dec, scalars) = (&self.params.w_dec, &self.params.b_dec, &self.params.scalars);
        let rules = config.kind.rules();
        let (kind, by_token) = (rules.entries(), rules.scale() == Scale::Token);
        let penalty = self.pace() * (config.penalty(at.step) / tokens as f64) as f32;
        let norms = match by_token {
            true => row_norms(w_dec),
            false => self.constants.norms.clone(),
        };

        let features = entry_features(&pre, kind, scalars);
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
            scalars,
            norms: &norms,
            penalty,
            bandwidth,
            fired: true,
        };
        let (mut parts, mut weights) = entry_gradients(&pre, &what);
        let penalized = rules.penalized(&pre, &features, &norms);
        let l0 = match kind {
            EntryKind::Plain => L0::Known(pre.entries() as f64 / tokens as f64),
            // Of what was selected some do not pass their threshold, or have no magnitude.
            _ => L0::Positive(features, tokens),
        };

        let (mut outputs, mut inputs, mut entries) = (grad.clone(), target.input.clone(), pre);
        if let Some(aux) = aux {
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
        let scalars = entry_sums(&by, &parts, config.features);
        // b_d is added to the output and subtracted from the input.
        let sums = entry_sums(&by, &weights, config.features);
        let encoder = columns(&sums, 1, 1);
        let layout = Product { layout: Layout::Nn, ..Product::default() };
        let through_input = matmul(&encoder.reshape(&[1, config.features]), &self.params.w_enc, &layout);
        let b_dec = zip(&column_sums(&grad), &through_input.reshape(&[config.d_in]), Binary::Sub);
        let along = by_token.then(|| {
            let times = Tensor::from_f32(engine, &[1], vec![penalty]);
            let mut rows = zip(&columns(&scalars, ACTIVITY, 1), &times, Binary::Mul);
            divide_rows(&mut rows, &norms);
            rows.reshape(&[config.features])
        });
        Ok(SparseGradients { by, weights, outputs, inputs, along, b_dec, scalars, l0, errors, penalized })
    }

    fn sparse_update(&mut self, config: &TrainConfig, gradients: &SparseGradients, at: At) {
        let step = at.adam(config.rate(at.step));
        let SparseGradients { by, weights, outputs, inputs, along, .. } = gradients;
        let now = at.step as u32 + 1;
        let rested: Vec<u32> = by
            .columns
            .iter()
            .map(|&j| now - 1 - std::mem::replace(&mut self.touched[j as usize], now).min(now - 1))
            .collect();
        let unit = config.kind.rules().scale() == Scale::Deviation;
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
        adam(&mut p.scalars, &mut m.scalars, &mut v.scalars, &gradients.scalars, &step);
    }
}
