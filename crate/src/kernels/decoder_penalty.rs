//! Gradient of the paper's sparsity penalty with respect to the decoder, added in place.

use super::par;
use crate::gpu::{Launch, Shader, Tensor, Word, shader};

static SHADER: Shader = shader!("decoder_penalty", "per_element");

/// Adds the gradient of `factor` · Σ_j activity_j · ‖W_j‖ to `grad` [F, D]: `decoder` [F, D] with its row norms
/// `norms` [F], and `activity` [F], the sum of each feature over the batch.
///
/// # Panics
/// When the shapes do not fit.
pub fn decoder_penalty(grad: &mut Tensor, decoder: &Tensor, norms: &Tensor, activity: &Tensor, factor: f32) {
    let (features, cols) = decoder.rows_cols();
    assert_eq!(grad.shape(), decoder.shape(), "decoder_penalty grad");
    assert_eq!(norms.shape(), [features], "decoder_penalty norms");
    assert_eq!(activity.shape(), [features], "decoder_penalty activity");
    let inputs = [decoder, norms, activity];
    Launch::per_element(&SHADER, grad.len(), &[cols.word(), factor.word()], &inputs).in_place(
        [grad],
        |[grad]| {
            let [decoder, norms, activity] = inputs.map(Tensor::f32s);
            par::rows(grad, cols, |j, grad| {
                if norms[j] > 0.0 {
                    let scale = factor * activity[j] / norms[j];
                    grad.iter_mut().zip(&decoder[j * cols..]).for_each(|(g, w)| *g += scale * w);
                }
            });
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::row_norms;
    use crate::kernels::testing::{self, close, each_engine};

    #[test]
    fn agrees_with_float64() {
        for (features, cols) in [(1, 1), (3, 7), (20, 65), (0, 3), (3_000, 4)] {
            let grad = testing::uniform(1, features * cols);
            let mut decoder = testing::uniform(2, features * cols);
            if features > 1 {
                decoder[..cols].fill(0.0);
            }
            let activity = testing::uniform(3, features);
            let mut want: Vec<f64> = grad.iter().map(|&g| f64::from(g)).collect();
            for j in 0..features {
                let row: Vec<f64> = decoder[j * cols..][..cols].iter().map(|&w| f64::from(w)).collect();
                let norm = row.iter().map(|w| w * w).sum::<f64>().sqrt();
                if norm > 0.0 {
                    for c in 0..cols {
                        want[j * cols + c] += 0.5 * f64::from(activity[j]) * row[c] / norm;
                    }
                }
            }
            each_engine(|engine| {
                let t = |shape: &[usize], v: &[f32]| Tensor::from_f32(engine, shape, v.to_vec());
                let shape = [features, cols];
                let (mut got, decoder) = (t(&shape, &grad), t(&shape, &decoder));
                decoder_penalty(&mut got, &decoder, &row_norms(&decoder), &t(&[features], &activity), 0.5);
                // A handful of roundings of values below 1.5.
                close(engine, &got, &want, 1e-6);
            });
        }
    }
}
