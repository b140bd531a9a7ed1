//! A store in a folder, which survives the run, can be copied to another machine and united with others.
//!
//! ```text
//! codes/KEY/00003-16384.safetensors   codes of shard 3, which has 16,384 tokens (as `mppc sae encode` saves them)
//! pairs/KEY.safetensors               a_to_b.mppc, a_to_b.argmax, b_to_a.mppc, b_to_a.argmax
//! notes/KEY.json
//! lock                                one run at a time
//! ```
//!
//! Every file is written whole or not at all, and never changed. Keys end in a hash of what decides the content (the
//! model's files, the SAE's, the texts, …): a plan that asks for something else finds nothing, and several plans can
//! share a folder.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use safetensors::tensor::{Dtype, TensorView};
use walkdir::WalkDir;

use super::store::{Shard, Store};
use crate::atomic;
use crate::checkpoint::SafeFile;
use crate::lab::LabError;
use crate::sae::Codes;
use crate::universality::{Best, Correlation};

const CODES: &str = "codes";
const PAIRS: &str = "pairs";
const NOTES: &str = "notes";
const LOCK: &str = "lock";

/// A store in a folder.
#[derive(Debug)]
pub struct FolderStore {
    root: PathBuf,
    /// Unlocked when it is closed, also by a kill.
    _lock: File,
}

impl FolderStore {
    /// Opens the folder, or makes it. What a killed run has left half-written is removed.
    ///
    /// # Errors
    /// A folder that holds other things, is in use by another run, or cannot be made or read.
    pub fn open(root: &Path) -> Result<Self, LabError> {
        refuse_strangers(root)?;
        std::fs::create_dir_all(root).map_err(|e| io(root, e))?;
        let lock = File::create(root.join(LOCK)).map_err(|e| io(root, e))?;
        if let Err(e) = lock.try_lock() {
            return Err(LabError::Mismatch(format!(
                "{} is in use by another run ({e}); wait for it, or give this one a store of its own and merge them",
                root.display()
            )));
        }
        for entry in WalkDir::new(root).into_iter().filter_map(Result::ok).filter(|e| e.file_type().is_dir())
        {
            atomic::sweep(entry.path()).map_err(|e| io(entry.path(), e))?;
        }
        Ok(Self { root: root.to_owned(), _lock: lock })
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

    /// Takes in what another store has. A file that both have must be the same in both.
    ///
    /// # Errors
    /// A file that differs, or cannot be copied; what was copied before it stays.
    pub fn merge(&mut self, other: &FolderStore) -> Result<Merged, LabError> {
        let mut merged = Merged::default();
        for file in other.files()? {
            let (from, to) = (other.root.join(&file), self.root.join(&file));
            let content = std::fs::read(&from).map_err(|e| io(&from, e))?;
            if to.is_file() {
                if std::fs::read(&to).map_err(|e| io(&to, e))? != content {
                    return Err(LabError::Mismatch(format!(
                        "{} and {} differ, though they are about the same; they were made by different engines or \
                         processors: keep one of them",
                        to.display(),
                        from.display()
                    )));
                }
                merged.same += 1;
            } else {
                self.write(&to, &content)?;
                merged.copied += 1;
            }
        }
        Ok(merged)
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
        atomic::write(path, |out| out.write_all(content)).map_err(|e| io(path, e))
    }
}

/// What [`FolderStore::merge`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Merged {
    /// Files that were copied.
    pub copied: usize,
    /// Files that were there already.
    pub same: usize,
}

/// A folder of something else is not written into.
fn refuse_strangers(root: &Path) -> Result<(), LabError> {
    let strange = |entry: &std::fs::DirEntry| {
        let name = entry.file_name();
        ![CODES, PAIRS, NOTES, LOCK].iter().any(|ours| name == *ours)
    };
    match std::fs::read_dir(root).into_iter().flatten().flatten().find(strange) {
        Some(entry) => Err(LabError::Mismatch(format!(
            "{} holds {}, which no store does; name a folder of its own",
            root.display(),
            entry.file_name().display()
        ))),
        None => Ok(()),
    }
}

