//! Features from pre-activations, at the places of a sparse matrix.

use super::{Sparse, par};
use crate::gpu::{Launch, Shader, Tensor, shader};

static SHADER: Shader = shader!("entry_features", "per_element");

/// What features own beside the rows of their weights: the columns of `scalars` [F, 4]. What is beyond a kind's own
/// means nothing.
pub mod scalar {
    /// The bias in the encoder; of a gated SAE the gate's.
    pub const BIAS: usize = 0;
    /// JumpReLU: the logarithm of the threshold.
    pub const LN_THRESHOLD: usize = 1;
    /// Gated: the bias of the magnitude.
    pub const B_MAG: usize = 1;
    /// Gated: the logarithm of the magnitude's scale.
    pub const R_MAG: usize = 2;
    /// Where gradients stand in the other columns: the feature itself, whose sum is its activity.
    pub const ACTIVITY: usize = 3;
}

/// How a pre-activation p that was selected becomes a feature f, by what the feature owns (see [`scalar`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// f = p.
    Plain,
    /// f = p where p > θ, else 0.
    JumpRelu,
    /// f = ReLU((p − b_gate)·exp(r_mag) + b_mag), p > 0 being the gate.
    Gated,
}

impl EntryKind {
    /// The code in the shaders.
    pub(super) fn code(self) -> u32 {
        match self {
            Self::Plain => 0,
            Self::JumpRelu => 1,
            Self::Gated => 2,
        }
    }
}

/// The features at the places of `pre`, whose values are pre-activations; `scalars` is [F, 4].
///
/// # Panics
/// When the shapes do not fit.
pub fn entry_features(pre: &Sparse, kind: EntryKind, scalars: &Tensor) -> Tensor {
    assert_eq!(scalars.shape(), [pre.cols, 4], "entry_features scalars");
    let entries = pre.entries();
    if kind == EntryKind::Plain {
        return pre.values.clone();
    }
    let inputs = [&pre.device_indices, &pre.values, scalars];
    Launch::per_element(&SHADER, entries, &[kind.code()], &inputs).run(&[entries], || {
        let (values, scalars) = (pre.values.f32s(), scalars.f32s().as_chunks::<4>().0);
        let mut y = vec![0.0; entries];
        par::rows(&mut y, 1, |e, y| {
            let (p, [bias, second, third, _]) = (values[e], scalars[pre.indices[e] as usize]);
            y[0] = match kind {
                EntryKind::Plain => p,
                EntryKind::JumpRelu if p > second.exp() => p,
                EntryKind::JumpRelu => 0.0,
                EntryKind::Gated => ((p - bias) * third.exp() + second).max(0.0),
            };
        });
        y
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{self, close, each_engine, sparse};

    #[test]
    fn agrees_with_float64() {
        for (rows, features) in [(1, 1), (30, 70), (0, 5), (70_000, 3)] {
            let dense = testing::mostly_zeros(1, rows * features);
            let scalars = testing::normal(2, features * 4);
            for kind in [EntryKind::Plain, EntryKind::JumpRelu, EntryKind::Gated] {
                let wanted = |i: usize| {
                    let p = f64::from(dense[i]);
                    let own: Vec<f64> =
                        scalars[i % features * 4..][..4].iter().map(|&v| f64::from(v)).collect();
                    match kind {
                        EntryKind::Plain => p,
                        EntryKind::JumpRelu => p * f64::from(u8::from(p > own[1].exp())),
                        EntryKind::Gated => ((p - own[0]) * own[2].exp() + own[1]).max(0.0),
                    }
                };
                let places = (0..rows * features).filter(|&i| dense[i] != 0.0);
                let want: Vec<f64> = places.map(wanted).collect();
                each_engine(|engine| {
                    let pre = sparse(engine, &dense, features);
                    let scalars = Tensor::from_f32(engine, &[features, 4], scalars.clone());
                    // One exponential: WGSL allows it some 3 + 2·|x| units in the last place.
                    close(engine, &entry_features(&pre, kind, &scalars), &want, 1e-6);
                });
            }
        }
    }
}
