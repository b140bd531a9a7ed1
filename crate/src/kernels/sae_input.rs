//! What a sparse autoencoder's encoder reads: activations normalised by token, less a bias.

use super::par;
use crate::gpu::{Launch, Shader, Tensor, Word, shader};

static SHADER: Shader = shader!("sae_input", "per_group", "reduce");

/// How each token's activation x [D] is normalised; the names and formulas are SAELens's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Normalize {
    /// Not at all.
    #[default]
    None,
    /// x · √D / ‖x‖; a token of zeros stays as it is.
    ConstantNorm,
    /// (x − mean) / (unbiased standard deviation + 1e-5).
    LayerNorm,
    /// What is left after the bias, scaled: (x − bias) · √D / ‖x − bias‖, with the spread ‖x‖/√D (Language-Model-SAEs
    /// of summer 2024, which scales features back with it).
    Centered,
}

impl Normalize {
    /// SAELens's word for it; the last has none there.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ConstantNorm => "constant_norm_rescale",
            Self::LayerNorm => "layer_norm",
            Self::Centered => "centered",
        }
    }
}

/// Added to the standard deviation.
const EPS: f32 = 1e-5;

/// Normalises each row of `x` [.., D] and subtracts `bias` [D] ([`Normalize::Centered`] the other way round). The
/// second tensor [rows, 2] holds each row's shift and spread, with which [`sae_output`](super::sae_output) undoes
/// the normalisation.
///
/// # Panics
/// When the shapes do not fit.
pub fn sae_input(x: &Tensor, bias: &Tensor, normalize: Normalize) -> (Tensor, Tensor) {
    let (rows, cols) = x.rows_cols();
    assert_eq!(bias.shape(), [cols], "sae_input bias");
    let [y, scale] = Launch::per_group(&SHADER, rows, &[cols.word(), EPS.word()], &[x, bias])
        .with(&[("MODE", f64::from(normalize as u8))])
        .run_all([x.shape(), &[rows, 2]], || twin(x.f32s(), bias.f32s(), rows, normalize));
    (y, scale)
}

fn twin(x: &[f32], bias: &[f32], rows: usize, normalize: Normalize) -> [Vec<f32>; 2] {
    let cols = bias.len();
    let scale: Vec<[f32; 2]> = par::map(rows, |r| {
        let x = &x[r * cols..][..cols];
        let squares = |shift: f32| x.iter().map(|v| (v - shift).powi(2)).sum::<f32>();
        match normalize {
            Normalize::None => [0.0, 1.0],
            Normalize::ConstantNorm | Normalize::Centered => [0.0, (squares(0.0) / cols as f32).sqrt()],
            Normalize::LayerNorm => {
                let mean = x.iter().sum::<f32>() / cols as f32;
                [mean, (squares(mean) / (cols.max(2) - 1) as f32).sqrt()]
            }
        }
    });
    let mut y = vec![0.0; x.len()];
    par::rows(&mut y, cols, |r, y| {
        let [shift, spread] = scale[r];
        if normalize == Normalize::Centered {
            y.iter_mut().zip(&x[r * cols..]).zip(bias).for_each(|((y, &x), &b)| *y = x - b);
            let spread = (y.iter().map(|v| v * v).sum::<f32>() / cols as f32).sqrt();
            let divisor = if spread == 0.0 { 1.0 } else { spread };
            y.iter_mut().for_each(|v| *v /= divisor);
            return;
        }
        let divisor = match normalize {
            Normalize::LayerNorm => spread + EPS,
            _ if spread == 0.0 => 1.0,
            _ => spread,
        };
        for (c, y) in y.iter_mut().enumerate() {
            *y = (x[r * cols + c] - shift) / divisor - bias[c];
        }
    });
    [y, scale.into_flattened()]
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::kernels::testing::{self, close, each_engine};

    pub(in crate::kernels) const MODES: [Normalize; 3] =
        [Normalize::None, Normalize::ConstantNorm, Normalize::LayerNorm];

    fn reference(x: &[f32], bias: &[f32], normalize: Normalize) -> (Vec<f64>, Vec<f64>) {
        let d = bias.len();
        let (mut y, mut scale) = (Vec::new(), Vec::new());
        for row in x.chunks(d) {
            let row: Vec<f64> = row.iter().map(|&v| f64::from(v)).collect();
            let norm = row.iter().map(|v| v * v).sum::<f64>().sqrt();
            let mean = row.iter().sum::<f64>() / d as f64;
            let variance = row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (d.max(2) - 1) as f64;
            if normalize == Normalize::Centered {
                let rest: Vec<f64> = row.iter().zip(bias).map(|(v, &b)| v - f64::from(b)).collect();
                let left = rest.iter().map(|v| v * v).sum::<f64>().sqrt() / (d as f64).sqrt();
                y.extend(rest.iter().map(|v| if left == 0.0 { 0.0 } else { v / left }));
                scale.extend([0.0, norm / (d as f64).sqrt()]);
                continue;
            }
            let (shift, spread, divisor) = match normalize {
                Normalize::None => (0.0, 1.0, 1.0),
                Normalize::ConstantNorm => {
                    let spread = norm / (d as f64).sqrt();
                    (0.0, spread, if norm == 0.0 { 1.0 } else { spread })
                }
                Normalize::LayerNorm => (mean, variance.sqrt(), variance.sqrt() + 1e-5),
                Normalize::Centered => unreachable!("answered above"),
            };
            y.extend(row.iter().zip(bias).map(|(v, &b)| (v - shift) / divisor - f64::from(b)));
            scale.extend([shift, spread]);
        }
        (y, scale)
    }

    #[test]
    fn agrees_with_float64() {
        for (rows, cols) in [(1, 1), (1, 7), (3, 128), (5, 129), (2, 1_000), (0, 16), (3_000, 2)] {
            let mut x = testing::normal(1, rows * cols);
            if rows > 1 {
                x[..cols].fill(0.0);
            }
            let bias = testing::normal(2, cols);
            for normalize in MODES.into_iter().chain([Normalize::Centered]) {
                let (want, want_scale) = reference(&x, &bias, normalize);
                each_engine(|engine| {
                    let x = Tensor::from_f32(engine, &[rows, cols], x.clone());
                    let bias = Tensor::from_f32(engine, &[cols], bias.clone());
                    let (y, scale) = sae_input(&x, &bias, normalize);
                    // Sums of at most 1,000 terms of size 1, as in layer_norm; the two values of a narrow row
                    // can be so close that its mean's rounding (2⁻²⁵) shows against ε = 1e-5: 2⁻²⁵ / 1e-5.
                    close(engine, &y, &want, if cols == 2 { 4e-3 } else { 2e-5 });
                    close(engine, &scale, &want_scale, 2e-5);
                });
            }
        }
    }
}
