//! The correlations by shaders: sums of tiles of B for some features of A at a time.

use std::ops::Range;

use super::super::best::{Best, Lines, best_into, collect};
use super::compressed::{Compressed, cut};
use crate::gpu::{Dtype, Engine, GpuError, Launch, Shader, Tensor, Word, shader};

static SUMS: Shader = shader!("sparse_sums", "per_group");
static CORRELATION: Shader = shader!("sparse_correlation", "per_group");

/// Features of B in one tile: accumulators of 8 bytes in 16 KiB of workgroup memory.
const TILE: usize = 1_024;
/// Entries of one upload, and sums of one dispatch: 64 MiB, half of what a browser binds.
const ENTRIES: usize = 8 << 20;
/// Correlations of one block: 64 MiB.
const BLOCK: usize = 16 << 20;
/// Most entries of a slice, so that a feature that always fires keeps many workgroups busy.
const SLICE: usize = 16_384;
/// Lanes that share a row of B, and teams of so many lanes in a workgroup (sparse_sums.wgsl).
const TEAM: usize = 8;
const TEAMS: usize = 16;
/// Lavapipe leaves every loop of an invocation, without a word, once all its loops together have gone round
/// 65,535 times.
const ROUNDS: usize = 60_000;

/// [`super::sparse_correlation`] by shaders.
pub(super) async fn on_gpu(
    engine: &Engine,
    a: &Compressed,
    b: &Compressed,
) -> Result<(Best, Best), GpuError> {
    let (fa, fb) = (a.offsets.len(), b.offsets.len());
    let mut b_counts = vec![0; fb];
    for &j in &b.indices {
        b_counts[j as usize] += 1;
    }
    let tiles = cut(&b_counts, TILE, ENTRIES);
    let slice = slice_length(longest_row(b, &tiles));
    let a_costs = a.indptr.windows(2).map(|w| w[1] - w[0]).map(|n| n + n.div_ceil(slice) * TILE);
    let groups = cut(&a_costs.collect::<Vec<_>>(), BLOCK / TILE, ENTRIES);
    let rows = Tensor::output(engine, &[tiles.len(), fa, 2], Dtype::U32);
    let columns = Tensor::output(engine, &[groups.len(), fb, 2], Dtype::U32);

    for (g, group) in groups.iter().enumerate() {
        let of_a = Group::new(engine, a, group, slice);
        // Where each token's entries of the coming tile start: tiles ascend, and so do the indices in a row.
        let mut next: Vec<usize> = b.indptr[..b.indptr.len() - 1].to_vec();
        for (t, tile) in tiles.iter().enumerate() {
            let of_b = Tile::new(engine, b, tile, &mut next);
            let rho = block(engine, &of_a, &of_b);
            best_into(&rows, t * fa + group.start, &rho, Lines::Rows, tile.start);
            best_into(&columns, g * fb + tile.start, &rho, Lines::Columns, group.start);
        }
    }
    let a_to_b = collect(&rows.read_u32().await?, fa).finish();
    let b_to_a = collect(&columns.read_u32().await?, fb).finish();
    Ok((a_to_b, b_to_a))
}

/// Most entries that a token has in one tile.
fn longest_row(b: &Compressed, tiles: &[Range<usize>]) -> usize {
    let mut longest = 0;
    for t in 0..b.indptr.len() - 1 {
        let mut row = b.line(t).0;
        for tile in tiles {
            let here = row.partition_point(|&j| (j as usize) < tile.end);
            longest = longest.max(here);
            row = &row[here..];
        }
    }
    longest
}

/// Entries of a slice such that no lane's loops go round more than [`ROUNDS`] times: a team takes one entry in
/// [`TEAMS`], and an entry costs one round, one more that ends its inner loop, and the inner rounds.
fn slice_length(longest_row: usize) -> usize {
    (TEAMS * (ROUNDS / (2 + longest_row.div_ceil(TEAM)))).min(SLICE)
}

/// Some features of A on the device.
struct Group {
    features: usize,
    slices: usize,
    /// First slice of each feature, [features + 1].
    feature_indptr: Tensor,
    /// First entry of each slice, [slices + 1].
    slice_indptr: Tensor,
    /// Index and value of each, [n, 2].
    entries: Tensor,
    offsets: Tensor,
}

