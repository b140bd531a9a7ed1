//! A corpus as token batches (paper section 1).

use super::{Bos, CorpusPlan, LabError};
use crate::corpus::{BatchError, BatchPlan, Batches, Corpus, TokenBatch};
use crate::model::Tokenizer;

/// BOS, EOS and PAD of the Pythia and Mamba tokenizers.
const SPECIAL: u32 = 0;

/// Batches of `batch` documents, cut to `context` tokens with BOS in front if the plan says so, until `tokens` tokens
/// are kept or the corpus ends.
///
/// # Errors
/// A corpus that cannot be read or tokenized, or sizes no batch can have.
pub(super) fn token_batches<'a>(
    corpus: &'a Corpus,
    tokenizer: &'a Tokenizer,
    plan: &CorpusPlan,
) -> Result<impl Iterator<Item = Result<TokenBatch, LabError>> + use<'a>, LabError> {
    let plan = BatchPlan {
        context: plan.context,
        batch: plan.batch,
        tokens: plan.tokens,
        bos: (plan.bos != Bos::None).then_some(SPECIAL),
        pad: SPECIAL,
        masked: if plan.bos == Bos::Keep { vec![] } else { vec![SPECIAL] },
    };
    let batches = Batches::new(corpus.documents(), tokenizer, plan).map_err(failed)?;
    Ok(batches.map(|batch| batch.map_err(failed)))
}

fn failed<E: std::error::Error>(error: BatchError<E>) -> LabError {
    match error {
        BatchError::Corpus(e) => e.into(),
        other => LabError::Mismatch(other.to_string()),
    }
}
