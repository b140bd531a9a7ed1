//! A corpus as token batches (paper section 1).

use super::{Bos, CorpusPlan, LabError};
use crate::corpus::{BatchError, BatchPlan, Batches, Corpus, TokenBatch, Tokenizer};
use crate::words::echo;

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
pub(super) fn short(corpus: &Corpus, found: usize, wanted: usize) -> String {
    format!("the corpus {} has only {found} of the {wanted} tokens asked for", echo(corpus.name()))
}

/// What is to be known of a corpus before figures are made of it: what was changed to read it, and whether it was short.
pub(super) fn notes(corpus: &Corpus, found: usize, wanted: usize) -> impl Iterator<Item = String> {
    let short = (found < wanted).then(|| short(corpus, found, wanted));
    corpus.note().into_iter().chain(short)
}

fn failed<E: std::error::Error>(error: BatchError<E>) -> LabError {
    match error {
        BatchError::Corpus(e) => e.into(),
        other => LabError::Mismatch(other.to_string()),
    }
}
