//! What each active feature of each token adds to the gradients of a sparse autoencoder.

use super::{EntryKind, Sparse, par};
use crate::gpu::{Launch, Shader, Tensor, Word, shader};

static SHADER: Shader = shader!("entry_gradients", "per_element");

/// What the gradients of a batch depend on beside the pre-activations.
#[derive(Debug, Clone, Copy)]
pub struct EntryGradients<'a> {
    /// How pre-activations become features.
    pub kind: EntryKind,
    /// dL/df of the reconstruction, [entries].
    pub q: &'a Tensor,
    /// Gated: what the reconstruction from the gate alone adds to dL/dp. Else anything of that length.
    pub q_gate: &'a Tensor,
    /// [F, 4], as [`entry_features`](super::entry_features) says.
    pub scalars: &'a Tensor,
    /// Norms of the decoder's rows, [F].
    pub norms: &'a Tensor,
    /// What the loss gains by a unit of sparsity in one token: of f·‖W_d‖ (Plain), of an active feature (JumpReLU),
    /// of the gate's p (Gated).
    pub penalty: f32,
    /// JumpReLU: thresholds learn from pre-activations that are closer to them than half of this.
    pub bandwidth: f32,
    /// Whether these entries count as activity.
    pub fired: bool,
}

/// For each entry of `pre`: [entries, 4], its part of the gradient of `scalars` in the first three and the feature in
/// the last; and [entries, 2], the weights of its row in the decoder's and the encoder's gradient.
///
/// JumpReLU's thresholds get the straight-through gradients of Rajamanoharan et al. 2024 (2407.14435, eq. 11 and 12),
/// by a rectangular kernel. Gated: 2404.16014, eq. 8, where the gate's reconstruction does not move the decoder.
///
/// # Panics
/// When the shapes do not fit.
pub fn entry_gradients(pre: &Sparse, what: &EntryGradients<'_>) -> (Tensor, Tensor) {
    let (entries, features) = (pre.entries(), pre.cols);
    assert_eq!(
        (what.scalars.shape(), what.norms.shape()),
        (&[features, 4][..], &[features][..]),
        "entry_gradients"
    );
    assert_eq!([what.q.len(), what.q_gate.len()], [entries; 2], "entry_gradients q");
    let params = [
        what.kind.code(),
        what.penalty.word(),
        what.bandwidth.word(),
        f32::from(u8::from(what.fired)).word(),
    ];
    let inputs = [&pre.device_indices, &pre.values, what.q, what.q_gate, what.scalars, what.norms];
    let [parts, weights] = Launch::per_element(&SHADER, entries, &params, &inputs).run_all(
        [&[entries, 4], &[entries, 2]],
        || {
            let (parts, weights): (Vec<[f32; 4]>, Vec<[f32; 2]>) = par::map(entries.div_ceil(STRETCH), |s| {
                let range = s * STRETCH..((s + 1) * STRETCH).min(entries);
                range.map(|e| twin(pre, what, e)).collect::<Vec<_>>()
            })
            .into_iter()
            .flatten()
            .unzip();
            [parts.into_flattened(), weights.into_flattened()]
        },
    );
    (parts, weights)
}

/// Entries that a core takes at a time.
const STRETCH: usize = 8_192;

