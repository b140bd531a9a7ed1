//! Causal depthwise convolution over time: y[t, e] = Σₖ weight[e, k] · x[t − (K − 1) + k, e] + bias[e].

use super::activation::Activation;
use super::par;
use crate::gpu::{Launch, Shader, Tensor, Word, shader};

static SHADER: Shader = shader!("conv1d", "per_element", "activation");

/// Convolves each channel of `x` [B, T, E] with its own row of `weight` [E, K] adds `bias` [E] and applies
/// `activation`. Tap K − 1 meets the current token; before the first token there are zeros.
///
/// # Panics
/// When the shapes do not fit.
pub fn conv1d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, activation: Activation) -> Tensor {
    let &[_, steps, channels] = x.shape() else { panic!("conv1d takes [B, T, E], not {x:?}") };
    let &[rows, taps] = weight.shape() else { panic!("conv1d weight is [E, K], not {weight:?}") };
    assert_eq!(rows, channels, "conv1d weight");
    if let Some(bias) = bias {
        assert_eq!(bias.shape(), [channels], "conv1d bias");
    }
    let params = [steps.word(), channels.word(), taps.word(), bias.is_some().word(), activation.word()];
    // What is absent is never read, but every binding needs a buffer.
    Launch::per_element(&SHADER, x.len(), &params, &[x, weight, bias.unwrap_or(weight)]).run(
        x.shape(),
        || {
            let mut y = twin(x.f32s(), weight.f32s(), bias.map(Tensor::f32s), x.shape());
            par::rows(&mut y, channels, |_, y| activation.apply(y));
            y
        },
    )
}

fn twin(x: &[f32], weight: &[f32], bias: Option<&[f32]>, shape: &[usize]) -> Vec<f32> {
    let (steps, channels) = (shape[1], shape[2]);
    let mut y = vec![0.0; x.len()];
    if y.is_empty() {
        return y;
    }
    let taps = weight.len() / channels;
    // [K, E], so that the inner loop walks along channels.
    let by_tap: Vec<f32> = (0..taps).flat_map(|k| (0..channels).map(move |e| weight[e * taps + k])).collect();
    par::rows(&mut y, channels, |row, y| {
        if let Some(bias) = bias {
            y.copy_from_slice(bias);
        }
        let t = row % steps;
        // `back` steps before the current token.
        for back in 0..taps.min(t + 1) {
            let x = &x[(row - back) * channels..][..channels];
            let w = &by_tap[(taps - 1 - back) * channels..][..channels];
            for ((y, x), w) in y.iter_mut().zip(x).zip(w) {
                *y += x * w;
            }
        }
    });
    y
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::activation::float64;
    use crate::kernels::testing::{self, close, each_engine};

    #[test]
    fn agrees_with_float64() {
        let shapes = [
            (1, 1, 1, 1),
            (2, 9, 5, 4),
            (1, 2, 3, 4),
            (3, 17, 64, 4),
            (1, 5, 7, 1),
            (1, 0, 7, 4),
            (2, 3, 4, 0),
            (1, 70_000, 61, 2),
        ];
        for (batch, steps, channels, taps) in shapes {
            let x = testing::normal(1, batch * steps * channels);
            let weight = testing::normal(2, channels * taps);
            let bias = testing::normal(3, channels);
            for with_bias in [false, true] {
                let mut want = vec![0.0; x.len()];
                for b in 0..batch {
                    for t in 0..steps {
                        for e in 0..channels {
                            let mut sum = if with_bias { f64::from(bias[e]) } else { 0.0 };
                            for k in 0..taps {
                                if t + k + 1 >= taps {
                                    let at = (b * steps + t + k + 1 - taps) * channels + e;
                                    sum += f64::from(weight[e * taps + k]) * f64::from(x[at]);
                                }
                            }
                            want[(b * steps + t) * channels + e] = sum;
                        }
                    }
                }
                each_engine(|engine| {
                    let t = |shape: &[usize], v: &[f32]| Tensor::from_f32(engine, shape, v.to_vec());
                    let bias = with_bias.then(|| t(&[channels], &bias));
                    let x = t(&[batch, steps, channels], &x);
                    let weight = t(&[channels, taps], &weight);
                    let y = conv1d(&x, &weight, bias.as_ref(), Activation::None);
                    assert_eq!(y.shape(), x.shape());
                    // Five roundings of values up to 20, relative to the largest value.
                    close(engine, &y, &want, 1e-6);
                    let y = conv1d(&x, &weight, bias.as_ref(), Activation::Silu);
                    let want: Vec<f64> = want.iter().map(|&v| float64::silu(v)).collect();
                    // And those of a SiLU.
                    close(engine, &y, &want, 2e-6);
                });
            }
        }
    }
}
