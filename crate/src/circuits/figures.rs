//! What an intervention does to the answer, prompt by prompt and on average.

use serde::{Deserialize, Serialize};

use crate::model::Softmax;
use crate::stats::{Interval, bootstrap};

/// Which tokens the answer is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerTokens {
    /// The right answer of each prompt.
    pub b: Vec<u32>,
    /// What it is held against, of each prompt.
    pub other: Vec<u32>,
    /// Entries of the real vocabulary; rows beyond are padding and have no probability.
    pub vocab: usize,
}

/// What the model answers at the last position, by prompt.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify))]
pub struct Answers {
    /// Logit of B.
    pub logit: Vec<f64>,
    /// The same less the mean over the vocabulary, as TransformerLens gives it for a Transformer.
    #[serde(rename = "centred")]
    pub centered: Vec<f64>,
    /// Probability of B.
    pub probability: Vec<f64>,
    /// Its natural logarithm.
    pub log_probability: Vec<f64>,
    /// Logit of B less the logit of the other token.
    pub difference: Vec<f64>,
    /// All logits [N, V], where somebody asked for them.
    #[serde(skip)]
    pub logits: Vec<f32>,
}

/// A mean over prompts with its 95 % bootstrap interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify))]
pub struct Mean {
    /// The mean.
    pub mean: f64,
    /// Its interval; none for a single prompt.
    pub interval: Option<Interval>,
}

/// The means of [`Answers`], or of their changes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify))]
pub struct Means {
    /// Logit of B.
    pub logit: Mean,
    /// The same less the mean over the vocabulary.
    #[serde(rename = "centred")]
    pub centered: Mean,
    /// Probability of B.
    pub probability: Mean,
    /// Its natural logarithm.
    pub log_probability: Mean,
    /// Logit of B less the logit of the other token.
    pub difference: Mean,
}

impl Answers {
    /// Of logits [n, V], whose first prompt is number `first` of the target.
    pub(super) fn of((logits, rows): (&[f32], usize), target: &AnswerTokens, first: usize) -> Self {
        let mut answers = Self::default();
        for (row, prompt) in logits.chunks(logits.len() / rows.max(1)).zip(first..) {
            answers.push(row, target.b[prompt] as usize, target.other[prompt] as usize, target.vocab);
        }
        answers
    }

    fn push(&mut self, row: &[f32], b: usize, other: usize, vocab: usize) {
        let wide = |i: usize| f64::from(row[i]);
        let real = &row[..vocab.min(row.len())];
        let log_probability = Softmax::over(real).log_probability(row[b]);
        // TransformerLens centers over all rows, padding too.
        let mean = row.iter().map(|&v| f64::from(v)).sum::<f64>() / row.len() as f64;
        self.logit.push(wide(b));
        self.centered.push(wide(b) - mean);
        self.probability.push(log_probability.exp());
        self.log_probability.push(log_probability);
        self.difference.push(wide(b) - wide(other));
    }

    /// Takes in the answers to further prompts.
    pub fn take_in(&mut self, other: Self) {
        self.logit.extend(other.logit);
        self.centered.extend(other.centered);
        self.probability.extend(other.probability);
        self.log_probability.extend(other.log_probability);
        self.difference.extend(other.difference);
        self.logits.extend(other.logits);
    }

    /// The means over prompts.
    pub fn means(&self) -> Means {
        self.with(|values| mean(values.iter().copied()))
    }

    /// The means of what changed from `clean`, prompt by prompt.
    ///
    /// # Panics
    /// When these are answers to another number of prompts.
    pub fn changes(&self, clean: &Answers) -> Means {
        assert_eq!(self.logit.len(), clean.logit.len(), "changes: prompts");
        let change = |x: &[f64], y: &[f64]| mean(x.iter().zip(y).map(|(x, y)| x - y));
        Means {
            logit: change(&self.logit, &clean.logit),
            centered: change(&self.centered, &clean.centered),
            probability: change(&self.probability, &clean.probability),
            log_probability: change(&self.log_probability, &clean.log_probability),
            difference: change(&self.difference, &clean.difference),
        }
    }

    fn with(&self, mean: impl Fn(&[f64]) -> Mean) -> Means {
        Means {
            logit: mean(&self.logit),
            centered: mean(&self.centered),
            probability: mean(&self.probability),
            log_probability: mean(&self.log_probability),
            difference: mean(&self.difference),
        }
    }
}

/// A mean with its interval.
pub(super) fn mean(values: impl Iterator<Item = f64>) -> Mean {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    let n = values.len();
    let of_drawn = |drawn: &mut [usize]| [drawn.iter().map(|&i| values[i]).sum::<f64>() / n as f64];
    Mean {
        mean: values.iter().sum::<f64>() / n.max(1) as f64,
        interval: bootstrap(n, of_drawn).map(|[mean]| mean),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_those_of_the_real_vocabulary() {
        // The fourth row is padding, with the largest logit.
        let target = AnswerTokens { b: vec![1, 0], other: vec![0, 2], vocab: 3 };
        let got = Answers::of((&[0.0, 1.0, 2.0, 9.0, 3.0, 3.0, 3.0, 9.0], 2), &target, 0);
        let p = 1f64.exp() / (1.0 + 1f64.exp() + 2f64.exp());
        // One exponential, a sum and a quotient in float64.
        assert!((got.probability[0] - p).abs() < 1e-15 && (got.probability[1] - 1.0 / 3.0).abs() < 1e-15);
        assert!((got.log_probability[0] - p.ln()).abs() < 1e-15);
        assert_eq!((got.logit, got.difference), (vec![1.0, 3.0], vec![1.0, 0.0]));
        assert_eq!(got.centered, [-2.0, -1.5]);
    }

    #[test]
    fn changes_are_by_prompt() {
        let answers = |logit: &[f64]| Answers {
            logit: logit.to_vec(),
            centered: logit.to_vec(),
            probability: logit.to_vec(),
            log_probability: logit.to_vec(),
            difference: logit.to_vec(),
            logits: Vec::new(),
        };
        // Every prompt loses 1, whatever it has: an interval of no width.
        let lost = answers(&[4.0, 9.0, 0.0]).changes(&answers(&[5.0, 10.0, 1.0]));
        assert_eq!(lost.logit, Mean { mean: -1.0, interval: Some(Interval { low: -1.0, high: -1.0 }) });
        let means = answers(&[4.0]).means();
        assert_eq!(means.difference, Mean { mean: 4.0, interval: None });
    }
}
