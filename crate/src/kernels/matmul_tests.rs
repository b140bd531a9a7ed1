//! Matrix products against float64.

use super::*;
use crate::gpu::Engine;
use crate::kernels::activation::float64;
use crate::kernels::testing::{self, close, each_engine};

const LAYOUTS: [Layout; 3] = [Layout::Nt, Layout::Nn, Layout::Tn];
const VARIANTS: [Variant; 3] = [Variant::Registers, Variant::Fours, Variant::Tiled];

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
    let dims = Dims::new(a, b, product.layout);
    let y = Tensor::output(a.engine(), &[dims.m, dims.n], Dtype::F32);
    let fits = variant != Variant::Fours || dims.in_fours();
    let mut tiling = Tiling::of(if fits { variant } else { Variant::Registers }, &dims);
    // Workgroups in two dimensions, as for large results, some of them superfluous.
    tiling.groups = [tiling.groups[0].div_ceil(2), 3, 1];
    let piece = Piece { dims: &dims, product, cols: dims.n, start: 0 };
    piece.record(tiling, [a, b, &y]);
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
        [12, 20, 8],
        [68, 132, 16],
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
                if engine.is_gpu() {
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
    let activations: [(Activation, Reference); 6] = [
        (Activation::None, |x| x),
        (Activation::Gelu, float64::gelu),
        (Activation::GeluTanh, float64::gelu_tanh),
        (Activation::Silu, float64::silu),
        (Activation::Softplus, float64::softplus),
        (Activation::Relu, |x| x.max(0.0)),
    ];
    let [m, n, k] = [19, 67, 24];
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
                if engine.is_gpu() {
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
    for [m, n, k] in [[3, 9, 5], [17, 300, 64], [66, 130, 33], [9, 21, 12], [260, 140, 20]] {
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
                if engine.is_gpu() {
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
    let [m, n, k] = [10, 70, 8];
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
            if engine.is_gpu() {
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
        let p = Tiling::new(&Dims { m, n, k, a_row: k, a_k: 1, b_col: k, b_k }, software);
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
    assert_eq!(planned(64, 64, 8, Layout::Nt, true), (Variant::Fours, [1, 1, 1]));
    assert_eq!(planned(64, 64, 8, Layout::Nn, true), (Variant::Fours, [1, 1, 1]));
    assert_eq!(planned(64, 63, 8, Layout::Nt, true), (Variant::Fours, [1, 1, 1]));
    assert_eq!(planned(64, 63, 8, Layout::Nn, true), (Variant::Registers, [1, 1, 1]));
    assert_eq!(planned(64, 64, 0, Layout::Nt, true), (Variant::Registers, [1, 1, 1]));
}

#[test]
#[should_panic(expected = "matmul Nt")]
fn refuses_operands_that_do_not_fit() {
    let engine = Engine::cpu();
    matmul(&Tensor::zeros(&engine, &[2, 3]), &Tensor::zeros(&engine, &[3, 2]), &Product::default());
}
