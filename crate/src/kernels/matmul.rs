//! Matrix products with what follows them in a network: act(a·b + bias) + residual.

use bytemuck::{Pod, Zeroable};

use super::activation::Activation;
use super::{par, vectors, weight};
use crate::gpu::{Backend, Dispatch, Dtype, Gpu, Shader, Tensor, grid};

static REGISTERS: Shader = Shader {
    name: "matmul",
    wgsl: concat!(
        include_str!("../../../shaders/matmul.wgsl"),
        include_str!("../../../shaders/activation.wgsl"),
        include_str!("../../../shaders/weight.wgsl")
    ),
};

static ROWS: Shader = Shader {
    name: "matmul_rows",
    wgsl: concat!(
        include_str!("../../../shaders/matmul_rows.wgsl"),
        include_str!("../../../shaders/activation.wgsl"),
        include_str!("../../../shaders/weight.wgsl")
    ),
};

static TILED: Shader = Shader {
    name: "matmul_tiled",
    wgsl: concat!(
        include_str!("../../../shaders/matmul_tiled.wgsl"),
        include_str!("../../../shaders/activation.wgsl"),
        include_str!("../../../shaders/weight.wgsl")
    ),
};

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
    /// Whether both operands are rows along k, which can be read four values at a time.
    fn by_rows(&self) -> bool {
        self.a_k == 1 && self.b_k == 1 && self.k.is_multiple_of(4) && self.k > 0
    }
}

/// How a GPU computes a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variant {
    /// 8 × 8 results an invocation, no workgroup memory, any strides.
    Registers,
    /// Likewise, for rows of a by rows of b, whose length is a multiple of 4: four steps of k at once.
    Rows,
    /// A 64 × 64 tile a workgroup, slices of the operands in workgroup memory.
    Tiled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Plan {
    variant: Variant,
    /// Workgroups in x, y, z.
    groups: [u32; 3],
}

impl Plan {
    /// The plan for a product. On software adapters a barrier costs more than what it shares saves: a
    /// 1,024 × 768 × 3,072 product runs 2.5 times as fast without workgroup memory.
    fn new(dims: &Dims, software: bool) -> Self {
        Self::of(
            match software {
                false => Variant::Tiled,
                true if dims.by_rows() => Variant::Rows,
                true => Variant::Registers,
            },
            dims,
        )
    }

    fn of(variant: Variant, dims: &Dims) -> Self {
        let tiles = |size: usize| dims.m.div_ceil(size) * dims.n.div_ceil(size);
        let groups = match variant {
            Variant::Registers | Variant::Rows => tiles(8).div_ceil(64),
            Variant::Tiled => tiles(64),
        };
        Self { variant, groups: grid(groups) }
    }
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    m: u32,
    n: u32,
    k: u32,
    a_row: u32,
    a_k: u32,
    b_col: u32,
    b_k: u32,
    activation: u32,
    has_bias: u32,
    has_residual: u32,
    out_cols: u32,
    out_first: u32,
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
    assert!(plain, "matmul {layout:?} of {a:?} and {parts:?}");
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
            let mut y = Vec::with_capacity(first.m * cols);
            if first.k == 0 {
                y.resize(first.m * cols, 0.0);
            }
            let room = Columns { y: y.as_mut_ptr(), rows: first.m, cols };
            for ((b, dims), start) in pieces {
                if dims.m * dims.n * dims.k > 0 {
                    twin(a.f32s(), b, dims, &room, start);
                }
            }
            // SAFETY: there is room for m rows of `cols`; without a sum (K = 0) they were set to 0 above, and
            // otherwise the pieces have written every column of every row.
            unsafe { y.set_len(first.m * cols) };
            finish(&mut y, cols, product);
            Tensor::from_f32(a.engine(), &shape, y)
        }
        Backend::Gpu(gpu) => {
            let y = Tensor::output(a.engine(), &shape, Dtype::F32);
            for ((b, dims), start) in pieces {
                if dims.m * dims.n > 0 {
                    let plan = Plan::new(dims, gpu.adapter.software);
                    record(gpu, plan, &Piece { dims, product, cols, start }, [a, b, &y]);
                }
            }
            y
        }
    }
}

/// The columns from `start` on of a result of `cols` columns.
struct Piece<'a> {
    dims: &'a Dims,
    product: &'a Product<'a>,
    cols: usize,
    start: usize,
}

