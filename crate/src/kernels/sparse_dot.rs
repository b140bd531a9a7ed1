//! Products of rows with rows, at the places of a sparse matrix: the gradient of active features.

use bytemuck::{Pod, Zeroable};

use super::{Sparse, par, vectors};
use crate::gpu::{Backend, Dispatch, Dtype, Shader, Tensor, grid};

static SHADER: Shader = Shader { name: "sparse_dot", wgsl: include_str!("../../../shaders/sparse_dot.wgsl") };

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    cols: u32,
    _pad: [u32; 2],
}

/// ⟨`g`[r], `w`[j]⟩ for each entry (r, j) of `places` [R, F]; `g` is [R, D] and `w` [F, D]. [entries].
///
/// # Panics
/// When the shapes do not fit.
pub fn sparse_dot(places: &Sparse, g: &Tensor, w: &Tensor) -> Tensor {
    let (rows, cols) = g.rows_cols();
    assert_eq!(
        (places.rows(), places.cols, cols),
        (rows, w.rows_cols().0, w.rows_cols().1),
        "sparse_dot of {w:?}"
    );
    let (engine, entries) = (w.engine(), places.entries());
    match engine.backend() {
        Backend::Cpu => {
            let (g, w) = (g.f32s(), w.f32s());
            let parts = par::map(rows.div_ceil(ROWS), |part| {
                let rows = part * ROWS..((part + 1) * ROWS).min(rows);
                let row = |r: usize| {
                    let g = &g[r * cols..][..cols];
                    let columns = places.columns[places.row(r)].iter();
                    columns.map(move |&j| vectors::dot(g, &w[j as usize * cols..][..cols]))
                };
                rows.flat_map(row).collect::<Vec<f32>>()
            });
            Tensor::from_f32(engine, &[entries], parts.concat())
        }
        Backend::Gpu(gpu) => {
            let q = Tensor::output(engine, &[entries], Dtype::F32);
            if entries > 0 {
                gpu.dispatch(&Dispatch {
                    shader: &SHADER,
                    constants: &[],
                    params: bytemuck::bytes_of(&Params {
                        rows: rows as u32,
                        cols: cols as u32,
                        _pad: [0; 2],
                    }),
                    inputs: &[&places.start, &places.column, g, w],
                    outputs: &[&q],
                    groups: grid(rows),
                });
            }
            q
        }
    }
}

/// Rows that a core takes at a time.
const ROWS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{self, close, each_engine, sparse};

    #[test]
    fn agrees_with_float64() {
        for (rows, features, cols) in
            [(1, 1, 1), (3, 7, 2), (20, 65, 130), (0, 5, 3), (4, 9, 0), (70_000, 3, 2)]
        {
            let dense = testing::mostly_zeros(1, rows * features);
            let (g, w) = (testing::normal(2, rows * cols), testing::normal(3, features * cols));
            let places = (0..rows * features).filter(|&i| dense[i] != 0.0);
            let want: Vec<f64> = places
                .map(|i| {
                    let (r, j) = (i / features, i % features);
                    (0..cols).map(|c| f64::from(g[r * cols + c]) * f64::from(w[j * cols + c])).sum()
                })
                .collect();
            each_engine(|engine| {
                let t = |shape: &[usize], v: &[f32]| Tensor::from_f32(engine, shape, v.to_vec());
                let places = sparse(engine, &dense, features);
                let q = sparse_dot(&places, &t(&[rows, cols], &g), &t(&[features, cols], &w));
                // Sums of at most 130 terms, most of them below 3.
                close(engine, &q, &want, 2e-6);
            });
        }
    }
}