fn io(path: &Path, source: std::io::Error) -> LabError {
    LabError::Io { path: path.display().to_string(), source }
}

impl Store for FolderStore {
    fn has_codes(&self, key: &str, shard: Shard) -> bool {
        self.shard(key, shard).is_file()
    }

    fn put_codes(&mut self, key: &str, shard: Shard, codes: Codes) -> Result<(), LabError> {
        self.write(&self.shard(key, shard), &codes.to_safetensors()?)
    }

    fn codes(&self, key: &str, shards: &[Shard]) -> Result<Rc<Codes>, LabError> {
        let mut all: Option<Codes> = None;
        for &shard in shards {
            let path = self.shard(key, shard);
            let bytes = std::fs::read(&path).map_err(|e| io(&path, e))?;
            let codes = Codes::from_safetensors(&path.display().to_string(), &bytes)?;
            if codes.tokens() != shard.tokens {
                return Err(LabError::Mismatch(format!(
                    "{} holds {} tokens instead of {}; delete it",
                    path.display(),
                    codes.tokens(),
                    shard.tokens
                )));
            }
            match &mut all {
                None => all = Some(codes),
                Some(all) if all.n_features != codes.n_features => {
                    return Err(LabError::Mismatch(format!(
                        "{} has {} features, but the shards before it have {}; delete it",
                        path.display(),
                        codes.n_features,
                        all.n_features
                    )));
                }
                Some(all) => all.append(&codes),
            }
        }
        Ok(Rc::new(all.unwrap_or_default()))
    }

    fn has_pair(&self, key: &str) -> bool {
        self.pair_file(key).is_file()
    }

    fn pair(&self, key: &str) -> Result<Option<Correlation>, LabError> {
        let path = self.pair_file(key);
        if !path.is_file() {
            return Ok(None);
        }
        let file = SafeFile::open(&path)?;
        let best = |name: &str| -> Result<Best, LabError> {
            // NaN stands for no partner here, so these are not weights.
            let mppc = file.raw_f32s(&format!("{name}.mppc"))?;
            let argmax = file.integers(&format!("{name}.argmax"))?;
            let argmax = argmax.into_iter().map(|j| i32::try_from(j).unwrap_or(i32::MAX)).collect();
            Ok(Best { mppc, argmax })
        };
        let pair = Correlation { a_to_b: best("a_to_b")?, b_to_a: best("b_to_a")? };
        let damaged = |what| LabError::Mismatch(format!("{} is damaged: {what}; delete it", path.display()));
        pair.check().map_err(damaged)?;
        Ok(Some(pair))
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
        self.write(&self.pair_file(key), &bytes)
    }