fn record(gpu: &Gpu, plan: Plan, piece: &Piece<'_>, [a, b, y]: [&Tensor; 3]) {
    let Piece { dims, product, cols, start } = piece;
    gpu.dispatch(&Dispatch {
        shader: match plan.variant {
            Variant::Registers => &REGISTERS,
            Variant::Rows => &ROWS,
            Variant::Tiled => &TILED,
        },
        constants: &[weight::format(b)],
        params: bytemuck::bytes_of(&Params {
            m: dims.m as u32,
            n: dims.n as u32,
            k: dims.k as u32,
            a_row: dims.a_row as u32,
            a_k: dims.a_k as u32,
            b_col: dims.b_col as u32,
            b_k: dims.b_k as u32,
            activation: product.activation.code(),
            has_bias: product.bias.is_some().into(),
            has_residual: product.residual.is_some().into(),
            out_cols: *cols as u32,
            out_first: *start as u32,
        }),
        // What is absent is never read, but every binding needs a buffer.
        inputs: &[a, b, product.bias.unwrap_or(a), product.residual.unwrap_or(a)],
        outputs: &[y],
        groups: plan.groups,
    });
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

/// The product into the columns from `start` on.
fn twin(a: &[f32], b: &Tensor, dims: &Dims, to: &Columns, start: usize) {
    if b.dtype() == Dtype::F32 {
        #[cfg(not(target_arch = "wasm32"))]
        let parallelism = gemm::Parallelism::Rayon(0);
        #[cfg(target_arch = "wasm32")]
        let parallelism = gemm::Parallelism::None;
        return product(a, b.f32s(), dims, (to, start), parallelism);
    }
    // A panel of b's rows at a time is widened, just before it is used and while it is near.
    par::map(dims.n.div_ceil(PANEL), |panel| {
        let first = panel * PANEL;
        let dims = Dims { n: PANEL.min(dims.n - first), ..*dims };
        let mut wide = vec![0.0; dims.n * dims.k];
        weight::widen(b.dtype(), &b.halves()[first * dims.k..][..wide.len()], &mut wide);
        product(a, &wide, &dims, (to, start + first), gemm::Parallelism::None);
    });
}

/// Rows of a 16-bit b that are widened at once: 128 × 3,072 of them still fit a second cache of 2 MB, and are
/// enough for a product to run at full speed.
const PANEL: usize = 128;

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
mod tests {
    use super::*;
    use crate::gpu::Engine;
    use crate::kernels::activation::float64;
    use crate::kernels::testing::{self, close, each_engine};

    const LAYOUTS: [Layout; 3] = [Layout::Nt, Layout::Nn, Layout::Tn];
    const VARIANTS: [Variant; 3] = [Variant::Registers, Variant::Rows, Variant::Tiled];

    /// Error allowed for f32 sums of `k` products of normal values, relative to the largest result. Each of the
    /// K additions rounds a partial sum no larger than that by up to 2⁻²⁴, half of it typically, in either
    /// direction: √K·2⁻²⁵, of which three are allowed for the worst element, and two roundings more for what
    /// follows the sum. 5e-6 at K = 3,072.
    fn tolerance(k: usize) -> f64 {
        (3.0 * (k as f64).sqrt() + 4.0) * f64::from(f32::EPSILON) / 4.0
    }

    fn shapes(layout: Layout, [m, n, k]: [usize; 3]) -> ([usize; 2], [usize; 2]) {
        match layout {
            Layout::Nt => ([m, k], [n, k]),
            Layout::Nn => ([m, k], [k, n]),
            Layout::Tn => ([k, m], [k, n]),
        }
    }

    fn reference(layout: Layout, [m, n, k]: [usize; 3], a: &[f32], b: &[f32]) -> Vec<f64> {
        let mut y = vec![0.0; m * n];
        for (i, row) in y.chunks_mut(n.max(1)).enumerate() {
            for (j, y) in row.iter_mut().enumerate() {
                *y = (0..k)
                    .map(|l| {
                        let (ia, ib) = match layout {
                            Layout::Nt => (i * k + l, j * k + l),
                            Layout::Nn => (i * k + l, l * n + j),
                            Layout::Tn => (l * m + i, l * n + j),
                        };
                        f64::from(a[ia]) * f64::from(b[ib])
                    })
                    .sum();
            }
        }
        y
    }

    /// The bare product by a variant that the adapter would not choose.
    fn forced(variant: Variant, a: &Tensor, b: &Tensor, product: &Product<'_>) -> Tensor {
        let Backend::Gpu(gpu) = a.engine().backend() else { panic!("a GPU is needed") };
        let dims = Dims::new(a, b, product.layout);
        let y = Tensor::output(a.engine(), &[dims.m, dims.n], Dtype::F32);
        let fits = variant != Variant::Rows || dims.by_rows();
        let mut plan = Plan::of(if fits { variant } else { Variant::Registers }, &dims);
        // Workgroups in two dimensions, as for large results, some of them superfluous.
        plan.groups = [plan.groups[0].div_ceil(2), 3, 1];
        let piece = Piece { dims: &dims, product, cols: dims.n, start: 0 };
        record(gpu, plan, &piece, [a, b, &y]);
        y
    }

    fn tensor(engine: &Engine, shape: &[usize], values: &[f32]) -> Tensor {
        Tensor::from_f32(engine, shape, values.to_vec())
    }

    #[test]
    fn every_layout_and_variant_agrees_with_float64() {
        let sizes = [
            [1, 1, 1],
            [1, 5, 3],
            [7, 1, 9],
            [64, 64, 16],
            [65, 63, 17],
            [8, 8, 8],
            [9, 70, 33],
            [70, 9, 64],
            [70, 66, 1],
            [9, 10, 3_072],
        ];
        for layout in LAYOUTS {
            for size in sizes {
                let (sa, sb) = shapes(layout, size);
                let a = testing::normal(1, sa.iter().product());
                let b = testing::normal(2, sb.iter().product());
                let want = reference(layout, size, &a, &b);
                let k = size[2];
                let product = Product { layout, ..Product::default() };
                each_engine(|engine| {
                    let (a, b) = (tensor(engine, &sa, &a), tensor(engine, &sb, &b));
                    close(engine, &matmul(&a, &b, &product), &want, tolerance(k));
                    if matches!(engine.backend(), Backend::Gpu(_)) {
                        for variant in VARIANTS {
                            close(engine, &forced(variant, &a, &b, &product), &want, tolerance(k));
                        }
                    }
                });
            }
        }
    }

    #[test]
    fn adds_bias_activates_and_adds_the_residual() {
        type Reference = fn(f64) -> f64;
        let activations: [(Activation, Reference); 5] = [
            (Activation::None, |x| x),
            (Activation::Gelu, float64::gelu),
            (Activation::Silu, float64::silu),
            (Activation::Softplus, float64::softplus),
            (Activation::Relu, |x| x.max(0.0)),
        ];
        let [m, n, k] = [19, 67, 21];
        let a = testing::normal(1, m * k);
        let b = testing::normal(2, n * k);
        let bias = testing::normal(3, n);
        let residual = testing::normal(4, m * n);
        let bare = reference(Layout::Nt, [m, n, k], &a, &b);
        for (activation, act) in activations {
            for (has_bias, has_residual) in [(true, true), (true, false), (false, true)] {
                let want: Vec<f64> = bare
                    .iter()
                    .enumerate()
                    .map(|(i, y)| {
                        let bias = if has_bias { f64::from(bias[i % n]) } else { 0.0 };
                        let residual = if has_residual { f64::from(residual[i]) } else { 0.0 };
                        act(y + bias) + residual
                    })
                    .collect();
                each_engine(|engine| {
                    let a = tensor(engine, &[1, m, k], &a);
                    let b = tensor(engine, &[n, k], &b);
                    let bias = tensor(engine, &[n], &bias);
                    let residual = tensor(engine, &[1, m, n], &residual);
                    let product = Product {
                        bias: has_bias.then_some(&bias),
                        activation,
                        residual: has_residual.then_some(&residual),
                        ..Product::default()
                    };
                    let y = matmul(&a, &b, &product);
                    assert_eq!(y.shape(), [1, m, n]);
                    close(engine, &y, &want, tolerance(k));
                    if matches!(engine.backend(), Backend::Gpu(_)) {
                        for variant in VARIANTS {
                            close(engine, &forced(variant, &a, &b, &product), &want, tolerance(k));
                        }
                    }
                });
            }
        }
    }

    #[test]
    fn weights_in_parts_and_16_bits_agree_with_float64() {
        // Rows of odd length: their halves lie across words.
        for [m, n, k] in [[3, 9, 5], [17, 300, 64], [66, 130, 33], [9, 21, 12]] {
            let a = testing::normal(1, m * k);
            let bias = testing::normal(3, n);
            let residual = testing::normal(4, m * n);
            for dtype in [Dtype::F32, Dtype::F16, Dtype::BF16] {
                let (bytes, b) = testing::stored(dtype, &testing::normal(2, n * k));
                let mut want = reference(Layout::Nt, [m, n, k], &a, &b);
                for (i, y) in want.iter_mut().enumerate() {
                    *y = (*y + f64::from(bias[i % n])).max(0.0) + f64::from(residual[i]);
                }
                each_engine(|engine| {
                    let a = tensor(engine, &[m, k], &a);
                    let (bias, residual) = (tensor(engine, &[n], &bias), tensor(engine, &[m, n], &residual));
                    let product = Product {
                        bias: Some(&bias),
                        activation: Activation::Relu,
                        residual: Some(&residual),
                        ..Product::default()
                    };
                    for cuts in [vec![n], vec![4, n - 4], vec![2, n - 3, 1]] {
                        let parts = testing::parts(engine, dtype, &bytes, &cuts, k);
                        close(engine, &matmul_parts(&a, &parts, &product), &want, tolerance(k));
                    }
                    if matches!(engine.backend(), Backend::Gpu(_)) {
                        let parts = testing::parts(engine, dtype, &bytes, &[n], k);
                        for variant in VARIANTS {
                            close(engine, &forced(variant, &a, &parts[0], &product), &want, tolerance(k));
                        }
                    }
                });
            }
        }
    }

    #[test]
    fn empty_sums_are_zero_and_empty_results_are_empty() {
        each_engine(|engine| {
            for layout in LAYOUTS {
                for size in [[3, 70, 0], [0, 4, 5], [4, 0, 5], [0, 0, 0]] {
                    let (sa, sb) = shapes(layout, size);
                    let product = Product { layout, ..Product::default() };
                    let y = matmul(&Tensor::zeros(engine, &sa), &Tensor::zeros(engine, &sb), &product);
                    assert_eq!(y.shape(), &size[..2]);
                    close(engine, &y, &vec![0.0; size[0] * size[1]], 0.0);
                }
            }
            // The bias of an empty sum is the bias.
            let bias = Tensor::from_f32(engine, &[2], vec![1.0, 2.0]);
            let product = Product { bias: Some(&bias), ..Product::default() };
            let y = matmul(&Tensor::zeros(engine, &[3, 0]), &Tensor::zeros(engine, &[2, 0]), &product);
            close(engine, &y, &[1.0, 2.0, 1.0, 2.0, 1.0, 2.0], 0.0);
        });
    }

    #[test]
    fn nan_and_infinity_reach_their_row_and_column_only() {
        let [m, n, k] = [10, 70, 5];
        let mut a = testing::normal(1, m * k);
        let mut b = testing::normal(2, n * k);
        a[9 * k + 4] = f32::NAN;
        b[69 * k] = f32::INFINITY;
        for activation in [Activation::None, Activation::Relu, Activation::Gelu] {
            let check = |y: &Tensor| {
                let y = pollster::block_on(y.read_f32()).unwrap();
                for (i, v) in y.iter().enumerate() {
                    let (row, col) = (i / n, i % n);
                    match (row, col) {
                        (9, _) => assert!(v.is_nan(), "{row}, {col}: {v}"),
                        (_, 69) => assert!(!v.is_normal() || activation == Activation::Gelu, "{row}: {v}"),
                        _ => assert!(v.is_finite(), "{row}, {col}: {v}"),
                    }
                }
            };
            let product = Product { activation, ..Product::default() };
            each_engine(|engine| {
                let (a, b) = (tensor(engine, &[m, k], &a), tensor(engine, &[n, k], &b));
                check(&matmul(&a, &b, &product));
                if matches!(engine.backend(), Backend::Gpu(_)) {
                    for variant in VARIANTS {
                        check(&forced(variant, &a, &b, &product));
                    }
                }
            });
        }
    }

    #[test]
    fn plans_count_their_workgroups() {
        let planned = |m, n, k, layout, software| {
            let b_k = if layout == Layout::Nt { 1 } else { n };
            let p = Plan::new(&Dims { m, n, k, a_row: k, a_k: 1, b_col: k, b_k }, software);
            (p.variant, p.groups)
        };
        let plan = |m, n, software| planned(m, n, 7, Layout::Nt, software);
        assert_eq!(plan(64, 64, false), (Variant::Tiled, [1, 1, 1]));
        assert_eq!(plan(65, 64, false), (Variant::Tiled, [2, 1, 1]));
        assert_eq!(plan(1_024, 3_072, false), (Variant::Tiled, [16 * 48, 1, 1]));
        assert_eq!(plan(64 * 65_536, 1, false), (Variant::Tiled, [65_535, 2, 1]));
        assert_eq!(plan(64, 64, true), (Variant::Registers, [1, 1, 1]));
        assert_eq!(plan(65, 64, true), (Variant::Registers, [2, 1, 1]));
        assert_eq!(plan(1, 1, true), (Variant::Registers, [1, 1, 1]));
        assert_eq!(planned(64, 64, 8, Layout::Nt, true), (Variant::Rows, [1, 1, 1]));
        assert_eq!(planned(64, 64, 8, Layout::Nn, true), (Variant::Registers, [1, 1, 1]));
        assert_eq!(planned(64, 64, 0, Layout::Nt, true), (Variant::Registers, [1, 1, 1]));
    }

    #[test]
    #[should_panic(expected = "matmul Nt")]
    fn refuses_operands_that_do_not_fit() {
        let engine = Engine::cpu();
        matmul(&Tensor::zeros(&engine, &[2, 3]), &Tensor::zeros(&engine, &[3, 2]), &Product::default());
    }
}
