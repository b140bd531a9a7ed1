//! Weights as they are stored: f32, f16 or bf16, in one tensor or in several by rows.

use pulp::{Simd, WithSimd};

use crate::gpu::{Dtype, Tensor};

/// The override constant of weight.wgsl for a tensor.
///
/// # Panics
/// When it holds integers.
pub(super) fn format(weight: &Tensor) -> (&'static str, f64) {
    let code = match weight.dtype() {
        Dtype::F32 => 0.0,
        Dtype::F16 => 1.0,
        Dtype::BF16 => 2.0,
        Dtype::U32 => panic!("{weight:?} holds no weights"),
    };
    ("FORMAT", code)
}

/// Width of a matrix given in parts by rows.
///
/// # Panics
/// When there is no part, a part is no matrix, or widths differ.
pub(super) fn width(parts: &[Tensor]) -> usize {
    let &[_, cols] = parts.first().expect("a matrix has a part").shape() else {
        panic!("{:?} is no matrix", parts[0])
    };
    assert!(parts.iter().all(|p| matches!(*p.shape(), [_, c] if c == cols)), "widths of {parts:?}");
    cols
}

/// Row `r` of a matrix on the CPU engine, as f32.
pub(super) fn row(weight: &Tensor, r: usize, out: &mut [f32]) {
    let width = out.len();
    match weight.dtype() {
        Dtype::F32 => out.copy_from_slice(&weight.f32s()[r * width..][..width]),
        dtype => widen(dtype, &weight.halves()[r * width..][..width], out),
    }
}

/// 16-bit floats as f32, which is exact.
pub(super) fn widen(dtype: Dtype, halves: &[u16], out: &mut [f32]) {
    pulp::Arch::new().dispatch(Widen { dtype, halves, out });
}

struct Widen<'a> {
    dtype: Dtype,
    halves: &'a [u16],
    out: &'a mut [f32],
}

impl WithSimd for Widen<'_> {
    type Output = ();

    /// Plain loops: with the instructions that `S` stands for, the compiler makes vectors of them.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        // 2¹¹², the difference of the two exponents' biases: it also makes normal numbers of f16's subnormals.
        const REBIAS: f32 = f32::from_bits((127 + 112) << 23);
        let pairs = self.out.iter_mut().zip(self.halves);
        if self.dtype == Dtype::BF16 {
            pairs.for_each(|(out, &h)| *out = f32::from_bits(u32::from(h) << 16));
        } else {
            pairs.for_each(|(out, &h)| {
                let size = f32::from_bits(u32::from(h & 0x7fff) << 13) * REBIAS;
                *out = f32::from_bits(size.to_bits() | u32::from(h & 0x8000) << 16);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::*;

    #[test]
    fn every_finite_half_is_widened_exactly() {
        let all: Vec<u16> = (0..=u16::MAX).collect();
        let mut wide = vec![0.0; all.len()];
        for dtype in [Dtype::F16, Dtype::BF16] {
            widen(dtype, &all, &mut wide);
            for (&bits, wide) in all.iter().zip(&wide) {
                let want = match dtype {
                    Dtype::F16 => f16::from_bits(bits).to_f32(),
                    _ => bf16::from_bits(bits).to_f32(),
                };
                // Checkpoints with NaN or infinity are refused before.
                if want.is_finite() {
                    assert_eq!(wide.to_bits(), want.to_bits(), "{dtype:?} {bits:#06x}");
                }
            }
        }
    }
}
