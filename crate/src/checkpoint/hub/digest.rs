//! The two hashes by which the hub names files.

use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// What the hub says a file hashes to; also its name in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hash {
    /// Of a file in LFS.
    Sha256(String),
    /// Of a file in git: SHA-1 over a header and the content.
    Git(String),
}

impl Hash {
    pub(super) fn hex(&self) -> &str {
        match self {
            Self::Sha256(hex) | Self::Git(hex) => hex,
        }
    }

    /// Whether it is one: it becomes the name of a file.
    pub(super) fn is_sound(&self) -> bool {
        let length = match self {
            Self::Sha256(_) => 64,
            Self::Git(_) => 40,
        };
        self.hex().len() == length && self.hex().bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    }
}

/// A hash in the making.
pub(super) enum Hasher {
    Sha256(Box<Sha256>),
    Git(Box<Sha1>),
}

impl Hasher {
    /// Of the kind of `hash`, for a file of this size.
    pub(super) fn new(hash: &Hash, size: u64) -> Self {
        match hash {
            Hash::Sha256(_) => Self::Sha256(Box::default()),
            Hash::Git(_) => Self::Git(Box::new(Sha1::new_with_prefix(format!("blob {size}\0")))),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(state) => state.update(bytes),
            Self::Git(state) => state.update(bytes),
        }
    }

    pub(super) fn finish(self) -> String {
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect();
        match self {
            Self::Sha256(state) => hex(&state.finalize()),
            Self::Git(state) => hex(&state.finalize()),
        }
    }
}
