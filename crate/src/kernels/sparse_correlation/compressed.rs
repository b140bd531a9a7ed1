//! Sparse features in compressed lines, and how they are shared out.

use std::ops::Range;

/// Standardised sparse features in compressed lines. By feature: a line is a feature, its indices are tokens;
/// by token: a line is a token, its indices are features, ascending.
#[derive(Debug, Clone, Default)]
pub(crate) struct Compressed {
    /// Where each line starts, [lines + 1].
    pub(crate) indptr: Vec<usize>,
    /// Token or feature of each entry.
    pub(crate) indices: Vec<u32>,
    /// z = (x − shift) / (σ√n), where Σz² ≤ 2.
    pub(crate) values: Vec<f32>,
    /// By feature: Σz/√n, between −1 and 1; NaN for a feature without variance, which has no entries.
    pub(crate) offsets: Vec<f64>,
}

impl Compressed {
    /// Indices and values of a line.
    pub(super) fn line(&self, i: usize) -> (&[u32], &[f32]) {
        let range = self.indptr[i]..self.indptr[i + 1];
        (&self.indices[range.clone()], &self.values[range])
    }
}

/// Cuts a list into consecutive ranges of at most `longest` items that cost at most `most` together (a dearer
/// item stands alone).
pub(super) fn cut(costs: &[usize], longest: usize, most: usize) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let (mut start, mut cost) = (0, 0);
    for (i, &c) in costs.iter().enumerate() {
        if i > start && (i - start == longest || cost + c > most) {
            ranges.push(start..i);
            (start, cost) = (i, 0);
        }
        cost += c;
    }
    if start < costs.len() {
        ranges.push(start..costs.len());
    }
    ranges
}
