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
                self.indices.push(rows.columns[e]);
                self.values.push(values[e]);
            }
            self.indptr.push(self.indices.len() as u64);
        }
    }
}
