//! Lists of a commit's files, kept in the cache as `trees/COMMIT.json`, in the form of Python's `huggingface_hub`.
//!
//! A commit never changes, so its list is good for ever. With it a data set that is there needs no request, though
//! only some of its files are.

use std::collections::BTreeMap;
use std::{fs, io};

use serde::{Deserialize, Serialize};

use super::cache::RepoCache;
use super::digest::Hash;
use super::listing::{Listing, Remote};

const VERSION: u32 = 1;

/// The hub may shorten the answer that lists more files; half a list must not be kept for a whole one.
const MOST: usize = 50_000;

/// Bytes of a list, at most.
const MOST_BYTES: u64 = 256 << 20;

#[derive(Serialize, Deserialize)]
struct Tree {
    format_version: u32,
    files: BTreeMap<String, Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    size: u64,
    blob_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lfs_sha256: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lfs_size: Option<u64>,
}

impl RepoCache {
    /// The list of a commit, if it is known and sound.
    pub(super) fn listing(&self, commit: &str) -> Option<Listing> {
        let tree: Tree =
            serde_json::from_slice(&crate::regular::read_within(&self.tree(commit), MOST_BYTES).ok()?)
                .ok()?;
        if tree.format_version != VERSION {
            return None;
        }
        let remote = |(path, entry): (String, Entry)| {
            let (size, hash) = match entry.lfs_sha256 {
                Some(sha256) => (entry.lfs_size.unwrap_or(entry.size), Hash::Sha256(sha256)),
                None => (entry.size, Hash::Git(entry.blob_id.clone())),
            };
            Remote::new(path, size, hash, Some(entry.blob_id)).ok()
        };
        let files = tree.files.into_iter().map(remote).collect::<Option<_>>()?;
        Some(Listing { commit: commit.to_owned(), files })
    }

    /// Keeps the list of a commit, unless it lacks what the form wants.
    pub(super) fn remember_listing(&self, listing: &Listing) -> io::Result<()> {
        let entry = |file: &Remote| {
            let blob_id = file.blob.clone()?;
            let sha256 = match &file.hash {
                Hash::Sha256(hex) => Some(hex.clone()),
                Hash::Git(_) => None,
            };
            let lfs_size = sha256.is_some().then_some(file.size);
            Some((file.path.clone(), Entry { size: file.size, blob_id, lfs_sha256: sha256, lfs_size }))
        };
        let path = self.tree(&listing.commit);
        let Some(files) = listing.files.iter().map(entry).collect() else { return Ok(()) };
        if path.is_file() || listing.files.len() >= MOST {
            return Ok(());
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let tree = Tree { format_version: VERSION, files };
        crate::atomic::replace(&path, |out| Ok(serde_json::to_writer_pretty(out, &tree)?))
    }
}