fn twin(pre: &Sparse, what: &EntryGradients<'_>, e: usize) -> ([f32; 4], [f32; 2]) {
    let j = pre.indices[e] as usize;
    let [bias, second, third, _] = what.scalars.f32s().as_chunks::<4>().0[j];
    let (p, q) = (pre.values.f32s()[e], what.q.f32s()[e]);
    match what.kind {
        EntryKind::Plain => {
            let d = q + what.penalty * what.norms.f32s()[j];
            ([d, 0.0, 0.0, if what.fired { p } else { 0.0 }], [p, d])
        }
        EntryKind::JumpRelu => {
            let threshold = second.exp();
            let active = f32::from(u8::from(p > threshold));
            let near = f32::from(u8::from((p - threshold).abs() < 0.5 * what.bandwidth));
            let d_threshold = -near / what.bandwidth * (threshold * q + what.penalty);
            ([active * q, threshold * d_threshold, 0.0, active * p], [active * p, active * q])
        }
        EntryKind::Gated => {
            let scale = third.exp();
            let scaled = (p - bias) * scale;
            let feature = (scaled + second).max(0.0);
            let d_magnitude = if feature > 0.0 { q } else { 0.0 };
            let d_gate = what.q_gate.f32s()[e] + what.penalty;
            let parts = [d_gate, d_magnitude, d_magnitude * scaled, feature];
            (parts, [feature, d_gate + d_magnitude * scale])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{self, close, each_engine, sparse};

    /// The formulas of the papers, in float64.
    fn reference(kind: EntryKind, p: f64, [q, gate, norm]: [f64; 3], own: [f64; 4], fired: f64) -> [f64; 6] {
        let (penalty, bandwidth) = (0.25, 0.75);
        match kind {
            EntryKind::Plain => {
                let d = q + penalty * norm;
                [d, 0.0, 0.0, fired * p, p, d]
            }
            EntryKind::JumpRelu => {
                let theta = own[1].exp();
                let kernel = if ((p - theta) / bandwidth).abs() < 0.5 { 1.0 } else { 0.0 };
                let d_theta = -theta / bandwidth * kernel * q - penalty / bandwidth * kernel;
                let on = if p > theta { 1.0 } else { 0.0 };
                [on * q, theta * d_theta, 0.0, on * p, on * p, on * q]
            }
            EntryKind::Gated => {
                let x = p - own[0];
                let f = (x * own[2].exp() + own[1]).max(0.0);
                let d_mag = if f > 0.0 { q } else { 0.0 };
                let d_gate = gate + penalty;
                [d_gate, d_mag, d_mag * x * own[2].exp(), f, f, d_gate + d_mag * own[2].exp()]
            }
        }
    }

    #[test]
    fn agrees_with_float64() {
        for (rows, features) in [(1, 1), (30, 70), (0, 5), (70_000, 3)] {
            let dense = testing::mostly_zeros(1, rows * features);
            let places: Vec<usize> = (0..rows * features).filter(|&i| dense[i] != 0.0).collect();
            let (q, gate) = (testing::normal(2, places.len()), testing::normal(3, places.len()));
            let (scalars, norms) = (testing::normal(4, features * 4), testing::uniform(5, features));
            for (kind, fired) in [
                (EntryKind::Plain, true),
                (EntryKind::Plain, false),
                (EntryKind::JumpRelu, true),
                (EntryKind::Gated, true),
            ] {
                let (mut want_parts, mut want_weights) = (Vec::new(), Vec::new());
                for (e, &i) in places.iter().enumerate() {
                    let j = i % features;
                    let own = std::array::from_fn(|c| f64::from(scalars[j * 4 + c]));
                    let given = [f64::from(q[e]), f64::from(gate[e]), f64::from(norms[j])];
                    let all = reference(kind, f64::from(dense[i]), given, own, f64::from(u8::from(fired)));
                    want_parts.extend(&all[..4]);
                    want_weights.extend(&all[4..]);
                }
                each_engine(|engine| {
                    let t = |shape: &[usize], v: &[f32]| Tensor::from_f32(engine, shape, v.to_vec());
                    let what = EntryGradients {
                        kind,
                        q: &t(&[q.len()], &q),
                        q_gate: &t(&[gate.len()], &gate),
                        scalars: &t(&[features, 4], &scalars),
                        norms: &t(&[features], &norms),
                        penalty: 0.25,
                        bandwidth: 0.75,
                        fired,
                    };
                    let (parts, weights) = entry_gradients(&sparse(engine, &dense, features), &what);
                    // One exponential and a few roundings.
                    close(engine, &parts, &want_parts, 1e-6);
                    close(engine, &weights, &want_weights, 1e-6);
                });
            }
        }
    }
}
