//! Tokens since each feature last fired.

use bytemuck::{Pod, Zeroable};

use super::par;
use crate::gpu::{Backend, Dispatch, Shader, Tensor, grid};

static SHADER: Shader = Shader { name: "age", wgsl: include_str!("../../../shaders/age.wgsl") };

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    n: u32,
    tokens: f32,
    _pad: [u32; 2],
}

/// Brings `age` [F] up to date after a batch of `tokens`: 0 for a feature whose `activity` [F], its sum over the
/// batch, is positive; `tokens` more for the others. Exact up to 2²⁴ tokens.
///
/// # Panics
/// When the shapes do not fit.
pub fn age(age: &mut Tensor, activity: &Tensor, tokens: usize) {
    assert_eq!(age.len(), activity.len(), "age activity");
    let tokens = tokens as f32;
    let engine = age.engine().clone();
    match engine.backend() {
        Backend::Cpu => {
            let activity = activity.f32s();
            par::rows(age.f32s_mut(), 1, |j, age| {
                age[0] = if activity[j] > 0.0 { 0.0 } else { age[0] + tokens };
            });
        }
        Backend::Gpu(gpu) => {
            age.unshare();
            if !age.is_empty() {
                gpu.dispatch(&Dispatch {
                    shader: &SHADER,
                    constants: &[],
                    params: bytemuck::bytes_of(&Params { n: age.len() as u32, tokens, _pad: [0; 2] }),
                    inputs: &[activity],
                    outputs: &[age],
                    groups: grid(age.len().div_ceil(64)),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{close, each_engine};

    #[test]
    fn resets_and_counts() {
        for n in [0, 1, 65, 4_200_000] {
            each_engine(|engine| {
                let activity = (0..n).map(|j| (j % 3) as f32).collect();
                let mut got = Tensor::from_f32(engine, &[n], (0..n).map(|j| (j % 5) as f32).collect());
                age(&mut got, &Tensor::from_f32(engine, &[n], activity), 1_000);
                let want: Vec<f64> =
                    (0..n).map(|j| if j % 3 == 0 { (j % 5 + 1_000) as f64 } else { 0.0 }).collect();
                // Small integers are exact.
                close(engine, &got, &want, 0.0);
            });
        }
    }
}
