//! A store in a folder, which survives the run, can be copied to another machine and united with others.
//!
//! ```text
//! codes/KEY/00003-16384.safetensors   codes of shard 3, which has 16,384 tokens (as `mppc sae encode` saves them)
//! pairs/KEY.safetensors               a_to_b.mppc, a_to_b.argmax, b_to_a.mppc, b_to_a.argmax
//! notes/KEY.json
//! lock                                one run at a time
//! ```
//!
//! Every file is written whole or not at all, and never changed. Each has a [checksum] in it: what is not
//! as it was written is named, and computed again. Keys end in a hash of what decides the content (the
//! model's files, the SAE's, the texts, …): a plan that asks for something else finds nothing, and several plans can
//! share a folder.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use safetensors::tensor::{Dtype, TensorView};
use walkdir::WalkDir;

use super::store::{Shard, Store};
use crate::checkpoint::{SafeFile, checksum};
use crate::lab::shared::LabError;
use crate::lock::Lock;
use crate::sae::Codes;
use crate::universality::{Best, Correlation};
use crate::{atomic, regular};

const CODES: &str = "codes";
const PAIRS: &str = "pairs";
const NOTES: &str = "notes";
const LOCK: &str = "lock";

/// A store in a folder.
#[derive(Debug)]
pub struct FolderStore {
    root: PathBuf,
    damaged: RefCell<Damaged>,
    _lock: Lock,
}

/// Records that were found damaged.
#[derive(Debug, Default)]
struct Damaged {
    /// Each is named once.
    files: BTreeSet<PathBuf>,
    /// Those that nobody has asked for yet.
    lines: Vec<String>,
}

impl FolderStore {
    /// Opens the folder, or makes it. What a killed run has left half-written is removed.
    ///
    /// # Errors
    /// A folder that holds other things, is in use by another run, or cannot be made or read.
    pub fn open(root: &Path) -> Result<Self, LabError> {
        refuse_strangers(root)?;
        std::fs::create_dir_all(root).map_err(|e| io(root, e))?;
        let place = root.join(LOCK);
        let lock = Lock::take(&place).map_err(|e| io(&place, e))?.ok_or_else(|| {
            LabError::refused(
                format!("{} is in use by another run", root.display()),
                "wait for it, or give this one a store of its own and merge them",
            )
        })?;
        for entry in WalkDir::new(root) {
            let entry = entry.map_err(|e| io(root, e.into()))?;
            if entry.depth() > 0 && entry.path_is_symlink() {
                return Err(LabError::refused(
                    format!("{} is a link, of which a store has none", entry.path().display()),
                    "put there what it leads to, or remove it",
                ));
            }
            if entry.depth() == 0 || entry.file_type().is_dir() {
                atomic::sweep(entry.path()).map_err(|e| io(entry.path(), e))?;
            }
        }
        Ok(Self { root: root.to_owned(), damaged: RefCell::default(), _lock: lock })
    }

