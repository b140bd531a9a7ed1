//! Corpora of several Parquet files, each brought when it is asked for.

use std::borrow::Cow;
use std::fmt::Debug;
use std::path::{Path, PathBuf};

use super::CorpusError;
use super::parquet::Texts;

/// Parquet files in a fixed order, which need not be there before they are asked for.
pub trait Shards: Debug + Send + Sync {
    /// File number `i`, from 0; none after the last.
    ///
    /// # Errors
    /// Whatever keeps it from being there.
    fn shard(&self, i: usize) -> Result<Option<PathBuf>, CorpusError>;
}

/// Files of this machine.
#[derive(Debug)]
pub(super) struct Local(Vec<PathBuf>);

impl Local {
    /// The files, in their order.
    pub(super) fn files(&self) -> &[PathBuf] {
        &self.0
    }

    pub(super) fn file(path: &Path) -> Self {
        Self(vec![path.to_owned()])
    }

    /// The .parquet files of a folder by name. What begins with `.` or `_` is the notes of the program that wrote it.
    pub(super) fn folder(folder: &Path) -> Result<Self, CorpusError> {
        let name = folder.display().to_string();
        let read = |source| CorpusError::Read { name: name.clone(), source };
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(read)? {
            let path = entry.map_err(read)?.path();
            let file = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
            if file.ends_with(".parquet") && !file.starts_with(['.', '_']) && path.is_file() {
                files.push(path);
            }
        }
        files.sort();
        if files.is_empty() { Err(CorpusError::NoShards { name }) } else { Ok(Self(files)) }
    }
}

impl Shards for Local {
    fn shard(&self, i: usize) -> Result<Option<PathBuf>, CorpusError> {
        Ok(self.0.get(i).cloned())
    }
}

/// The documents of all files, one after the other; one file is open at a time.
pub(super) struct ShardDocuments<'a> {
    corpus: &'a str,
    shards: &'a dyn Shards,
    column: Option<String>,
    next: usize,
    open: Option<Texts>,
    any: bool,
    ended: bool,
}

impl<'a> ShardDocuments<'a> {
    pub(super) fn new(corpus: &'a str, shards: &'a dyn Shards, column: Option<String>) -> Self {
        Self { corpus, shards, column, next: 0, open: None, any: false, ended: false }
    }

    fn next_text(&mut self) -> Result<Option<String>, CorpusError> {
        loop {
            if let Some(texts) = &mut self.open {
                while let Some(text) = texts.next_text()? {
                    if !text.trim().is_empty() {
                        self.any = true;
                        return Ok(Some(text));
                    }
                }
                self.open = None;
            }
            let Some(path) = self.shards.shard(self.next)? else { break };
            self.next += 1;
            let texts = Texts::open(&path, self.column.as_deref())?;
            // What the first file decides holds for all.
            self.column.get_or_insert_with(|| texts.column().to_owned());
            self.open = Some(texts);
        }
        if self.any { Ok(None) } else { Err(CorpusError::Empty { name: self.corpus.to_owned() }) }
    }
}

impl<'a> Iterator for ShardDocuments<'a> {
    type Item = Result<Cow<'a, str>, CorpusError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let text = self.next_text().transpose();
        self.ended = !matches!(text, Some(Ok(_)));
        Some(text?.map(Cow::Owned))
    }
}
