//! What follows the state-space model in a Mamba block: skip connection and gate.

use super::activation::silu;
use super::par;
use crate::gpu::{Launch, Shader, Tensor, Word, shader};

static SHADER: Shader = shader!("ssm_gate", "per_element", "activation");

/// (y + d ⊙ x) ⊙ silu(gate) for `y`, `x` and `gate` [.., E] and `d` [E].
///
/// # Panics
/// When the shapes do not fit.
pub fn ssm_gate(y: &Tensor, d: &Tensor, x: &Tensor, gate: &Tensor) -> Tensor {
    let (_, channels) = y.rows_cols();
    assert_eq!(d.shape(), [channels], "ssm_gate d");
    assert_eq!(x.shape(), y.shape(), "ssm_gate x");
    assert_eq!(gate.shape(), y.shape(), "ssm_gate gate");
    Launch::per_element(&SHADER, y.len(), &[channels.word()], &[y, d, x, gate])
        .run(y.shape(), || twin(y.f32s(), d.f32s(), x.f32s(), gate.f32s()))
}

fn twin(y: &[f32], d: &[f32], x: &[f32], gate: &[f32]) -> Vec<f32> {
    struct Row<'a> {
        out: &'a mut [f32],
        d: &'a [f32],
        x: &'a [f32],
        gate: &'a [f32],
    }
    impl pulp::WithSimd for Row<'_> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: pulp::Simd>(self, _: S) {
            for (((out, d), x), gate) in self.out.iter_mut().zip(self.d).zip(self.x).zip(self.gate) {
                *out = (*out + d * x) * silu(*gate);
            }
        }
    }
    let mut all = y.to_vec();
    let width = d.len();
    par::rows(&mut all, width, |row, out| {
        let here = row * width..(row + 1) * width;
        pulp::Arch::new().dispatch(Row { out, d, x: &x[here.clone()], gate: &gate[here] });
    });
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::activation::float64;
    use crate::kernels::testing::{self, close, each_engine};

    #[test]
    fn agrees_with_float64() {
        for (rows, channels) in [(1, 1), (3, 7), (2, 64), (5, 129), (0, 4), (70_000, 2)] {
            let [y, x, gate] = [1, 2, 3].map(|seed| testing::normal(seed, rows * channels));
            let d = testing::normal(4, channels);
            let term = |i: usize| {
                let sum = f64::from(y[i]) + f64::from(d[i % channels]) * f64::from(x[i]);
                sum * float64::silu(f64::from(gate[i]))
            };
            let want: Vec<f64> = (0..rows * channels).map(term).collect();
            each_engine(|engine| {
                let t = |v: &Vec<f32>| Tensor::from_f32(engine, &[rows, channels], v.clone());
                let d = Tensor::from_f32(engine, &[channels], d.clone());
                // Four roundings, and an exponential that a device may have 3 + 2·|x| units off: 1e-6 of a
                // gate's size.
                close(engine, &ssm_gate(&t(&y), &d, &t(&x), &t(&gate)), &want, 2e-6);
            });
        }
    }
}
