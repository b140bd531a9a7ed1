//! One step of Adam (Kingma and Ba, 2015), in place.

use super::par;
use crate::gpu::{Launch, Shader, Tensor, Word, shader};

static SHADER: Shader = shader!("adam", "per_element");

/// What a step of Adam needs beside the tensors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamStep {
    /// Learning rate of this step.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Number of this step, from 1: the moments are corrected for having started at zero.
    pub step: u32,
}

/// A step's numbers as they are computed with.
pub(super) struct Rates {
    /// lr / (1 − β₁ᵗ).
    pub(super) rate: f32,
    /// 1 / √(1 − β₂ᵗ).
    pub(super) root: f32,
    pub(super) beta1: f32,
    pub(super) beta2: f32,
    pub(super) eps: f32,
}

impl Rates {
    /// As the shaders take them.
    pub(super) fn words(&self) -> [u32; 5] {
        [self.rate, self.root, self.beta1, self.beta2, self.eps].map(Word::word)
    }
}

impl AdamStep {
    pub(super) fn rates(&self) -> Rates {
        let t = f64::from(self.step);
        Rates {
            rate: (self.lr / (1.0 - self.beta1.powf(t))) as f32,
            root: (1.0 / (1.0 - self.beta2.powf(t)).sqrt()) as f32,
            beta1: self.beta1 as f32,
            beta2: self.beta2 as f32,
            eps: self.eps as f32,
        }
    }
}

/// Moves `param` against `grad`; `m` and `v` are its moments, zeros before the first step. All of one shape.
///
/// # Panics
/// When the lengths differ.
pub fn adam(param: &mut Tensor, m: &mut Tensor, v: &mut Tensor, grad: &Tensor, step: &AdamStep) {
    let n = param.len();
    assert_eq!([m.len(), v.len(), grad.len()], [n; 3], "adam lengths");
    let rates = step.rates();
    Launch::per_element(&SHADER, n, &rates.words(), &[grad]).in_place([param, m, v], |[param, m, v]| {
        let grad = grad.f32s();
        par::zip3(param, m, v, |start, param, m, v| twin(param, m, v, &grad[start..], &rates));
    });
}

fn twin(param: &mut [f32], m: &mut [f32], v: &mut [f32], grad: &[f32], r: &Rates) {
    for (((param, m), v), &g) in param.iter_mut().zip(m).zip(v).zip(grad) {
        *m = r.beta1 * *m + (1.0 - r.beta1) * g;
        *v = r.beta2 * *v + (1.0 - r.beta2) * g * g;
        *param -= r.rate * *m / (v.sqrt() * r.root + r.eps);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{self, close, each_engine};

    #[test]
    fn agrees_with_float64_over_steps() {
        for n in [0, 1, 65, 20_000] {
            let start = testing::uniform(1, n);
            let grads: Vec<Vec<f32>> = (0..3).map(|s| testing::uniform(10 + s, n)).collect();
            let step = |t| AdamStep { lr: 0.01, beta1: 0.9, beta2: 0.999, eps: 1e-8, step: t };
            let want: Vec<f64> = (0..n)
                .map(|i| {
                    let (mut w, mut m, mut v) = (f64::from(start[i]), 0.0, 0.0);
                    for (t, grad) in (1..).zip(&grads) {
                        let g = f64::from(grad[i]) - 0.5;
                        m = 0.9 * m + 0.1 * g;
                        v = 0.999 * v + 0.001 * g * g;
                        let (mc, vc) = (m / (1.0 - 0.9f64.powi(t)), v / (1.0 - 0.999f64.powi(t)));
                        w -= 0.01 * mc / (vc.sqrt() + 1e-8);
                    }
                    w
                })
                .collect();
            each_engine(|engine| {
                let t = |v: &[f32]| Tensor::from_f32(engine, &[n], v.to_vec());
                let original = t(&start);
                let (mut w, mut m, mut v) =
                    (original.clone(), Tensor::zeros(engine, &[n]), Tensor::zeros(engine, &[n]));
                for (number, grad) in (1..).zip(&grads) {
                    let grad: Vec<f32> = grad.iter().map(|g| g - 0.5).collect();
                    adam(&mut w, &mut m, &mut v, &t(&grad), &step(number));
                }
                // Steps of 0.01 with a relative error of 1e-4 at worst (1 − β₂ as f32 has 6e-5), three times.
                close(engine, &w, &want, 3e-6);
                let kept = pollster::block_on(original.read_f32()).expect("readback");
                assert_eq!(kept, start, "a shared tensor was changed");
            });
        }
    }
}
