//! Compaction of a mostly-zero matrix to its non-zero elements, on the device.

use super::{Sparse, count_rows, indptr, par};
use crate::gpu::{Dtype, GpuError, Launch, Shader, Tensor, Word, shader};

static SHADER: Shader = shader!("sparsify", "per_group", "stretch");

/// The non-zero elements of `x` [.., F]. On a device they stay there; where they are comes to the host, too. Waits
/// twice: for how many there are in each row, and for their columns.
///
/// # Errors
/// What went wrong on the device.
pub async fn sparsify(x: &Tensor) -> Result<Sparse, GpuError> {
    let (engine, (rows, cols)) = (x.engine(), x.rows_cols());
    if !engine.is_gpu() {
        return Ok(twin(x));
    }
    let indptr = indptr(count_rows(x).read_u32().await?.into_iter());
    let entries = indptr[rows] as usize;
    let device_indptr = Tensor::from_u32(engine, &[rows + 1], indptr.clone());
    let device_indices = Tensor::output(engine, &[entries], Dtype::U32);
    let values = Tensor::output(engine, &[entries], Dtype::F32);
    Launch::per_group(&SHADER, rows, &[cols.word()], &[x, &device_indptr])
        .record(&[&device_indices, &values]);
    let indices = if entries > 0 { device_indices.read_u32().await? } else { Vec::new() };
    Ok(Sparse { cols, indptr, indices, values, device_indptr, device_indices })
}

fn twin(x: &Tensor) -> Sparse {
    // One task per stretch of rows: few enough to cost nothing, many enough for all cores.
    const ROWS: usize = 64;
    let ((rows, cols), x_values) = (x.rows_cols(), x.f32s());
    let parts = par::map(rows.div_ceil(ROWS), |part| {
        let range = part * ROWS..((part + 1) * ROWS).min(rows);
        let (mut counts, mut indices, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for r in range {
            let before = indices.len();
            for (c, &value) in x_values[r * cols..][..cols].iter().enumerate() {
                if value != 0.0 {
                    indices.push(c as u32);
                    values.push(value);
                }
            }
            counts.push((indices.len() - before) as u32);
        }
        (counts, indices, values)
    });
    let (mut counts, mut indices, mut values) = (Vec::with_capacity(rows), Vec::new(), Vec::new());
    for part in parts {
        counts.extend(part.0);
        indices.extend(part.1);
        values.extend(part.2);
    }
    let values = Tensor::from_f32(x.engine(), &[values.len()], values);
    Sparse::new(cols, indptr(counts.into_iter()), indices, values)
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
            let (mut counts, mut indices, mut values) = (vec![0; rows], Vec::new(), Vec::new());
            for (i, &v) in x.iter().enumerate().filter(|(_, v)| **v != 0.0) {
                counts[i / cols] += 1;
                indices.push((i % cols) as u32);
                values.push(v);
            }
            let indptr = indptr(counts.into_iter());
            each_engine(|engine| {
                let x = Tensor::from_f32(engine, &[rows, cols], x.clone());
                let got = pollster::block_on(sparsify(&x)).expect("readback");
                let read = |t: &Tensor| pollster::block_on(t.read_u32()).expect("readback");
                assert_eq!((got.cols, &got.indptr, &got.indices), (cols, &indptr, &indices));
                assert_eq!(
                    (read(&got.device_indptr), read(&got.device_indices)),
                    (indptr.clone(), indices.clone())
                );
                assert_eq!(pollster::block_on(got.values.read_f32()).expect("readback"), values);
            });
        }
    }
}
