//! Undoes the normalisation of a sparse autoencoder's input.

use super::par;
use crate::gpu::{Launch, Shader, Tensor, Word, shader};

static SHADER: Shader = shader!("sae_output", "per_element");

/// `y` · spread + shift for each row of `y` [.., D], with `scale` [rows, 2] from
/// [`sae_input`](super::sae_input).
///
/// # Panics
/// When the shapes do not fit.
pub fn sae_output(y: &Tensor, scale: &Tensor) -> Tensor {
    let (rows, cols) = y.rows_cols();
    assert_eq!(scale.shape(), [rows, 2], "sae_output scale");
    Launch::per_element(&SHADER, y.len(), &[cols.word()], &[y, scale]).run(y.shape(), || {
        let (values, scale) = (y.f32s(), scale.f32s());
        let mut x = vec![0.0; values.len()];
        par::rows(&mut x, cols, |r, x| {
            for (c, x) in x.iter_mut().enumerate() {
                *x = values[r * cols + c] * scale[2 * r + 1] + scale[2 * r];
            }
        });
        x
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::sae_input;
    use crate::kernels::sae_input::tests::MODES;
    use crate::kernels::testing::{self, close, each_engine};

    #[test]
    fn undoes_the_input() {
        for (rows, cols) in [(1, 3), (4, 65), (0, 4), (3_000, 65)] {
            let x = testing::normal(3, rows * cols);
            let want: Vec<f64> = x.iter().map(|&v| f64::from(v)).collect();
            for normalize in MODES {
                each_engine(|engine| {
                    let x = Tensor::from_f32(engine, &[rows, cols], x.clone());
                    let (y, scale) = sae_input(&x, &Tensor::zeros(engine, &[cols]), normalize);
                    // The layer norm divides by spread + 1e-5 and multiplies with spread: of values up to 6 and
                    // spreads near 1 that takes 1e-5, ten times as much in a row of spread 0.1.
                    close(engine, &sae_output(&y, &scale), &want, 1e-4);
                });
            }
        }
    }
}
