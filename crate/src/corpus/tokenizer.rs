//! `tokenizer.json`, through the `tokenizers` crate.

use thiserror::Error;

use super::batches::{Encoding, Tokenize};
use super::special::{Entries, SpecialIds};
use crate::calm::calm;
use crate::checkpoint::{CheckpointError, Files, without_bom};
use crate::failure::{Fails, Failure};

/// Name of the file.
const FILE: &str = "tokenizer.json";
/// What transformers adds to it.
const SETTINGS: &str = "tokenizer_config.json";

/// A text the tokenizer refuses.
#[derive(Debug, Error)]
#[error("the text cannot be tokenized: {0}")]
pub struct TokenizeError(String);

impl Fails for TokenizeError {
    fn failure(&self) -> Failure {
        self.to_string().into()
    }
}

/// Text to token ids and back, as transformers does it where a tokenizer is called with a text and nothing more: never
/// cut, never filled up.
pub struct Tokenizer {
    tokenizer: tokenizers::Tokenizer,
    /// What messages call the file.
    label: String,
    /// Ids of all entries, ascending.
    ids: Vec<u32>,
    /// The highest id of an entry that is no added token.
    highest: u32,
    special: SpecialIds,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokenizer({} entries)", self.len())
    }
}

impl Tokenizer {
    /// Reads `tokenizer.json`, and the [special tokens](SpecialIds) from the configs beside it.
    ///
    /// # Errors
    /// [`CheckpointError::Missing`], and [`CheckpointError::Config`] when a file does not parse.
    pub fn read(files: &Files) -> Result<Self, CheckpointError> {
        let bytes = files.read(FILE)?;
        let bytes = without_bom(&bytes);
        let wrong = |e: String| CheckpointError::Config {
            file: files.label(FILE),
            reason: format!("is not a tokenizer: {e}").into(),
        };
        // The library panics on some bytes that are no JSON.
        serde_json::from_slice::<serde::de::IgnoredAny>(bytes).map_err(|e| wrong(e.to_string()))?;
        let mut tokenizer = calm(|| tokenizers::Tokenizer::from_bytes(bytes)).map_err(wrong)?;
        // What a file asks for when many texts are tokenized at once would cut a text, or count padding as text.
        tokenizer.with_truncation(None).map_err(|e| wrong(e.to_string()))?;
        tokenizer.with_padding(None);
        tokenizer.set_encode_special_tokens(splits_special(files)?);
        let highest = tokenizer.get_vocab(false).into_values().max().unwrap_or(0);
        let mut ids: Vec<u32> = tokenizer.get_vocab(true).into_values().collect();
        ids.sort_unstable();
        ids.dedup();
        let added = tokenizer.get_added_tokens_decoder();
        let entries = Entries {
            id: &|text| tokenizer.token_to_id(text),
            has: &|id| ids.binary_search(&id).is_ok(),
            special: added.into_iter().filter(|(_, t)| t.special).map(|(id, t)| (id, t.content)).collect(),
        };
        let special = SpecialIds::read(files, &entries)?;
        Ok(Self { special, label: files.label(FILE), highest, ids, tokenizer })
    }

    /// Number of entries, added tokens included: ids of text are below it, while a checkpoint may have more
    /// (padding) rows.
    #[expect(clippy::len_without_is_empty, reason = "a tokenizer is never empty")]
    pub fn len(&self) -> usize {
        self.tokenizer.get_vocab_size(true)
    }

    /// The first rows of a vocabulary of `rows` that belong to tokens; the rest is padding, which no token draw and
    /// no argmax may meet.
    pub fn real_vocabulary(&self, rows: usize) -> usize {
        self.ids.last().map_or(0, |id| *id as usize + 1).min(rows)
    }

    /// Ids that a random text may be made of, ascending: those of a vocabulary of `rows` that are text.
    pub fn drawable(&self, rows: usize) -> Vec<u32> {
        let text = |id: &u32| (*id as usize) < rows && !self.special.contains(*id);
        self.ids.iter().copied().filter(text).collect()
    }

    /// BOS, EOS, PAD, and what else is no text.
    pub fn special(&self) -> &SpecialIds {
        &self.special
    }

    /// Checks that a vocabulary of `rows` has a row for every entry. Returns a sentence about added tokens without one.
    ///
    /// # Errors
    /// [`CheckpointError::Config`] when it lacks rows for entries that any text may have.
    pub fn check(&self, rows: usize) -> Result<Option<String>, CheckpointError> {
        if self.highest as usize >= rows {
            return Err(CheckpointError::Config {
                file: self.label.clone(),
                reason: Failure::new(
                    format!(
                        "has tokens up to id {}, but the model has only {rows} rows of vocabulary",
                        self.highest
                    ),
                    "use the tokenizer of these weights",
                ),
            });
        }
        let beyond = self.ids.iter().filter(|id| **id as usize >= rows).count();
        Ok((beyond > 0).then(|| {
            format!("{beyond} added tokens are beyond the {rows} rows of the vocabulary; no text with them can be run")
        }))
    }

    /// Text of token ids; bytes that are no UTF-8 by themselves become `�`.
    pub fn decode(&self, ids: &[u32]) -> String {
        calm(|| self.tokenizer.decode(ids, false)).unwrap_or_default()
    }

    /// Id of a special or ordinary token.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.tokenizer.token_to_id(token)
    }
}

/// Whether a special token that is written in a text is taken for the text that it is.
fn splits_special(files: &Files) -> Result<bool, CheckpointError> {
    if !files.has(SETTINGS) {
        return Ok(false);
    }
    let settings = files.json(SETTINGS)?;
    Ok(settings.get("split_special_tokens").and_then(serde_json::Value::as_bool).unwrap_or(false))
}

impl Tokenize for Tokenizer {
    type Error = TokenizeError;

    fn encode(&self, text: &str) -> Result<Encoding, TokenizeError> {
        let encoding = calm(|| self.tokenizer.encode(text, false)).map_err(TokenizeError)?;
        Ok(Encoding { ids: encoding.get_ids().to_vec(), offsets: encoding.get_offsets().to_vec() })
    }
}

#[cfg(test)]
#[path = "tokenizer_tests.rs"]
mod tests;
