//! The tokens that an experiment reads: a corpus as token batches (paper section 1).

use serde::{Deserialize, Serialize};

use super::error::LabError;
use crate::corpus::{BatchError, BatchPlan, Batches, Corpus, TokenBatch, Tokenizer};
use crate::words::echo;

/// The tokens that models read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify))]
#[serde(deny_unknown_fields, default)]
pub struct CorpusPlan {
    /// `builtin`, a file, a folder of Parquet, or `hub:OWNER/NAME`.
    pub source: String,
    /// Seed of the built-in corpus.
    pub seed: u64,
    /// Tokens to correlate over.
    pub tokens: usize,
    /// Documents are cut to this many tokens, BOS included.
    pub context: usize,
    /// Documents in a batch.
    pub batch: usize,
    /// Whether documents begin with BOS, and whether it counts.
    pub bos: Bos,
}

/// What happens to the beginning of a document.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify))]
#[serde(rename_all = "lowercase")]
pub enum Bos {
    /// BOS is put in front; positions of BOS, EOS or PAD are dropped before anything is correlated (the paper's way).
    #[default]
    Drop,
    /// BOS is put in front and counts like any token.
    Keep,
    /// Nothing is put in front.
    None,
}

impl Default for CorpusPlan {
    /// The built-in corpus, 100,000 tokens, contexts of 256.
    fn default() -> Self {
        Self {
            source: "builtin".to_owned(),
            seed: 2,
            tokens: 100_000,
            context: 256,
            batch: 8,
            bos: Bos::Drop,
        }
    }
}

/// Batches of `batch` documents, cut to `context` tokens with BOS in front if the plan says so, until `tokens` tokens
/// are kept or the corpus ends.
///
/// # Errors
/// A corpus that cannot be read or tokenized, or sizes no batch can have.
pub(in crate::lab) fn token_batches<'a>(
    corpus: &'a Corpus,
    tokenizer: &'a Tokenizer,
    plan: &CorpusPlan,
) -> Result<impl Iterator<Item = Result<TokenBatch, LabError>> + use<'a>, LabError> {
    let special = tokenizer.special();
    let plan = BatchPlan {
        context: plan.context,
        batch: plan.batch,
        tokens: plan.tokens,
        bos: special.bos.filter(|_| plan.bos != Bos::None),
        // Filled positions never count, and nothing before them sees them: any token does.
        pad: special.pad.unwrap_or(0),
        masked: if plan.bos == Bos::Keep { vec![] } else { special.ends() },
    };
    let batches = Batches::new(corpus.documents(), tokenizer, plan).map_err(failed)?;
    Ok(batches.map(|batch| batch.map_err(failed)))
}

/// Says that a corpus gave fewer tokens than were asked for.
pub(in crate::lab) fn short(corpus: &Corpus, found: usize, wanted: usize) -> String {
    format!("the corpus {} has only {found} of the {wanted} tokens asked for", echo(corpus.name()))
}

/// What is to be known of a corpus before figures are made of it: what was changed to read it, and whether it was
/// short.
pub(in crate::lab) fn notes(corpus: &Corpus, found: usize, wanted: usize) -> impl Iterator<Item = String> {
    let short = (found < wanted).then(|| short(corpus, found, wanted));
    corpus.note().into_iter().chain(short)
}

fn failed<E: std::error::Error>(error: BatchError<E>) -> LabError {
    match error {
        BatchError::Corpus(e) => e.into(),
        other => LabError::Refused(other.into()),
    }
}
