//! Causal attention in one go: softmax(q·kᵀ / √d)·v without ever storing the pattern.
//!
//! Where the pattern itself is wanted there are [`super::attention_scores`], [`super::softmax`] and
//! [`super::attention_mix`].

use super::heads::{self, Heads, View};
use super::{attention_mix, attention_scores, par, softmax};
use crate::gpu::{Launch, Shader, Tensor, Word, shader};

static SHADER: Shader = shader!("attention", "per_group");

/// Every query of `q` mixes the values `v` of its own and all earlier tokens, weighted by the softmax of its
/// products with their keys `k`, scaled by 1/√d. All are [B, T, H, d].
///
/// # Panics
/// When the shapes differ, or d is 0.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor) -> Tensor {
    assert_eq!(k.shape(), q.shape(), "attention keys");
    assert_eq!(v.shape(), q.shape(), "attention values");
    let dims = Heads::of(q.shape());
    // The fused kernel holds a query and its result in registers, four values each. No published model has heads it
    // could not take, so the others go the long way.
    if q.engine().is_gpu() && (!dims.width.is_multiple_of(4) || dims.width > 128) {
        return attention_mix(&softmax(&attention_scores(q, k)), v);
    }
    let groups = dims.batch * dims.heads * dims.steps.div_ceil(64);
    Launch::per_group(
        &SHADER,
        groups,
        &[dims.steps.word(), dims.heads.word(), dims.scale().word()],
        &[q, k, v],
    )
    .with(&[("WIDTH4", (dims.width / 4) as f64)])
    .run(q.shape(), || twin(dims, q.f32s(), k.f32s(), v.f32s()))
}

/// Queries of one task: enough for a product to be worth its set-up, few enough that little is computed above
/// the diagonal and that the scores of 2,048 keys stay in the second cache.
const QUERIES: usize = 64;

fn twin(dims: Heads, q: &[f32], k: &[f32], v: &[f32]) -> Vec<f32> {
    let blocks = dims.steps.div_ceil(QUERIES);
    let parts = par::map(dims.batch * dims.heads * blocks, |task| {
        let (head, first) = (task / blocks, task % blocks * QUERIES);
        let count = QUERIES.min(dims.steps - first);
        let keys = first + count;
        let mut pattern = vec![0.0; count * keys];
        let queries = dims.view(q, head, first, count);
        heads::product(&mut pattern, queries, dims.view(k, head, 0, keys).transposed(), dims.scale());
        for (i, row) in pattern.chunks_mut(keys).enumerate() {
            let (seen, later) = row.split_at_mut(first + i + 1);
            softmax::row(seen);
            later.fill(0.0);
        }
        let mut z = vec![0.0; count * dims.width];
        let pattern = View { data: &pattern, shape: [count, keys], strides: [keys, 1] };
        heads::product(&mut z, pattern, dims.view(v, head, 0, keys), 1.0);
        z
    });
    dims.merge(&parts, QUERIES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{self, close, each_engine};

    #[test]
    fn agrees_with_float64() {
        let shapes = [
            [1, 1, 1, 1],
            [1, 1, 2, 4],
            [2, 9, 3, 8],
            [1, 65, 2, 32],
            [2, 130, 1, 64],
            [1, 33, 1, 128],
            [1, 70, 2, 5],
            [1, 9, 1, 132],
            [0, 5, 2, 4],
            [2, 0, 2, 4],
            [1, 700, 1, 4],
        ];
        for shape in shapes {
            let [q, k, v] = [1, 2, 3].map(|seed| testing::normal(seed, shape.iter().product()));
            let want = reference(shape, &q, &k, &v);
            each_engine(|engine| {
                let [q, k, v] = [&q, &k, &v].map(|x| Tensor::from_f32(engine, &shape, x.clone()));
                // Scores of size up to 10 are rounded to 2⁻²⁴ · 10 · a few: that much of a weight; weights sum
                // to 1, and errors of either sign cancel in the sum.
                close(engine, &attention(&q, &k, &v), &want, 2e-6);
            });
        }
    }

    #[test]
    fn survives_large_scores() {
        let shape = [1, 40, 1, 4];
        let (q, v) = (vec![100.0f32; 160], testing::normal(3, 160));
        // Scores rise and fall between −20,000 and 20,000, so that the running maximum moves often; one key
        // wins at each step, by far.
        let k: Vec<f32> = (0..160).map(|i| 100.0 * ((i / 4 * 7 % 41) as f32 / 20.0 - 1.0)).collect();
        let want = reference(shape, &q, &k, &v);
        each_engine(|engine| {
            let [q, k, v] = [&q, &k, &v].map(|x| Tensor::from_f32(engine, &shape, x.clone()));
            // One weight is 1 and the others 0.
            close(engine, &attention(&q, &k, &v), &want, 1e-6);
        });
    }

    fn reference(shape: [usize; 4], q: &[f32], k: &[f32], v: &[f32]) -> Vec<f64> {
        let [batch, steps, heads, width] = shape;
        let mut z = vec![0.0; q.len()];
        for b in 0..batch {
            for h in 0..heads {
                let at = |t: usize| ((b * steps + t) * heads + h) * width;
                for t in 0..steps {
                    let score = |s: usize| {
                        let terms = (0..width).map(|i| f64::from(q[at(t) + i]) * f64::from(k[at(s) + i]));
                        terms.sum::<f64>() / (width as f64).sqrt()
                    };
                    let scores: Vec<f64> = (0..=t).map(score).collect();
                    let peak = scores.iter().fold(f64::MIN, |m, &s| m.max(s));
                    let total: f64 = scores.iter().map(|s| (s - peak).exp()).sum();
                    for (s, score) in scores.iter().enumerate() {
                        for i in 0..width {
                            z[at(t) + i] += (score - peak).exp() / total * f64::from(v[at(s) + i]);
                        }
                    }
                }
            }
        }
        z
    }
}
