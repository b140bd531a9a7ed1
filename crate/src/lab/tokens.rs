//! A corpus as token batches (paper section 1).

use super::{LabError, Settings};
use crate::corpus::{BatchPlan, Batches, Corpus, TokenBatch};
use crate::model::Tokenizer;

/// BOS, EOS and PAD of the Pythia and Mamba tokenizers.
const SPECIAL: u32 = 0;

/// Batches of `batch` documents, cut to `context` tokens with BOS in front, until `tokens` tokens are kept or
/// the corpus ends.
///
/// # Errors
/// A corpus that cannot be tokenized, or sizes no batch can have.
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
    let mismatch = |e: &dyn std::fmt::Display| LabError::Mismatch(e.to_string());
    let batches = Batches::new(corpus.documents(), tokenizer, plan).map_err(|e| mismatch(&e))?;
    Ok(batches.map(move |b| b.map_err(|e| mismatch(&e))))
}
