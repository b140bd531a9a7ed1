//! Functions of one or two tensors, element by element.

use super::activation::{Activation, silu};
use super::{par, vectors};
use crate::gpu::{Launch, Shader, Tensor, Word, shader};

static MAP: Shader = shader!("map", "per_element", "activation");
static ZIP: Shader = shader!("zip", "per_element", "activation");

/// Elements that the processor works through in one piece.
const CHUNK: usize = 1_024;

/// A function of two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binary {
    /// a + b.
    Add,
    /// a − b.
    Sub,
    /// a·b.
    Mul,
    /// a·silu(b): a gate.
    MulSilu,
}

/// The code in `shaders/zip.wgsl`.
impl Word for Binary {
    fn word(self) -> u32 {
        self as u32
    }
}

impl Binary {
    /// a ← a ∘ b.
    fn apply(self, a: &mut [f32], b: &[f32]) {
        match self {
            Self::Add => vectors::zip(a, b, |a, b| a + b),
            Self::Sub => vectors::zip(a, b, |a, b| a - b),
            Self::Mul => vectors::zip(a, b, |a, b| a * b),
            Self::MulSilu => vectors::zip(a, b, |a, b| a * silu(b)),
        }
    }
}

/// `function` of every element of `x`, in x's shape.
pub fn map(x: &Tensor, function: Activation) -> Tensor {
    if function == Activation::None {
        return x.clone();
    }
    Launch::per_element(&MAP, x.len(), &[function.word()], &[x]).run(x.shape(), || {
        let mut y = x.f32s().to_vec();
        par::rows(&mut y, CHUNK, |_, y| function.apply(y));
        y
    })
}

