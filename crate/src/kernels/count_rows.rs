//! Number of non-zero elements of each row.

use bytemuck::{Pod, Zeroable};

use super::par;
use crate::gpu::{Backend, Dispatch, Dtype, Shader, Tensor, grid};

static SHADER: Shader = Shader { name: "count_rows", wgsl: include_str!("../../../shaders/count_rows.wgsl") };

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    cols: u32,
    _pad: [u32; 2],
}

/// How many elements of each row of `x` [.., F] are not zero: integers [rows].
pub fn count_rows(x: &Tensor) -> Tensor {
    let (rows, cols) = x.rows_cols();
    match x.engine().backend() {
        Backend::Cpu => {
            let x_values = x.f32s();
            let counts =
                par::map(rows, |r| x_values[r * cols..][..cols].iter().filter(|&&v| v != 0.0).count() as u32);
            Tensor::from_u32(x.engine(), &[rows], counts)
        }
        Backend::Gpu(gpu) => {
            let counts = Tensor::output(x.engine(), &[rows], Dtype::U32);
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
                    outputs: &[&counts],
                    groups: grid(rows),
                });
            }
            counts
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{self, each_engine};

    #[test]
    fn counts() {
        for (rows, cols) in [(1, 1), (3, 65), (4, 0), (0, 5), (2, 1_000), (70_000, 2)] {
            let x: Vec<f32> = testing::normal(3, rows * cols).iter().map(|v| v.max(0.0)).collect();
            let want: Vec<u32> = (0..rows)
                .map(|r| x[r * cols..][..cols].iter().filter(|&&v| v != 0.0).count() as u32)
                .collect();
            each_engine(|engine| {
                let x = Tensor::from_f32(engine, &[rows, cols], x.clone());
                assert_eq!(pollster::block_on(count_rows(&x).read_u32()).expect("readback"), want);
            });
        }
    }
}