impl Group {
    fn new(engine: &Engine, a: &Compressed, group: &Range<usize>, length: usize) -> Self {
        let base = a.indptr[group.start];
        let mut feature_indptr = vec![0];
        let mut slice_indptr = vec![0];
        for i in group.clone() {
            let (from, to) = (a.indptr[i] - base, a.indptr[i + 1] - base);
            slice_indptr.extend((from..to).step_by(length).map(|start| to.min(start + length) as u32));
            feature_indptr.push((slice_indptr.len() - 1) as u32);
        }
        let range = base..a.indptr[group.end];
        let entries = a.indices[range.clone()].iter().zip(&a.values[range]);
        let entries = entries.flat_map(|(&t, z)| [t, z.to_bits()]).collect();
        Self {
            features: group.len(),
            slices: slice_indptr.len() - 1,
            feature_indptr: Tensor::from_u32(engine, &[feature_indptr.len()], feature_indptr),
            slice_indptr: Tensor::from_u32(engine, &[slice_indptr.len()], slice_indptr),
            entries: upload_entries(engine, entries),
            offsets: upload_offsets(engine, &a.offsets[group.clone()]),
        }
    }
}

/// Some features of B on the device.
struct Tile {
    features: usize,
    /// First entry of each token, [tokens + 1].
    indptr: Tensor,
    /// Index and value of each, [n, 2].
    entries: Tensor,
    offsets: Tensor,
}

impl Tile {
    /// `next[t]` is the first entry of token t that is not in an earlier tile; it is moved to the next tile.
    fn new(engine: &Engine, b: &Compressed, tile: &Range<usize>, next: &mut [usize]) -> Self {
        let mut indptr = vec![0];
        let mut entries = Vec::new();
        for (t, next) in next.iter_mut().enumerate() {
            while *next < b.indptr[t + 1] && (b.indices[*next] as usize) < tile.end {
                entries.extend([b.indices[*next] - tile.start as u32, b.values[*next].to_bits()]);
                *next += 1;
            }
            indptr.push((entries.len() / 2) as u32);
        }
        Self {
            features: tile.len(),
            indptr: Tensor::from_u32(engine, &[indptr.len()], indptr),
            entries: upload_entries(engine, entries),
            offsets: upload_offsets(engine, &b.offsets[tile.clone()]),
        }
    }
}

fn upload_entries(engine: &Engine, mut entries: Vec<u32>) -> Tensor {
    if entries.is_empty() {
        // A binding cannot be empty.
        entries = vec![0, 0];
    }
    Tensor::from_u32(engine, &[entries.len() / 2, 2], entries)
}

/// Shaders need not know NaN: a feature without variance has offset 4, which no other has.
fn upload_offsets(engine: &Engine, offsets: &[f64]) -> Tensor {
    let offsets = offsets.iter().map(|&o| if o.is_nan() { 4.0 } else { o as f32 });
    Tensor::from_f32(engine, &[offsets.len()], offsets.collect())
}

/// ρ [features of A, features of B].
fn block(engine: &Engine, a: &Group, b: &Tile) -> Tensor {
    let width = [b.features.word()];
    let sums = Tensor::output(engine, &[a.slices, b.features, 2], Dtype::U32);
    Launch::per_group(&SUMS, a.slices, &width, &[&a.slice_indptr, &a.entries, &b.indptr, &b.entries])
        .record(&[&sums]);
    let rho = Tensor::output(engine, &[a.features, b.features], Dtype::F32);
    Launch::per_group(&CORRELATION, a.features, &width, &[&a.feature_indptr, &sums, &a.offsets, &b.offsets])
        .record(&[&rho]);
    rho
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_lane_goes_round_too_often() {
        for longest in [0, 1, 8, 32, 33, TILE] {
            let slice = slice_length(longest);
            assert!((1..=SLICE).contains(&slice));
            assert!(slice.div_ceil(TEAMS) * (2 + longest.div_ceil(TEAM)) <= ROUNDS, "{longest}");
        }
    }
}
