//! Gated features: one product decides both whether a feature fires and how strongly.

use super::par;
use crate::gpu::{Launch, Shader, Tensor, Word, shader};

static SHADER: Shader = shader!("gated", "per_element");

/// What turns a gated autoencoder's product into features, [F] each.
#[derive(Debug, Clone, Copy)]
pub struct Gate<'a> {
    /// Added to the product in the gate.
    pub b_gate: &'a Tensor,
    /// Logarithm of what the product is scaled by in the magnitude.
    pub r_mag: &'a Tensor,
    /// Added to the scaled product in the magnitude.
    pub b_mag: &'a Tensor,
}

/// 1[x + b_gate > 0] · ReLU(x·exp(r_mag) + b_mag) for the product `x` [.., F].
///
/// # Panics
/// When the shapes do not fit.
pub fn gated(x: &Tensor, gate: &Gate<'_>) -> Tensor {
    let (_, cols) = x.rows_cols();
    for (tensor, name) in [(gate.b_gate, "b_gate"), (gate.r_mag, "r_mag"), (gate.b_mag, "b_mag")] {
        assert_eq!(tensor.shape(), [cols], "gated {name}");
    }
    let inputs = [x, gate.b_gate, gate.r_mag, gate.b_mag];
    Launch::per_element(&SHADER, x.len(), &[cols.word()], &inputs).run(x.shape(), || {
        let [values, b_gate, r_mag, b_mag] = inputs.map(Tensor::f32s);
        let scale: Vec<f32> = r_mag.iter().map(|r| r.exp()).collect();
        let mut y = vec![0.0; values.len()];
        par::rows(&mut y, cols, |r, y| {
            let x = &values[r * cols..][..cols];
            for (c, (y, &x)) in y.iter_mut().zip(x).enumerate() {
                *y = if x + b_gate[c] > 0.0 { (x * scale[c] + b_mag[c]).max(0.0) } else { 0.0 };
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
            // Eighths, so that x + b_gate is exact and both precisions open the same gates.
            let eighths = |seed, n| -> Vec<f32> {
                testing::normal(seed, n).iter().map(|v| (v * 8.0).round() / 8.0).collect()
            };
            let (x, b_gate) = (eighths(1, rows * cols), eighths(2, cols));
            let (r_mag, b_mag) = (testing::normal(3, cols), testing::normal(4, cols));
            let want: Vec<f64> = (0..rows * cols)
                .map(|i| {
                    let c = i % cols;
                    let [x, b_gate, r_mag, b_mag] = [x[i], b_gate[c], r_mag[c], b_mag[c]].map(f64::from);
                    if x + b_gate > 0.0 { (x * r_mag.exp() + b_mag).max(0.0) } else { 0.0 }
                })
                .collect();
            each_engine(|engine| {
                let t = |shape: &[usize], v: &[f32]| Tensor::from_f32(engine, shape, v.to_vec());
                let gate = Gate {
                    b_gate: &t(&[cols], &b_gate),
                    r_mag: &t(&[cols], &r_mag),
                    b_mag: &t(&[cols], &b_mag),
                };
                // exp in f32 (3 + 2|r| units in the last place on a GPU), a product, an addition.
                close(engine, &gated(&t(&[rows, cols], &x), &gate), &want, 3e-6);
            });
        }
    }
}
