//! JumpReLU: ReLU with a threshold for each feature, below which it is silent.

use bytemuck::{Pod, Zeroable};

use super::par;
use crate::gpu::{Backend, Dispatch, Dtype, Shader, Tensor, grid};

static SHADER: Shader = Shader { name: "jump_relu", wgsl: include_str!("../../../shaders/jump_relu.wgsl") };

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    n: u32,
    cols: u32,
    _pad: [u32; 2],
}

/// `x` [.., F] where it is positive and above its feature's `threshold` [F], 0 elsewhere.
///
/// # Panics
/// When the shapes do not fit.
pub fn jump_relu(x: &Tensor, threshold: &Tensor) -> Tensor {
    let (_, cols) = x.rows_cols();
    assert_eq!(threshold.shape(), [cols], "jump_relu threshold");
    match x.engine().backend() {
        Backend::Cpu => {
            let (values, threshold) = (x.f32s(), threshold.f32s());
            let mut y = vec![0.0; values.len()];
            par::rows(&mut y, cols, |r, y| {
                for ((y, &x), &threshold) in y.iter_mut().zip(&values[r * cols..]).zip(threshold) {
                    *y = if x > 0.0 && x > threshold { x } else { 0.0 };
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
                        _pad: [0; 2],
                    }),
                    inputs: &[x, threshold],
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
    fn keeps_what_is_above_its_threshold() {
        for (rows, cols) in [(1, 1), (3, 7), (20, 65), (0, 3), (70_000, 2)] {
            // Two digits, so that some values are equal to their thresholds.
            let round = |v: Vec<f32>| -> Vec<f32> { v.iter().map(|v| (v * 4.0).round() / 4.0).collect() };
            let (x, threshold) = (round(testing::normal(1, rows * cols)), round(testing::normal(2, cols)));
            let kept = |(i, &v): (usize, &f32)| {
                if v > threshold[i % cols].max(0.0) { f64::from(v) } else { 0.0 }
            };
            let want: Vec<f64> = x.iter().enumerate().map(kept).collect();
            each_engine(|engine| {
                let x = Tensor::from_f32(engine, &[rows, cols], x.clone());
                let threshold = Tensor::from_f32(engine, &[cols], threshold.clone());
                // Values are chosen, never computed.
                close(engine, &jump_relu(&x, &threshold), &want, 0.0);
            });
        }
    }
}
