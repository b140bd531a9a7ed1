//! How the residual stream becomes logits, for whoever looks at it before its end.

use super::logits::Logits;
use crate::gpu::Tensor;
use crate::kernels::{embed, layer_norm, rms_norm};

/// The norm before the unembedding.
#[derive(Clone, Copy)]
pub enum LastNorm<'a> {
    /// Layer norm, which takes the mean off and adds a bias.
    Layer {
        /// The bias, [D].
        bias: &'a Tensor,
    },
    /// RMS norm, which does neither.
    Rms,
}

/// The last norm and the unembedding of a model.
pub struct Readout<'a> {
    /// Weight of the norm, [D].
    pub weight: &'a Tensor,
    /// Which norm it is.
    pub norm: LastNorm<'a>,
    /// What is added to the mean square.
    pub eps: f32,
    /// [V, D], in parts by rows.
    pub(super) unembed: &'a [Tensor],
}

impl Readout<'_> {
    /// Logits of residual streams x [n, D]: [n, V] (nostalgebraist's logit lens).
    pub fn lens(&self, x: &Tensor) -> Tensor {
        let (n, d) = x.rows_cols();
        let normalized = match self.norm {
            LastNorm::Layer { bias } => layer_norm(x, self.weight, bias, self.eps),
            LastNorm::Rms => rms_norm(x, self.weight, self.eps),
        };
        Logits::new(normalized.reshape(&[1, n, d]), self.unembed.to_vec()).at(0..n)
    }

    /// Rows of the unembedding: [n, D].
    pub fn directions(&self, tokens: &[u32]) -> Tensor {
        embed(self.unembed, &Tensor::from_u32(self.weight.engine(), &[tokens.len()], tokens.to_vec()))
    }
}
