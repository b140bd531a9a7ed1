//! How the process keeps memory.

/// Bytes of memory that the machine has, where it says so.
pub fn physical() -> Option<u64> {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: both read a number.
        let [pages, size] =
            unsafe { [libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)] };
        u64::try_from(pages).ok()?.checked_mul(u64::try_from(size).ok()?).filter(|bytes| *bytes > 0)
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    None
}

/// Asks the C library to keep freed memory of the size of activations for the next batch. Without it every tensor
/// of a few megabytes is taken from the system and given back, and the system clears each page anew: a sixth of
/// the time of a Mamba on the CPU engine. Only glibc needs to be asked; a program calls this once, before it starts
/// a thread.
pub fn keep_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
    {
        /// The most that glibc accepts as the size from which memory comes from the system directly.
        const LARGEST: i32 = 32 << 20;
        // SAFETY: both set a number that the allocator reads; no other thread is at it yet.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, LARGEST);
            libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
        }
    }
}
