//! A step on all features: for ReLU before its penalty has made it sparse.

use super::config::TrainConfig;
use super::kinds::Penalized;
use super::state::{L0, Parameters, State};
use super::step::{At, StepTrace};
use super::target::BatchTarget;
use crate::gpu::Tensor;
use crate::kernels::scalar::BIAS;
use crate::kernels::{
    Activation, Binary, Layout, Product, adam, column_sums, columns, count_rows, decoder_penalty, embed,
    matmul, paste, row_norms, sae_error, sae_gate, zip,
};
use crate::sae::SaeError;

/// A step is dense above a share of 1 / this of the features. On two cores the products of a dense step run at some
/// 350 GFLOP/s and the row operations of a sparse one at a thirtieth of that.
pub(super) const ABOVE: f64 = 32.0;

/// Bytes of the features of one block of tokens.
const BLOCK: usize = 64 << 20;

/// The gradients of a batch.
pub(super) struct DenseGradients {
    pub(super) params: Parameters,
    /// Sum of each feature, [F].
    pub(super) activity: Tensor,
    pub(super) errors: Tensor,
    pub(super) norms: Tensor,
    active: f64,
}

impl State {
    /// A step on all features of the batch `x` [B, D]. ReLU only.
    pub(super) async fn dense_step(
        &mut self,
        config: &TrainConfig,
        x: &Tensor,
        at: At,
    ) -> Result<StepTrace, SaeError> {
        let target = BatchTarget::new(self, config, x);
        let gradients = self.dense_gradients(config, &target, at).await?;
        let step = at.adam(config.rate(at.step));
        let (p, m, v, g) = (&mut self.params, &mut self.first, &mut self.second, &gradients.params);
        adam(&mut p.w_dec, &mut m.w_dec, &mut v.w_dec, &g.w_dec, &step);
        if !config.fine_tunes(at.step) {
            adam(&mut p.b_dec, &mut m.b_dec, &mut v.b_dec, &g.b_dec, &step);
            adam(&mut p.w_enc, &mut m.w_enc, &mut v.w_enc, &g.w_enc, &step);
            adam(&mut p.scalars, &mut m.scalars, &mut v.scalars, &g.scalars, &step);
        }
        self.touched.fill(at.step as u32 + 1);
        self.l0 = L0::Known(gradients.active / x.rows_cols().0 as f64);
        self.note(&gradients.errors).await?;
        Ok(StepTrace {
            target,
            errors: gradients.errors,
            activity: gradients.activity,
            penalized: Penalized::Norms(gradients.norms),
        })
    }

    /// The loss's gradients at the present parameters.
    pub(super) async fn dense_gradients(
        &self,
        config: &TrainConfig,
        target: &BatchTarget,
        at: At,
    ) -> Result<DenseGradients, SaeError> {
        let Parameters { w_enc, w_dec, scalars, b_dec } = &self.params;
        let (engine, (tokens, d), f) = (w_enc.engine(), target.input.rows_cols(), config.features);
        let product = |layout| Product { layout, ..Product::default() };
        let bias = columns(scalars, BIAS, 1).reshape(&[f]);
        let norms = row_norms(w_dec);
        let penalty = self.pace() * (config.penalty(at.step) / tokens as f64) as f32;
        let zeros = |shape: &[usize]| Tensor::zeros(engine, shape);
        let (mut d_w_enc, mut d_w_dec) = (zeros(&[f, d]), zeros(&[f, d]));
        let (mut d_bias, mut d_b_dec, mut activity) = (zeros(&[f]), zeros(&[d]), zeros(&[f]));
        let (mut errors, mut counts) = (Vec::new(), Vec::new());
        let most = (BLOCK / 4 / f).max(1);
        for start in (0..tokens).step_by(most) {
            let end = (start + most).min(tokens);
            let rows = Tensor::from_u32(engine, &[end - start], (start as u32..end as u32).collect());
            let take = |x: &Tensor, cols: usize| embed(&[x.reshape(&[tokens, cols])], &rows);
            let (input, wanted) = (take(&target.input, d), take(&target.target, d));
            let spread = take(&target.spread, 1).reshape(&[end - start]);

            let relu = Product { bias: Some(&bias), activation: Activation::Relu, ..product(Layout::Nt) };
            let features = matmul(&input, w_enc, &relu);
            let recon = matmul(&features, w_dec, &Product { bias: Some(b_dec), ..product(Layout::Nn) });
            let (grad, error) = sae_error(&recon, &wanted, &spread, target.divisor, target.factor);
            let mut d_pre = matmul(&grad, w_dec, &product(Layout::Nt));
            sae_gate(&mut d_pre, &features, &norms, penalty);
            let sum = |to: &Tensor, part: &Tensor| zip(to, part, Binary::Add);
            d_w_dec = matmul(&features, &grad, &Product { residual: Some(&d_w_dec), ..product(Layout::Tn) });
            d_w_enc = matmul(&d_pre, &input, &Product { residual: Some(&d_w_enc), ..product(Layout::Tn) });
            d_bias = sum(&d_bias, &column_sums(&d_pre));
            d_b_dec = sum(&d_b_dec, &column_sums(&grad));
            activity = sum(&activity, &column_sums(&features));
            counts.push(count_rows(&features));
            errors.push(error);
        }
        let counts = Tensor::concat(&counts).read_u32().await?;
        let active = counts.iter().map(|&n| f64::from(n)).sum::<f64>();
        if penalty > 0.0 {
            decoder_penalty(&mut d_w_dec, w_dec, &norms, &activity, penalty);
        }
        // b_d is added to the output and subtracted from the input.
        let through_input = matmul(&d_bias.reshape(&[1, f]), w_enc, &product(Layout::Nn));
        let b_dec = zip(&d_b_dec, &through_input.reshape(&[d]), Binary::Sub);
        let scalars = paste(&zeros(&[f, 4]), BIAS, &d_bias.reshape(&[f, 1]));
        let params = Parameters { w_enc: d_w_enc, w_dec: d_w_dec, scalars, b_dec };
        Ok(DenseGradients { params, activity, errors: Tensor::concat(&errors), norms, active })
    }
}