    /// Its files, by their path in it, sorted.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn files(&self) -> Result<Vec<PathBuf>, LabError> {
        let mut files = Vec::new();
        for entry in WalkDir::new(&self.root).sort_by_file_name() {
            let entry = entry.map_err(|e| io(&self.root, e.into()))?;
            if entry.file_type().is_file() && entry.file_name() != LOCK {
                files.push(entry.path().strip_prefix(&self.root).expect("inside").to_owned());
            }
        }
        Ok(files)
    }

    /// Takes in what another store has. A record that both have must be the same in both. Damaged ones are left out, or
    /// replaced where the other store has them whole.
    ///
    /// # Errors
    /// A record that differs, or cannot be copied; what was copied before it stays.
    pub fn merge(&mut self, other: &FolderStore) -> Result<Merged, LabError> {
        let mut merged = Merged::default();
        for file in other.files()? {
            let (from, to) = (other.root.join(&file), self.root.join(&file));
            let Some(content) = other.record(&from)? else {
                merged.damaged.push(from);
                continue;
            };
            match self.record(&to)? {
                Some(there) if there == content => merged.same += 1,
                Some(_) => {
                    return Err(LabError::refused(
                        format!(
                            "{} and {} differ, though they are about the same",
                            to.display(),
                            from.display()
                        ),
                        "they were made by different engines or processors: keep one of them",
                    ));
                }
                None => {
                    self.write(&to, &content)?;
                    merged.copied += 1;
                }
            }
        }
        Ok(merged)
    }

    /// A record as it was written, if it is there and undamaged.
    fn record(&self, path: &Path) -> Result<Option<Vec<u8>>, LabError> {
        match regular::read(path) {
            Ok(bytes) => match checksum::check_bytes(&bytes) {
                Ok(()) => Ok(Some(bytes)),
                Err(reason) => self.damage(path, &reason),
            },
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) if regular::is_refusal(&e) => self.damage(path, &e.to_string()),
            Err(e) => Err(io(path, e)),
        }
    }

    /// Notes that a record is damaged: it is not there.
    fn damage<T>(&self, path: &Path, reason: &str) -> Result<Option<T>, LabError> {
        let mut damaged = self.damaged.borrow_mut();
        if damaged.files.insert(path.to_owned()) {
            damaged.lines.push(format!("{} is damaged ({reason}); it counts as missing", path.display()));
        }
        Ok(None)
    }

    fn shard(&self, key: &str, shard: Shard) -> PathBuf {
        self.root.join(CODES).join(key).join(format!("{:05}-{}.safetensors", shard.number, shard.tokens))
    }

    fn pair_file(&self, key: &str) -> PathBuf {
        self.root.join(PAIRS).join(format!("{key}.safetensors"))
    }

    fn note_file(&self, key: &str) -> PathBuf {
        self.root.join(NOTES).join(format!("{key}.json"))
    }

    fn write(&self, path: &Path, content: &[u8]) -> Result<(), LabError> {
        atomic::replace(path, |out| out.write_all(content)).map_err(|e| io(path, e))
    }
}

/// What [`FolderStore::merge`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Merged {
    /// Files that were copied.
    pub copied: usize,
    /// Files that were there already.
    pub same: usize,
    /// Damaged files of the other store, which were left out.
    pub damaged: Vec<PathBuf>,
}

/// A folder of something else is not written into.
fn refuse_strangers(root: &Path) -> Result<(), LabError> {
    let strange = |entry: &std::fs::DirEntry| {
        let name = entry.file_name();
        ![CODES, PAIRS, NOTES, LOCK].iter().any(|ours| name == *ours)
    };
    match std::fs::read_dir(root).into_iter().flatten().flatten().find(strange) {
        Some(entry) => Err(LabError::refused(
            format!("{} holds {}, which no store does", root.display(), entry.file_name().display()),
            "name a folder of its own",
        )),
        None => Ok(()),
    }
}

fn io(path: &Path, source: std::io::Error) -> LabError {
    LabError::Io { path: path.display().to_string(), source }
}

impl Store for FolderStore {
    fn has_codes(&self, key: &str, shard: Shard) -> Result<bool, LabError> {
        Ok(self.record(&self.shard(key, shard))?.is_some())
    }

    fn put_codes(&mut self, key: &str, shard: Shard, codes: Codes) -> Result<(), LabError> {
        self.write(&self.shard(key, shard), &checksum::sealed(&codes.to_safetensors()?))
    }

