//! The nonlinearities, as the CPU twins apply them; `shaders/activation.wgsl` holds the same under the same codes.

use super::exp::exp_one as exp;
use super::vectors;
use crate::gpu::Word;

/// Distribution function of the standard normal, so that GELU(x) = x·Φ(x).
///
/// WGSL has no erf. Φ(−z) = e^(−z²/2)·t·P(t) with t = 1/(1 + 0.3 z), where P interpolates the scaled tail at
/// the Chebyshev points of 0 ≤ z ≤ 14 in degree 7: 1.3e-8 off in exact arithmetic, 2e-7 in f32.
#[inline(always)]
fn normal_cdf(x: f32) -> f32 {
    const P: [f32; 8] = [
        0.036_584_698,
        -0.160_832_32,
        0.212_307_17,
        -0.058_868_63,
        0.131_139_44,
        0.099_184_714,
        0.120_862_1,
        0.119_622_804,
    ];
    let z = x.abs();
    let t = 1.0 / (1.0 + 0.3 * z);
    let tail = exp(-0.5 * z * z) * t * P.iter().fold(0.0, |p, c| p * t + c);
    if x < 0.0 { tail } else { 1.0 - tail }
}

/// x·Φ(x): the exact GELU, not the tanh approximation.
#[inline(always)]
pub(super) fn gelu(x: f32) -> f32 {
    x * normal_cdf(x)
}

/// 0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))), the approximation of the GELU that GPT-2 and BERT have, as x·σ(2u) with
/// u what the tanh is of. The exponent is never positive, so nothing overflows.
#[inline(always)]
pub(super) fn gelu_tanh(x: f32) -> f32 {
    // 2·√(2/π).
    const SCALE: f32 = 1.595_769_2;
    let u = SCALE * (x + 0.044_715 * x * x * x);
    let e = exp(-u.abs());
    x * (if u < 0.0 { e } else { 1.0 } / (1.0 + e))
}

/// x·σ(x). The exponent is never positive, so nothing overflows.
#[inline(always)]
pub(super) fn silu(x: f32) -> f32 {
    let e = exp(-x.abs());
    x * (if x < 0.0 { e } else { 1.0 } / (1.0 + e))
}

/// ln(1 + eˣ) = max(x, 0) + ln(1 + e^−|x|), the logarithm by the series of 2·atanh(s), s ≤ 1/3: the first term
/// left out is 2·s¹⁷/17, below 2e-9 of the sum.
#[inline(always)]
pub(super) fn softplus(x: f32) -> f32 {
    const P: [f32; 8] = [1.0 / 15.0, 1.0 / 13.0, 1.0 / 11.0, 1.0 / 9.0, 1.0 / 7.0, 1.0 / 5.0, 1.0 / 3.0, 1.0];
    let e = exp(-x.abs());
    let s = e / (2.0 + e);
    relu(x) + 2.0 * s * P.iter().fold(0.0, |p, c| p * (s * s) + c)
}

/// max(x, 0), but NaN where x is NaN.
#[inline(always)]
pub(super) fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

/// A function of one number: of every element ([`map`](super::map)), or of a sum before it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Activation {
    /// The number itself.
    #[default]
    None,
    /// x·Φ(x), Φ the normal distribution function: the exact GELU of GPT-NeoX.
    Gelu,
    /// x·σ(x), σ the logistic function.
    Silu,
    /// ln(1 + eˣ).
    Softplus,
    /// max(x, 0).
    Relu,
    /// −eˣ: minus the number whose logarithm x is.
    NegExp,
    /// The tanh approximation of the GELU.
    GeluTanh,
}

/// The code in `shaders/activation.wgsl`.
impl Word for Activation {
    fn word(self) -> u32 {
        self as u32
    }
}

impl Activation {
    /// Replaces every value by the function of it.
    pub(super) fn apply(self, y: &mut [f32]) {
        match self {
            Self::None => {}
            Self::Gelu => vectors::map(y, gelu),
            Self::Silu => vectors::map(y, silu),
            Self::Softplus => vectors::map(y, softplus),
            Self::Relu => vectors::map(y, relu),
            Self::NegExp => y.iter_mut().for_each(|y| *y = -y.exp()),
            Self::GeluTanh => vectors::map(y, gelu_tanh),
        }
    }
}

/// The same functions in float64, from other formulas.
#[cfg(test)]
pub(super) mod float64 {
    /// erf(x) = 2/√π·e^(−x²)·Σ 2ⁿ x^(2n+1) / (2n+1)!!: every term has the sign of x, so nothing cancels.
    pub(in crate::kernels) fn erf(x: f64) -> f64 {
        if x.abs() > 6.0 {
            return x.signum();
        }
        let mut term = x;
        let mut sum = x;
        for n in 1..200 {
            term *= 2.0 * x * x / f64::from(2 * n + 1);
            sum += term;
        }
        std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum
    }

    pub(in crate::kernels) fn gelu(x: f64) -> f64 {
        0.5 * x * (1.0 + erf(x / std::f64::consts::SQRT_2))
    }

    pub(in crate::kernels) fn gelu_tanh(x: f64) -> f64 {
        let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
        0.5 * x * (1.0 + u.tanh())
    }

    pub(in crate::kernels) fn silu(x: f64) -> f64 {
        x / (1.0 + (-x).exp())
    }

    pub(in crate::kernels) fn softplus(x: f64) -> f64 {
        if x > 40.0 { x } else { x.exp().ln_1p() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erf_of_the_reference_is_erf() {
        // Abramowitz & Stegun, table 7.1.
        for (x, want) in [(0.5, 0.520_499_877_8), (1.0, 0.842_700_792_9), (2.0, 0.995_322_265_0)] {
            assert!((float64::erf(x) - want).abs() < 1e-10);
            assert!((float64::erf(-x) + want).abs() < 1e-10);
        }
    }

    #[test]
    fn the_distribution_function_is_good_to_single_precision() {
        for i in -15_000..=15_000 {
            let x = i as f32 / 1_000.0;
            let want = 0.5 * (1.0 + float64::erf(f64::from(x) / std::f64::consts::SQRT_2));
            // 1.3e-8 from the polynomial, the rest rounding: three operations on values up to 1/2.
            assert!((f64::from(normal_cdf(x)) - want).abs() < 2e-7, "Φ({x})");
        }
    }

    #[test]
    fn the_far_ends_are_exact() {
        for x in [1e3, 1e30, f32::INFINITY] {
            assert_eq!((gelu(x), silu(x), softplus(x), relu(x)), (x, x, x, x));
            assert_eq!(gelu_tanh(x), x);
        }
        for x in [-1e3, -1e30] {
            assert_eq!((gelu(x), silu(x), softplus(x), relu(x)), (0.0, 0.0, 0.0, 0.0));
            assert_eq!(gelu_tanh(x), 0.0);
        }
        for f in [gelu, gelu_tanh, silu, softplus, relu] {
            assert!(f(f32::NAN).is_nan());
        }
    }
}
