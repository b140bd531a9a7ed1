//! A limit on memory: what asks for more is a finding.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that may be in use at once: inputs have at most some hundred thousand, and the threads' own buffers are
/// counted, too. Mapped files are not.
pub(crate) const USUAL: usize = 512 << 20;
/// The same where Parquet is read: the crate `parquet` asks for as much as the header of a page says it holds, up to
/// 2 GiB. The system gives address space for that and no memory, since nothing is written there before the page is
/// found to be shorter.
pub(crate) const PARQUET: usize = 5 << 30;

static USED: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(usize::MAX);

/// From now on no more than this.
pub(crate) fn limit(most: usize) {
    MOST.store(most, Ordering::Relaxed);
}

/// The system's allocator, which refuses what is above the limit. Code that asks for memory without being ready for a
/// refusal aborts the process.
struct Limited;

// SAFETY: everything is done by the system's allocator; the counting beside it touches no memory of the caller's.
unsafe impl GlobalAlloc for Limited {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let used = USED.fetch_add(layout.size(), Ordering::Relaxed);
        if used.saturating_add(layout.size()) > MOST.load(Ordering::Relaxed) {
            USED.fetch_sub(layout.size(), Ordering::Relaxed);
            return std::ptr::null_mut();
        }
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        USED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Limited = Limited;
