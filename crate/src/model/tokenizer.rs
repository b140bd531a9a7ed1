//! `tokenizer.json`, through the `tokenizers` crate.

use crate::checkpoint::{CheckpointError, Files};

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

    /// Token ids of a text, and the byte range of each token in it. No special tokens are added.
    ///
    /// # Errors
    /// What the tokenizer says.
    pub fn encode(&self, text: &str) -> Result<(Vec<u32>, Vec<(usize, usize)>), String> {
        let encoding = self.0.encode(text, false).map_err(|e| format!("the text cannot be tokenized: {e}"))?;
        Ok((encoding.get_ids().to_vec(), encoding.get_offsets().to_vec()))
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
