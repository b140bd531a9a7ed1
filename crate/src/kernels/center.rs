//! Columns without their mean, and the moments of each column: what a product of centred columns needs.

use super::par;
use crate::gpu::{Launch, Shader, Tensor, Word, shader};

static SHADER: Shader = shader!("center", "per_element");

/// What [`center`] returns.
pub struct Centered {
    /// x − mean, [R, C].
    pub values: Tensor,
    /// [5, C]: the (rounded) mean that was taken off, then Σ values and Σ values² as they are after it, then
    /// the smallest and the largest x.
    pub stats: Tensor,
}

/// Takes from each column of `x` [R, C] its mean.
///
/// # Panics
/// When `x` has no row, more than 16,384 rows (one invocation takes a column), or more than 4 million columns.
pub fn center(x: &Tensor) -> Centered {
    let (rows, cols) = x.rows_cols();
    assert!((1..=16_384).contains(&rows), "center: {rows} rows");
    assert!(cols.div_ceil(64) <= 65_535, "center: {cols} columns");
    let [values, stats] = Launch::per_element(&SHADER, cols, &[rows.word()], &[x])
        .run_all([&[rows, cols], &[5, cols]], || twin(x.f32s(), cols));
    Centered { values, stats }
}

fn twin(x: &[f32], cols: usize) -> [Vec<f32>; 2] {
    if cols == 0 {
        return Default::default();
    }
    let rows = x.len() / cols;
    let mut sums = vec![0.0f64; cols];
    let mut smallest = x[..cols].to_vec();
    let mut largest = smallest.clone();
    for row in x.chunks(cols) {
        for (c, &v) in row.iter().enumerate() {
            sums[c] += f64::from(v);
            smallest[c] = smallest[c].min(v);
            largest[c] = largest[c].max(v);
        }
    }
    let mean: Vec<f32> = sums.iter().map(|sum| (sum / rows as f64) as f32).collect();
    let mut values = vec![0.0; x.len()];
    par::rows(&mut values, cols, |r, y| {
        for ((y, &x), &mean) in y.iter_mut().zip(&x[r * cols..][..cols]).zip(&mean) {
            *y = x - mean;
        }
    });
    let (mut left, mut squares) = (vec![0.0f64; cols], vec![0.0f64; cols]);
    for row in values.chunks(cols) {
        for (c, &d) in row.iter().enumerate() {
            left[c] += f64::from(d);
            squares[c] += f64::from(d) * f64::from(d);
        }
    }
    let narrow = |sums: Vec<f64>| sums.into_iter().map(|v| v as f32);
    let stats = mean.into_iter().chain(narrow(left)).chain(narrow(squares)).chain(smallest).chain(largest);
    [values, stats.collect()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{self, each_engine};

    #[test]
    fn agrees_with_float64() {
        for (rows, cols) in [(1, 1), (1, 70), (33, 1), (1_000, 65), (31, 129), (4, 0)] {
            let mut x = testing::normal(7, rows * cols);
            // Means of 0, 100 and 1e6 with spread 1.
            x.iter_mut().enumerate().for_each(|(i, v)| *v += [0.0, 100.0, 1e6][i % cols % 3]);
            each_engine(|engine| {
                let centered = center(&Tensor::from_f32(engine, &[rows, cols], x.clone()));
                let y = pollster::block_on(centered.values.read_f32()).expect("readback");
                let stats = pollster::block_on(centered.stats.read_f32()).expect("readback");
                for c in 0..cols {
                    let column = |v: &[f32]| -> Vec<f64> {
                        v[c..].iter().step_by(cols).map(|&v| f64::from(v)).collect()
                    };
                    let (x, y, stats) = (column(&x), column(&y), column(&stats));
                    let mean = x.iter().sum::<f64>() / rows as f64;
                    // f32 sums of numbers of the size of the mean.
                    assert!((stats[0] - mean).abs() <= 1e-6 * mean.abs().max(1.0), "mean {c} on {engine:?}");
                    for (&x, &y) in x.iter().zip(&y) {
                        // One rounding of a difference of size 6; exact where x and the mean are large.
                        assert!((x - stats[0] - y).abs() <= 4e-7, "value in {c} on {engine:?}");
                    }
                    // Sums of what the kernel gave out: 32 + 32 additions, half a unit each at worst, of the
                    // magnitudes' sum.
                    let sum = |f: fn(f64) -> f64| y.iter().map(|&d| f(d)).sum::<f64>();
                    assert!((stats[1] - sum(|d| d)).abs() <= 4e-6 * sum(f64::abs), "left {c} on {engine:?}");
                    assert!((stats[2] - sum(|d| d * d)).abs() <= 4e-6 * sum(|d| d * d), "squares {c}");
                    assert_eq!(stats[3], x.iter().copied().fold(f64::INFINITY, f64::min), "min {c}");
                    assert_eq!(stats[4], x.iter().copied().fold(f64::NEG_INFINITY, f64::max), "max {c}");
                }
            });
        }
    }
}
