//! The standard cache: `{models,datasets}--owner--name/{blobs,snapshots,refs}`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use hf_hub::{Cache, CacheRepo, Repo, RepoType};
use walkdir::{DirEntry, WalkDir};

use super::digest::Hash;
use super::name::is_commit;
use super::select::{self, CONFIG, INDEX, MOST_INDEX, OPTIONAL, SINGLE};
use super::{HubError, RepoKind, RepoName, Want};

/// A repository in the cache.
pub(super) struct RepoCache {
    root: PathBuf,
    folder: String,
    revision: String,
    repo: CacheRepo,
}

impl RepoCache {
    pub(super) fn new(cache: &Path, name: &RepoName) -> Self {
        let kind = match name.kind {
            RepoKind::Model => RepoType::Model,
            RepoKind::DataSet => RepoType::Dataset,
        };
        let repo = Repo::with_revision(name.repo.clone(), kind, name.revision.clone());
        Self {
            root: cache.to_owned(),
            folder: repo.folder_name(),
            revision: name.revision.clone(),
            repo: Cache::new(cache.to_owned()).repo(repo),
        }
    }

    pub(super) fn blob(&self, hash: &Hash) -> PathBuf {
        self.repo.blob_path(hash.hex())
    }

    /// Where a download of this blob is locked, by everybody who uses the cache.
    pub(super) fn lock(&self, hash: &Hash) -> PathBuf {
        self.root.join(".locks").join(&self.folder).join(format!("{}.lock", hash.hex()))
    }

    /// The folder of a commit.
    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.repo.pointer_path(commit)
    }

    /// Paths of the files of a commit that are here.
    pub(super) fn files(&self, commit: &str) -> Vec<String> {
        files_below(&self.snapshot(commit))
    }

    /// Where the list of a commit's files is kept.
    pub(super) fn tree(&self, commit: &str) -> PathBuf {
        self.root.join(&self.folder).join("trees").join(format!("{commit}.json"))
    }

    /// The marker for a file that the commit does not have.
    fn absent(&self, commit: &str, file: &str) -> PathBuf {
        self.root.join(&self.folder).join(".no_exist").join(commit).join(file)
    }

    /// Notes which commit the revision is.
    pub(super) fn remember(&self, commit: &str) -> io::Result<()> {
        if is_commit(&self.revision) {
            return Ok(());
        }
        let file = self.root.join(&self.folder).join("refs").join(&self.revision);
        fs::create_dir_all(file.parent().unwrap_or(&self.root))?;
        crate::atomic::replace(&file, |out| io::Write::write_all(out, commit.as_bytes()))
    }

    /// Notes that the commit lacks a file, so that nobody asks again.
    pub(super) fn note_absent(&self, commit: &str, file: &str) -> io::Result<()> {
        let marker = self.absent(commit, file);
        fs::create_dir_all(marker.parent().unwrap_or(&self.root))?;
        // Whatever is there already says the same, and is not written into.
        match fs::OpenOptions::new().write(true).create_new(true).open(marker) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
            _ => Ok(()),
        }
    }

    /// The commit that the revision was when it was last asked for.
    pub(super) fn commit(&self) -> Option<String> {
        if is_commit(&self.revision) {
            return Some(self.revision.clone());
        }
        let file = self.root.join(&self.folder).join("refs").join(&self.revision);
        commit_in(&file)
    }

    /// Puts a blob into the snapshot of a commit.
    pub(super) fn link(&self, commit: &str, file: &str, hash: &Hash) -> io::Result<()> {
        let (blob, pointer) = (self.blob(hash), self.snapshot(commit).join(file));
        fs::create_dir_all(pointer.parent().unwrap_or(&self.root))?;
        // From snapshots/COMMIT/a/b/file up to the repository.
        let up = "../".repeat(2 + file.matches('/').count());
        let relative = format!("{up}blobs/{}", hash.hex());
        if fs::read_link(&pointer).is_ok_and(|old| old == Path::new(&relative)) {
            return Ok(());
        }
        match fs::remove_file(&pointer) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        make_link(Path::new(&relative), &blob, &pointer)
    }

    /// The snapshot, if everything wanted is in it. `strictly` means that it is also known which optional files
    /// the repository lacks.
    pub(super) fn complete(&self, want: &Want, strictly: bool) -> Option<PathBuf> {
        let commit = self.commit()?;
        let snapshot = self.snapshot(&commit);
        let has = |file: &str| snapshot.join(file).is_file();
        let complete = match want {
            Want::Model => {
                let optional = OPTIONAL
                    .iter()
                    .all(|file| has(file) || !strictly || self.absent(&commit, file).is_file());
                has(CONFIG) && optional && (has(SINGLE) || has_shards(&snapshot))
            }
            // What else would match on the hub is not known here.
            Want::Files(patterns) => {
                !strictly && files_below(&snapshot).iter().any(|f| select::matches(patterns, f))
            }
        };
        complete.then_some(snapshot)
    }
}

