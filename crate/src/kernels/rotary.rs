//! Rotary position embedding as in GPT-NeoX.

use super::par;
use crate::gpu::{Launch, Shader, Tensor, Word, shader};

static SHADER: Shader = shader!("rotary", "per_element");

/// Turns the pair (i, i + `rotary_dims` / 2) of every head of `x` [B, T, H, d] by the angle
/// t / `base`^(2i / `rotary_dims`), t being the position; values from `rotary_dims` on stay as they are.
///
/// The angles are taken in double precision and their cosines and sines handed to the device as a table, so
/// that late positions are as exact as early ones.
///
/// # Panics
/// When the shape does not fit, or `rotary_dims` is odd or larger than d.
pub fn rotary(x: &Tensor, rotary_dims: usize, base: f32) -> Tensor {
    let &[_, steps, heads, width] = x.shape() else { panic!("rotary takes [B, T, H, d], not {x:?}") };
    assert!(
        rotary_dims.is_multiple_of(2) && rotary_dims <= width,
        "{rotary_dims} rotary dimensions of a head of {width}"
    );
    // The twin takes the same table as it lies on the CPU engine.
    let table =
        Tensor::from_f32(x.engine(), &[steps, rotary_dims / 2, 2], table(steps, rotary_dims / 2, base));
    let params = [steps.word(), heads.word(), width.word(), (rotary_dims / 2).word()];
    Launch::per_element(&SHADER, x.len(), &params, &[x, &table])
        .run(x.shape(), || twin(x.f32s(), table.f32s(), x.shape()))
}

/// Cosine and sine of every angle: [T, pairs, 2].
fn table(steps: usize, pairs: usize, base: f32) -> Vec<f32> {
    let frequencies: Vec<f64> =
        (0..pairs).map(|i| f64::from(base).powf(-(i as f64) / pairs as f64)).collect();
    let angles = (0..steps).flat_map(|t| frequencies.iter().map(move |f| t as f64 * f));
    angles.flat_map(|angle| [angle.cos() as f32, angle.sin() as f32]).collect()
}

fn twin(x: &[f32], table: &[f32], shape: &[usize]) -> Vec<f32> {
    let (steps, width) = (shape[1], shape[3]);
    let mut y = x.to_vec();
    par::rows(&mut y, shape[2] * width, |row, y| {
        let table = &table[table.len() / steps * (row % steps)..][..table.len() / steps];
        for head in y.chunks_mut(width) {
            let (first, second) = head.split_at_mut(table.len() / 2);
            for ((u, v), turn) in first.iter_mut().zip(second).zip(table.chunks_exact(2)) {
                (*u, *v) = (*u * turn[0] - *v * turn[1], *v * turn[0] + *u * turn[1]);
            }
        }
    });
    y
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{self, close, each_engine};

    #[test]
    fn agrees_with_float64() {
        let shapes = [
            ([1, 1, 1, 2], 2),
            ([2, 5, 3, 8], 2),
            ([1, 2_049, 1, 16], 16),
            ([2, 9, 4, 7], 4),
            ([1, 4, 2, 5], 0),
            ([1, 0, 2, 4], 4),
            ([1, 70_000, 1, 64], 4),
        ];
        for (shape, dims) in shapes {
            let [_, steps, heads, width] = shape;
            let x = testing::normal(1, shape.iter().product());
            let mut want: Vec<f64> = x.iter().map(|&v| f64::from(v)).collect();
            for (row, head) in want.chunks_mut(width).enumerate() {
                let position = (row / heads % steps) as f64;
                for i in 0..dims / 2 {
                    let angle = position / 10_000f64.powf(2.0 * i as f64 / dims as f64);
                    let (u, v) = (head[i], head[i + dims / 2]);
                    head[i] = u * angle.cos() - v * angle.sin();
                    head[i + dims / 2] = v * angle.cos() + u * angle.sin();
                }
            }
            each_engine(|engine| {
                let x = Tensor::from_f32(engine, &shape, x.clone());
                // Cosine and sine rounded once, two products and a sum: a few 2⁻²⁴ at any position.
                close(engine, &rotary(&x, dims, 10_000.0), &want, 3e-7);
            });
        }
    }

    #[test]
    fn turns_position_one_by_one_radian() {
        each_engine(|engine| {
            let x = Tensor::from_f32(engine, &[1, 2, 1, 3], vec![1.0, 0.0, 5.0, 1.0, 0.0, 5.0]);
            let want = [1.0, 0.0, 5.0, 1f64.cos(), 1f64.sin(), 5.0];
            close(engine, &rotary(&x, 2, 10_000.0), &want, 1e-7);
        });
    }
}