    fn codes(&self, key: &str, shards: &[Shard]) -> Result<Rc<Codes>, LabError> {
        let mut all: Option<Codes> = None;
        for &shard in shards {
            let path = self.shard(key, shard);
            let wrong = |reason: &str, advice: &str| {
                LabError::refused(format!("{} {reason}", path.display()), advice)
            };
            let bytes = self.record(&path)?;
            let bytes = bytes.ok_or_else(|| {
                wrong("is gone or was damaged", "repeat the command, which computes it again")
            })?;
            let codes = Codes::from_safetensors(&path.display().to_string(), &bytes)?;
            let features = all.as_ref().map_or(codes.n_features, |all| all.n_features);
            if (codes.tokens(), codes.n_features) != (shard.tokens, features) {
                return Err(wrong("holds the codes of something else", "delete it"));
            }
            match &mut all {
                None => all = Some(codes),
                Some(all) if all.n_features != codes.n_features => {
                    return Err(LabError::refused(
                        format!(
                            "{} has {} features, but the shards before it have {}",
                            path.display(),
                            codes.n_features,
                            all.n_features
                        ),
                        "delete it",
                    ));
                }
                Some(all) => all.append(&codes),
            }
        }
        Ok(Rc::new(all.unwrap_or_default()))
    }

    fn pair(&self, key: &str, sizes: (usize, usize)) -> Result<Option<Correlation>, LabError> {
        let path = self.pair_file(key);
        let Some(bytes) = self.record(&path)? else { return Ok(None) };
        match read_pair(&path, bytes, sizes) {
            Ok(pair) => Ok(Some(pair)),
            Err(reason) => self.damage(&path, &reason),
        }
    }

    fn put_pair(&mut self, key: &str, pair: &Correlation) -> Result<(), LabError> {
        let mut tensors = Vec::new();
        for (name, best) in [("a_to_b", &pair.a_to_b), ("b_to_a", &pair.b_to_a)] {
            let mppc: Vec<u8> = best.mppc.iter().flat_map(|v| v.to_le_bytes()).collect();
            let argmax: Vec<u8> = best.argmax.iter().flat_map(|v| v.to_le_bytes()).collect();
            tensors.push((format!("{name}.mppc"), Dtype::F32, mppc));
            tensors.push((format!("{name}.argmax"), Dtype::I32, argmax));
        }
        let views = tensors.iter().map(|(name, dtype, bytes)| {
            (name, TensorView::new(*dtype, vec![bytes.len() / 4], bytes).expect("four bytes a number"))
        });
        let bytes = safetensors::serialize(views, None).expect("four tensors");
        self.write(&self.pair_file(key), &checksum::sealed(&bytes))
    }

    fn note(&self, key: &str) -> Result<Option<String>, LabError> {
        let path = self.note_file(key);
        let Some(bytes) = self.record(&path)? else { return Ok(None) };
        match checksum::note(&bytes) {
            Some(note) => Ok(Some(note.to_owned())),
            None => self.damage(&path, "it is no note"),
        }
    }

    fn put_note(&mut self, key: &str, note: &str) -> Result<(), LabError> {
        self.write(&self.note_file(key), &checksum::sealed_note(note))
    }

    fn damaged(&self) -> Vec<String> {
        std::mem::take(&mut self.damaged.borrow_mut().lines)
    }
}

/// The correlation in a file, between as many features as there are.
fn read_pair(path: &Path, bytes: Vec<u8>, (a, b): (usize, usize)) -> Result<Correlation, String> {
    let file = SafeFile::parse(path.display().to_string(), bytes.into()).map_err(|e| e.to_string())?;
    let best = |name: &str, own: usize| -> Result<Best, String> {
        // NaN stands for no partner here, so these are not weights.
        let mppc = file.raw_f32s(&format!("{name}.mppc")).map_err(|e| e.to_string())?;
        if mppc.len() != own {
            return Err(format!("it has {} features instead of {own}", mppc.len()));
        }
        let argmax = file.integers(&format!("{name}.argmax")).map_err(|e| e.to_string())?;
        let argmax = argmax.into_iter().map(|j| i32::try_from(j).unwrap_or(i32::MAX)).collect();
        Ok(Best { mppc, argmax })
    };
    let pair = Correlation { a_to_b: best("a_to_b", a)?, b_to_a: best("b_to_a", b)? };
    pair.check()?;
    Ok(pair)
}

#[cfg(test)]
#[path = "folder_tests.rs"]
mod tests;
