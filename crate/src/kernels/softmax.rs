//! Softmax over the last axis.

use super::{exp, par};
use crate::gpu::{Launch, Shader, Tensor, Word, shader};

static SHADER: Shader = shader!("softmax", "per_group", "reduce");

/// e^x divided by its sum over the last axis. Entries of −∞ become 0; a row with nothing else becomes zeros.
pub fn softmax(x: &Tensor) -> Tensor {
    let (rows, cols) = x.rows_cols();
    Launch::per_group(&SHADER, rows, &[cols.word()], &[x]).run(x.shape(), || {
        let mut y = x.f32s().to_vec();
        par::rows(&mut y, cols, |_, y| row(y));
        y
    })
}

/// Softmax of one row, in place.
pub(super) fn row(row: &mut [f32]) {
    let largest = row.iter().fold(f32::MIN, |m, &v| m.max(v));
    exp::exp_slice(row, largest);
    let sum: f32 = row.iter().sum();
    // A row that holds anything finite has a sum of at least 1.
    let scale = if sum == 0.0 { 0.0 } else { 1.0 / sum };
    row.iter_mut().for_each(|v| *v *= scale);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{self, close, each_engine};

    #[test]
    fn agrees_with_float64() {
        for (rows, cols) in [(1, 1), (3, 7), (2, 64), (5, 129), (2, 1_000), (0, 4), (4, 0), (70_000, 2)] {
            let x: Vec<f32> = testing::normal(1, rows * cols).iter().map(|v| 5.0 * v).collect();
            let mut want = Vec::new();
            for row in x.chunks(cols.max(1)) {
                let sum: f64 = row.iter().map(|&v| f64::from(v).exp()).sum();
                want.extend(row.iter().map(|&v| f64::from(v).exp() / sum));
            }
            each_engine(|engine| {
                let x = Tensor::from_f32(engine, &[rows, cols], x.clone());
                // The difference to the maximum (up to 60 here) is rounded to 2⁻²⁴ · 60 ≈ 4e-6 of the
                // exponential only where that exponential is tiny; the exponential itself is good to 2e-7
                // on the processor and, by WGSL, to 3 + 2·|x| units in the last place on a device.
                close(engine, &softmax(&x), &want, 1e-6);
            });
        }
    }

    #[test]
    fn takes_infinities_and_large_values() {
        let (inf, x) = (f32::INFINITY, vec![-f32::INFINITY, 3e38, -3e38, 3e38]);
        let rows = [x, vec![-inf, 0.0, -inf, -inf], vec![-inf; 4], vec![1e4, 1e4 + 1.0, -inf, 0.0]].concat();
        let e = 1f64.exp();
        let mut want = vec![0.0, 0.5, 0.0, 0.5, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        want.extend([1.0 / (1.0 + e), e / (1.0 + e), 0.0, 0.0]);
        each_engine(|engine| {
            let x = Tensor::from_f32(engine, &[4, 4], rows.clone());
            // As above.
            close(engine, &softmax(&x), &want, 1e-6);
        });
    }
}
