//! The tensors of a checkpoint, in one file or in shards.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::{CheckpointError, Files, SafeFile, Stored};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// All tensors of a checkpoint by name. A shard is opened when one of its tensors is first asked for.
pub struct Weights {
    files: Files,
    /// File of each tensor.
    place: BTreeMap<String, String>,
    open: RefCell<BTreeMap<String, Rc<SafeFile>>>,
}

impl Weights {
    /// Finds `model.safetensors`, or `model.safetensors.index.json` and its shards.
    ///
    /// # Errors
    /// [`CheckpointError::Missing`], [`CheckpointError::Pickle`] when there is only `pytorch_model.bin`,
    /// [`CheckpointError::Damaged`] and [`CheckpointError::Config`] for an unusable file or index.
    pub fn open(files: &Files) -> Result<Self, CheckpointError> {
        let mut weights = Self { files: files.clone(), place: BTreeMap::new(), open: RefCell::default() };
        if files.has(SINGLE) {
            for name in weights.file(SINGLE)?.names() {
                weights.place.insert(name, SINGLE.to_owned());
            }
        } else if files.has(INDEX) {
            let index = files.json(INDEX)?;
            let map = index.get("weight_map").and_then(|m| m.as_object());
            let wrong = |reason: &str| CheckpointError::Config {
                file: files.label(INDEX),
                reason: reason.to_owned(),
            };
            for (name, file) in map.ok_or_else(|| wrong("has no object weight_map"))? {
                let file =
                    file.as_str().ok_or_else(|| wrong("weight_map holds a value that is no file name"))?;
                weights.place.insert(name.clone(), file.to_owned());
            }
        } else {
            for name in ["pytorch_model.bin", "pytorch_model.bin.index.json"] {
                if files.has(name) {
                    return Err(CheckpointError::Pickle { place: files.place(), name: name.to_owned() });
                }
            }
            files.open(SINGLE)?; // says what is missing
        }
        Ok(weights)
    }

    fn file(&self, name: &str) -> Result<Rc<SafeFile>, CheckpointError> {
        if let Some(file) = self.open.borrow().get(name) {
            return Ok(file.clone());
        }
        let bytes = match name {
            SINGLE => self.files.open(name)?,
            shard => self.files.open_named(shard, INDEX)?,
        };
        let file = Rc::new(SafeFile::parse(self.files.label(name), bytes)?);
        self.open.borrow_mut().insert(name.to_owned(), file.clone());
        Ok(file)
    }

    /// Whether a tensor is there.
    pub fn has(&self, name: &str) -> bool {
        self.place.contains_key(name)
    }

    /// The file that holds a tensor.
    fn holding(&self, name: &str) -> Result<Rc<SafeFile>, CheckpointError> {
        match self.place.get(name) {
            Some(file) => self.file(file),
            None => Err(CheckpointError::NoTensor { file: self.files.place(), name: name.to_owned() }),
        }
    }

    /// A tensor of this shape as f32.
    ///
    /// # Errors
    /// As [`SafeFile::tensor`], and those of opening its shard.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, CheckpointError> {
        self.holding(name)?.tensor(name, shape)
    }

    /// How the elements of a tensor of this shape are stored.
    ///
    /// # Errors
    /// As [`SafeFile::stored`], [`CheckpointError::Shape`], and those of opening its shard.
    pub fn stored(&self, name: &str, shape: &[usize]) -> Result<Stored, CheckpointError> {
        let file = self.holding(name)?;
        file.check_shape(name, shape)?;
        file.stored(name)
    }

    /// Hands the rows of a tensor of this shape to `take` as they are stored, a few megabytes at a time, after
    /// the number of the first of them.
    ///
    /// # Errors
    /// As [`SafeFile::rows`], and those of opening its shard.
    pub fn rows(
        &self,
        name: &str,
        shape: &[usize],
        take: impl FnMut(usize, &[u8]) -> Result<(), CheckpointError>,
    ) -> Result<(), CheckpointError> {
        self.holding(name)?.rows(name, shape, take)
    }
}
