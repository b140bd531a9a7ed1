//! Values put together from those of several runs.

use crate::gpu::Tensor;
use crate::kernels::embed;
use crate::model::positions;

/// Position `t` of every prompt: x [N, T, ..] → [N, 1, ..].
pub(super) fn at(x: &Tensor, t: usize) -> Tensor {
    positions(x, t, t + 1)
}

/// Another position of each prompt: x [N, T, ..] → [N, 1, ..].
pub(super) fn at_each(x: &Tensor, positions: &[usize]) -> Tensor {
    let (n, len) = (x.shape()[0], x.shape()[1]);
    let width: usize = x.shape()[2..].iter().product();
    let rows = positions.iter().enumerate().map(|(prompt, t)| prompt * len + t);
    let mut shape = x.shape().to_vec();
    shape[1] = 1;
    rows_of(&[x.reshape(&[n * len, width])], rows).reshape(&shape)
}

/// All prompts, said `times` times: x [N, ..] → [times·N, ..].
pub(super) fn tile(x: &Tensor, times: usize) -> Tensor {
    let n = x.shape()[0];
    let width = x.len() / n.max(1);
    let mut shape = x.shape().to_vec();
    shape[0] = times * n;
    rows_of(&[x.reshape(&[n, width])], (0..times).flat_map(|_| 0..n)).reshape(&shape)
}

/// For each of `cells` all prompts, each unit (`unit` numbers wide) from `other` where `from_other(cell, prompt,
/// unit)`, else from `clean`: both [N, 1, ..] → [cells·N, 1, ..].
pub(super) fn mix(
    (clean, other): (&Tensor, &Tensor),
    unit: usize,
    cells: usize,
    from_other: impl Fn(usize, usize, usize) -> bool,
) -> Tensor {
    assert_eq!(clean.shape(), other.shape(), "mix: shapes");
    let n = clean.shape()[0];
    let units = clean.len() / n.max(1) / unit;
    let mut rows = Vec::with_capacity(cells * n * units);
    for cell in 0..cells {
        for prompt in 0..n {
            for u in 0..units {
                let foreign = from_other(cell, prompt, u);
                rows.push(prompt * units + u + if foreign { n * units } else { 0 });
            }
        }
    }
    let mut shape = clean.shape().to_vec();
    shape[0] = cells * n;
    let parts = [clean.reshape(&[n * units, unit]), other.reshape(&[n * units, unit])];
    rows_of(&parts, rows.into_iter()).reshape(&shape)
}

/// Rows of a matrix that comes in parts.
pub(super) fn rows_of(parts: &[Tensor], rows: impl Iterator<Item = usize>) -> Tensor {
    let ids: Vec<u32> = rows.map(|row| row as u32).collect();
    embed(parts, &Tensor::from_u32(parts[0].engine(), &[ids.len()], ids))
}
