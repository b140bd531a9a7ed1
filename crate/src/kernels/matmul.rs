//! Matrix products with what follows them in a network: act(a·b + bias) + residual.

use std::ops::Range;

use super::activation::Activation;
use super::{par, vectors, weight};
use crate::gpu::{Backend, Dtype, Launch, Shader, Tensor, Word, grid, shader};

static REGISTERS: Shader = shader!("matmul", "per_element", "matmul_store", "activation", "weight");
static FOURS: Shader = shader!("matmul_fours", "per_element", "matmul_store", "activation", "weight");
static TILED: Shader = shader!("matmul_tiled", "per_group", "matmul_store", "activation", "weight");

/// Which axes a product contracts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// a [.., K] · b [N, K]ᵀ → [.., N]: activations by a weight as checkpoints store it.
    #[default]
    Nt,
    /// a [.., K] · b [K, N] → [.., N].
    Nn,
    /// a [.., M]ᵀ · b [.., N] → [M, N], summed over all rows: the gradient of a weight.
    Tn,
}

/// What [`matmul`] computes around the product. The default is the bare product of [`Layout::Nt`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Product<'a> {
    /// Which axes are contracted.
    pub layout: Layout,
    /// [N], added to every row of the product.
    pub bias: Option<&'a Tensor>,
    /// Applied to product and bias.
    pub activation: Activation,
    /// Shaped like the result, added last.
    pub residual: Option<&'a Tensor>,
}

/// Size of a product and the strides of its operands: A[i, l] = a[i·a_row + l·a_k], B[l, j] = b[j·b_col + l·b_k].
#[derive(Debug, Clone, Copy)]
struct Dims {
    m: usize,
    n: usize,
    k: usize,
    a_row: usize,
    a_k: usize,
    b_col: usize,
    b_k: usize,
}

impl Dims {
    fn new(a: &Tensor, b: &Tensor, layout: Layout) -> Self {
        let (a_rows, a_cols) = a.rows_cols();
        let (b_rows, b_cols) = b.rows_cols();
        let fits = match layout {
            Layout::Nt => a_cols == b_cols,
            Layout::Nn => a_cols == b_rows,
            Layout::Tn => a_rows == b_rows,
        };
        assert!(fits, "matmul {layout:?} of {a:?} and {b:?}");
        match layout {
            Layout::Nt => {
                Self { m: a_rows, n: b_rows, k: a_cols, a_row: a_cols, a_k: 1, b_col: b_cols, b_k: 1 }
            }
            Layout::Nn => {
                Self { m: a_rows, n: b_cols, k: a_cols, a_row: a_cols, a_k: 1, b_col: 1, b_k: b_cols }
            }
            Layout::Tn => {
                Self { m: a_cols, n: b_cols, k: a_rows, a_row: 1, a_k: a_cols, b_col: 1, b_k: b_cols }
            }
        }
    }
}

impl Dims {
    /// Whether both operands can be read four values at a time.
    fn in_fours(&self) -> bool {
        let four = |n: usize| n > 0 && n.is_multiple_of(4);
        let a = self.a_k == 1 || four(self.m);
        let b = self.b_k == 1 || four(self.n);
        four(self.k) && a && b
    }
}

/// How a GPU computes a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variant {
    /// 8 × 8 results an invocation, no workgroup memory, any strides.
    Registers,
    /// Likewise, with operands whose values lie together in fours: four steps of k at once.
    Fours,
    /// A 64 × 64 tile a workgroup, slices of the operands in workgroup memory.
    Tiled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tiling {
    variant: Variant,
    /// Tiles of the result.
    tiles: usize,
    /// Workgroups in x, y, z.
    groups: [u32; 3],
}

impl Tiling {
    /// That of a product. On software adapters a barrier costs more than what it shares saves: a
    /// 1,024 × 768 × 3,072 product runs 2.5 times as fast without workgroup memory.
    fn new(dims: &Dims, software: bool) -> Self {
        Self::of(
            match software {
                false => Variant::Tiled,
                true if dims.in_fours() => Variant::Fours,
                true => Variant::Registers,
            },
            dims,
        )
    }

    fn of(variant: Variant, dims: &Dims) -> Self {
        let tiles = |size: usize| dims.m.div_ceil(size) * dims.n.div_ceil(size);
        let (tiles, groups) = match variant {
            Variant::Registers | Variant::Fours => (tiles(8), tiles(8).div_ceil(64)),
            Variant::Tiled => (tiles(64), tiles(64)),
        };
        Self { variant, tiles, groups: grid(groups) }
    }
}