    fn note(&self, key: &str) -> Result<Option<String>, LabError> {
        let path = self.note_file(key);
        match std::fs::read_to_string(&path) {
            Ok(note) => Ok(Some(note)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(io(&path, e)),
        }
    }

    fn put_note(&mut self, key: &str, note: &str) -> Result<(), LabError> {
        self.write(&self.note_file(key), note.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(values: &[f32]) -> Codes {
        crate::universality::from_dense(2, values)
    }

    const FIRST: Shard = Shard { number: 0, tokens: 2 };
    const SECOND: Shard = Shard { number: 1, tokens: 1 };

    #[test]
    fn keeps_codes_pairs_and_notes() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut store = FolderStore::open(&dir.path().join("deep/store")).expect("a store");
        assert!(!store.has_codes("k", FIRST));
        store.put_codes("k", FIRST, codes(&[0.5, 0.0, 1.0, 2.0])).expect("written");
        store.put_codes("k", SECOND, codes(&[0.0, 3.0])).expect("written");
        assert!(store.has_codes("k", FIRST) && !store.has_codes("k", Shard { tokens: 9, ..FIRST }));
        let all = store.codes("k", &[FIRST, SECOND]).expect("there");
        assert_eq!(*all, codes(&[0.5, 0.0, 1.0, 2.0, 0.0, 3.0]));
        store.put_codes("wide", FIRST, codes(&[0.5, 0.0, 1.0, 2.0])).expect("written");
        store.put_codes("wide", SECOND, crate::universality::from_dense(3, &[1.0; 3])).expect("written");
        let error = store.codes("wide", &[FIRST, SECOND]).expect_err("another width").to_string();
        assert!(error.ends_with("has 3 features, but the shards before it have 2; delete it"), "{error}");
        let error = store.codes("other", &[FIRST]).expect_err("never written").to_string();
        assert!(error.contains("other/00000-2.safetensors"), "{error}");

        let best = |mppc: &[f32], argmax: &[i32]| Best { mppc: mppc.to_vec(), argmax: argmax.to_vec() };
        let pair = Correlation { a_to_b: best(&[0.5, f32::NAN], &[0, -1]), b_to_a: best(&[0.5], &[0]) };
        assert_eq!(store.pair("p").expect("no error"), None);
        store.put_pair("p", &pair).expect("written");
        let read = store.pair("p").expect("no error").expect("there");
        assert_eq!(format!("{read:?}"), format!("{pair:?}"));

        for partner in [1, i32::MAX, -2, i32::MIN] {
            let lost = Correlation { a_to_b: best(&[0.5, f32::NAN], &[partner, -1]), ..pair.clone() };
            store.put_pair("lost", &lost).expect("written");
            let error = store.pair("lost").expect_err("no such feature").to_string();
            let told = format!("is damaged: a_to_b says 0.5 with partner {partner} of feature 0; delete it");
            assert!(error.ends_with(&told), "{error}");
        }

        assert_eq!(store.note("n").expect("no error"), None);
        store.put_note("n", "{}").expect("written");
        assert_eq!(store.note("n").expect("no error").as_deref(), Some("{}"));
    }

    #[test]
    fn unites_stores_and_refuses_contradictions() {
        let dir = tempfile::tempdir().expect("a folder");
        let open = |name: &str| FolderStore::open(&dir.path().join(name)).expect("a store");
        let (mut a, mut b, mut c) = (open("a"), open("b"), open("c"));
        a.put_codes("k", FIRST, codes(&[0.5, 0.0, 1.0, 2.0])).expect("written");
        b.put_codes("k", FIRST, codes(&[0.5, 0.0, 1.0, 2.0])).expect("written");
        b.put_codes("k", SECOND, codes(&[0.0, 3.0])).expect("written");
        assert_eq!(a.merge(&b).expect("no contradiction"), Merged { copied: 1, same: 1 });
        assert_eq!(a.files().expect("listed"), b.files().expect("listed"));
        c.put_codes("k", SECOND, codes(&[0.0, 4.0])).expect("written");
        let error = a.merge(&c).expect_err("a contradiction").to_string();
        assert!(error.contains("00001-1.safetensors") && error.contains("differ"), "{error}");
    }

    #[test]
    fn does_not_write_among_other_things() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("thesis.tex"), "\\begin").expect("written");
        let error = FolderStore::open(dir.path()).expect_err("not a store").to_string();
        assert!(error.contains("holds thesis.tex"), "{error}");
        let half = dir.path().join("s/codes/k");
        std::fs::create_dir_all(&half).expect("made");
        std::fs::write(half.join(".mppc-x.part"), "half").expect("written");
        let store = FolderStore::open(&dir.path().join("s")).expect("a store");
        let error = FolderStore::open(&dir.path().join("s")).expect_err("in use").to_string();
        assert!(error.contains("in use by another run"), "{error}");
        assert_eq!(store.files().expect("listed"), Vec::<PathBuf>::new());
    }
}
