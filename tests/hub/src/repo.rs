//! What is in a repository: files, their hashes, the commit they make.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// A file of a revision.
#[derive(Clone)]
pub(crate) struct Blob {
    /// Where it is on this machine.
    pub(crate) place: PathBuf,
    pub(crate) size: u64,
    /// What git calls it: the SHA-1 of the file, or of its LFS pointer.
    pub(crate) oid: String,
    /// SHA-256, for a file in LFS.
    pub(crate) sha256: Option<String>,
}

/// The files of a revision.
pub(crate) struct Snapshot {
    pub(crate) commit: String,
    pub(crate) files: BTreeMap<String, Blob>,
}

/// Size of an LFS pointer and its text.
pub(crate) fn pointer(sha256: &str, size: u64) -> String {
    format!("version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n")
}

/// What a hub's `.gitattributes` sends to LFS, and everything too large for git.
fn is_lfs(name: &str, size: u64) -> bool {
    const ENDINGS: [&str; 14] = [
        "safetensors",
        "bin",
        "pt",
        "pth",
        "ckpt",
        "npz",
        "npy",
        "h5",
        "msgpack",
        "onnx",
        "pkl",
        "gz",
        "zip",
        "parquet",
    ];
    size > 10_000_000 || name.rsplit_once('.').is_some_and(|(_, ending)| ENDINGS.contains(&ending))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// A changed file has another key and is hashed again.
type Key = (PathBuf, u64, Option<SystemTime>);

/// Repositories below a root. Hashes are kept: a large file is read once.
pub(crate) struct Repos {
    root: PathBuf,
    hashed: Mutex<HashMap<Key, Blob>>,
}

impl Repos {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root, hashed: Mutex::default() }
    }

    /// Whether there is a repository of this name, `owner/name` or `datasets/owner/name`.
    pub(crate) fn has(&self, repo: &str) -> bool {
        self.folder(repo, "main").is_dir()
    }

    fn folder(&self, repo: &str, revision: &str) -> PathBuf {
        match revision {
            "main" => self.root.join(repo),
            other => self.root.join(format!("{repo}@{}", other.replace('/', "%2F"))),
        }
    }

    /// All revisions of a repository that have a name.
    pub(crate) fn revisions(&self, repo: &str) -> Vec<String> {
        let mut names = vec!["main".to_owned()];
        let Some((owner, name)) = repo.rsplit_once('/') else { return names };
        for entry in std::fs::read_dir(self.root.join(owner)).into_iter().flatten().flatten() {
            let folder = entry.file_name().to_string_lossy().into_owned();
            if let Some(revision) = folder.strip_prefix(name).and_then(|r| r.strip_prefix('@')) {
                names.push(revision.replace("%2F", "/"));
            }
        }
        names[1..].sort();
        names
    }

    /// The files of a revision: a name, or a commit.
    pub(crate) fn snapshot(&self, repo: &str, revision: &str) -> io::Result<Option<Arc<Snapshot>>> {
        let folder = self.folder(repo, revision);
        if folder.is_dir() {
            return self.read(&folder).map(Some);
        }
        if revision.len() == 40 && revision.bytes().all(|b| b.is_ascii_hexdigit()) {
            for name in self.revisions(repo) {
                let snapshot = self.read(&self.folder(repo, &name))?;
                if snapshot.commit == revision {
                    return Ok(Some(snapshot));
                }
            }
        }
        Ok(None)
    }

    fn read(&self, folder: &Path) -> io::Result<Arc<Snapshot>> {
        let mut files = BTreeMap::new();
        self.collect(folder, "", &mut files)?;
        let mut commit = Sha1::new();
        for (path, blob) in &files {
            commit.update(format!("{path}\0{}\n", blob.oid));
        }
        Ok(Arc::new(Snapshot { commit: hex(&commit.finalize()), files }))
    }

    fn collect(&self, folder: &Path, prefix: &str, files: &mut BTreeMap<String, Blob>) -> io::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let place = entry.path();
            if place.is_dir() {
                self.collect(&place, &format!("{name}/"), files)?;
            } else {
                files.insert(name, self.blob(place)?);
            }
        }
        Ok(())
    }

    fn blob(&self, place: PathBuf) -> io::Result<Blob> {
        let meta = std::fs::metadata(&place)?;
        let key = (place.clone(), meta.len(), meta.modified().ok());
        // Held while hashing: two requests must not both read gigabytes.
        let mut hashed = self.hashed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(blob) = hashed.get(&key) {
            return Ok(blob.clone());
        }
        let size = meta.len();
        let blob = if is_lfs(&place.to_string_lossy(), size) {
            let sha256 = digest(Sha256::new(), &place)?;
            let text = pointer(&sha256, size);
            let oid = hex(&Sha1::digest(format!("blob {}\0{text}", text.len())));
            Blob { place, size, oid, sha256: Some(sha256) }
        } else {
            let git = Sha1::new_with_prefix(format!("blob {size}\0"));
            Blob { oid: digest(git, &place)?, place, size, sha256: None }
        };
        hashed.insert(key, blob.clone());
        Ok(blob)
    }

    /// The file with this SHA-256 among those hashed so far: what a CDN knows.
    pub(crate) fn by_sha256(&self, sha256: &str) -> Option<Blob> {
        let hashed = self.hashed.lock().unwrap_or_else(PoisonError::into_inner);
        hashed.values().find(|b| b.sha256.as_deref() == Some(sha256)).cloned()
    }
}

fn digest(mut state: impl sha2::Digest, place: &Path) -> io::Result<String> {
    let mut file = File::open(place)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&state.finalize())),
            n => state.update(&buffer[..n]),
        }
    }
}
