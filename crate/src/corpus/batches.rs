//! Documents to token batches, as the paper's scripts do it (arXiv 2410.06672, activation sources).
//!
//! Each document gets BOS in front, if there is to be one, and is truncated to the context. Positions whose token is
//! BOS, EOS or PAD stay in the forward pass but are masked, so that SAEs and correlations never see them. Batches hold
//! a fixed number of documents, padded on the right to the longest; the run ends after exactly the number of kept
//! tokens asked for.

use super::CorpusError;
use crate::failure::{Fails, Failure};

/// A text's tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoding {
    /// Token ids, without BOS or EOS.
    pub ids: Vec<u32>,
    /// The byte range of each token in the text.
    pub offsets: Vec<(usize, usize)>,
}

/// Turns text into tokens without adding special ones.
pub trait Tokenize {
    /// Why a text cannot be tokenized.
    type Error: std::error::Error;

    /// The tokens of `text`.
    ///
    /// # Errors
    /// Whatever the tokenizer cannot do.
    fn encode(&self, text: &str) -> Result<Encoding, Self::Error>;
}

/// How documents become batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchPlan {
    /// The most tokens of a document, BOS included; there must be room for one beside it.
    pub context: usize,
    /// Documents in a batch; at least 1.
    pub batch: usize,
    /// Kept tokens in all; at least 1.
    pub tokens: usize,
    /// The token put in front of each document, if any; by itself masked only if it is in `masked`.
    pub bos: Option<u32>,
    /// The token that fills up shorter rows; a filled position is always masked.
    pub pad: u32,
    /// Tokens that are never kept: BOS, EOS and PAD.
    pub masked: Vec<u32>,
}

/// A rectangle of tokens. `ids`, `keep` and `offsets` are `[batch, len]`, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenBatch {
    /// Rows; each is one document.
    pub batch: usize,
    /// Tokens in a row.
    pub len: usize,
    /// Token ids.
    pub ids: Vec<u32>,
    /// Whether the position counts.
    pub keep: Vec<bool>,
    /// The token's byte range in its document; empty for BOS and padding.
    pub offsets: Vec<(usize, usize)>,
    /// The number of each row's document in its corpus, from 0 `[batch]`.
    pub documents: Vec<usize>,
}

impl TokenBatch {
    /// How many positions count.
    pub fn kept(&self) -> usize {
        self.keep.iter().filter(|&&keep| keep).count()
    }
}

/// Why batches cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum BatchError<E: std::error::Error> {
    /// A context without room for a token after BOS.
    Context(usize),
    /// A batch of no documents, or a run of no tokens.
    Nothing(&'static str),
    /// The next document cannot be read.
    Corpus(CorpusError),
    /// The tokenizer gave up.
    Tokenize {
        /// The document's number, from 0.
        document: usize,
        /// What the tokenizer says.
        source: E,
    },
    /// The tokenizer gave ids and offsets of different lengths.
    Offsets {
        /// The document's number, from 0.
        document: usize,
        /// How many ids.
        ids: usize,
        /// How many offsets.
        offsets: usize,
    },
}

impl<E: std::error::Error> Fails for BatchError<E> {
    fn failure(&self) -> Failure {
        match self {
            Self::Context(what) => {
                Failure::new(format!("a context of {what} tokens has no room beside BOS"), "use 2 or more")
            }
            Self::Nothing(what) => Failure::new(format!("the number of {what} is 0"), "use 1 or more"),
            Self::Corpus(error) => error.failure(),
            Self::Tokenize { document, source } => {
                format!("document {document} cannot be tokenized: {source}").into()
            }
            Self::Offsets { document, ids, offsets } => Failure::new(
                format!("the tokenizer gave {ids} ids but {offsets} offsets for document {document}"),
                "check tokenizer.json",
            ),
        }
    }
}

impl<E: std::error::Error> std::fmt::Display for BatchError<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.failure().fmt(f)
    }
}

/// Makes batches one after the other; see the module's text for the rules.
///
/// Documents without a token to keep are skipped. After an error the iterator ends.
#[derive(Debug)]
pub struct Batches<'a, D, T> {
    documents: std::iter::Enumerate<D>,
    tokenizer: &'a T,
    plan: BatchPlan,
    kept: usize,
    ended: bool,
}

