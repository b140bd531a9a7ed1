//! The discretisation of a selective scan, written out: Ā = exp(Δ·A), B̄ = Δ·B.
//!
//! The fused scan never stores these (N times the size of its input); interventions on them need them.

use super::{exp, par};
use crate::gpu::{Launch, Shader, Tensor, Word, shader};

static SHADER: Shader = shader!("discretize", "per_element", "exponential");

/// (Ā, B̄), both [B, T, E, N], of step sizes `delta` [B, T, E], `a` = −exp(A_log) [E, N] and `b` [B, T, N].
///
/// # Panics
/// When the shapes do not fit.
pub fn discretize(delta: &Tensor, a: &Tensor, b: &Tensor) -> (Tensor, Tensor) {
    let &[batch, steps, channels] = delta.shape() else { panic!("delta is [B, T, E], not {delta:?}") };
    let &[_, states] = a.shape() else { panic!("a is [E, N], not {a:?}") };
    assert_eq!(a.shape(), [channels, states], "discretize a");
    assert_eq!(b.shape(), [batch, steps, states], "discretize b");
    let shape = [batch, steps, channels, states];
    let [a_bar, b_bar] = Launch::per_element(
        &SHADER,
        shape.iter().product(),
        &[channels.word(), states.word()],
        &[delta, a, b],
    )
    .run_all([&shape, &shape], || twin(delta.f32s(), a.f32s(), b.f32s(), &shape));
    (a_bar, b_bar)
}

fn twin(delta: &[f32], a: &[f32], b: &[f32], shape: &[usize; 4]) -> [Vec<f32>; 2] {
    let &[batch, steps, channels, states] = shape;
    let len = batch * steps * channels * states;
    let (mut a_bar, mut b_bar) = (vec![0.0; len], vec![0.0; len]);
    par::rows(&mut a_bar, channels * states, |row, a_bar| {
        for (e, a_bar) in a_bar.chunks_mut(states).enumerate() {
            for (a_bar, a) in a_bar.iter_mut().zip(&a[e * states..]) {
                *a_bar = delta[row * channels + e] * a;
            }
        }
        exp::exp_slice(a_bar, 0.0);
    });
    par::rows(&mut b_bar, channels * states, |row, b_bar| {
        for (e, b_bar) in b_bar.chunks_mut(states).enumerate() {
            for (b_bar, b) in b_bar.iter_mut().zip(&b[row * states..]) {
                *b_bar = delta[row * channels + e] * b;
            }
        }
    });
    [a_bar, b_bar]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{self, close, each_engine};

    #[test]
    fn agrees_with_float64() {
        let shapes =
            [[1, 1, 1, 1], [2, 5, 3, 1], [2, 7, 33, 16], [1, 2, 5, 70], [2, 0, 5, 3], [70_000, 1, 4, 16]];
        for shape in shapes {
            let [batch, steps, channels, states] = shape;
            let delta = testing::uniform(1, batch * steps * channels);
            let a: Vec<f32> = testing::uniform(2, channels * states).iter().map(|u| -16.0 * u).collect();
            let b = testing::normal(3, batch * steps * states);
            let (mut want_a, mut want_b) = (Vec::new(), Vec::new());
            for row in 0..batch * steps {
                for e in 0..channels {
                    let delta = f64::from(delta[row * channels + e]);
                    for n in 0..states {
                        want_a.push((delta * f64::from(a[e * states + n])).exp());
                        want_b.push(delta * f64::from(b[row * states + n]));
                    }
                }
            }
            each_engine(|engine| {
                let t = |shape: &[usize], v: &[f32]| Tensor::from_f32(engine, shape, v.to_vec());
                let delta = t(&[batch, steps, channels], &delta);
                let (a_bar, b_bar) =
                    discretize(&delta, &t(&[channels, states], &a), &t(&[batch, steps, states], &b));
                assert_eq!(a_bar.shape(), shape);
                // Relative error 2e-7 + 2⁻²⁴·|Δ·A|, times exp(Δ·A): largest at Δ·A = 0.
                close(engine, &a_bar, &want_a, 2e-7);
                // One product.
                close(engine, &b_bar, &want_b, 1e-7);
            });
        }
    }
}
