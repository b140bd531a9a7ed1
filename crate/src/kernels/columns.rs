//! Columns of a matrix: taken out, or replaced.

use super::par;
use crate::gpu::{Launch, Shader, Tensor, Word, shader};

static COLUMNS: Shader = shader!("columns", "per_element");
static PASTE: Shader = shader!("paste", "per_element");

/// Columns `start` to `start + width` of `x` [.., W], as [.., width].
///
/// # Panics
/// When `x` has no axis or fewer columns.
pub fn columns(x: &Tensor, start: usize, width: usize) -> Tensor {
    let (leading, cols) = split(x);
    assert!(start + width <= cols, "columns {start}..{} of {x:?}", start + width);
    let shape = [leading, &[width]].concat();
    let params = [cols, start, width].map(Word::word);
    Launch::per_element(&COLUMNS, shape.iter().product(), &params, &[x]).run(&shape, || {
        let values = x.f32s();
        let mut y = vec![0.0; shape.iter().product()];
        par::rows(&mut y, width, |r, y| y.copy_from_slice(&values[r * cols + start..][..width]));
        y
    })
}

/// A copy of `base` [.., W] whose columns from `start` on are those of `part` [.., width].
///
/// # Panics
/// When the shapes do not fit.
pub fn paste(base: &Tensor, start: usize, part: &Tensor) -> Tensor {
    let (leading, cols) = split(base);
    let (part_leading, width) = split(part);
    assert_eq!(leading, part_leading, "paste of {part:?} into {base:?}");
    assert!(start + width <= cols, "paste of {part:?} at column {start} of {base:?}");
    let params = [cols, start, width].map(Word::word);
    Launch::per_element(&PASTE, base.len(), &params, &[base, part]).run(base.shape(), || {
        let part = part.f32s();
        let mut y = base.f32s().to_vec();
        par::rows(&mut y, cols, |r, y| y[start..][..width].copy_from_slice(&part[r * width..][..width]));
        y
    })
}

/// Leading axes and number of columns.
fn split(x: &Tensor) -> (&[usize], usize) {
    let Some((&cols, leading)) = x.shape().split_last() else { panic!("{x:?} has no columns") };
    (leading, cols)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{self, close, each_engine};

    // [leading axes], W, start, width; the last needs more than 65,535 workgroups.
    const CASES: [(&[usize], usize, usize, usize); 8] = [
        (&[3, 2], 7, 2, 4),
        (&[5], 130, 0, 130),
        (&[5], 130, 129, 1),
        (&[], 9, 3, 3),
        (&[4], 6, 6, 0),
        (&[0], 6, 1, 2),
        (&[1], 1, 0, 1),
        (&[65_600], 66, 1, 64),
    ];

    #[test]
    fn columns_are_copied() {
        for (leading, cols, start, width) in CASES {
            let rows: usize = leading.iter().product();
            let x = testing::uniform(1, rows * cols);
            let want: Vec<f64> =
                x.chunks(cols).flat_map(|row| &row[start..start + width]).map(|&v| f64::from(v)).collect();
            each_engine(|engine| {
                let x = Tensor::from_f32(engine, &[leading, &[cols]].concat(), x.clone());
                let y = columns(&x, start, width);
                assert_eq!(y.shape(), [leading, &[width]].concat());
                close(engine, &y, &want, 0.0);
            });
        }
    }

    #[test]
    fn paste_replaces_columns_of_a_copy() {
        for (leading, cols, start, width) in CASES {
            let rows: usize = leading.iter().product();
            let base = testing::uniform(1, rows * cols);
            let part = testing::uniform(2, rows * width);
            let mut want: Vec<f64> = base.iter().map(|&v| f64::from(v)).collect();
            for r in 0..rows {
                for c in 0..width {
                    want[r * cols + start + c] = f64::from(part[r * width + c]);
                }
            }
            each_engine(|engine| {
                let before: Vec<f64> = base.iter().map(|&v| f64::from(v)).collect();
                let base = Tensor::from_f32(engine, &[leading, &[cols]].concat(), base.clone());
                let part = Tensor::from_f32(engine, &[leading, &[width]].concat(), part.clone());
                close(engine, &paste(&base, start, &part), &want, 0.0);
                close(engine, &base, &before, 0.0);
            });
        }
    }
}
