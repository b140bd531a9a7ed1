//! Sums over the entries of each column of a sparse matrix.

use super::ByColumn;
use crate::gpu::{Backend, Launch, Shader, Tensor, Word, shader};

static SHADER: Shader = shader!("entry_sums", "per_element");

/// Sums of `values` [entries, W] over the entries of each of `cols` columns: [cols, W], zeros where a column has
/// none.
///
/// # Panics
/// When the shapes do not fit.
pub fn entry_sums(by: &ByColumn, values: &Tensor, cols: usize) -> Tensor {
    let (entries, width) = values.rows_cols();
    assert_eq!(entries, by.entries.rows_cols().0, "entry_sums values");
    let engine = values.engine();
    let mut sums = Tensor::zeros(engine, &[cols, width]);
    match engine.backend() {
        Backend::Cpu => {
            let (entries, values) = (by.entries.u32s().as_chunks::<2>().0, values.f32s());
            let sums = sums.f32s_mut();
            for (&column, range) in by.columns.iter().zip(by.indptr.windows(2)) {
                let sums = &mut sums[column as usize * width..][..width];
                for &[_, place] in &entries[range[0] as usize..range[1] as usize] {
                    let value = &values[place as usize * width..][..width];
                    sums.iter_mut().zip(value).for_each(|(sum, v)| *sum += v);
                }
            }
        }
        Backend::Gpu(_) => {
            let inputs = [&by.device_columns, &by.device_indptr, &by.entries, values];
            Launch::per_element(&SHADER, by.columns.len() * width, &[width.word()], &inputs).record(&[&sums]);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{self, close, each_engine, sparse};

    #[test]
    fn agrees_with_float64() {
        for (rows, cols, width) in [(1, 1, 1), (9, 5, 4), (200, 70, 2), (0, 3, 4), (3_000, 2, 1)] {
            let dense = testing::mostly_zeros(1, rows * cols);
            let places: Vec<usize> = (0..rows * cols).filter(|&i| dense[i] != 0.0).collect();
            let values = testing::normal(2, places.len() * width);
            let mut want = vec![0.0; cols * width];
            for (e, i) in places.iter().enumerate() {
                for part in 0..width {
                    want[i % cols * width + part] += f64::from(values[e * width + part]);
                }
            }
            each_engine(|engine| {
                let by = ByColumn::new(&sparse(engine, &dense, cols));
                let values = Tensor::from_f32(engine, &[places.len(), width], values.clone());
                // Sums of up to some 400 numbers of size 1.
                close(engine, &entry_sums(&by, &values, cols), &want, 3e-6);
            });
        }
    }
}
