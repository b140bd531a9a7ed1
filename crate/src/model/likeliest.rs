//! The likeliest next tokens.

use serde::Serialize;

/// A token that may come next.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Likely {
    /// Its id.
    pub id: u32,
    /// Its logit.
    pub logit: f32,
    /// Its probability among the tokens of the real vocabulary.
    pub probability: f64,
}

/// Probabilities by a softmax, in float64.
pub(crate) struct Softmax {
    largest: f32,
    sum: f64,
}

impl Softmax {
    /// Over these logits.
    pub(crate) fn over(logits: &[f32]) -> Self {
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum = logits.iter().map(|&logit| f64::from(logit - largest).exp()).sum();
        Self { largest, sum }
    }

    /// Of the token with this logit.
    pub(crate) fn probability(&self, logit: f32) -> f64 {
        f64::from(logit - self.largest).exp() / self.sum
    }

    /// The natural logarithm of the same.
    pub(crate) fn log_probability(&self, logit: f32) -> f64 {
        f64::from(logit) - f64::from(self.largest) - self.sum.ln()
    }
}

/// The `n` likeliest tokens of one row of logits [V], the likeliest first; of equal ones the lower id first.
///
/// Only the first `real` rows of the vocabulary take part
/// ([`Tokenizer::real_vocabulary`](crate::corpus::Tokenizer::real_vocabulary)): a checkpoint's padding rows were
/// never trained, their logits mean nothing and may well be the largest.
pub fn likeliest(logits: &[f32], real: usize, n: usize) -> Vec<Likely> {
    let real = &logits[..real.min(logits.len())];
    let softmax = Softmax::over(real);
    let mut ids: Vec<usize> = (0..real.len()).collect();
    let order = |&i: &usize, &j: &usize| real[j].total_cmp(&real[i]).then(i.cmp(&j));
    let n = n.min(ids.len());
    if 0 < n && n < ids.len() {
        ids.select_nth_unstable_by(n - 1, order);
    }
    ids.truncate(n);
    ids.sort_unstable_by(order);
    let likely =
        |i: usize| Likely { id: i as u32, logit: real[i], probability: softmax.probability(real[i]) };
    ids.into_iter().map(likely).collect()
}

/// The likeliest token of one row of logits, padding rows left out; none of an empty vocabulary.
pub fn argmax(logits: &[f32], real: usize) -> Option<u32> {
    likeliest(logits, real, 1).first().map(|likely| likely.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_never_wins() {
        let logits = [0.5, 2.0, -1.0, 2.0, 1.0, 9.0, 1e30];
        assert_eq!(argmax(&logits, 5), Some(1), "the first of two equal ones, not the padding");
        let all = likeliest(&logits, 5, 100);
        assert_eq!(all.iter().map(|l| l.id).collect::<Vec<_>>(), [1, 3, 4, 0, 2]);
        let total: f64 = all.iter().map(|l| l.probability).sum();
        assert!((total - 1.0).abs() < 1e-12, "padding takes no share of the probability: {total}");
        let weights: f64 = [0.5, 2.0, -1.0, 2.0, 1.0f64].iter().map(|v| v.exp()).sum();
        assert!((all[0].probability - 2f64.exp() / weights).abs() < 1e-12);
        assert_eq!(likeliest(&logits, 5, 2), all[..2]);
    }

    #[test]
    fn small_vocabularies() {
        assert_eq!(argmax(&[], 5), None);
        assert_eq!(argmax(&[1.0, 2.0], 0), None);
        assert!(likeliest(&[1.0, 2.0], 2, 0).is_empty());
        assert_eq!(argmax(&[1.0, 2.0], 5), Some(1), "more entries in the tokenizer than rows");
        assert_eq!(argmax(&[-1e30, -2e30], 2), Some(0));
    }
}