/// `function` of the elements of `a` and `b`, in a's shape; `b` has the shape of a or of a's last axes, and is
/// repeated over the others.
///
/// # Panics
/// When b's shape is not the end of a's.
pub fn zip(a: &Tensor, b: &Tensor, function: Binary) -> Tensor {
    assert!(a.shape().ends_with(b.shape()), "zip of {a:?} and {b:?}");
    let params = [b.len().word(), function.word()];
    Launch::per_element(&ZIP, a.len(), &params, &[a, b]).run(a.shape(), || {
        let b = b.f32s();
        let mut y = a.f32s().to_vec();
        if b.len() == y.len() {
            par::rows(&mut y, CHUNK, |i, y| function.apply(y, &b[i * CHUNK..][..y.len()]));
        } else {
            // Whole copies of b, so that the inner loop has no remainder to take.
            let period = b.len().max(1);
            par::rows(&mut y, period.max(CHUNK / period * period), |_, y| {
                y.chunks_mut(period).for_each(|y| function.apply(y, b));
            });
        }
        y
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::activation::float64;
    use crate::kernels::testing::{self, close, each_engine};

    #[test]
    fn maps_agree_with_float64() {
        type Reference = fn(f64) -> f64;
        let functions: [(Activation, Reference); 6] = [
            (Activation::Silu, float64::silu),
            (Activation::Gelu, float64::gelu),
            (Activation::GeluTanh, float64::gelu_tanh),
            (Activation::Relu, |x| x.max(0.0)),
            (Activation::Softplus, float64::softplus),
            (Activation::NegExp, |x| -x.exp()),
        ];
        for n in [0, 1, 63, 1_025, 5_000] {
            let x: Vec<f32> = testing::normal(1, n).iter().map(|x| 2.0 * x).collect();
            for (function, f) in functions {
                let want: Vec<f64> = x.iter().map(|&x| f(f64::from(x))).collect();
                each_engine(|engine| {
                    let y = map(&Tensor::from_f32(engine, &[n], x.clone()), function);
                    // A device's exp may be 3 + 2|x| units in the last place off: at |x| ≤ 12 27·2⁻²⁴.
                    close(engine, &y, &want, 1.7e-6);
                });
            }
        }
    }

    #[test]
    fn the_two_gelus_are_told_apart() {
        type Reference = fn(f64) -> f64;
        // They differ by up to 4.7e-4, near ±2.7.
        let x: Vec<f32> = (-8_000..=8_000).map(|i| i as f32 / 1_000.0).collect();
        each_engine(|engine| {
            let both: [(Activation, Reference); 2] =
                [(Activation::Gelu, float64::gelu), (Activation::GeluTanh, float64::gelu_tanh)];
            for (function, f) in both {
                let y = map(&Tensor::from_f32(engine, &[x.len()], x.clone()), function);
                let y = pollster::block_on(y.read_f32()).unwrap();
                for (&x, &y) in x.iter().zip(&y) {
                    // Φ is good to 2e-7 on the processor; a device's division and exp add a few units of 2⁻²⁴.
                    let error = f64::from(y) - f(f64::from(x));
                    assert!(error.abs() <= 1e-6 * f64::from(x.abs()).max(1.0), "{x}: {error} on {engine:?}");
                }
            }
        });
    }

    #[test]
    fn softplus_is_stable_at_both_ends_and_relatively_exact() {
        let x = vec![-80.0, -30.0, -10.0, -6.9, -1.0, 0.0, 1.0, 19.0, 20.0, 21.0, 100.0, 1e30];
        each_engine(|engine| {
            let y = map(&Tensor::from_f32(engine, &[x.len()], x.clone()), Activation::Softplus);
            let y = pollster::block_on(y.read_f32()).unwrap();
            for (&x, &y) in x.iter().zip(&y) {
                let want = float64::softplus(f64::from(x));
                // exp's 3 + 2|x| units in the last place, |x| ≤ 80.
                assert!((f64::from(y) - want).abs() <= 1e-5 * want, "{x}: {y} instead of {want}");
            }
        });
    }

    #[test]
    fn nan_stays_nan() {
        let nan = [f32::NAN, f32::NAN];
        each_engine(|engine| {
            let x = Tensor::from_f32(engine, &[2], nan.to_vec());
            for f in [
                Activation::Silu,
                Activation::Gelu,
                Activation::GeluTanh,
                Activation::Relu,
                Activation::Softplus,
                Activation::NegExp,
            ] {
                close(engine, &map(&x, f), &[f64::NAN; 2], 0.0);
            }
            let one = Tensor::from_f32(engine, &[2], vec![1.0; 2]);
            for f in [Binary::Add, Binary::Sub, Binary::Mul, Binary::MulSilu] {
                close(engine, &zip(&x, &one, f), &[f64::NAN; 2], 0.0);
                close(engine, &zip(&one, &x, f), &[f64::NAN; 2], 0.0);
            }
        });
    }

    #[test]
    fn zips_agree_with_float64() {
        type Reference = fn(f64, f64) -> f64;
        let functions: [(Binary, Reference); 4] = [
            (Binary::Add, |a, b| a + b),
            (Binary::Sub, |a, b| a - b),
            (Binary::Mul, |a, b| a * b),
            (Binary::MulSilu, |a, b| a * float64::silu(b)),
        ];
        let shapes: [(&[usize], &[usize]); 7] = [
            (&[3, 5], &[3, 5]),
            (&[3, 5], &[5]),
            (&[2, 3, 1_500], &[3, 1_500]),
            (&[4, 700], &[700]),
            (&[4, 7], &[]),
            (&[0, 7], &[7]),
            (&[2, 0], &[0]),
        ];
        for (a_shape, b_shape) in shapes {
            let a = testing::normal(1, a_shape.iter().product());
            let b = testing::normal(2, b_shape.iter().product());
            for (function, f) in functions {
                let want: Vec<f64> =
                    a.iter().enumerate().map(|(i, &a)| f(f64::from(a), f64::from(b[i % b.len()]))).collect();
                each_engine(|engine| {
                    let a = Tensor::from_f32(engine, a_shape, a.clone());
                    let b = Tensor::from_f32(engine, b_shape, b.clone());
                    // exp at |x| ≤ 6 as above, and two roundings.
                    close(engine, &zip(&a, &b, function), &want, 1e-6);
                });
            }
        }
    }

    #[test]
    fn more_workgroups_than_one_dimension_holds() {
        let x = testing::uniform(1, 64 * 65_600 + 1);
        let want: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
        each_engine(|engine| {
            let x = Tensor::from_f32(engine, &[x.len()], x.clone());
            close(engine, &map(&x, Activation::Relu), &want, 0.0);
            let zero = Tensor::zeros(engine, &[]);
            close(engine, &zip(&x, &zero, Binary::Add), &want, 0.0);
        });
    }
}
