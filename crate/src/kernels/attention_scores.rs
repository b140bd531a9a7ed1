//! Attention scores before the softmax: q·kᵀ / √d, −∞ above the diagonal.

use super::heads::{self, Heads};
use super::par;
use crate::gpu::{Launch, Shader, Tensor, Word, shader};

static SHADER: Shader = shader!("attention_scores", "per_element");

/// Products of every query of `q` with every key of `k`, both [B, T, H, d], scaled by 1/√d: [B, H, T, T] with
/// queries down and keys along, −∞ where the key comes after the query.
///
/// # Panics
/// When the shapes differ, or d is 0.
pub fn attention_scores(q: &Tensor, k: &Tensor) -> Tensor {
    assert_eq!(k.shape(), q.shape(), "attention keys");
    let dims = Heads::of(q.shape());
    let shape = [dims.batch, dims.heads, dims.steps, dims.steps];
    let params = [dims.steps.word(), dims.heads.word(), dims.width.word(), dims.scale().word()];
    Launch::per_element(&SHADER, shape.iter().product(), &params, &[q, k])
        .run(&shape, || twin(dims, q.f32s(), k.f32s()))
}

fn twin(dims: Heads, q: &[f32], k: &[f32]) -> Vec<f32> {
    let steps = dims.steps;
    let mut scores = vec![0.0; dims.batch * dims.heads * steps * steps];
    par::rows(&mut scores, steps * steps, |head, scores| {
        let keys = dims.view(k, head, 0, steps).transposed();
        heads::product(scores, dims.view(q, head, 0, steps), keys, dims.scale());
        for (t, row) in scores.chunks_mut(steps).enumerate() {
            row[t + 1..].fill(f32::NEG_INFINITY);
        }
    });
    scores
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{self, close, each_engine};

    #[test]
    fn agrees_with_float64() {
        let shapes =
            [[1, 1, 1, 1], [2, 9, 3, 5], [1, 65, 2, 64], [0, 5, 2, 4], [2, 0, 2, 4], [1, 1_500, 2, 2]];
        for shape in shapes {
            let [batch, steps, heads, width] = shape;
            let [q, k] = [1, 2].map(|seed| testing::normal(seed, shape.iter().product()));
            let mut want = Vec::new();
            for b in 0..batch {
                for h in 0..heads {
                    for t in 0..steps {
                        for s in 0..steps {
                            let [t, s] = [t, s].map(|t| ((b * steps + t) * heads + h) * width);
                            let terms = (0..width).map(|i| f64::from(q[t + i]) * f64::from(k[s + i]));
                            let score = terms.sum::<f64>() / (width as f64).sqrt();
                            want.push(if s > t { f64::NEG_INFINITY } else { score });
                        }
                    }
                }
            }
            each_engine(|engine| {
                let [q, k] = [&q, &k].map(|x| Tensor::from_f32(engine, &shape, x.clone()));
                let scores = attention_scores(&q, &k);
                assert_eq!(scores.shape(), [batch, heads, steps, steps]);
                // Sums of at most 64 products, relative to the largest.
                close(engine, &scores, &want, 1e-6);
            });
        }
    }
}
