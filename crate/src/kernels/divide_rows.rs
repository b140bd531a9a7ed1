//! Each row divided by its own number, in place.

use super::par;
use crate::gpu::{Launch, Shader, Tensor, Word, shader};

static SHADER: Shader = shader!("divide_rows", "per_element");

/// Divides each row of `x` [.., D] by its element of `divisors` [rows]; a row whose divisor is 0 stays.
///
/// # Panics
/// When the shapes do not fit.
pub fn divide_rows(x: &mut Tensor, divisors: &Tensor) {
    let (rows, cols) = x.rows_cols();
    assert_eq!(divisors.shape(), [rows], "divide_rows divisors");
    Launch::per_element(&SHADER, x.len(), &[cols.word()], &[divisors]).in_place([x], |[x]| {
        let divisors = divisors.f32s();
        par::rows(x, cols, |r, x| {
            if divisors[r] != 0.0 {
                x.iter_mut().for_each(|v| *v /= divisors[r]);
            }
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{self, close, each_engine};

    #[test]
    fn agrees_with_float64() {
        for (rows, cols) in [(1, 1), (3, 7), (20, 65), (3, 0), (0, 3), (3_000, 2)] {
            let x = testing::uniform(1, rows * cols);
            let divisors: Vec<f32> =
                (0..rows).map(|r| if r == 1 { 0.0 } else { 1.0 + (r % 7) as f32 }).collect();
            let want: Vec<f64> = (0..rows * cols)
                .map(|i| {
                    let d = f64::from(divisors[i / cols]);
                    f64::from(x[i]) / if d == 0.0 { 1.0 } else { d }
                })
                .collect();
            each_engine(|engine| {
                let mut x = Tensor::from_f32(engine, &[rows, cols], x.clone());
                divide_rows(&mut x, &Tensor::from_f32(engine, &[rows], divisors.clone()));
                // One division; WGSL allows it 2.5 units in the last place.
                close(engine, &x, &want, 3e-7);
            });
        }
    }
}
