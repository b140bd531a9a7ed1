//! Euclidean norm of each row.

use bytemuck::{Pod, Zeroable};

use super::par;
use crate::gpu::{Backend, Dispatch, Dtype, Shader, Tensor, grid};

static SHADER: Shader = Shader { name: "row_norms", wgsl: include_str!("../../../shaders/row_norms.wgsl") };

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    cols: u32,
    _pad: [u32; 2],
}

/// ‖x‖ of each row of `x` [.., D]: [rows].
pub fn row_norms(x: &Tensor) -> Tensor {
    let (rows, cols) = x.rows_cols();
    match x.engine().backend() {
        Backend::Cpu => {
            let values = x.f32s();
            let norms =
                par::map(rows, |r| values[r * cols..][..cols].iter().map(|v| v * v).sum::<f32>().sqrt());
            Tensor::from_f32(x.engine(), &[rows], norms)
        }
        Backend::Gpu(gpu) => {
            let norms = Tensor::output(x.engine(), &[rows], Dtype::F32);
            if rows > 0 {
                gpu.dispatch(&Dispatch {
                    shader: &SHADER,
                    constants: &[],
                    params: bytemuck::bytes_of(&Params {
                        rows: rows as u32,
                        cols: cols as u32,
                        _pad: [0; 2],
                    }),
                    inputs: &[x],
                    outputs: &[&norms],
                    groups: grid(rows),
                });
            }
            norms
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{self, close, each_engine};

    #[test]
    fn agrees_with_float64() {
        for (rows, cols) in [(1, 1), (3, 7), (20, 65), (3, 0), (0, 3), (70_000, 2), (4, 1_000)] {
            let x = testing::normal(1, rows * cols);
            let want: Vec<f64> = (0..rows)
                .map(|r| x[r * cols..][..cols].iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt())
                .collect();
            each_engine(|engine| {
                let x = Tensor::from_f32(engine, &[rows, cols], x.clone());
                // Sums of at most 1,000 positive terms, halved by the root.
                close(engine, &row_norms(&x), &want, 3e-6);
            });
        }
    }
}
