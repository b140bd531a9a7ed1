//! Loops that the compiler turns into vectors, compiled for what the processor has.

use pulp::{Arch, Simd, WithSimd};

/// y ← f(y). `f` must be free of branches and calls to become vectors.
pub(super) fn map(y: &mut [f32], f: impl Fn(f32) -> f32) {
    struct Op<'a, F>(&'a mut [f32], F);
    impl<F: Fn(f32) -> f32> WithSimd for Op<'_, F> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) {
            self.0.iter_mut().for_each(|y| *y = (self.1)(*y));
        }
    }
    Arch::new().dispatch(Op(y, f));
}

/// y ← f(y, x), element by element.
pub(super) fn zip(y: &mut [f32], x: &[f32], f: impl Fn(f32, f32) -> f32) {
    struct Op<'a, F>(&'a mut [f32], &'a [f32], F);
    impl<F: Fn(f32, f32) -> f32> WithSimd for Op<'_, F> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) {
            self.0.iter_mut().zip(self.1).for_each(|(y, x)| *y = (self.2)(*y, *x));
        }
    }
    Arch::new().dispatch(Op(y, x, f));
}

/// Σ f(x), as sixteen sums side by side: a single one would wait for itself at every step. It also rounds less.
pub(super) fn sum(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    struct Op<'a, F>(&'a [f32], F);
    impl<F: Fn(f32) -> f32> WithSimd for Op<'_, F> {
        type Output = f32;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> f32 {
            let (chunks, rest) = self.0.as_chunks::<16>();
            let mut sums = [0.0; 16];
            for chunk in chunks {
                for (sum, x) in sums.iter_mut().zip(chunk) {
                    *sum += (self.1)(*x);
                }
            }
            sums.iter().sum::<f32>() + rest.iter().map(|x| (self.1)(*x)).sum::<f32>()
        }
    }
    Arch::new().dispatch(Op(x, f))
}
