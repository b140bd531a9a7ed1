//! TopK: of each row, the k largest positive values stay.

use super::par;
use crate::gpu::{Launch, Shader, Tensor, Word, shader};

static SHADER: Shader = shader!("topk", "per_group", "stretch");

/// Zeroes all but the `k` largest positive values of each row of `x` [.., F]: TopK followed by ReLU. Of equal
/// values the ones of lower index stay. NaN counts as not positive.
pub fn topk(x: &Tensor, k: usize) -> Tensor {
    let (rows, cols) = x.rows_cols();
    let k = k.min(cols);
    Launch::per_group(&SHADER, rows, &[cols.word(), k.word()], &[x])
        .run(x.shape(), || twin(x.f32s(), cols, k))
}

fn twin(x: &[f32], cols: usize, k: usize) -> Vec<f32> {
    let mut y = vec![0.0; x.len()];
    par::rows(&mut y, cols, |r, y| {
        let x = &x[r * cols..][..cols];
        if k == 0 {
            return;
        }
        let mut positive: Vec<f32> = x.iter().copied().filter(|&v| v > 0.0).collect();
        if positive.len() <= k {
            for (y, &x) in y.iter_mut().zip(x) {
                *y = if x > 0.0 { x } else { 0.0 };
            }
            return;
        }
        let (above, &mut least, _) = positive.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
        let mut ties = k - above.iter().filter(|&&v| v > least).count();
        for (y, &x) in y.iter_mut().zip(x) {
            if x > least {
                *y = x;
            } else if x == least && ties > 0 {
                *y = x;
                ties -= 1;
            }
        }
    });
    y
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{self, close, each_engine};

    /// Sorts (value, index) pairs: the definition, word for word.
    fn reference(x: &[f32], cols: usize, k: usize) -> Vec<f64> {
        let mut y = vec![0.0; x.len()];
        for (x, y) in x.chunks(cols).zip(y.chunks_mut(cols)) {
            let mut order: Vec<usize> = (0..cols).filter(|&c| x[c] > 0.0).collect();
            order.sort_by(|&a, &b| x[b].total_cmp(&x[a]).then(a.cmp(&b)));
            for &c in order.iter().take(k) {
                y[c] = f64::from(x[c]);
            }
        }
        y
    }

    #[test]
    fn agrees_with_sorting() {
        let cases = [(1, 1, 1), (3, 7, 2), (5, 64, 64), (4, 65, 200), (2, 1_000, 32), (7, 300, 0), (0, 9, 3)];
        for (rows, cols, k) in cases {
            let x = testing::normal(1, rows * cols);
            // Two digits only, so that rows are full of ties.
            let tied: Vec<f32> = x.iter().map(|v| (v * 4.0).round() / 4.0).collect();
            for x in [x, tied] {
                let want = reference(&x, cols, k);
                each_engine(|engine| {
                    let x = Tensor::from_f32(engine, &[rows, cols], x.clone());
                    // Values are chosen, never computed: they are equal.
                    close(engine, &topk(&x, k), &want, 0.0);
                });
            }
        }
    }

    #[test]
    fn infinity_is_largest_and_negative_zero_is_nothing() {
        each_engine(|engine| {
            let x = vec![1.0, f32::INFINITY, -0.0, 3.0, f32::NEG_INFINITY, 1e-30, 0.0, 2.0];
            let x = Tensor::from_f32(engine, &[2, 4], x);
            let want = [0.0, f64::INFINITY, 0.0, 3.0, 0.0, f64::from(1e-30f32), 0.0, 2.0];
            close(engine, &topk(&x, 2), &want, 0.0);
        });
    }
}
