//! Weighted squared error of a reconstruction, and its gradient.

use super::par;
use crate::gpu::{Launch, Shader, Tensor, Word, shader};

static SHADER: Shader = shader!("sae_error", "per_group", "reduce");

/// What a row's squared error is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Divisor {
    /// The row's spread: errors as a share of the variance.
    Spread,
    /// The root of the row's spread (the paper's loss).
    RootSpread,
}

/// Spreads are taken to be at least this, so that a row equal to the mean does not divide by zero.
const FLOOR: f32 = 1e-12;

/// With e = `recon` − `wanted` [R, D] and w = `factor` / divisor of `spread` [R]: the gradient 2·w·e [R, D] and
/// the error w·‖e‖² [R].
///
/// # Panics
/// When the shapes do not fit.
pub fn sae_error(
    recon: &Tensor,
    wanted: &Tensor,
    spread: &Tensor,
    divisor: Divisor,
    factor: f32,
) -> (Tensor, Tensor) {
    let (rows, cols) = recon.rows_cols();
    assert_eq!(wanted.rows_cols(), (rows, cols), "sae_error wanted");
    assert_eq!(spread.shape(), [rows], "sae_error spread");
    let [grad, error] = Launch::per_group(
        &SHADER,
        rows,
        &[cols.word(), factor.word(), FLOOR.word()],
        &[recon, wanted, spread],
    )
    .with(&[("ROOT", f64::from(u8::from(divisor == Divisor::RootSpread)))])
    .run_all([recon.shape(), &[rows]], || {
        let (recon, wanted) = (recon.f32s(), wanted.f32s());
        let weight = |s: &f32| {
            let width = s.max(FLOOR);
            factor / if divisor == Divisor::RootSpread { width.sqrt() } else { width }
        };
        let weights: Vec<f32> = spread.f32s().iter().map(weight).collect();
        let mut grad = vec![0.0; recon.len()];
        par::rows(&mut grad, cols, |r, grad| {
            for (c, g) in grad.iter_mut().enumerate() {
                *g = 2.0 * weights[r] * (recon[r * cols + c] - wanted[r * cols + c]);
            }
        });
        let error = par::map(rows, |r| {
            let range = r * cols..(r + 1) * cols;
            let squares = recon[range.clone()].iter().zip(&wanted[range]);
            weights[r] * squares.map(|(a, b)| (a - b).powi(2)).sum::<f32>()
        });
        [grad, error]
    });
    (grad, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{self, close, each_engine};

    #[test]
    fn agrees_with_float64() {
        for (rows, cols) in [(1, 1), (3, 7), (20, 65), (0, 3), (70_000, 2), (4, 1_000)] {
            let recon = testing::normal(1, rows * cols);
            let wanted = testing::normal(2, rows * cols);
            let spread: Vec<f32> = testing::uniform(3, rows).iter().map(|u| u + 0.1).collect();
            for divisor in [Divisor::Spread, Divisor::RootSpread] {
                let (mut want_grad, mut want_error) = (Vec::new(), vec![0.0; rows]);
                for i in 0..rows * cols {
                    let s = f64::from(spread[i / cols]);
                    let w = 0.25 / if divisor == Divisor::Spread { s } else { s.sqrt() };
                    let e = f64::from(recon[i]) - f64::from(wanted[i]);
                    want_grad.push(2.0 * w * e);
                    want_error[i / cols] += w * e * e;
                }
                each_engine(|engine| {
                    let t = |shape: &[usize], v: &[f32]| Tensor::from_f32(engine, shape, v.to_vec());
                    let shape = [rows, cols];
                    let (grad, error) = sae_error(
                        &t(&shape, &recon),
                        &t(&shape, &wanted),
                        &t(&[rows], &spread),
                        divisor,
                        0.25,
                    );
                    // A few roundings each; sums of at most 1,000 positive terms.
                    close(engine, &grad, &want_grad, 1e-6);
                    close(engine, &error, &want_error, 5e-6);
                });
            }
        }
    }

    #[test]
    fn a_row_without_spread_stays_finite() {
        each_engine(|engine| {
            let t = |v: f32| Tensor::from_f32(engine, &[1, 1], vec![v]);
            let spread = Tensor::zeros(engine, &[1]);
            let (_, error) = sae_error(&t(1.0), &t(1.0), &spread, Divisor::RootSpread, 1.0);
            close(engine, &error, &[0.0], 0.0);
        });
    }
}
