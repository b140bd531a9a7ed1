//! Pre-activations of dead features only, for the auxiliary loss of TopK training.

use super::par;
use crate::gpu::{Launch, Shader, Tensor, Word, shader};

static SHADER: Shader = shader!("only_dead", "per_element");

/// `x` [B, F] with the columns zeroed whose `age` [F] is below `limit`.
///
/// # Panics
/// When the shapes do not fit.
pub fn only_dead(x: &Tensor, age: &Tensor, limit: f32) -> Tensor {
    let (_, cols) = x.rows_cols();
    assert_eq!(age.shape(), [cols], "only_dead age");
    Launch::per_element(&SHADER, x.len(), &[cols.word(), limit.word()], &[x, age]).run(x.shape(), || {
        let (values, age) = (x.f32s(), age.f32s());
        let mut y = vec![0.0; values.len()];
        par::rows(&mut y, cols, |r, y| {
            for ((y, &x), &age) in y.iter_mut().zip(&values[r * cols..]).zip(age) {
                *y = if age >= limit { x } else { 0.0 };
            }
        });
        y
    })
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
