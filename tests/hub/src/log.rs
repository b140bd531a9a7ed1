//! What was asked.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

/// One request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// GET, HEAD, …
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The `Range` header.
    pub range: Option<String>,
    /// Whether there was an `Authorization` header.
    pub authorized: bool,
    /// Status of the answer.
    pub status: u16,
    /// Bytes of body sent so far.
    pub bytes: u64,
}

/// All requests, in order. Bytes are counted while they are sent.
#[derive(Default)]
pub(crate) struct Log(Mutex<Vec<(Entry, Arc<AtomicU64>)>>);

impl Log {
    /// Notes a request and gives the counter of its bytes.
    pub(crate) fn note(&self, entry: Entry) -> Arc<AtomicU64> {
        let bytes = Arc::new(AtomicU64::new(0));
        self.lock().push((entry, bytes.clone()));
        bytes
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        let read = |(entry, bytes): &(Entry, Arc<AtomicU64>)| Entry {
            bytes: bytes.load(Ordering::SeqCst),
            ..entry.clone()
        };
        self.lock().iter().map(read).collect()
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Entry, Arc<AtomicU64>)>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
