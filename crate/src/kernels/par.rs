//! Loops over rows: on all cores natively, one after the other in the page (a page without cross-origin
//! isolation has one thread).

/// Calls `f(i, row)` for each `width`-long row of `out`.
///
/// # Panics
/// When `width` is 0 and `out` is not empty.
pub(crate) fn rows<T: Send>(out: &mut [T], width: usize, f: impl Fn(usize, &mut [T]) + Sync + Send) {
    if out.is_empty() {
        return;
    }
    #[cfg(not(target_arch = "wasm32"))]
    {
        use rayon::prelude::*;
        // Below this much work, waking the other cores costs more than it brings.
        if out.len() >= 4_096 {
            out.par_chunks_mut(width).enumerate().for_each(|(i, row)| f(i, row));
            return;
        }
    }
    out.chunks_mut(width).enumerate().for_each(|(i, row)| f(i, row));
}

/// `f(0)`, …, `f(n − 1)`; each call is meant to be worth a core's while.
pub(crate) fn map<R: Send>(n: usize, f: impl Fn(usize) -> R + Sync + Send) -> Vec<R> {
    #[cfg(not(target_arch = "wasm32"))]
    {
        use rayon::prelude::*;
        (0..n).into_par_iter().map(f).collect()
    }
    #[cfg(target_arch = "wasm32")]
    (0..n).map(f).collect()
}
