//! Embedding: rows of a table by token id.

use bytemuck::{Pod, Zeroable};

use super::par;
use crate::gpu::{Backend, Dispatch, Dtype, Shader, Tensor, grid};

static SHADER: Shader = Shader { name: "embed", wgsl: include_str!("../../../shaders/embed.wgsl") };

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    len: u32,
    cols: u32,
    _pad: [u32; 2],
}

/// The rows of `table` [V, D] that `ids` [..] names, as [.., D].
///
/// # Panics
/// When `table` is no matrix, or (on the CPU engine; a GPU returns other rows) when an id is not below V.
pub fn embed(table: &Tensor, ids: &Tensor) -> Tensor {
    let &[_, cols] = table.shape() else { panic!("embed table {table:?}") };
    let shape = [ids.shape(), &[cols]].concat();
    match table.engine().backend() {
        Backend::Cpu => {
            let y = twin(table.f32s(), ids.u32s(), cols);
            Tensor::from_f32(table.engine(), &shape, y)
        }
        Backend::Gpu(gpu) => {
            assert_eq!(ids.dtype(), Dtype::U32, "embed ids");
            let y = Tensor::output(table.engine(), &shape, Dtype::F32);
            if !y.is_empty() {
                gpu.dispatch(&Dispatch {
                    shader: &SHADER,
                    constants: &[],
                    params: bytemuck::bytes_of(&Params {
                        len: y.len() as u32,
                        cols: cols as u32,
                        _pad: [0; 2],
                    }),
                    inputs: &[table, ids],
                    outputs: &[&y],
                    groups: grid(y.len().div_ceil(64)),
                });
            }
            y
        }
    }
}

fn twin(table: &[f32], ids: &[u32], cols: usize) -> Vec<f32> {
    let mut y = vec![0.0; ids.len() * cols];
    par::rows(&mut y, cols, |t, y| y.copy_from_slice(&table[ids[t] as usize * cols..][..cols]));
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
                let y = embed(&table, &ids);
                assert_eq!(y.shape(), [&shape[..], &[cols]].concat());
                // Copies are exact.
                close(engine, &y, &want, 0.0);
            });
        }
    }
}
