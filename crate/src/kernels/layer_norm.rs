//! Layer normalisation: y = (x − mean) / √(variance + ε) · weight + bias, over the last axis.

use super::{par, vectors};
use crate::gpu::{Launch, Shader, Tensor, Word, shader};

static SHADER: Shader = shader!("layer_norm", "per_group", "reduce");

/// Normalises each row of `x` [.., D] with `weight` [D] and `bias` [D]; `eps` is added to the (biased)
/// variance, as in GPT-NeoX.
///
/// # Panics
/// When the shapes do not fit.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f32) -> Tensor {
    let (rows, cols) = x.rows_cols();
    assert_eq!(weight.shape(), [cols], "layer_norm weight");
    assert_eq!(bias.shape(), [cols], "layer_norm bias");
    Launch::per_group(&SHADER, rows, &[cols.word(), eps.word()], &[x, weight, bias])
        .run(x.shape(), || twin(x.f32s(), weight.f32s(), bias.f32s(), eps))
}

fn twin(x: &[f32], weight: &[f32], bias: &[f32], eps: f32) -> Vec<f32> {
    let cols = weight.len();
    let mut y = vec![0.0; x.len()];
    par::rows(&mut y, cols, |r, y| {
        let x = &x[r * cols..][..cols];
        let mean = vectors::sum(x, |v| v) / cols as f32;
        let variance = vectors::sum(x, |v| (v - mean) * (v - mean)) / cols as f32;
        let scale = 1.0 / (variance + eps).sqrt();
        for c in 0..cols {
            y[c] = (x[c] - mean) * scale * weight[c] + bias[c];
        }
    });
    y
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{self, close, each_engine};

    #[test]
    fn agrees_with_float64() {
        for (rows, cols) in [(1, 1), (1, 7), (3, 128), (5, 129), (2, 1_000), (0, 16), (70_000, 2)] {
            let x = testing::normal(1, rows * cols);
            let weight = testing::normal(2, cols);
            let bias = testing::normal(3, cols);
            let want = reference(&x, &weight, &bias, 1e-5);
            each_engine(|engine| {
                let t = |shape: &[usize], v: &[f32]| Tensor::from_f32(engine, shape, v.to_vec());
                let y = layer_norm(&t(&[rows, cols], &x), &t(&[cols], &weight), &t(&[cols], &bias), 1e-5);
                // f32 sums of at most 1,000 terms of size 1: relative error below 1,000 · 2⁻²⁴ ≈ 6e-5 at
                // worst, far less on average; two-column rows amplify by up to 1/√ε ≈ 300 of 2⁻²⁴.
                close(engine, &y, &want, 2e-5);
            });
        }
    }

    fn reference(x: &[f32], weight: &[f32], bias: &[f32], eps: f64) -> Vec<f64> {
        let d = weight.len();
        let mut y = Vec::new();
        for row in x.chunks(d) {
            let row: Vec<f64> = row.iter().map(|&v| f64::from(v)).collect();
            let mean = row.iter().sum::<f64>() / d as f64;
            let variance = row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / d as f64;
            y.extend(row.iter().enumerate().map(|(c, v)| {
                (v - mean) / (variance + eps).sqrt() * f64::from(weight[c]) + f64::from(bias[c])
            }));
        }
        y
    }
}
