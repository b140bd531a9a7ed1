//! Conventions that fold into weights: what a library does at every encode is done to the weights once.

use super::super::{SaeError, SaeWeights};

/// A matrix [rows, cols] as [cols, rows].
pub(super) fn transposed(values: &[f32], rows: usize, cols: usize) -> Vec<f32> {
    let mut out = vec![0.0; values.len()];
    for r in 0..rows {
        for c in 0..cols {
            out[c * rows + r] = values[r * cols + c];
        }
    }
    out
}

/// Multiplies in float64 and rounds once.
pub(super) fn scale(values: &mut [f32], factor: f64) {
    values.iter_mut().for_each(|v| *v = (f64::from(*v) * factor) as f32);
}

/// Norms of the rows of a matrix [.., width].
pub(super) fn row_norms(values: &[f32], width: usize) -> Vec<f64> {
    values.chunks_exact(width).map(|r| r.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>().sqrt()).collect()
}

impl SaeWeights {
    /// Folds in that activations are multiplied with `input` before they are encoded, and outputs divided by
    /// `output` after they were decoded. Features stay the same.
    pub(super) fn fold_scales(&mut self, input: f64, output: f64) {
        scale(&mut self.w_enc, input);
        scale(&mut self.w_dec, 1.0 / output);
        scale(&mut self.b_dec, 1.0 / output);
    }

    /// Folds in that features are multiplied with `factors` [F], none negative, after a ReLU.
    pub(super) fn fold_feature_scales(&mut self, factors: &[f32]) {
        for row in self.w_enc.chunks_exact_mut(factors.len()) {
            row.iter_mut().zip(factors).for_each(|(w, f)| *w *= f);
        }
        self.b_enc.iter_mut().zip(factors).for_each(|(b, f)| *b *= f);
    }

    /// Folds in that features are multiplied with `factors` [F] before they are decoded.
    pub(super) fn fold_decoder_scales(&mut self, factors: &[f32], width: usize) {
        for (row, &factor) in self.w_dec.chunks_exact_mut(width).zip(factors) {
            scale(row, f64::from(factor));
        }
    }

    /// Refuses weights that folding made too large.
    pub(super) fn check_finite(&self, file: &str) -> Result<(), SaeError> {
        let Some((tensor, index, value)) = self.not_finite() else { return Ok(()) };
        let (file, expected) = (file.to_owned(), "finite after its conventions are folded in");
        Err(SaeError::BadWeight { file, tensor, index, value, expected })
    }
}
