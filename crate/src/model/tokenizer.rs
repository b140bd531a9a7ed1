//! `tokenizer.json`, through the `tokenizers` crate.

use thiserror::Error;

use crate::checkpoint::{CheckpointError, Files};
use crate::corpus::{Encoding, Tokenize};

/// A text the tokenizer refuses.
#[derive(Debug, Error)]
#[error("the text cannot be tokenized: {0}")]
pub struct TokenizeError(String);

/// Text to token ids and back.
pub struct Tokenizer(tokenizers::Tokenizer);

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokenizer({} entries)", self.len())
    }
}

impl Tokenizer {
    /// Reads `tokenizer.json`.
    ///
    /// # Errors
    /// [`CheckpointError::Missing`], and [`CheckpointError::Config`] when it does not parse.
    pub fn read(files: &Files) -> Result<Self, CheckpointError> {
        let bytes = files.read("tokenizer.json")?;
        let tokenizer = tokenizers::Tokenizer::from_bytes(&bytes).map_err(|e| CheckpointError::Config {
            file: files.label("tokenizer.json"),
            reason: format!("is not a tokenizer: {e}"),
        })?;
        Ok(Self(tokenizer))
    }

    /// Number of entries, added tokens included: ids of text are below it, while a checkpoint may have more
    /// (padding) rows.
    #[expect(clippy::len_without_is_empty, reason = "a tokenizer is never empty")]
    pub fn len(&self) -> usize {
        self.0.get_vocab_size(true)
    }

    /// The first rows of a vocabulary of `rows` that belong to tokens; the rest is padding, which no token draw and
    /// no argmax may meet ([`argmax`](super::argmax)).
    pub fn real_vocabulary(&self, rows: usize) -> usize {
        let highest = self.0.get_vocab(true).into_values().max();
        highest.map_or(0, |id| id as usize + 1).min(rows)
    }

    /// Text of token ids; bytes that are no UTF-8 by themselves become `�`.
    pub fn decode(&self, ids: &[u32]) -> String {
        self.0.decode(ids, false).unwrap_or_default()
    }

    /// Id of a special or ordinary token.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.0.token_to_id(token)
    }
}

impl Tokenize for Tokenizer {
    type Error = TokenizeError;

    fn encode(&self, text: &str) -> Result<Encoding, TokenizeError> {
        let encoding = self.0.encode(text, false).map_err(|e| TokenizeError(e.to_string()))?;
        Ok(Encoding { ids: encoding.get_ids().to_vec(), offsets: encoding.get_offsets().to_vec() })
    }
}