#[cfg(unix)]
fn make_link(relative: &Path, _: &Path, pointer: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(relative, pointer)
}

/// Symbolic links need a privilege on Windows; a second name of the same file needs none.
#[cfg(not(unix))]
fn make_link(_: &Path, blob: &Path, pointer: &Path) -> io::Result<()> {
    fs::hard_link(blob, pointer).or_else(|_| fs::copy(blob, pointer).map(|_| ()))
}

fn has_shards(snapshot: &Path) -> bool {
    let index = crate::regular::read_within(&snapshot.join(INDEX), MOST_INDEX);
    let names = index.ok().and_then(|bytes| select::shards(&bytes).ok());
    names.is_some_and(|names| !names.is_empty() && names.iter().all(|n| snapshot.join(n).is_file()))
}

/// The commit that a file of `refs` names.
fn commit_in(file: &Path) -> Option<String> {
    let text = String::from_utf8(crate::regular::read_within(file, 1 << 10).ok()?).ok()?;
    Some(text.trim().to_owned()).filter(|commit| is_commit(commit))
}

/// Folders within each other, and entries in all, that are looked at in a snapshot: no repository has more.
const DEEPEST: usize = 32;
const MOST_ENTRIES: usize = 200_000;

/// Paths of the files below a folder, sorted, relative to it and with `/`. Links to files, of which the cache is made,
/// count; links to folders, which may lead in a circle, do not, nor do pipes and what cannot be read.
fn files_below(folder: &Path) -> Vec<String> {
    let entries = WalkDir::new(folder).min_depth(1).max_depth(DEEPEST).into_iter();
    let is_file = |entry: &DirEntry| {
        let kind = entry.file_type();
        kind.is_file() || (kind.is_symlink() && entry.path().is_file())
    };
    let path = |entry: &DirEntry| {
        let parts = entry.path().strip_prefix(folder).ok()?.components();
        Some(parts.map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/"))
    };
    let files = entries.take(MOST_ENTRIES).flatten().filter(is_file);
    let mut found: Vec<String> = files.filter_map(|entry| path(&entry)).collect();
    found.sort();
    found
}

/// A revision of a repository in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedRepo {
    /// The repository and its revision (a commit, if no branch or tag is known for it).
    pub name: RepoName,
    /// Its folder.
    pub path: PathBuf,
    /// Bytes of its files that are there.
    pub bytes: u64,
    /// Its files, by path.
    pub files: Vec<String>,
    /// Whether everything is there that running it as a model takes.
    pub complete: bool,
}

/// All revisions of all repositories of models in the cache, sorted. An empty or missing cache has none.
pub(super) fn scan(cache: &Path) -> Result<Vec<CachedRepo>, HubError> {
    let entries = match fs::read_dir(cache) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(HubError::Io { file: cache.to_owned(), source }),
    };
    let mut all = Vec::new();
    for entry in entries.flatten() {
        let folder = entry.file_name().to_string_lossy().into_owned();
        let Some(repo) = folder.strip_prefix("models--").map(|f| f.replacen("--", "/", 1)) else { continue };
        let refs = entry.path().join("refs");
        let named =
            files_below(&refs).into_iter().filter_map(|name| Some((commit_in(&refs.join(&name))?, name)));
        // Of several names of a commit the first.
        let names: BTreeMap<String, String> = named.collect::<Vec<_>>().into_iter().rev().collect();
        let snapshots = fs::read_dir(entry.path().join("snapshots")).into_iter().flatten();
        for snapshot in snapshots.take(MOST_ENTRIES).flatten() {
            let commit = snapshot.file_name().to_string_lossy().into_owned();
            let revision = names.get(&commit).unwrap_or(&commit);
            let Ok(name) = RepoName::parse(&format!("{repo}@{revision}")) else { continue };
            let path = snapshot.path();
            let files = files_below(&path);
            let size = |f: &String| fs::metadata(path.join(f)).map_or(0, |m| m.len());
            let bytes = files.iter().map(size).fold(0, u64::saturating_add);
            let complete = RepoCache::new(cache, &name).complete(&Want::Model, false).is_some();
            all.push(CachedRepo { name, path, bytes, files, complete });
        }
    }
    all.sort_by(|a, b| (&a.name.repo, &a.name.revision).cmp(&(&b.name.repo, &b.name.revision)));
    Ok(all)
}
