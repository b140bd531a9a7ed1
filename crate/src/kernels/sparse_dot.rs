//! Products of rows with rows, at the places of a sparse matrix: the gradient of active features.

use super::{Sparse, par, vectors};
use crate::gpu::{Launch, Shader, Tensor, Word, shader};

static SHADER: Shader = shader!("sparse_dot", "per_group");

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
    let inputs = [&places.device_indptr, &places.device_indices, g, w];
    Launch::per_group(&SHADER, rows, &[cols.word()], &inputs).run(&[places.entries()], || {
        let (g, w) = (g.f32s(), w.f32s());
        let parts = par::map(rows.div_ceil(ROWS), |part| {
            let rows = part * ROWS..((part + 1) * ROWS).min(rows);
            let row = |r: usize| {
                let g = &g[r * cols..][..cols];
                let columns = places.indices[places.row(r)].iter();
                columns.map(move |&j| vectors::dot(g, &w[j as usize * cols..][..cols]))
            };
            rows.flat_map(row).collect::<Vec<f32>>()
        });
        parts.concat()
    })
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
