//! Root-mean-square normalisation: y = x / √(mean(x²) + ε) · weight, over the last axis.

use super::{par, vectors};
use crate::gpu::{Launch, Shader, Tensor, Word, shader};

static SHADER: Shader = shader!("rms_norm", "per_group", "reduce");

/// Scales each row of `x` [.., D] to a mean square of 1, then by `weight` [D]; `eps` is added to the mean
/// square, as in Mamba.
///
/// # Panics
/// When the shapes do not fit.
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f32) -> Tensor {
    let (rows, cols) = x.rows_cols();
    assert_eq!(weight.shape(), [cols], "rms_norm weight");
    Launch::per_group(&SHADER, rows, &[cols.word(), eps.word()], &[x, weight])
        .run(x.shape(), || twin(x.f32s(), weight.f32s(), eps))
}

fn twin(x: &[f32], weight: &[f32], eps: f32) -> Vec<f32> {
    let cols = weight.len();
    let mut y = vec![0.0; x.len()];
    par::rows(&mut y, cols, |r, y| {
        let x = &x[r * cols..][..cols];
        let squares = vectors::sum(x, |v| v * v) / cols as f32;
        let scale = 1.0 / (squares + eps).sqrt();
        for c in 0..cols {
            y[c] = x[c] * scale * weight[c];
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
        for (rows, cols) in [(1, 1), (1, 7), (3, 128), (5, 129), (2, 1_000), (0, 16), (3, 0)] {
            let x = testing::normal(1, rows * cols);
            let weight = testing::normal(2, cols);
            let want = reference(&x, &weight, 1e-5);
            each_engine(|engine| {
                let x = Tensor::from_f32(engine, &[rows, cols], x.clone());
                let weight = Tensor::from_f32(engine, &[cols], weight.clone());
                // A sum of at most 1,000 squares, all positive, is relatively off by √1,000·2⁻²⁴ = 2e-6; the
                // root halves it, and four roundings follow.
                close(engine, &rms_norm(&x, &weight, 1e-5), &want, 2e-6);
            });
        }
    }

    #[test]
    fn nan_spoils_its_row_only() {
        each_engine(|engine| {
            let x = Tensor::from_f32(engine, &[2, 2], vec![f32::NAN, 1.0, 2.0, 2.0]);
            let weight = Tensor::from_f32(engine, &[2], vec![1.0, 3.0]);
            close(engine, &rms_norm(&x, &weight, 0.0), &[f64::NAN, f64::NAN, 1.0, 3.0], 1e-6);
        });
    }

    fn reference(x: &[f32], weight: &[f32], eps: f64) -> Vec<f64> {
        let d = weight.len().max(1);
        let mut y = Vec::new();
        for row in x.chunks(d) {
            let squares = row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / d as f64;
            y.extend(
                row.iter().zip(weight).map(|(&v, &w)| f64::from(v) / (squares + eps).sqrt() * f64::from(w)),
            );
        }
        y
    }
}
