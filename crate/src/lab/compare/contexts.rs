//! Where a feature fires most, in words.

use super::report::Example;
use crate::corpus::{TokenBatch, Tokenizer};
use crate::sae::Codes;

/// How many of a feature's strongest tokens are shown.
const TOP: usize = 5;
/// Tokens of context before and after.
const BEFORE: usize = 12;
const AFTER: usize = 4;

/// The kept tokens of a run, in the order of the codes, with the documents they stand in.
pub(super) struct Contexts<'a> {
    tokenizer: &'a Tokenizer,
    ids: Vec<u32>,
    /// Document of each token.
    document: Vec<u32>,
}

impl<'a> Contexts<'a> {
    pub(super) fn new(batches: &[TokenBatch], tokenizer: &'a Tokenizer) -> Self {
        let (mut ids, mut document) = (Vec::new(), Vec::new());
        let mut documents = 0;
        for batch in batches {
            for (i, (&id, _)) in batch.ids.iter().zip(&batch.keep).enumerate().filter(|(_, (_, k))| **k) {
                ids.push(id);
                document.push(documents + (i / batch.len) as u32);
            }
            documents += batch.batch as u32;
        }
        Self { tokenizer, ids, document }
    }

    /// The strongest tokens of a feature, one a document, strongest first.
    pub(super) fn top(&self, codes: &Codes, feature: usize) -> Vec<Example> {
        let mut fires: Vec<(f32, usize)> = (0..codes.tokens())
            .filter_map(|t| {
                let (indices, values) = codes.row(t);
                indices.binary_search(&(feature as u32)).ok().map(|i| (values[i], t))
            })
            .collect();
        fires.sort_by(|x, y| y.0.total_cmp(&x.0).then(x.1.cmp(&y.1)));
        let mut seen = std::collections::HashSet::new();
        fires.retain(|(_, t)| seen.insert(self.document[*t]));
        fires.iter().take(TOP).map(|&(activation, t)| self.example(t, activation)).collect()
    }

    fn example(&self, t: usize, activation: f32) -> Example {
        let same = |u: &usize| self.document[*u] == self.document[t];
        let from = (t.saturating_sub(BEFORE)..t).find(same).unwrap_or(t);
        let to = (t + 1..self.ids.len()).take(AFTER).take_while(same).last().map_or(t + 1, |last| last + 1);
        let text = |range: std::ops::Range<usize>| self.tokenizer.decode(&self.ids[range]);
        Example { before: text(from..t), token: text(t..t + 1), after: text(t + 1..to), activation }
    }
}
