//! JumpReLU: values above a threshold of their feature stay, the others become 0.

use super::par;
use crate::gpu::{Launch, Shader, Tensor, Word, shader};

static SHADER: Shader = shader!("jump_relu", "per_element");

/// ReLU(x)·1[x > `threshold`] for `x` [.., F] and `threshold` [F]. NaN counts as below.
///
/// # Panics
/// When the shapes do not fit.
pub fn jump_relu(x: &Tensor, threshold: &Tensor) -> Tensor {
    let (_, cols) = x.rows_cols();
    assert_eq!(threshold.shape(), [cols], "jump_relu threshold");
    Launch::per_element(&SHADER, x.len(), &[cols.word()], &[x, threshold]).run(x.shape(), || {
        let (values, threshold) = (x.f32s(), threshold.f32s());
        let mut y = vec![0.0; values.len()];
        par::rows(&mut y, cols, |r, y| {
            for ((y, &x), &least) in y.iter_mut().zip(&values[r * cols..]).zip(threshold) {
                *y = if x > least.max(0.0) { x } else { 0.0 };
            }
        });
        y
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{self, close, each_engine};

    #[test]
    fn agrees_with_float64() {
        for (rows, cols) in [(1, 1), (3, 7), (20, 65), (0, 3), (2_100_000, 2)] {
            let x = testing::normal(1, rows * cols);
            // Some thresholds lie below zero, where ReLU decides.
            let mut threshold: Vec<f32> = testing::normal(2, cols).iter().map(|v| 0.3 + 0.5 * v).collect();
            if rows > 0 {
                threshold[0] = x[0]; // a value at its threshold is not above it
            }
            let want: Vec<f64> = (0..rows * cols)
                .map(|i| {
                    let (p, least) = (f64::from(x[i]), f64::from(threshold[i % cols]));
                    p.max(0.0) * f64::from(u8::from(p > least))
                })
                .collect();
            each_engine(|engine| {
                let x = Tensor::from_f32(engine, &[rows, cols], x.clone());
                let threshold = Tensor::from_f32(engine, &[cols], threshold.clone());
                // Values are chosen, never computed.
                close(engine, &jump_relu(&x, &threshold), &want, 0.0);
            });
        }
    }
}