impl<'a, D, S, T> Batches<'a, D, T>
where
    D: Iterator<Item = Result<S, CorpusError>>,
    S: AsRef<str>,
    T: Tokenize,
{
    /// Batches of `documents` by `plan`.
    ///
    /// # Errors
    /// A plan whose context has no room for a token, with no documents in a batch, or no tokens.
    pub fn new(documents: D, tokenizer: &'a T, plan: BatchPlan) -> Result<Self, BatchError<T::Error>> {
        if plan.bos.is_some() && plan.context < 2 {
            return Err(BatchError::Context(plan.context));
        }
        if plan.context == 0 {
            return Err(BatchError::Nothing("tokens of a context"));
        }
        if plan.batch == 0 {
            return Err(BatchError::Nothing("documents in a batch"));
        }
        if plan.tokens == 0 {
            return Err(BatchError::Nothing("tokens"));
        }
        Ok(Self { documents: documents.enumerate(), tokenizer, plan, kept: 0, ended: false })
    }

    /// Kept tokens of the batches made so far.
    pub fn kept(&self) -> usize {
        self.kept
    }

    /// The next document with a token to keep, until enough are kept.
    fn next_row(&mut self) -> Result<Option<Row>, BatchError<T::Error>> {
        while self.kept < self.plan.tokens {
            let Some((document, text)) = self.documents.next() else { break };
            let text = text.map_err(BatchError::Corpus)?;
            let Encoding { ids, offsets } = self
                .tokenizer
                .encode(text.as_ref())
                .map_err(|source| BatchError::Tokenize { document, source })?;
            if ids.len() != offsets.len() {
                return Err(BatchError::Offsets { document, ids: ids.len(), offsets: offsets.len() });
            }
            let row = self.row(document, &ids, &offsets);
            let kept = row.keep.iter().filter(|&&keep| keep).count();
            if kept > 0 {
                self.kept += kept;
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    /// One document with BOS, truncated, with the mask cut at the number of tokens still wanted.
    fn row(&self, document: usize, ids: &[u32], offsets: &[(usize, usize)]) -> Row {
        let bos = self.plan.bos;
        let room = ids.len().min(self.plan.context - bos.iter().len());
        let ids: Vec<u32> = bos.into_iter().chain(ids[..room].iter().copied()).collect();
        let offsets = bos.iter().map(|_| (0, 0)).chain(offsets[..room].iter().copied()).collect();
        let mut wanted = self.plan.tokens - self.kept;
        let keep = ids.iter().map(|id| {
            let keep = wanted > 0 && !self.plan.masked.contains(id);
            wanted -= usize::from(keep);
            keep
        });
        Row { document, keep: keep.collect(), offsets, ids }
    }

    fn pad(&self, rows: &[Row]) -> TokenBatch {
        let len = rows.iter().map(|row| row.ids.len()).max().unwrap_or(0);
        let mut batch = TokenBatch {
            batch: rows.len(),
            len,
            ids: Vec::new(),
            keep: Vec::new(),
            offsets: Vec::new(),
            documents: rows.iter().map(|row| row.document).collect(),
        };
        for (i, row) in rows.iter().enumerate() {
            batch.ids.extend(&row.ids);
            batch.ids.resize((i + 1) * len, self.plan.pad);
            batch.keep.extend(&row.keep);
            batch.keep.resize((i + 1) * len, false);
            batch.offsets.extend(&row.offsets);
            batch.offsets.resize((i + 1) * len, (0, 0));
        }
        batch
    }

    fn next_batch(&mut self) -> Result<Option<TokenBatch>, BatchError<T::Error>> {
        let mut rows = Vec::new();
        while rows.len() < self.plan.batch {
            match self.next_row()? {
                Some(row) => rows.push(row),
                None => break,
            }
        }
        Ok((!rows.is_empty()).then(|| self.pad(&rows)))
    }
}

/// A document's row before padding.
struct Row {
    document: usize,
    ids: Vec<u32>,
    keep: Vec<bool>,
    offsets: Vec<(usize, usize)>,
}

impl<D, S, T> Iterator for Batches<'_, D, T>
where
    D: Iterator<Item = Result<S, CorpusError>>,
    S: AsRef<str>,
    T: Tokenize,
{
    type Item = Result<TokenBatch, BatchError<T::Error>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let batch = self.next_batch().transpose();
        self.ended = !matches!(batch, Some(Ok(_)));
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One token a byte; `0` is the masked token, `!` cannot be tokenized, `?` loses an offset.
    #[derive(Debug)]
    struct Bytes;

    #[derive(Debug, thiserror::Error)]
    #[error("an exclamation mark")]
    struct Exclamation;

    impl Tokenize for Bytes {
        type Error = Exclamation;

        fn encode(&self, text: &str) -> Result<Encoding, Exclamation> {
            if text.contains('!') {
                return Err(Exclamation);
            }
            let ids = text.bytes().map(|b| if b == b'0' { 0 } else { u32::from(b) }).collect();
            let offsets = (0..text.len() - text.matches('?').count()).map(|i| (i, i + 1)).collect();
            Ok(Encoding { ids, offsets })
        }
    }

    fn plan(context: usize, batch: usize, tokens: usize) -> BatchPlan {
        BatchPlan { context, batch, tokens, bos: Some(0), pad: 0, masked: vec![0] }
    }

    /// Documents that can all be read.
    fn good<'a>(texts: &'a [&str]) -> impl Iterator<Item = Result<&'a str, CorpusError>> + std::fmt::Debug {
        texts.iter().map(|text| Ok(*text)).collect::<Vec<_>>().into_iter()
    }

    fn kept_text(batches: &[TokenBatch]) -> String {
        let kept = batches.iter().flat_map(|b| b.ids.iter().zip(&b.keep)).filter(|(_, keep)| **keep);
        kept.map(|(&id, _)| char::from_u32(id).expect("an ASCII token")).collect()
    }

    #[test]
    fn pads_masks_and_truncates() {
        let documents = ["abcdefgh", "x0y", "", "0", "z"];
        let mut batches = Batches::new(good(&documents), &Bytes, plan(5, 2, 100)).expect("a good plan");
        let first = batches.next().expect("a batch").expect("no error");
        assert_eq!((first.batch, first.len), (2, 5));
        assert_eq!(first.ids, [0, 97, 98, 99, 100, 0, 120, 0, 121, 0]);
        let kept = [false, true, true, true, true, false, true, false, true, false];
        assert_eq!(first.keep, kept);
        assert_eq!(first.offsets[5..], [(0, 0), (0, 1), (1, 2), (2, 3), (0, 0)]);
        let second = batches.next().expect("a batch").expect("no error");
        assert_eq!((second.batch, second.len, second.documents), (1, 2, vec![4]));
        assert!(batches.next().is_none());
        assert_eq!(batches.kept(), 7);
    }

    #[test]
    fn bos_may_be_kept_or_left_out() {
        let first = |plan| {
            let mut batches = Batches::new(good(&["abc", "d"]), &Bytes, plan).expect("a good plan");
            batches.next().expect("a batch").expect("no error")
        };
        let kept = first(BatchPlan { masked: vec![], ..plan(3, 2, 9) });
        assert_eq!(kept.ids, [0, 97, 98, 0, 100, 0]);
        assert_eq!(kept.keep, [true, true, true, true, true, false]);
        let none = first(BatchPlan { bos: None, ..plan(3, 2, 9) });
        assert_eq!(
            (none.ids, none.offsets),
            (vec![97, 98, 99, 100, 0, 0], vec![(0, 1), (1, 2), (2, 3), (0, 1), (0, 0), (0, 0)])
        );
        assert_eq!(none.keep, [true, true, true, true, false, false]);
        let one = first(BatchPlan { bos: None, ..plan(1, 2, 9) });
        assert_eq!(one.ids, [97, 100]);
    }

    #[test]
    fn keeps_exactly_the_tokens_asked_for() {
        let documents = ["abc", "de", "fghi", "jk"];
        for tokens in 1..=11 {
            let mut batches =
                Batches::new(good(&documents), &Bytes, plan(8, 2, tokens)).expect("a good plan");
            let made: Vec<_> = batches.by_ref().collect::<Result<_, _>>().expect("no error");
            assert_eq!(kept_text(&made), "abcdefghijk"[..tokens]);
            assert_eq!(batches.kept(), tokens);
            assert!(made.iter().all(|batch| batch.kept() > 0 && batch.ids.len() == batch.batch * batch.len));
        }
    }

    #[test]
    fn an_empty_corpus_has_no_batch() {
        let mut batches = Batches::new(good(&["", "0"]), &Bytes, plan(4, 2, 3)).expect("a good plan");
        assert!(batches.next().is_none());
        assert_eq!(batches.kept(), 0);
    }

    #[test]
    fn errors_name_the_document_and_end_the_run() {
        let mut batches = Batches::new(good(&["a", "b!"]), &Bytes, plan(4, 1, 9)).expect("a good plan");
        assert!(batches.next().expect("a batch").is_ok());
        let error = batches.next().expect("an error").expect_err("a bad document");
        assert_eq!(error.to_string(), "document 1 cannot be tokenized: an exclamation mark");
        assert!(batches.next().is_none());
        let unreadable = [Ok("a"), Err(CorpusError::Empty { name: "x".to_owned() }), Ok("b")];
        let mut batches = Batches::new(unreadable.into_iter(), &Bytes, plan(4, 1, 9)).expect("a good plan");
        assert!(batches.next().expect("a batch").is_ok());
        assert!(matches!(batches.next(), Some(Err(BatchError::Corpus(CorpusError::Empty { .. })))));
        assert!(batches.next().is_none());
        let mut batches = Batches::new(good(&["a?"]), &Bytes, plan(4, 1, 9)).expect("a good plan");
        assert!(matches!(batches.next(), Some(Err(BatchError::Offsets { document: 0, ids: 2, offsets: 1 }))));
    }

    #[test]
    fn refuses_plans_that_make_nothing() {
        let refusal = |plan| Batches::new(good(&["a"]), &Bytes, plan).expect_err("a bad plan").to_string();
        assert_eq!(refusal(plan(1, 1, 1)), "a context of 1 tokens has no room beside BOS; use 2 or more");
        let without = BatchPlan { bos: None, ..plan(0, 1, 1) };
        assert_eq!(refusal(without), "the number of tokens of a context is 0; use 1 or more");
        assert_eq!(refusal(plan(2, 0, 1)), "the number of documents in a batch is 0; use 1 or more");
        assert_eq!(refusal(plan(2, 1, 0)), "the number of tokens is 0; use 1 or more");
    }
}
