//! Activations from sparse features: only the decoder's rows of active features are read.

use super::{Sparse, par, vectors};
use crate::gpu::{Launch, Shader, Tensor, Word, shader};

static SHADER: Shader = shader!("sparse_decode", "per_group");

/// `features` [R, F] · `w` [F, D] + `bias` [D]: [R, D].
///
/// # Panics
/// When the shapes do not fit.
pub fn sparse_decode(features: &Sparse, w: &Tensor, bias: &Tensor) -> Tensor {
    let (rows, (lines, cols)) = (features.rows(), w.rows_cols());
    assert_eq!((features.cols, bias.shape()), (lines, &[cols][..]), "sparse_decode of {w:?}");
    let inputs = [&features.device_indptr, &features.device_indices, &features.values, w, bias];
    Launch::per_group(&SHADER, rows, &[cols.word()], &inputs).run(&[rows, cols], || {
        let (values, w, bias) = (features.values.f32s(), w.f32s(), bias.f32s());
        let mut y = vec![0.0; rows * cols];
        par::rows(&mut y, cols, |r, y| {
            y.copy_from_slice(bias);
            let entries = features.row(r);
            let terms = values[entries.clone()].iter().zip(&features.indices[entries]);
            let terms: Vec<(f32, usize)> = terms.map(|(&v, &c)| (v, c as usize)).collect();
            vectors::add_rows(y, &terms, w);
        });
        y
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{self, close, each_engine, sparse};

    #[test]
    fn agrees_with_float64() {
        for (rows, features, cols) in
            [(1, 1, 1), (3, 7, 2), (20, 65, 130), (0, 5, 3), (4, 9, 0), (70_000, 3, 2)]
        {
            let (dense, w) = (testing::mostly_zeros(1, rows * features), testing::normal(2, features * cols));
            let bias = testing::normal(3, cols);
            let mut want = Vec::new();
            for r in 0..rows {
                for c in 0..cols {
                    let term = |j: usize| f64::from(dense[r * features + j]) * f64::from(w[j * cols + c]);
                    want.push(f64::from(bias[c]) + (0..features).map(term).sum::<f64>());
                }
            }
            each_engine(|engine| {
                let t = |shape: &[usize], v: &[f32]| Tensor::from_f32(engine, shape, v.to_vec());
                let codes = sparse(engine, &dense, features);
                let y = sparse_decode(&codes, &t(&[features, cols], &w), &t(&[cols], &bias));
                // At most some ten terms of size 10.
                close(engine, &y, &want, 1e-6);
            });
        }
    }
}