/// act(a·b + bias) + residual, as `product` says; sums are of f32 in f32. In [`Layout::Nt`] `b` may be stored as
/// f16 or bf16.
///
/// The result has a's leading axes and N columns ([`Layout::Tn`]: [M, N]). An empty sum (K = 0) is zero.
///
/// # Panics
/// When the shapes do not fit.
pub fn matmul(a: &Tensor, b: &Tensor, product: &Product<'_>) -> Tensor {
    matmul_parts(a, std::slice::from_ref(b), product)
}

/// As [`matmul`] in [`Layout::Nt`], with b [N, K] given in `parts` by rows: a matrix as tall as a vocabulary may be
/// more than a device can bind at once.
///
/// # Panics
/// As [`matmul`], and when several parts come in another layout.
pub fn matmul_parts(a: &Tensor, parts: &[Tensor], product: &Product<'_>) -> Tensor {
    let layout = product.layout;
    let plain = layout == Layout::Nt || matches!(parts, [b] if b.dtype() == Dtype::F32);
    assert!(plain && a.dtype() == Dtype::F32, "matmul {layout:?} of {a:?} and {parts:?}");
    let all: Vec<Dims> = parts.iter().map(|b| Dims::new(a, b, layout)).collect();
    let first = all.first().expect("a matrix has a part");
    let cols = all.iter().map(|d| d.n).sum();
    let shape = match (layout, a.shape()) {
        (Layout::Tn, _) | (_, []) => vec![first.m, cols],
        (_, [leading @ .., _]) => [leading, &[cols]].concat(),
    };
    if let Some(bias) = product.bias {
        assert_eq!(bias.shape(), [cols], "matmul bias");
    }
    if let Some(residual) = product.residual {
        assert_eq!(residual.shape(), shape, "matmul residual");
    }
    let starts = all.iter().scan(0, |at, d| Some(std::mem::replace(at, *at + d.n)));
    let pieces = parts.iter().zip(&all).zip(starts);
    match a.engine().backend() {
        Backend::Cpu => {
            let len = first.m.checked_mul(cols).expect("a result that memory can hold");
            let mut y = Vec::with_capacity(len);
            if first.k == 0 {
                y.resize(len, 0.0);
            }
            let room = Columns { y: y.as_mut_ptr(), rows: first.m, cols };
            for ((b, dims), start) in pieces {
                if dims.m > 0 && dims.n > 0 && dims.k > 0 {
                    twin(a.f32s(), b, (0, dims), &room, start);
                }
            }
            // SAFETY: there is room for m rows of `cols`; without a sum (K = 0) they were set to 0 above, and
            // otherwise the pieces have written every column of every row.
            unsafe { y.set_len(len) };
            finish(&mut y, cols, product);
            Tensor::from_f32(a.engine(), &shape, y)
        }
        Backend::Gpu(gpu) => {
            let y = Tensor::output(a.engine(), &shape, Dtype::F32);
            for ((b, dims), start) in pieces {
                let piece = Piece { dims, product, cols, start };
                piece.record(Tiling::new(dims, gpu.adapter.software), [a, b, &y]);
            }
            y
        }
    }
}

/// On the processor: `columns` of the product of a and b, [M, columns], for who takes a wide product apart.
///
/// # Panics
/// As [`matmul`], when a column is not there, and on another engine.
pub(super) fn matmul_columns(a: &Tensor, b: &Tensor, layout: Layout, columns: Range<usize>) -> Vec<f32> {
    let dims = Dims::new(a, b, layout);
    assert!(
        columns.start <= columns.end && columns.end <= dims.n,
        "matmul_columns {columns:?} of {}",
        dims.n
    );
    let dims = Dims { n: columns.len(), ..dims };
    let mut y = Vec::with_capacity(dims.m * dims.n);
    if dims.k == 0 {
        y.resize(dims.m * dims.n, 0.0);
    } else if dims.m > 0 && dims.n > 0 {
        let to = Columns { y: y.as_mut_ptr(), rows: dims.m, cols: dims.n };
        twin(a.f32s(), b, (columns.start, &dims), &to, 0);
    }
    // SAFETY: there is room for m rows of n columns, all of which were set to 0 or written by the product.
    unsafe { y.set_len(dims.m * dims.n) };
    y
}

/// The columns from `start` on of a result of `cols` columns.
struct Piece<'a> {
    dims: &'a Dims,
    product: &'a Product<'a>,
    cols: usize,
    start: usize,
}

