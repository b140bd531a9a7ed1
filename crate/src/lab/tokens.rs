//! A corpus as token batches (paper section 1).

use super::{LabError, Settings};
use crate::corpus::{BatchError, BatchPlan, Batches, Corpus, TokenBatch};
use crate::model::Tokenizer;

/// BOS, EOS and PAD of the Pythia and Mamba tokenizers.
const SPECIAL: u32 = 0;

/// Batches of `batch` documents, cut to `context` tokens with BOS in front, until `tokens` tokens are kept or
/// the corpus ends.
///
/// # Errors
/// A corpus that cannot be read or tokenized, or sizes no batch can have.
pub(super) fn token_batches<'a>(
    corpus: &'a Corpus,
    tokenizer: &'a Tokenizer,
    settings: &Settings,
) -> Result<impl Iterator<Item = Result<TokenBatch, LabError>> + use<'a>, LabError> {
    let plan = BatchPlan {
        context: settings.context,
        batch: settings.batch,
        tokens: settings.tokens,
        bos: SPECIAL,
        pad: SPECIAL,
        masked: vec![SPECIAL],
    };
    let batches = Batches::new(corpus.documents(), tokenizer, plan).map_err(failed)?;
    Ok(batches.map(|batch| batch.map_err(failed)))
}

fn failed<E: std::error::Error>(error: BatchError<E>) -> LabError {
    match error {
        BatchError::Corpus(e) => LabError::Corpus(e),
        other => LabError::Mismatch(other.to_string()),
    }
}
