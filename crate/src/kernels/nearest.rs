//! The most similar other vector of each vector, from blocks of their products.

use super::par;
use crate::gpu::{Launch, Shader, Tensor, Word, shader};

static SHADER: Shader = shader!("nearest", "per_group", "reduce");

/// Largest element of each row of `x` [R, C], where element `start + r` of row r does not count: with `x` a block
/// of rows of a matrix of similarities, beginning with row `start`, that is each row's most similar other. Where
/// nothing is left the result is `f32::MIN`.
pub fn nearest(x: &Tensor, start: usize) -> Tensor {
    let (rows, cols) = x.rows_cols();
    Launch::per_group(&SHADER, rows, &[cols.word(), start.word()], &[x]).run(&[rows], || {
        let values = x.f32s();
        let most = |part: &[f32]| part.iter().copied().fold(f32::MIN, f32::max);
        let mut largest = vec![0.0; rows];
        par::each(&mut largest, cols, |r| {
            let row = &values[r * cols..][..cols];
            let own = (start + r).min(cols);
            most(&row[..own]).max(most(&row[(own + 1).min(cols)..]))
        });
        largest
    })
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
