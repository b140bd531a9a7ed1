//! Gradient through the sparsity penalty and the activation of a sparse autoencoder, in place.

use super::par;
use crate::gpu::{Launch, Shader, Tensor, Word, shader};

static SHADER: Shader = shader!("sae_gate", "per_element");

/// Where `features` [B, F] is positive, adds `factor` · `norms` [F] to `grad` [B, F]; elsewhere makes it 0.
///
/// # Panics
/// When the shapes do not fit.
pub fn sae_gate(grad: &mut Tensor, features: &Tensor, norms: &Tensor, factor: f32) {
    let (_, cols) = features.rows_cols();
    assert_eq!(grad.shape(), features.shape(), "sae_gate grad");
    assert_eq!(norms.shape(), [cols], "sae_gate norms");
    let params = [cols.word(), factor.word()];
    Launch::per_element(&SHADER, grad.len(), &params, &[features, norms]).in_place([grad], |[grad]| {
        let (features, norms) = (features.f32s(), norms.f32s());
        par::rows(grad, cols, |r, grad| {
            let features = &features[r * cols..][..cols];
            for ((g, &f), &norm) in grad.iter_mut().zip(features).zip(norms) {
                *g = if f > 0.0 { *g + factor * norm } else { 0.0 };
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
        for (rows, cols) in [(1, 1), (3, 7), (20, 65), (0, 3), (2_100_000, 2)] {
            let grad = testing::uniform(1, rows * cols);
            let features: Vec<f32> =
                testing::uniform(2, rows * cols).iter().map(|v| (v - 0.5).max(0.0)).collect();
            let norms = testing::uniform(3, cols);
            let want: Vec<f64> = (0..rows * cols)
                .map(|i| {
                    let on = features[i] > 0.0;
                    if on { f64::from(grad[i]) + 0.5 * f64::from(norms[i % cols]) } else { 0.0 }
                })
                .collect();
            each_engine(|engine| {
                let t = |shape: &[usize], v: &[f32]| Tensor::from_f32(engine, shape, v.to_vec());
                let mut got = t(&[rows, cols], &grad);
                sae_gate(&mut got, &t(&[rows, cols], &features), &t(&[cols], &norms), 0.5);
                // One rounded addition.
                close(engine, &got, &want, 1e-6);
            });
        }
    }
}
