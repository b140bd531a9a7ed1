//! The exponential of many values at once, for the twins that would otherwise spend their time in it (the
//! selective scan, softmax).

use pulp::{Simd, WithSimd};

const LEAST: f32 = -87.0;
const MOST: f32 = 88.0;
/// 1.5 · 2²³: adding it rounds to an integer, which then sits in the low bits. 127 is the exponent bias.
const ROUND: f32 = 12_582_912.0 + 127.0;
/// ln 2 in two parts; the first has few enough bits for n times it to be exact.
const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
/// Coefficients of r⁶ to r⁰.
const SERIES: [f32; 7] = [0.001_392_618_4, 0.008_363_179, 0.041_666_556, 0.166_665_76, 0.5, 1.0, 1.0];

/// e^x for every lane, to 2e-7 relative. Below −87 the result is 0 (single precision has no normal numbers
/// left there), above 88 it stays at e^88. NaN stays NaN.
///
/// x = n·ln 2 + r with |r| ≤ ln 2 / 2; e^r is a polynomial of degree 6 (Chebyshev interpolation, relative error
/// 1.1e-8) and 2ⁿ is written into the exponent bits.
#[inline(always)]
pub(crate) fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let splat = |v| simd.splat_f32s(v);

    // In this order the hardware's minimum and maximum hand a NaN on.
    let clamped = simd.min_f32s(splat(MOST), simd.max_f32s(splat(LEAST), x));
    let rounded = simd.mul_add_e_f32s(clamped, splat(std::f32::consts::LOG2_E), splat(ROUND));
    let n = simd.sub_f32s(rounded, splat(ROUND));
    let r = simd.mul_add_e_f32s(n, splat(-LN_2[0]), clamped);
    let r = simd.mul_add_e_f32s(n, splat(-LN_2[1]), r);
    let mut value = splat(SERIES[0]);
    for &coefficient in &SERIES[1..] {
        value = simd.mul_add_e_f32s(value, r, splat(coefficient));
    }
    let power = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(rounded), simd.splat_u32s(23));
    let value = simd.mul_f32s(value, simd.transmute_f32s_u32s(power));
    simd.select_f32s(simd.less_than_f32s(x, splat(LEAST)), splat(0.0), value)
}

/// As [`exp`], for one value: without a branch or a call, so that a loop over it becomes vectors.
#[inline(always)]
pub(super) fn exp_one(x: f32) -> f32 {
    // Written so that a NaN fails every comparison and passes.
    let clamped = if x < LEAST { LEAST } else { x };
    let clamped = if clamped > MOST { MOST } else { clamped };
    let rounded = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = clamped - n * LN_2[0] - n * LN_2[1];
    let mut value = SERIES[0];
    for coefficient in &SERIES[1..] {
        value = value * r + coefficient;
    }
    let power = f32::from_bits(rounded.to_bits() << 23);
    if x < LEAST { 0.0 } else { value * power }
}

/// Replaces every value v by e^(v − `shift`); see [`exp`].
pub(crate) fn exp_slice(values: &mut [f32], shift: f32) {
    struct Op<'a>(&'a mut [f32], f32);
    impl WithSimd for Op<'_> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let (vectors, rest) = S::as_mut_simd_f32s(self.0);
            let shift = simd.splat_f32s(self.1);
            for v in vectors {
                *v = exp(simd, simd.sub_f32s(*v, shift));
            }
            let last = exp(simd, simd.sub_f32s(simd.partial_load_f32s(rest), shift));
            simd.partial_store_f32s(rest, last);
        }
    }
    pulp::Arch::new().dispatch(Op(values, shift));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_within_two_ten_millionths() {
        // An odd count, so that the part below one vector is tested too.
        let x: Vec<f32> = (0..1_750_003).map(|i| -87.0 + i as f32 * 1e-4).collect();
        let mut y = x.clone();
        exp_slice(&mut y, 0.0);
        for (x, y) in x.iter().zip(&y) {
            let want = f64::from(*x).min(88.0).exp();
            // Rounding of the last steps (2⁻²⁴ each for the sum and the product) and of r.
            assert!((f64::from(*y) - want).abs() <= 2e-7 * want, "e^{x} is {want}, not {y}");
            let one = exp_one(*x);
            assert!((f64::from(one) - want).abs() <= 2e-7 * want, "e^{x} is {want}, not {one}");
        }
    }

    #[test]
    fn has_the_right_ends() {
        let mut y = [f32::NEG_INFINITY, -1e30, -88.0, -0.0, 0.0, f32::NAN];
        exp_slice(&mut y, 0.0);
        assert_eq!(y[..5], [0.0, 0.0, 0.0, 1.0, 1.0]);
        assert!(y[5].is_nan());
        let one = [f32::NEG_INFINITY, -1e30, -88.0, -0.0, 0.0].map(exp_one);
        assert_eq!(one, y[..5]);
        assert!(exp_one(f32::NAN).is_nan());
        let mut y = [3.0; 5];
        exp_slice(&mut y, 3.0);
        assert_eq!(y, [1.0; 5]);
    }
}
