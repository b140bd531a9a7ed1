//! Sum of each column.

use super::par;
use crate::gpu::{Launch, Shader, Tensor, Word, shader};

static SHADER: Shader = shader!("column_sums", "per_group");

/// Columns that one workgroup of the shader sums.
const WIDTH: usize = 16;

/// The sum over all axes but the last of `x` [.., C]: [C].
pub fn column_sums(x: &Tensor) -> Tensor {
    let (rows, cols) = x.rows_cols();
    Launch::per_group(&SHADER, cols.div_ceil(WIDTH), &[rows.word(), cols.word()], &[x])
        .run(&[cols], || twin(x.f32s(), rows, cols))
}

fn twin(x: &[f32], rows: usize, cols: usize) -> Vec<f32> {
    // Sums of sums: the error grows with the stretch, not with the number of rows, and the result does not
    // depend on the number of cores.
    const ROWS: usize = 128;
    let parts = par::map(rows.div_ceil(ROWS), |part| {
        let end = ((part + 1) * ROWS).min(rows);
        let mut sums = vec![0.0f32; cols];
        for row in x[part * ROWS * cols..end * cols].chunks_exact(cols.max(1)) {
            sums.iter_mut().zip(row).for_each(|(s, v)| *s += v);
        }
        sums
    });
    let mut sums = vec![0.0; cols];
    for part in parts {
        sums.iter_mut().zip(part).for_each(|(s, v)| *s += v);
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{self, close, each_engine};

    #[test]
    fn agrees_with_float64() {
        for (rows, cols) in [(1, 1), (1, 33), (200, 17), (0, 3), (3, 0), (5_000, 2), (2, 100_001)] {
            let x = testing::normal(7, rows * cols);
            let mut want = vec![0.0; cols];
            for (i, &v) in x.iter().enumerate() {
                want[i % cols] += f64::from(v);
            }
            each_engine(|engine| {
                let x = Tensor::from_f32(engine, &[rows, cols], x.clone());
                // At most 313 additions in a row of partial sums below 200: 313 · 200 · 2⁻²⁵ ≈ 2e-3 at worst;
                // rounding errors are independent, so their sum is about √313 · 200 · 2⁻²⁵ ≈ 1e-4. Column sums
                // of 5,000 values are about 70, so 2e-6 of them is 1.4e-4.
                close(engine, &column_sums(&x), &want, 2e-6);
            });
        }
    }
}
