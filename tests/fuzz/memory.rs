//! A limit on memory: what asks for more is a finding.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Bytes that may be in use at once: inputs have at most some hundred thousand, and the threads' own buffers are
/// counted, too. Mapped files are not.
pub(crate) const MOST: usize = 512 << 20;

static USED: AtomicUsize = AtomicUsize::new(0);
static LIMITED: AtomicBool = AtomicBool::new(false);

/// From now on the limit holds.
pub(crate) fn limit() {
    LIMITED.store(true, Ordering::Relaxed);
}

/// The system's allocator, which refuses what is above the limit. Code that asks for memory without being ready for a
/// refusal aborts the process.
struct Limited;

// SAFETY: everything is done by the system's allocator; the counting beside it touches no memory of the caller's.
unsafe impl GlobalAlloc for Limited {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let used = USED.fetch_add(layout.size(), Ordering::Relaxed);
        if used.saturating_add(layout.size()) > MOST && LIMITED.load(Ordering::Relaxed) {
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
