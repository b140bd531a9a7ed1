//! The most similar other vector of each vector, from blocks of their products.

use bytemuck::{Pod, Zeroable};

use super::par;
use crate::gpu::{Backend, Dispatch, Dtype, Shader, Tensor, grid};

static SHADER: Shader = Shader { name: "nearest", wgsl: include_str!("../../../shaders/nearest.wgsl") };

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    cols: u32,
    start: u32,
    _pad: u32,
}

/// Largest element of each row of `x` [R, C], where element `start + r` of row r does not count: with `x` a block
/// of rows of a matrix of similarities, beginning with row `start`, that is each row's most similar other. Where
/// nothing is left the result is `f32::MIN`.
pub fn nearest(x: &Tensor, start: usize) -> Tensor {
    let (rows, cols) = x.rows_cols();
    match x.engine().backend() {
        Backend::Cpu => {
            let values = x.f32s();
            let most = |part: &[f32]| part.iter().copied().fold(f32::MIN, f32::max);
            let mut largest = vec![0.0; rows];
            par::each(&mut largest, cols, |r| {
                let row = &values[r * cols..][..cols];
                let own = (start + r).min(cols);
                most(&row[..own]).max(most(&row[(own + 1).min(cols)..]))
            });
            Tensor::from_f32(x.engine(), &[rows], largest)
        }
        Backend::Gpu(gpu) => {
            let largest = Tensor::output(x.engine(), &[rows], Dtype::F32);
            if rows > 0 {
                gpu.dispatch(&Dispatch {
                    shader: &SHADER,
                    constants: &[],
                    params: bytemuck::bytes_of(&Params {
                        rows: rows as u32,
                        cols: cols as u32,
                        start: start as u32,
                        _pad: 0,
                    }),
                    inputs: &[x],
                    outputs: &[&largest],
                    groups: grid(rows),
                });
            }
            largest
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{self, close, each_engine};

    #[test]
    fn leaves_out_the_row_itself() {
        for (rows, cols, start) in
            [(1, 1, 0), (5, 5, 0), (3, 200, 100), (70, 71, 1), (4, 3, 1), (0, 3, 0), (2, 0, 0)]
        {
            let mut x = testing::normal(3, rows * cols);
            // A row is nearest to itself.
            (0..rows).filter(|r| start + r < cols).for_each(|r| x[r * cols + start + r] = 100.0);
            let want: Vec<f64> = (0..rows)
                .map(|r| {
                    let others = (0..cols).filter(|c| *c != start + r).map(|c| x[r * cols + c]);
                    f64::from(others.fold(f32::MIN, f32::max))
                })
                .collect();
            each_engine(|engine| {
                let x = Tensor::from_f32(engine, &[rows, cols], x.clone());
                close(engine, &nearest(&x, start), &want, 0.0);
            });
        }
    }
}
