//! Embedding: rows of a table by token id.

use super::{par, weight};
use crate::gpu::{Backend, Dtype, Launch, Shader, Tensor, Word, shader};

static SHADER: Shader = shader!("embed", "per_element", "weight");

/// The rows of a table [V, D] that `ids` [..] names, as f32 [.., D]. The table, f32, f16 or bf16, comes in `parts`
/// by rows, since one as large as a vocabulary may be more than a device can bind at once.
///
/// # Panics
/// When a part is no matrix or of another width, or (on the CPU engine; a GPU returns anything) when an id is not
/// below V.
pub fn embed(parts: &[Tensor], ids: &Tensor) -> Tensor {
    let cols = weight::width(parts);
    let shape = [ids.shape(), &[cols]].concat();
    let engine = ids.engine();
    match engine.backend() {
        Backend::Cpu => Tensor::from_f32(engine, &shape, twin(parts, ids.u32s(), cols)),
        Backend::Gpu(_) => {
            assert_eq!(ids.dtype(), Dtype::U32, "embed ids");
            let y = Tensor::output(engine, &shape, Dtype::F32);
            let mut first = 0;
            for part in parts {
                let rows = part.shape()[0];
                Launch::per_element(&SHADER, y.len(), &[cols, first, rows].map(Word::word), &[part, ids])
                    .with(&[weight::format(part)])
                    .record(&[&y]);
                first += rows;
            }
            y
        }
    }
}

fn twin(parts: &[Tensor], ids: &[u32], cols: usize) -> Vec<f32> {
    let mut y = vec![0.0; ids.len() * cols];
    par::rows(&mut y, cols, |t, y| {
        let mut row = ids[t] as usize;
        let part = parts.iter().find(|part| {
            let here = row < part.shape()[0];
            row -= if here { 0 } else { part.shape()[0] };
            here
        });
        weight::row(part.expect("an id below the number of rows"), row, y);
    });
    y
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{self, close, each_engine};

    #[test]
    fn copies_the_named_rows() {
        // The last shape needs more than 65,535 workgroups.
        for (rows, cols, shape) in
            [(5, 3, vec![2, 4]), (1, 1, vec![1]), (7, 129, vec![3]), (4, 2, vec![0]), (3, 64, vec![66_000])]
        {
            let table = testing::uniform(1, rows * cols);
            let n: usize = shape.iter().product();
            let ids: Vec<u32> = (0..n).map(|t| ((t * t + t / 7) % rows) as u32).collect();
            let want: Vec<f64> = ids
                .iter()
                .flat_map(|&id| (0..cols).map(move |c| (id as usize, c)))
                .map(|(id, c)| f64::from(table[id * cols + c]))
                .collect();
            each_engine(|engine| {
                let table = Tensor::from_f32(engine, &[rows, cols], table.clone());
                let ids = Tensor::from_u32(engine, &shape, ids.clone());
                let y = embed(&[table], &ids);
                assert_eq!(y.shape(), [&shape[..], &[cols]].concat());
                // Copies are exact.
                close(engine, &y, &want, 0.0);
            });
        }
    }

    #[test]
    fn parts_and_16_bit_tables_are_read_alike() {
        let (rows, cols) = (9, 5);
        let ids: Vec<u32> = vec![8, 0, 3, 4, 2, 7, 6, 3];
        for dtype in [Dtype::F32, Dtype::F16, Dtype::BF16] {
            let (bytes, values) = testing::stored(dtype, &testing::normal(1, rows * cols));
            let want: Vec<f64> = ids
                .iter()
                .flat_map(|&id| values[id as usize * cols..][..cols].iter().map(|&v| f64::from(v)))
                .collect();
            each_engine(|engine| {
                for cuts in [vec![9], vec![4, 5], vec![1, 7, 1]] {
                    let parts = testing::parts(engine, dtype, &bytes, &cuts, cols);
                    let ids = Tensor::from_u32(engine, &[2, 4], ids.clone());
                    close(engine, &embed(&parts, &ids), &want, 0.0);
                }
            });
        }
    }
}
