//! Where a comparison keeps what it has worked out.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::lab::shared::LabError;
use crate::sae::Codes;
use crate::universality::Correlation;

/// A stretch of the tokens: a whole number of batches, so that machines can share the work without talking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Its number, from 0.
    pub number: usize,
    /// Its tokens.
    pub tokens: usize,
}

/// A place for codes by shard, for correlations, and for notes. Keys name everything that decides what is kept under
/// them, so that what is there need not be made again. What was damaged counts as not there.
pub trait Store {
    /// Whether a shard of codes is there.
    ///
    /// # Errors
    /// [`LabError::Io`].
    fn has_codes(&self, key: &str, shard: Shard) -> Result<bool, LabError>;

    /// Keeps a shard of codes.
    ///
    /// # Errors
    /// [`LabError::Io`].
    fn put_codes(&mut self, key: &str, shard: Shard, codes: Codes) -> Result<(), LabError>;

    /// The codes of these shards, one after the other.
    ///
    /// # Errors
    /// A shard that is missing or damaged.
    fn codes(&self, key: &str, shards: &[Shard]) -> Result<Rc<Codes>, LabError>;

    /// A correlation of so many features of A and of B, if it is there.
    ///
    /// # Errors
    /// [`LabError::Io`].
    fn pair(&self, key: &str, sizes: (usize, usize)) -> Result<Option<Correlation>, LabError>;

    /// Keeps a correlation.
    ///
    /// # Errors
    /// [`LabError::Io`].
    fn put_pair(&mut self, key: &str, pair: &Correlation) -> Result<(), LabError>;

    /// A note (JSON), if it is there.
    ///
    /// # Errors
    /// [`LabError::Io`].
    fn note(&self, key: &str) -> Result<Option<String>, LabError>;

    /// Keeps a note.
    ///
    /// # Errors
    /// [`LabError::Io`].
    fn put_note(&mut self, key: &str, note: &str) -> Result<(), LabError>;

    /// What was found damaged since this was last asked: a line for each.
    fn damaged(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A store that ends with the run: of a run in memory, and of the page.
#[derive(Debug, Default)]
pub struct MemoryStore {
    codes: BTreeMap<String, Kept>,
}

#[derive(Debug)]
struct Kept {
    shards: usize,
    codes: Rc<Codes>,
}

impl Store for MemoryStore {
    fn has_codes(&self, key: &str, shard: Shard) -> Result<bool, LabError> {
        Ok(self.codes.get(key).is_some_and(|kept| shard.number < kept.shards))
    }

    fn put_codes(&mut self, key: &str, shard: Shard, codes: Codes) -> Result<(), LabError> {
        let n_features = codes.n_features;
        let empty = || Kept { shards: 0, codes: Rc::new(Codes::new(n_features)) };
        let kept = self.codes.entry(key.to_owned()).or_insert_with(empty);
        assert_eq!(kept.shards, shard.number, "shards come in their order");
        Rc::make_mut(&mut kept.codes).append(&codes);
        kept.shards += 1;
        Ok(())
    }

    fn codes(&self, key: &str, shards: &[Shard]) -> Result<Rc<Codes>, LabError> {
        let kept = self.codes.get(key).filter(|kept| kept.shards == shards.len());
        let kept =
            kept.ok_or_else(|| LabError::Refused(format!("the codes of {key} were not made").into()))?;
        Ok(kept.codes.clone())
    }

    fn pair(&self, _: &str, _: (usize, usize)) -> Result<Option<Correlation>, LabError> {
        Ok(None)
    }

    fn put_pair(&mut self, _: &str, _: &Correlation) -> Result<(), LabError> {
        Ok(())
    }

    fn note(&self, _: &str) -> Result<Option<String>, LabError> {
        Ok(None)
    }

    fn put_note(&mut self, _: &str, _: &str) -> Result<(), LabError> {
        Ok(())
    }
}
