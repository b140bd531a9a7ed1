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

/// Threads that work at once.
pub(crate) fn threads() -> usize {
    #[cfg(not(target_arch = "wasm32"))]
    {
        rayon::current_num_threads()
    }
    #[cfg(target_arch = "wasm32")]
    1
}

/// The results of `f(0)` to `f(n − 1)`, in order.
pub(crate) fn map<T: Send>(n: usize, f: impl Fn(usize) -> T + Sync + Send) -> Vec<T> {
    #[cfg(not(target_arch = "wasm32"))]
    {
        use rayon::prelude::*;
        (0..n).into_par_iter().map(f).collect()
    }
    #[cfg(target_arch = "wasm32")]
    (0..n).map(f).collect()
}

/// Calls `f(start, a, b, c)` for stretches of three arrays of one length, cut at the same places; `start` is
/// where the stretch begins.
pub(crate) fn zip3(
    a: &mut [f32],
    b: &mut [f32],
    c: &mut [f32],
    f: impl Fn(usize, &mut [f32], &mut [f32], &mut [f32]) + Sync + Send,
) {
    const STRETCH: usize = 16_384;
    #[cfg(not(target_arch = "wasm32"))]
    {
        use rayon::prelude::*;
        a.par_chunks_mut(STRETCH)
            .zip(b.par_chunks_mut(STRETCH))
            .zip(c.par_chunks_mut(STRETCH))
            .enumerate()
            .for_each(|(i, ((a, b), c))| f(i * STRETCH, a, b, c));
    }
    #[cfg(target_arch = "wasm32")]
    {
        let _ = STRETCH;
        f(0, a, b, c);
    }
}

/// Sets every element of `out` to `f(i)`, which costs about as much as `work` elements of a row.
pub(crate) fn each<T: Send>(out: &mut [T], work: usize, f: impl Fn(usize) -> T + Sync + Send) {
    each_mut(out, work, |i, v| *v = f(i));
}

/// Calls `f(i, element)` for every element of `out`, which costs about as much as `work` elements of a row.
pub(crate) fn each_mut<T: Send>(
    out: &mut [T],
    #[cfg_attr(target_arch = "wasm32", expect(unused_variables))] work: usize,
    f: impl Fn(usize, &mut T) + Sync + Send,
) {
    #[cfg(not(target_arch = "wasm32"))]
    {
        use rayon::prelude::*;
        if out.len().saturating_mul(work) >= 4_096 {
            out.par_iter_mut().enumerate().for_each(|(i, v)| f(i, v));
            return;
        }
    }
    out.iter_mut().enumerate().for_each(|(i, v)| f(i, v));
}

/// Calls `f(i, [a, b, c])` for the `width`-long rows of three arrays of one length.
///
/// # Panics
/// When `width` is 0 and the arrays are not empty.
pub(crate) fn rows3(
    [a, b, c]: [&mut [f32]; 3],
    width: usize,
    f: impl Fn(usize, [&mut [f32]; 3]) + Sync + Send,
) {
    if a.is_empty() {
        return;
    }
    #[cfg(not(target_arch = "wasm32"))]
    {
        use rayon::prelude::*;
        a.par_chunks_mut(width)
            .zip(b.par_chunks_mut(width))
            .zip(c.par_chunks_mut(width))
            .enumerate()
            .for_each(|(i, ((a, b), c))| f(i, [a, b, c]));
    }
    #[cfg(target_arch = "wasm32")]
    for (i, ((a, b), c)) in a.chunks_mut(width).zip(b.chunks_mut(width)).zip(c.chunks_mut(width)).enumerate()
    {
        f(i, [a, b, c]);
    }
}

/// Cuts a list into mutable pieces of these lengths, which threads can fill.
///
/// # Panics
/// When the list is shorter.
pub(crate) fn pieces<T>(mut all: &mut [T], lengths: impl IntoIterator<Item = usize>) -> Vec<&mut [T]> {
    let mut pieces = Vec::new();
    for len in lengths {
        let (piece, rest) = all.split_at_mut(len);
        pieces.push(piece);
        all = rest;
    }
    pieces
}
