//! The tensors of a checkpoint, in one file or in shards.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::{CheckpointError, Files, SafeFile, Stored};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// All tensors of a checkpoint by name. Of a file no more than the header is read before a tensor of it is asked for.
///
/// Of two tensors that share their values a file keeps one, and notes in its `__metadata__` which other name stood for
/// it: such a name is as good as the one that was kept.
pub struct Weights {
    files: Files,
    /// File of each tensor.
    place: BTreeMap<String, String>,
    open: RefCell<BTreeMap<String, Rc<SafeFile>>>,
    /// Names that were left out of the files, and the names that were kept in their stead.
    shared: BTreeMap<String, String>,
    /// Tensors that somebody has asked for.
    read: RefCell<BTreeSet<String>>,
}

impl Weights {
    /// Finds `model.safetensors`, or `model.safetensors.index.json` and its shards.
    ///
    /// # Errors
    /// [`CheckpointError::Missing`], [`CheckpointError::Pickle`] when there is only `pytorch_model.bin`,
    /// [`CheckpointError::Damaged`] and [`CheckpointError::Config`] for an unusable file or index.
    pub fn open(files: &Files) -> Result<Self, CheckpointError> {
        let mut weights = Self {
            files: files.clone(),
            place: BTreeMap::new(),
            open: RefCell::default(),
            shared: BTreeMap::new(),
            read: RefCell::default(),
        };
        if files.has(SINGLE) {
            for name in weights.file(SINGLE)?.names() {
                weights.place.insert(name, SINGLE.to_owned());
            }
        } else if files.has(INDEX) {
            let index = files.json(INDEX)?;
            let map = index.get("weight_map").and_then(|m| m.as_object());
            let wrong =
                |reason: &str| CheckpointError::Config { file: files.label(INDEX), reason: reason.into() };
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
        weights.find_shared()?;
        Ok(weights)
    }

    /// Reads which names were left out of the files, and what stands for them.
    fn find_shared(&mut self) -> Result<(), CheckpointError> {
        let names: BTreeSet<String> = self.place.values().cloned().collect();
        for name in names {
            let file = self.file(&name)?;
            let left_out = file.notes().filter(|(gone, kept)| !self.has(gone) && self.has(kept));
            let left_out: Vec<_> = left_out.map(|(gone, kept)| (gone.to_owned(), kept.to_owned())).collect();
            self.shared.extend(left_out);
        }
        Ok(())
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

    /// The name under which a tensor is stored: its own, or the one that was kept in its stead.
    fn stored_name<'n>(&'n self, name: &'n str) -> &'n str {
        if self.place.contains_key(name) { name } else { self.shared.get(name).map_or(name, |kept| kept) }
    }

    /// Whether a tensor is there.
    pub fn has(&self, name: &str) -> bool {
        self.place.contains_key(self.stored_name(name))
    }

    /// Whether two names are of the same tensor.
    pub fn same(&self, name: &str, other: &str) -> bool {
        self.stored_name(name) == self.stored_name(other)
    }

    /// Whether the name of some tensor begins with this.
    pub fn any_below(&self, prefix: &str) -> bool {
        let from = (std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded);
        self.place.range::<str, _>(from).next().is_some_and(|(name, _)| name.starts_with(prefix))
    }

    /// Names of the tensors that nobody has asked for, in order.
    pub fn unread(&self) -> Vec<String> {
        let read = self.read.borrow();
        let open = self.open.borrow();
        // A shard may hold more than the index says.
        let all = self.place.keys().cloned().chain(open.values().flat_map(|file| file.names()));
        all.filter(|name| !read.contains(name)).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The file that holds a tensor, and its name there.
    fn holding<'n>(&'n self, name: &'n str) -> Result<(Rc<SafeFile>, &'n str), CheckpointError> {
        let stored = self.stored_name(name);
        match self.place.get(stored) {
            Some(file) => {
                self.read.borrow_mut().insert(stored.to_owned());
                Ok((self.file(file)?, stored))
            }
            None => Err(CheckpointError::NoTensor { file: self.files.place(), name: name.to_owned() }),
        }
    }

    /// A tensor of this shape as f32.
    ///
    /// # Errors
    /// As [`SafeFile::tensor`], and those of opening its shard.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, CheckpointError> {
        let (file, name) = self.holding(name)?;
        file.tensor(name, shape)
    }

    /// How the elements of a tensor of this shape are stored.
    ///
    /// # Errors
    /// As [`SafeFile::stored`], [`CheckpointError::Shape`], and those of opening its shard.
    pub fn stored(&self, name: &str, shape: &[usize]) -> Result<Stored, CheckpointError> {
        let (file, name) = self.holding(name)?;
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
        let (file, name) = self.holding(name)?;
        file.rows(name, shape, take)
    }
}
