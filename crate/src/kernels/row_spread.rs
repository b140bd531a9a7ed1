//! Squared distance of each row from the mean row.

use super::par;
use crate::gpu::{Launch, Shader, Tensor, Word, shader};

static SHADER: Shader = shader!("row_spread", "per_group", "reduce");

/// Σ_d (x_d − mean_d)² of each row of `x` [R, D], the mean being over rows; `sums` [D] are the
/// [`column_sums`](super::column_sums) of `x`.
///
/// # Panics
/// When the shapes do not fit.
pub fn row_spread(x: &Tensor, sums: &Tensor) -> Tensor {
    let (rows, cols) = x.rows_cols();
    assert_eq!(sums.shape(), [cols], "row_spread sums");
    Launch::per_group(&SHADER, rows, &[cols.word()], &[x, sums]).run(&[rows], || {
        let (values, sums) = (x.f32s(), sums.f32s());
        let mean: Vec<f32> = sums.iter().map(|s| s / rows as f32).collect();
        par::map(rows, |r| {
            values[r * cols..][..cols].iter().zip(&mean).map(|(v, m)| (v - m).powi(2)).sum::<f32>()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::column_sums;
    use crate::kernels::testing::{self, close, each_engine};

    #[test]
    fn agrees_with_float64() {
        for (rows, cols) in [(1, 1), (3, 7), (200, 65), (0, 3), (70_000, 2), (4, 1_000)] {
            let x = testing::normal(9, rows * cols);
            let mut mean = vec![0.0; cols];
            for (i, &v) in x.iter().enumerate() {
                mean[i % cols] += f64::from(v) / rows as f64;
            }
            let want: Vec<f64> = (0..rows)
                .map(|r| (0..cols).map(|c| (f64::from(x[r * cols + c]) - mean[c]).powi(2)).sum())
                .collect();
            each_engine(|engine| {
                let x = Tensor::from_f32(engine, &[rows, cols], x.clone());
                // Sums of at most 1,000 positive terms: relative error √1000 · 2⁻²⁴ ≈ 2e-6 and a few roundings.
                close(engine, &row_spread(&x, &column_sums(&x)), &want, 5e-6);
            });
        }
    }
}
