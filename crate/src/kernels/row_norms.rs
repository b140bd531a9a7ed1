//! Euclidean norm of each row.

use super::par;
use crate::gpu::{Launch, Shader, Tensor, Word, shader};

static SHADER: Shader = shader!("row_norms", "per_group", "reduce");

/// ‖x‖ of each row of `x` [.., D]: [rows].
pub fn row_norms(x: &Tensor) -> Tensor {
    let (rows, cols) = x.rows_cols();
    Launch::per_group(&SHADER, rows, &[cols.word()], &[x]).run(&[rows], || {
        let values = x.f32s();
        par::map(rows, |r| values[r * cols..][..cols].iter().map(|v| v * v).sum::<f32>().sqrt())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{self, close, each_engine};

    #[test]
    fn agrees_with_float64() {
        for (rows, cols) in [(1, 1), (3, 7), (20, 65), (3, 0), (0, 3), (70_000, 2), (4, 1_000)] {
            let x = testing::normal(1, rows * cols);
            let want: Vec<f64> = (0..rows)
                .map(|r| x[r * cols..][..cols].iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt())
                .collect();
            each_engine(|engine| {
                let x = Tensor::from_f32(engine, &[rows, cols], x.clone());
                // Sums of at most 1,000 positive terms, halved by the root.
                close(engine, &row_norms(&x), &want, 3e-6);
            });
        }
    }
}
