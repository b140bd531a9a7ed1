//! Values mixed by an attention pattern: z = pattern·v.

use super::heads::{self, Heads, View};
use super::par;
use crate::gpu::{Launch, Shader, Tensor, Word, shader};

static SHADER: Shader = shader!("attention_mix", "per_element");

/// Sums the values `v` [B, T, H, d] with the weights `pattern` [B, H, T, T] (queries down, keys along):
/// [B, T, H, d]. The whole pattern counts, also above the diagonal.
///
/// # Panics
/// When the shapes do not fit, or d is 0.
pub fn attention_mix(pattern: &Tensor, v: &Tensor) -> Tensor {
    let dims = Heads::of(v.shape());
    assert_eq!(pattern.shape(), [dims.batch, dims.heads, dims.steps, dims.steps], "attention pattern");
    let params = [dims.steps.word(), dims.heads.word(), dims.width.word()];
    Launch::per_element(&SHADER, v.len(), &params, &[pattern, v])
        .run(v.shape(), || twin(dims, pattern.f32s(), v.f32s()))
}

fn twin(dims: Heads, pattern: &[f32], v: &[f32]) -> Vec<f32> {
    let steps = dims.steps;
    let parts = par::map(dims.batch * dims.heads, |head| {
        let mut z = vec![0.0; steps * dims.width];
        if steps > 0 {
            let data = &pattern[head * steps * steps..];
            let pattern = View { data, shape: [steps, steps], strides: [steps, 1] };
            heads::product(&mut z, pattern, dims.view(v, head, 0, steps), 1.0);
        }
        z
    });
    dims.merge(&parts, steps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{self, close, each_engine};

    #[test]
    fn agrees_with_float64() {
        let shapes =
            [[1, 1, 1, 1], [2, 9, 3, 5], [1, 65, 2, 64], [0, 5, 2, 4], [2, 0, 2, 4], [70_000, 2, 3, 11]];
        for shape in shapes {
            let [batch, steps, heads, width] = shape;
            let pattern = testing::uniform(1, batch * heads * steps * steps);
            let v = testing::normal(2, shape.iter().product());
            let mut want = vec![0.0; v.len()];
            for (i, &weight) in pattern.iter().enumerate() {
                let (s, t) = (i % steps, i / steps % steps);
                let (b, h) = (i / (steps * steps) / heads, i / (steps * steps) % heads);
                let [t, s] = [t, s].map(|t| ((b * steps + t) * heads + h) * width);
                for j in 0..width {
                    want[t + j] += f64::from(weight) * f64::from(v[s + j]);
                }
            }
            each_engine(|engine| {
                let t = |shape: &[usize], v: &[f32]| Tensor::from_f32(engine, shape, v.to_vec());
                let z = attention_mix(&t(&[batch, heads, steps, steps], &pattern), &t(&shape, &v));
                assert_eq!(z.shape(), shape);
                // Sums of at most 65 products, relative to the largest.
                close(engine, &z, &want, 1e-6);
            });
        }
    }
}
