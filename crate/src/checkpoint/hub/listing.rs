//! What is in a repository, by the hub's account.

use serde::Deserialize;

use super::digest::Hash;
use super::name::is_commit;
use crate::words::echo;

/// A file on the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remote {
    /// Path in the repository.
    pub(super) path: String,
    pub(super) size: u64,
    pub(super) hash: Hash,
    /// What git calls it: for a file in LFS, this is its pointer.
    pub(super) blob: Option<String>,
}

impl Remote {
    /// Nothing of it is believed that could lead out of the cache.
    pub(super) fn new(path: String, size: u64, hash: Hash, blob: Option<String>) -> Result<Self, String> {
        if !stays_inside(&path) || !hash.is_sound() {
            return Err(format!("file {} with hash {}", echo(&path), echo(hash.hex())));
        }
        Ok(Self { path, size, hash, blob })
    }
}

/// A revision, pinned.
#[derive(Debug, Clone)]
pub(super) struct Listing {
    pub(super) commit: String,
    /// By path.
    pub(super) files: Vec<Remote>,
}

#[derive(Deserialize)]
struct Info {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    blob_id: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: String,
    size: u64,
}

/// A path that stays inside the folder it is joined to, on every system.
fn stays_inside(path: &str) -> bool {
    let bad = |part: &str| {
        part.is_empty()
            || part == "."
            || part == ".."
            || part.contains(['\\', ':'])
            || part.contains(char::is_control)
    };
    !path.split('/').any(bad)
}

impl Listing {
    /// Reads the answer to `/api/models/…?blobs=true`, or to the same of a data set.
    pub(super) fn parse(json: &[u8]) -> Result<Self, String> {
        let info: Info = serde_json::from_slice(json).map_err(|e| e.to_string())?;
        if !is_commit(&info.sha) {
            return Err(format!("sha {} is no commit", echo(&info.sha)));
        }
        let mut files = Vec::new();
        for one in info.siblings {
            let path = one.rfilename;
            let (size, hash) = match (one.lfs, one.size, &one.blob_id) {
                (Some(lfs), ..) => (lfs.size, Hash::Sha256(lfs.sha256)),
                (None, Some(size), Some(id)) => (size, Hash::Git(id.clone())),
                _ => return Err(format!("it states no size or no hash of {}", echo(&path))),
            };
            files.push(Remote::new(path, size, hash, one.blob_id)?);
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { commit: info.sha, files })
    }

    pub(super) fn get(&self, path: &str) -> Option<&Remote> {
        let at = self.files.binary_search_by(|file| file.path.as_str().cmp(path)).ok()?;
        self.files.get(at)
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.files.iter().map(|f| f.path.clone()).filter(|p| !p.starts_with('.')).collect()
    }
}