impl Piece<'_> {
    fn record(&self, tiling: Tiling, [a, b, y]: [&Tensor; 3]) {
        let &Self { dims, product, cols, start } = self;
        let along = |stride: usize| f64::from(u8::from(stride == 1));
        let constants = [weight::format(b), ("A_ALONG_K", along(dims.a_k)), ("B_ALONG_K", along(dims.b_k))];
        let (shader, constants) = match tiling.variant {
            Variant::Registers => (&REGISTERS, &constants[..1]),
            Variant::Fours => (&FOURS, &constants[..]),
            Variant::Tiled => (&TILED, &constants[..1]),
        };
        let Dims { m, n, k, a_row, a_k, b_col, b_k } = *dims;
        let [has_bias, has_residual] = [product.bias, product.residual].map(|x| x.is_some().word());
        let options = [product.activation.word(), has_bias, has_residual];
        let params = [&[m, n, k, a_row, a_k, b_col, b_k, cols, start].map(Word::word)[..], &options].concat();
        // What is absent is never read, but every binding needs a buffer.
        let inputs = [a, b, product.bias.unwrap_or(a), product.residual.unwrap_or(a)];
        let mut launch = Launch::per_group(shader, tiling.tiles, &params, &inputs).with(constants);
        launch.groups = tiling.groups;
        launch.record(&[y]);
    }
}

/// Where the twin writes: a matrix that is not initialised yet, since clearing it first would cost as much as a
/// tenth of a product.
struct Columns {
    y: *mut f32,
    rows: usize,
    cols: usize,
}

// SAFETY: threads that share it write columns of their own, and nobody reads before all are done.
unsafe impl Sync for Columns {}

/// The product with the columns of `b` from `skipped` on, into the columns from `start` on.
fn twin(a: &[f32], b: &Tensor, (skipped, dims): (usize, &Dims), to: &Columns, start: usize) {
    #[cfg(not(target_arch = "wasm32"))]
    let all = gemm::Parallelism::Rayon(0);
    #[cfg(target_arch = "wasm32")]
    let all = gemm::Parallelism::None;
    // A thread takes a panel of columns for itself where they are enough: 5 to 10 % faster on two cores than all
    // threads on one product. A panel that is widened stays below 16 MB.
    let share = dims.n.div_ceil(par::threads());
    let (panel, parallelism) = match share {
        128.. => (share, gemm::Parallelism::None),
        _ => (dims.n, all),
    };
    let panel = if b.dtype() == Dtype::F32 { panel } else { panel.min(((4 << 20) / dims.k).max(128)) };
    par::map(dims.n.div_ceil(panel), |i| {
        let part = Dims { n: panel.min(dims.n - i * panel), ..*dims };
        let target = (to, start + i * panel);
        let first = skipped + i * panel;
        if b.dtype() == Dtype::F32 {
            product(a, &b.f32s()[first * dims.b_col..], &part, target, parallelism);
        } else {
            let mut wide = vec![0.0; part.n * part.k];
            weight::widen(b.dtype(), &b.halves()[first * dims.k..][..wide.len()], &mut wide);
            product(a, &wide, &part, target, parallelism);
        }
    });
}

/// Every element of `dims.n` columns from `start` on.
fn product(
    a: &[f32],
    b: &[f32],
    dims: &Dims,
    (to, start): (&Columns, usize),
    parallelism: gemm::Parallelism,
) {
    let &Dims { m, n, k, .. } = dims;
    assert!(m == to.rows && start + n <= to.cols, "the result has room");
    // SAFETY: `Dims::new` made the strides from the shapes of the tensors, whose slices are as long as their
    // shapes say, so every element that m, n, k and the strides reach lies inside; m rows of n columns from
    // `start` on lie in the result, by the assertion, and are this call's alone. With `read_dst` false they
    // are written without being read.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            to.y.add(start),
            1,
            to.cols as isize,
            false,
            a.as_ptr(),
            dims.a_k as isize,
            dims.a_row as isize,
            b.as_ptr(),
            dims.b_col as isize,
            dims.b_k as isize,
            0.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// Bias, activation and residual, after the product `y` of rows of `n`.
fn finish(y: &mut [f32], n: usize, product: &Product<'_>) {
    let &Product { bias, activation, residual, .. } = product;
    if bias.is_none() && residual.is_none() && activation == Activation::None {
        return;
    }
    let bias = bias.map(Tensor::f32s);
    let residual = residual.map(Tensor::f32s);
    par::rows(y, n, |r, y| {
        if let Some(bias) = bias {
            vectors::zip(y, bias, |y, b| y + b);
        }
        activation.apply(y);
        if let Some(residual) = residual {
            vectors::zip(y, &residual[r * n..][..n], |y, x| y + x);
        }
    });
}

#[cfg(test)]
#[path = "matmul_tests.rs"]
mod tests;
