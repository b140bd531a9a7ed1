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

/// y ← f(y, a, b), element by element.
pub(super) fn zip2(y: &mut [f32], a: &[f32], b: &[f32], f: impl Fn(f32, f32, f32) -> f32) {
    struct Op<'a, F>(&'a mut [f32], &'a [f32], &'a [f32], F);
    impl<F: Fn(f32, f32, f32) -> f32> WithSimd for Op<'_, F> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) {
            let inputs = self.1.iter().zip(self.2);
            self.0.iter_mut().zip(inputs).for_each(|(y, (a, b))| *y = (self.3)(*y, *a, *b));
        }
    }
    Arch::new().dispatch(Op(y, a, b, f));
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

/// y ← y + Σ aᵢ·wᵢ, wᵢ being row i of `w`, whose rows are as long as `y`; the terms name their rows. Columns are
/// worked through in tiles that stay in registers.
pub(super) fn add_rows(y: &mut [f32], terms: &[(f32, usize)], w: &[f32]) {
    struct Op<'a>(&'a mut [f32], &'a [(f32, usize)], &'a [f32]);
    impl WithSimd for Op<'_> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) {
            const TILE: usize = 64;
            let Self(y, terms, w) = self;
            let cols = y.len();
            let (tiles, rest) = y.as_chunks_mut::<TILE>();
            let rest_at = tiles.len() * TILE;
            for (t, tile) in tiles.iter_mut().enumerate() {
                let mut sums = *tile;
                for &(a, row) in terms {
                    let from: &[f32; TILE] = w[row * cols + t * TILE..].first_chunk().expect("a whole tile");
                    for (sum, x) in sums.iter_mut().zip(from) {
                        *sum += a * x;
                    }
                }
                *tile = sums;
            }
            for &(a, row) in terms {
                for (y, x) in rest.iter_mut().zip(&w[row * cols + rest_at..]) {
                    *y += a * x;
                }
            }
        }
    }
    Arch::new().dispatch(Op(y, terms, w));
}

/// Σ a·b, as 64 sums side by side.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    struct Op<'a>(&'a [f32], &'a [f32]);
    impl WithSimd for Op<'_> {
        type Output = f32;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> f32 {
            let ((a, a_rest), (b, b_rest)) = (self.0.as_chunks::<64>(), self.1.as_chunks::<64>());
            let mut sums = [0.0; 64];
            for (a, b) in a.iter().zip(b) {
                for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
                    *sum += a * b;
                }
            }
            sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
        }
    }
    Arch::new().dispatch(Op(a, b))
}
