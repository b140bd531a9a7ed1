//! Number of non-zero elements of each row.

use super::par;
use crate::gpu::{Launch, Shader, Tensor, Word, shader};

static SHADER: Shader = shader!("count_rows", "per_group", "reduce");

/// How many elements of each row of `x` [.., F] are not zero: integers [rows].
pub fn count_rows(x: &Tensor) -> Tensor {
    let (rows, cols) = x.rows_cols();
    Launch::per_group(&SHADER, rows, &[cols.word()], &[x]).run(&[rows], || {
        let values = x.f32s();
        par::map(rows, |r| values[r * cols..][..cols].iter().filter(|&&v| v != 0.0).count() as u32)
    })
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
