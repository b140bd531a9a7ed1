//! Sparse feature activations, by token.

use crate::kernels::Sparse;

/// Activations of one SAE over a run of tokens, in compressed rows: token `t` owns the entries
/// `indptr[t]..indptr[t + 1]`, its feature indices ascending and without repetition.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Codes {
    /// Number of features F: every index is below it.
    pub n_features: usize,
    /// Row boundaries, [tokens + 1]; starts with 0.
    pub indptr: Vec<u64>,
    /// Feature of each entry, ascending within a row.
    pub indices: Vec<u32>,
    /// Activation of each entry.
    pub values: Vec<f32>,
}

impl Codes {
    /// No tokens yet.
    pub fn new(n_features: usize) -> Self {
        Self { n_features, indptr: vec![0], indices: Vec::new(), values: Vec::new() }
    }

    /// Number of tokens.
    pub fn tokens(&self) -> usize {
        self.indptr.len().saturating_sub(1)
    }

    /// Features and activations of token `t`.
    ///
    /// # Panics
    /// When there is no such token.
    pub fn row(&self, t: usize) -> (&[u32], &[f32]) {
        let range = self.indptr[t] as usize..self.indptr[t + 1] as usize;
        (&self.indices[range.clone()], &self.values[range])
    }

    /// These tokens alone.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn slice(&self, tokens: std::ops::Range<usize>) -> Self {
        let base = self.indptr[tokens.start];
        let entries = base as usize..self.indptr[tokens.end] as usize;
        Self {
            n_features: self.n_features,
            indptr: self.indptr[tokens.start..=tokens.end].iter().map(|p| p - base).collect(),
            indices: self.indices[entries.clone()].to_vec(),
            values: self.values[entries].to_vec(),
        }
    }

    /// Of each token only the largest activations, as many as `counts` says; of equals the first features.
    ///
    /// # Panics
    /// When there are not as many counts as tokens.
    pub fn largest(&self, counts: impl ExactSizeIterator<Item = usize>) -> Self {
        assert_eq!(counts.len(), self.tokens(), "largest: tokens");
        let mut kept = Self::new(self.n_features);
        for (t, count) in counts.enumerate() {
            let (indices, values) = self.row(t);
            let mut places: Vec<usize> = (0..indices.len()).collect();
            places.sort_by(|&i, &j| values[j].total_cmp(&values[i]).then(i.cmp(&j)));
            places.truncate(count);
            places.sort_unstable();
            kept.indices.extend(places.iter().map(|&i| indices[i]));
            kept.values.extend(places.iter().map(|&i| values[i]));
            kept.indptr.push(kept.indices.len() as u64);
        }
        kept
    }

    /// The most features that are active on a token.
    pub fn widest(&self) -> usize {
        self.indptr.windows(2).map(|w| (w[1] - w[0]) as usize).max().unwrap_or(0)
    }

    /// The first value that is NaN or infinite, with its token and its feature.
    pub(super) fn not_finite(&self) -> Option<(usize, u32, f32)> {
        let e = self.values.iter().position(|v| !v.is_finite())?;
        let token = self.indptr.partition_point(|&start| start <= e as u64).saturating_sub(1);
        Some((token, self.indices.get(e).copied().unwrap_or_default(), self.values[e]))
    }

    /// Appends the tokens of `other`.
    ///
    /// # Panics
    /// When the number of features differs.
    pub fn append(&mut self, other: &Codes) {
        assert_eq!(self.n_features, other.n_features);
        let base = self.indices.len() as u64;
        self.indptr.extend(other.indptr.iter().skip(1).map(|p| p + base));
        self.indices.extend_from_slice(&other.indices);
        self.values.extend_from_slice(&other.values);
    }

    /// Appends tokens as a kernel selected them, with these values; zeros are no entries.
    pub(super) fn push(&mut self, rows: &Sparse, values: Vec<f32>) {
        for row in 0..rows.rows() {
            for e in rows.row(row).filter(|&e| values[e] != 0.0) {
                self.indices.push(rows.indices[e]);
                self.values.push(values[e]);
            }
            self.indptr.push(self.indices.len() as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_tokens_and_activations() {
        let codes = Codes {
            n_features: 9,
            indptr: vec![0, 3, 3, 5, 6],
            indices: vec![1, 4, 8, 0, 2, 7],
            values: vec![0.5, 2.0, 2.0, 1.0, 3.0, 4.0],
        };
        assert_eq!(codes.widest(), 3);
        assert_eq!(codes.slice(0..4), codes);
        let some = codes.slice(1..3);
        assert_eq!((some.tokens(), &some.indptr, &some.indices), (2, &vec![0, 0, 2], &vec![0, 2]));
        assert_eq!(codes.slice(2..2), Codes::new(9));
        let most = codes.largest([1, 5, 1, 0].into_iter());
        assert_eq!((&most.indptr, &most.indices), (&vec![0, 1, 1, 2, 2], &vec![4, 2]));
        assert_eq!(most.values, [2.0, 3.0]);
    }
}
