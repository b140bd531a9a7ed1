//! Pre-activations of dead features only, for the auxiliary loss of TopK training.

use bytemuck::{Pod, Zeroable};

use super::par;
use crate::gpu::{Backend, Dispatch, Dtype, Shader, Tensor, grid};

static SHADER: Shader = Shader { name: "only_dead", wgsl: include_str!("../../../shaders/only_dead.wgsl") };

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    n: u32,
    cols: u32,
    limit: f32,
    _pad: u32,
}

/// `x` [B, F] with the columns zeroed whose `age` [F] is below `limit`.
///
/// # Panics
/// When the shapes do not fit.
pub fn only_dead(x: &Tensor, age: &Tensor, limit: f32) -> Tensor {
    let (_, cols) = x.rows_cols();
    assert_eq!(age.shape(), [cols], "only_dead age");
    match x.engine().backend() {
        Backend::Cpu => {
            let (values, age) = (x.f32s(), age.f32s());
            let mut y = vec![0.0; values.len()];
            par::rows(&mut y, cols, |r, y| {
                for ((y, &x), &age) in y.iter_mut().zip(&values[r * cols..]).zip(age) {
                    *y = if age >= limit { x } else { 0.0 };
                }
            });
            Tensor::from_f32(x.engine(), x.shape(), y)
        }
        Backend::Gpu(gpu) => {
            let y = Tensor::output(x.engine(), x.shape(), Dtype::F32);
            if !y.is_empty() {
                gpu.dispatch(&Dispatch {
                    shader: &SHADER,
                    constants: &[],
                    params: bytemuck::bytes_of(&Params {
                        n: x.len() as u32,
                        cols: cols as u32,
                        limit,
                        _pad: 0,
                    }),
                    inputs: &[x, age],
                    outputs: &[&y],
                    groups: grid(x.len().div_ceil(64)),
                });
            }
            y
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{self, close, each_engine};

    #[test]
    fn keeps_the_dead_columns() {
        for (rows, cols) in [(1, 1), (3, 7), (20, 65), (0, 3), (3_000, 2)] {
            let x = testing::uniform(1, rows * cols);
            let age: Vec<f32> = (0..cols).map(|c| (c % 3) as f32 * 10.0).collect();
            let want: Vec<f64> =
                (0..rows * cols).map(|i| if age[i % cols] >= 10.0 { f64::from(x[i]) } else { 0.0 }).collect();
            each_engine(|engine| {
                let x = Tensor::from_f32(engine, &[rows, cols], x.clone());
                let age = Tensor::from_f32(engine, &[cols], age.clone());
                // Values are chosen, never computed.
                close(engine, &only_dead(&x, &age, 10.0), &want, 0.0);
            });
        }
    }
}
