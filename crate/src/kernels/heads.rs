//! What the attention twins share: one head as a matrix, products of such matrices, and heads put back
//! together.

use super::par;

/// Sizes of a [B, T, H, d] tensor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heads {
    pub(super) batch: usize,
    pub(super) steps: usize,
    pub(super) heads: usize,
    pub(super) width: usize,
}

impl Heads {
    /// # Panics
    /// When the shape has not four axes, or heads have no width.
    pub(super) fn of(shape: &[usize]) -> Self {
        let &[batch, steps, heads, width] = shape else { panic!("heads are [B, T, H, d], not {shape:?}") };
        assert!(width > 0, "heads need a width");
        Self { batch, steps, heads, width }
    }

    /// 1/√d.
    pub(super) fn scale(self) -> f32 {
        (1.0 / (self.width as f64).sqrt()) as f32
    }

    /// The matrix [`count`, d] of head `index` (sequence · H + head) of `x`, from step `first` on.
    pub(super) fn view(self, x: &[f32], index: usize, first: usize, count: usize) -> View<'_> {
        let (sequence, head) = (index / self.heads, index % self.heads);
        let start = ((sequence * self.steps + first) * self.heads + head) * self.width;
        View { data: &x[start..], shape: [count, self.width], strides: [self.heads * self.width, 1] }
    }

    /// Puts [steps, d] matrices together as [B, T, H, d]. Each head of each sequence comes in pieces of `block`
    /// steps (the last may be shorter), sequence by sequence, head by head.
    pub(super) fn merge(self, parts: &[Vec<f32>], block: usize) -> Vec<f32> {
        let Self { batch, steps, heads, width } = self;
        let pieces = steps.div_ceil(block.max(1));
        let mut z = vec![0.0; batch * steps * heads * width];
        par::rows(&mut z, heads * width, |row, z| {
            let (sequence, t) = (row / steps, row % steps);
            for (head, z) in z.chunks_mut(width).enumerate() {
                let part = &parts[(sequence * heads + head) * pieces + t / block];
                z.copy_from_slice(&part[t % block * width..][..width]);
            }
        });
        z
    }
}

/// A matrix that lies in a slice with strides.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) data: &'a [f32],
    pub(super) shape: [usize; 2],
    pub(super) strides: [usize; 2],
}

impl View<'_> {
    pub(super) fn transposed(self) -> Self {
        let ([rows, cols], [down, along]) = (self.shape, self.strides);
        Self { shape: [cols, rows], strides: [along, down], ..self }
    }

    fn assert_inside(self) {
        let ([rows, cols], [down, along]) = (self.shape, self.strides);
        let inside = rows == 0 || cols == 0 || (rows - 1) * down + (cols - 1) * along < self.data.len();
        assert!(inside, "a matrix of {rows} × {cols} reaches out of its slice");
    }
}

/// `out` = `scale` · `a` · `b`, row by row, on this thread.
///
/// # Panics
/// When the shapes do not fit.
pub(super) fn product(out: &mut [f32], a: View<'_>, b: View<'_>, scale: f32) {
    let ([rows, inner], [same, cols]) = (a.shape, b.shape);
    assert_eq!(inner, same, "inner sizes of a product");
    assert_eq!(out.len(), rows * cols, "size of a product");
    a.assert_inside();
    b.assert_inside();
    // SAFETY: both matrices were just checked to lie inside their slices and `out` holds rows · cols values;
    // it is borrowed mutably, so it overlaps neither.
    unsafe {
        gemm::gemm(
            rows,
            cols,
            inner,
            out.as_mut_ptr(),
            1,
            cols as isize,
            false,
            a.data.as_ptr(),
            a.strides[1] as isize,
            a.strides[0] as isize,
            b.data.as_ptr(),
            b.strides[1] as isize,
            b.strides[0] as isize,
            0.0,
            scale,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
