//! The largest element of each row and of each column of a matrix, and where it is.
//!
//! A matrix may be seen piece by piece: answers of pieces merge, and ties go to the lowest index, so the whole
//! never has to exist.

use crate::gpu::{Launch, Shader, Tensor, Word, shader};

static SHADER: Shader = shader!("best", "per_group");

/// For each feature the largest Pearson correlation with a feature of the other side, and that feature.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Best {
    /// Largest correlation, in [−1, 1]; NaN for a feature without variance, or when no feature of the other
    /// side has any.
    pub mppc: Vec<f32>,
    /// Index of that feature, the lowest one of equals; −1 where `mppc` is NaN.
    pub argmax: Vec<i32>,
}

/// [`Best`] on the way: unclamped, with the float64 values that decide.
pub(crate) struct Running {
    value: Vec<f64>,
    index: Vec<i32>,
}

impl Running {
    /// Nothing seen yet, for so many features.
    pub(crate) fn new(len: usize) -> Self {
        Self { value: vec![f64::NEG_INFINITY; len], index: vec![-1; len] }
    }

    /// Feature `i` has correlation `value` with feature `j` of the other side. Candidates must come in
    /// ascending order of `j`; NaN is no candidate.
    pub(crate) fn offer(&mut self, i: usize, j: i32, value: f64) {
        if value > self.value[i] {
            self.value[i] = value;
            self.index[i] = j;
        }
    }

    /// Takes in what was seen later (features of the other side with higher indices), for the features
    /// from `start` on.
    pub(crate) fn merge(&mut self, start: usize, later: &Running) {
        for (i, (&value, &j)) in later.value.iter().zip(&later.index).enumerate() {
            self.offer(start + i, j, value);
        }
    }

    pub(crate) fn finish(self) -> Best {
        let mppc = self.value.iter().zip(&self.index);
        let mppc = mppc.map(|(&v, &j)| if j < 0 { f32::NAN } else { v.clamp(-1.0, 1.0) as f32 });
        Best { mppc: mppc.collect(), argmax: self.index }
    }
}

/// The lines of a row-major matrix along which the largest element is looked for.
#[derive(Clone, Copy)]
pub(crate) enum Lines {
    Rows,
    Columns,
}

/// Which line an answer is of, and where it lies: [count, length, stride, step].
fn lines_of(x: &Tensor, lines: Lines) -> [usize; 4] {
    let (rows, cols) = x.rows_cols();
    match lines {
        Lines::Rows => [rows, cols, cols, 1],
        Lines::Columns => [cols, rows, 1, cols],
    }
}

/// The best element of each line of `x` [R, C]: [lines, 2], for [`collect`]. Indices count from `base`. Elements
/// below −1.5 are no candidates.
pub(crate) fn best(x: &Tensor, lines: Lines, base: usize) -> Tensor {
    let [count, length, stride, step] = lines_of(x, lines);
    Launch::per_group(&SHADER, count, &[length, stride, step, 0, base].map(Word::word), &[x])
        .run(&[count, 2], || twin(x.f32s(), lines, x.rows_cols(), base))
}

/// As [`best`], on a GPU: the answer of line `i` goes to `answers[at + i]`.
///
/// # Panics
/// When there is no room.
pub(super) fn best_into(answers: &Tensor, at: usize, x: &Tensor, lines: Lines, base: usize) {
    let [count, length, stride, step] = lines_of(x, lines);
    assert!((at + count) * 2 <= answers.len(), "best: no room for the answers");
    Launch::per_group(&SHADER, count, &[length, stride, step, at, base].map(Word::word), &[x])
        .record(&[answers]);
}

/// Both kinds of lines are found row by row, as the matrix lies in memory.
fn twin(x: &[f32], lines: Lines, (rows, cols): (usize, usize), base: usize) -> Vec<u32> {
    let count = if let Lines::Rows = lines { rows } else { cols };
    let mut value = vec![-1.5; count];
    let mut answers = vec![[0, u32::MAX]; count];
    for (r, row) in x.chunks(cols.max(1)).enumerate() {
        for (c, &v) in row.iter().enumerate() {
            let (line, k) = if let Lines::Rows = lines { (r, c) } else { (c, r) };
            if v > value[line] {
                value[line] = v;
                answers[line] = [v.to_bits(), (base + k) as u32];
            }
        }
    }
    answers.into_flattened()
}

/// Reads answers that [`best`] gave for consecutive pieces of `len` lines each.
pub(crate) fn collect(answers: &[u32], len: usize) -> Running {
    let mut running = Running::new(len);
    for piece in answers.chunks_exact(2 * len.max(1)) {
        for (i, answer) in piece.chunks_exact(2).enumerate() {
            if answer[1] != u32::MAX {
                running.offer(i, answer[1] as i32, f64::from(f32::from_bits(answer[0])));
            }
        }
    }
    running
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::Dtype;
    use crate::kernels::testing::{each_engine, uniform};

    #[test]
    fn finds_the_first_of_the_largest() {
        for (rows, cols) in [(1, 1), (1, 200), (200, 1), (67, 129), (70_000, 2), (0, 3), (3, 0)] {
            // Few distinct values make many ties; −2 is no candidate, and one row and column have nothing else.
            let mut x: Vec<f32> =
                uniform(5, rows * cols).iter().map(|v| (v * 8.0).floor() / 4.0 - 1.0).collect();
            let at = |i: usize| (i / cols.max(1), i % cols.max(1));
            let out = |v: f32, (r, c): (usize, usize)| v < -0.8 || r == 3 || c == 5;
            x.iter_mut().enumerate().for_each(|(i, v)| *v = if out(*v, at(i)) { -2.0 } else { *v });
            let mut by_row = Running::new(rows);
            let mut by_column = Running::new(cols);
            for (i, &v) in x.iter().enumerate().filter(|(_, v)| **v > -1.5) {
                let (r, c) = at(i);
                by_row.offer(r, c as i32 + 10, f64::from(v));
                by_column.offer(c, r as i32 + 10, f64::from(v));
            }
            each_engine(|engine| {
                let x = Tensor::from_f32(engine, &[rows, cols], x.clone());
                for (lines, len, want) in [(Lines::Rows, rows, &by_row), (Lines::Columns, cols, &by_column)] {
                    let read = |answers: &Tensor| pollster::block_on(answers.read_u32()).expect("readback");
                    let mut all = vec![read(&best(&x, lines, 10))];
                    if engine.is_gpu() {
                        let answers = Tensor::output(engine, &[len + 3, 2], Dtype::U32);
                        best_into(&answers, 3, &x, lines, 10);
                        all.push(read(&answers)[6..].to_vec());
                    }
                    for answers in all {
                        let got = collect(&answers, len);
                        assert_eq!(got.index, want.index, "{rows} × {cols} on {engine:?}");
                        assert_eq!(got.value, want.value, "{rows} × {cols} on {engine:?}");
                    }
                }
            });
        }
    }

    #[test]
    fn pieces_merge_in_order() {
        let mut whole = Running::new(3);
        let mut later = Running::new(2);
        whole.offer(1, 4, 0.5);
        later.offer(0, 7, 0.5);
        later.offer(1, 7, 1.5);
        whole.merge(1, &later);
        let best = whole.finish();
        assert_eq!(best.argmax, [-1, 4, 7]);
        assert!(best.mppc[0].is_nan());
        assert_eq!(best.mppc[1..], [0.5, 1.0]);
    }
}
