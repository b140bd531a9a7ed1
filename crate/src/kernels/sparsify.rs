//! Compaction of a mostly-zero matrix to its non-zero elements, on the device.

use super::{count_rows, par};
use crate::gpu::{Backend, Dtype, GpuError, Launch, Shader, Tensor, Word, shader};

static SHADER: Shader = shader!("sparsify", "per_group", "stretch");

/// The non-zero elements of a matrix, row after row, by ascending column within a row.
#[derive(Debug, Clone, PartialEq)]
pub struct SparseRows {
    /// Number of elements of each row.
    pub counts: Vec<u32>,
    /// Column of each element.
    pub indices: Vec<u32>,
    /// Each element.
    pub values: Vec<f32>,
}

/// Reads back the non-zero elements of `x` [.., F]; the dense matrix stays on the device. Waits twice: for the
/// number of elements, and for the elements.
///
/// # Errors
/// What went wrong on the device.
pub async fn sparsify(x: &Tensor) -> Result<SparseRows, GpuError> {
    let (rows, cols) = x.rows_cols();
    match x.engine().backend() {
        Backend::Cpu => Ok(twin(x.f32s(), rows, cols)),
        Backend::Gpu(_) => {
            let counts = count_rows(x).read_u32().await?;
            let mut entries = 0;
            let starts = counts.iter().map(|&count| {
                let start = entries;
                entries += count;
                start
            });
            let starts = Tensor::from_u32(x.engine(), &[rows], starts.collect());
            if entries == 0 {
                return Ok(SparseRows { counts, indices: Vec::new(), values: Vec::new() });
            }
            let indices = Tensor::output(x.engine(), &[entries as usize], Dtype::U32);
            let values = Tensor::output(x.engine(), &[entries as usize], Dtype::F32);
            Launch::per_group(&SHADER, rows, &[cols.word()], &[x, &starts]).record(&[&indices, &values]);
            Ok(SparseRows { counts, indices: indices.read_u32().await?, values: values.read_f32().await? })
        }
    }
}

fn twin(x: &[f32], rows: usize, cols: usize) -> SparseRows {
    // One task per stretch of rows: few enough to cost nothing, many enough for all cores.
    const ROWS: usize = 64;
    let parts = par::map(rows.div_ceil(ROWS), |part| {
        let range = part * ROWS..((part + 1) * ROWS).min(rows);
        let mut out = SparseRows { counts: Vec::new(), indices: Vec::new(), values: Vec::new() };
        for r in range {
            let before = out.indices.len();
            for (c, &value) in x[r * cols..][..cols].iter().enumerate() {
                if value != 0.0 {
                    out.indices.push(c as u32);
                    out.values.push(value);
                }
            }
            out.counts.push((out.indices.len() - before) as u32);
        }
        out
    });
    let mut all = SparseRows { counts: Vec::with_capacity(rows), indices: Vec::new(), values: Vec::new() };
    for part in parts {
        all.counts.extend(part.counts);
        all.indices.extend(part.indices);
        all.values.extend(part.values);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{self, each_engine};

    #[test]
    fn keeps_every_non_zero_in_order() {
        for (rows, cols) in [(1, 1), (3, 65), (4, 0), (0, 5), (130, 1_000), (70_000, 2), (1, 64), (5, 63)] {
            // About one in seven is not zero.
            let x: Vec<f32> = testing::normal(5, rows * cols)
                .iter()
                .map(|&v| if (-3.0..=1.1).contains(&v) { 0.0 } else { v })
                .collect();
            let mut want = SparseRows { counts: vec![0; rows], indices: Vec::new(), values: Vec::new() };
            for (i, &v) in x.iter().enumerate().filter(|(_, v)| **v != 0.0) {
                want.counts[i / cols] += 1;
                want.indices.push((i % cols) as u32);
                want.values.push(v);
            }
            each_engine(|engine| {
                let x = Tensor::from_f32(engine, &[rows, cols], x.clone());
                assert_eq!(pollster::block_on(sparsify(&x)).expect("readback"), want);
            });
        }
    }
}
