//! Correlations of all pairs of sparse features, of which only the best of each feature is kept.
//!
//! Side A is sorted by feature, side B by token. A feature of A owns one accumulator for each feature of B and
//! walks its own tokens; the cost is Σ_t k_A(t)·k_B(t) products, whatever the number of features, and S = ZaᵀZb
//! is never stored. Values come standardised, so that ρ_ij = S_ij − offset_i·offset_j is a difference of
//! numbers of size 1; pairs that never fire together (S = 0) are candidates like all others.
//!
//! Exactness: the twin sums in float64; the GPU in 64-bit fixed point, see the shader. With values rounded to
//! f32 either is within 1e-6 of the correlation of the given numbers, up to some 10⁷ tokens.
//!
//! Not supported: on a GPU, a feature that fires on more tokens than one binding holds (16 million entries in a
//! browser); it is refused with [`GpuError::TooLarge`]. Token ranges cannot be merged after the maximum.

use std::ops::Range;

use bytemuck::{Pod, Zeroable};

use super::best::{Best, Lines, Running, best, collect};
use super::par;
use crate::gpu::{Backend, Dispatch, Dtype, Engine, Gpu, GpuError, Shader, Tensor, grid};

static SUMS: Shader = Shader { name: "sparse_sums", wgsl: include_str!("../../../shaders/sparse_sums.wgsl") };

static CORRELATION: Shader =
    Shader { name: "sparse_correlation", wgsl: include_str!("../../../shaders/sparse_correlation.wgsl") };

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    /// Slices, or rows.
    lines: u32,
    width: u32,
    _pad: [u32; 2],
}

/// Standardised sparse features in compressed lines. By feature: a line is a feature, its indices are tokens;
/// by token: a line is a token, its indices are features, ascending.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lined {
    /// Where each line starts, [lines + 1].
    pub(crate) start: Vec<usize>,
    /// Token or feature of each entry.
    pub(crate) index: Vec<u32>,
    /// z = (x − shift) / (σ√n), where Σz² ≤ 2.
    pub(crate) value: Vec<f32>,
    /// By feature: Σz/√n, between −1 and 1; NaN for a feature without variance, which has no entries.
    pub(crate) offset: Vec<f64>,
}

impl Lined {
    fn line(&self, i: usize) -> (&[u32], &[f32]) {
        let range = self.start[i]..self.start[i + 1];
        (&self.index[range.clone()], &self.value[range])
    }
}

/// Pieces of A that the cores work on: enough to balance them, few enough that their answers for all of B stay
/// small.
const PIECES: usize = 32;
/// Accumulators of a band of features of A: 256 KiB …
const SUMS_IN_CACHE: usize = 32 << 10;
/// … but at least so many features, however many B has.
const LEAST_BAND: usize = 8;
/// Entries of a block of B's tokens: 256 KiB.
const ENTRIES_IN_CACHE: usize = 32 << 10;
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

/// Best correlation of each feature of `a` (by feature) among those of `b` (by token), and the reverse.
///
/// # Errors
/// What goes wrong on the device.
///
/// # Panics
/// When an index of `a` is no token of `b`, or an index of `b` no feature of it.
pub(crate) async fn sparse_correlation(
    engine: &Engine,
    a: &Lined,
    b: &Lined,
) -> Result<(Best, Best), GpuError> {
    let (fa, fb) = (a.offset.len(), b.offset.len());
    if fa == 0 || fb == 0 {
        return Ok((Running::new(fa).finish(), Running::new(fb).finish()));
    }
    match engine.backend() {
        Backend::Cpu => Ok(twin(a, b)),
        Backend::Gpu(gpu) => on_gpu(engine, gpu, a, b).await,
    }
}

fn twin(a: &Lined, b: &Lined) -> (Best, Best) {
    let (fa, fb) = (a.offset.len(), b.offset.len());
    let costs: Vec<usize> = (0..fa)
        .map(|i| fb + a.line(i).0.iter().map(|&t| b.line(t as usize).0.len()).sum::<usize>())
        .collect();
    let most = costs.iter().sum::<usize>() / PIECES;
    let pieces = cut(&costs, fa, most);
    let blocks = token_blocks(b);
    let answers = par::map(pieces.len(), |p| piece(a, b, &blocks, pieces[p].clone()));

    let mut a_to_b = Running::new(fa);
    let mut b_to_a = Running::new(fb);
    for (range, (rows, columns)) in pieces.into_iter().zip(answers) {
        a_to_b.merge(range.start, &rows);
        b_to_a.merge(0, &columns);
    }
    (a_to_b.finish(), b_to_a.finish())
}

/// Ends of consecutive blocks of tokens, each of about [`ENTRIES_IN_CACHE`] entries.
fn token_blocks(b: &Lined) -> Vec<u32> {
    let mut ends = Vec::new();
    let mut start = 0;
    for (t, &end) in b.start.iter().enumerate().skip(1) {
        if end - start >= ENTRIES_IN_CACHE || t + 1 == b.start.len() {
            ends.push(t as u32);
            start = end;
        }
    }
    ends
}

/// The features `range` of A against all of B: their best, and the best of each feature of B among them.
fn piece(a: &Lined, b: &Lined, blocks: &[u32], range: Range<usize>) -> (Running, Running) {
    let fb = b.offset.len();
    let mut rows = Running::new(range.len());
    let mut columns = Running::new(fb);
    let height = (SUMS_IN_CACHE / fb).max(LEAST_BAND);
    let mut sums = vec![0.0; height.min(range.len()) * fb];
    for start in range.clone().step_by(height) {
        let band = start..range.end.min(start + height);
        let sums = &mut sums[..band.len() * fb];
        sums.fill(0.0);
        add_products(a, b, blocks, band.clone(), sums);
        for (i, sums) in band.zip(sums.chunks_exact(fb)).filter(|(i, _)| !a.offset[*i].is_nan()) {
            for (j, (sum, other)) in sums.iter().zip(&b.offset).enumerate() {
                let rho = sum - a.offset[i] * other;
                rows.offer(i - range.start, j as i32, rho);
                columns.offer(j, i as i32, rho);
            }
        }
    }
    (rows, columns)
}

/// S of the features `band` of A with all of B, added to `sums` [band, fb].
fn add_products(a: &Lined, b: &Lined, blocks: &[u32], band: Range<usize>, sums: &mut [f64]) {
    let fb = b.offset.len();
    // All features take their tokens of one block before any goes on to the next, so that B's rows are read
    // from memory once a band and not once a feature.
    let mut next = a.start[band.clone()].to_vec();
    for &end in blocks {
        for ((i, next), sums) in band.clone().zip(&mut next).zip(sums.chunks_exact_mut(fb)) {
            while *next < a.start[i + 1] && a.index[*next] < end {
                let za = f64::from(a.value[*next]);
                let (features, values) = b.line(a.index[*next] as usize);
                for (&j, &zb) in features.iter().zip(values) {
                    sums[j as usize] += za * f64::from(zb);
                }
                *next += 1;
            }
        }
    }
}

/// Cuts a list into consecutive ranges of at most `longest` items that cost at most `most` together (a dearer
/// item stands alone).
fn cut(costs: &[usize], longest: usize, most: usize) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let (mut start, mut cost) = (0, 0);
    for (i, &c) in costs.iter().enumerate() {
        if i > start && (i - start == longest || cost + c > most) {
            ranges.push(start..i);
            (start, cost) = (i, 0);
        }
        cost += c;
    }
    if start < costs.len() {
        ranges.push(start..costs.len());
    }
    ranges
}

async fn on_gpu(engine: &Engine, gpu: &Gpu, a: &Lined, b: &Lined) -> Result<(Best, Best), GpuError> {
    let (fa, fb) = (a.offset.len(), b.offset.len());
    let mut b_counts = vec![0; fb];
    for &j in &b.index {
        b_counts[j as usize] += 1;
    }
    let tiles = cut(&b_counts, TILE, ENTRIES);
    let slice = slice_length(longest_row(b, &tiles));
    let a_costs = a.start.windows(2).map(|w| w[1] - w[0]).map(|n| n + n.div_ceil(slice) * TILE);
    let groups = cut(&a_costs.collect::<Vec<_>>(), BLOCK / TILE, ENTRIES);
    let rows = Tensor::output(engine, &[tiles.len(), fa, 2], Dtype::U32);
    let columns = Tensor::output(engine, &[groups.len(), fb, 2], Dtype::U32);

    for (g, group) in groups.iter().enumerate() {
        let side_a = SideA::new(engine, a, group, slice);
        // Where each token's entries of the coming tile start: tiles ascend, and so do the indices in a row.
        let mut next: Vec<usize> = b.start[..b.start.len() - 1].to_vec();
        for (t, tile) in tiles.iter().enumerate() {
            let side_b = SideB::new(engine, b, tile, &mut next);
            let rho = block(engine, gpu, &side_a, &side_b);
            best(gpu, &rho, Lines::Rows, &rows, [t * fa + group.start, tile.start]);
            best(gpu, &rho, Lines::Columns, &columns, [g * fb + tile.start, group.start]);
        }
    }
    let a_to_b = collect(&rows.read_u32().await?, fa).finish();
    let b_to_a = collect(&columns.read_u32().await?, fb).finish();
    Ok((a_to_b, b_to_a))
}

/// Most entries that a token has in one tile.
fn longest_row(b: &Lined, tiles: &[Range<usize>]) -> usize {
    let mut longest = 0;
    for t in 0..b.start.len() - 1 {
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
struct SideA {
    features: usize,
    slices: usize,
    /// First slice of each feature, [features + 1].
    first: Tensor,
    /// First entry of each slice, [slices + 1].
    slice: Tensor,
    entries: Tensor,
    offset: Tensor,
}

impl SideA {
    fn new(engine: &Engine, a: &Lined, group: &Range<usize>, length: usize) -> Self {
        let base = a.start[group.start];
        let mut first = vec![0];
        let mut slice = vec![0];
        for i in group.clone() {
            let (from, to) = (a.start[i] - base, a.start[i + 1] - base);
            slice.extend((from..to).step_by(length).map(|start| to.min(start + length) as u32));
            first.push((slice.len() - 1) as u32);
        }
        let range = base..a.start[group.end];
        let entries = a.index[range.clone()].iter().zip(&a.value[range]);
        let entries = entries.flat_map(|(&t, z)| [t, z.to_bits()]).collect();
        Self {
            features: group.len(),
            slices: slice.len() - 1,
            first: Tensor::from_u32(engine, &[first.len()], first),
            slice: Tensor::from_u32(engine, &[slice.len()], slice),
            entries: upload_entries(engine, entries),
            offset: upload_offset(engine, &a.offset[group.clone()]),
        }
    }
}

/// Some features of B on the device.
struct SideB {
    features: usize,
    /// First entry of each token, [tokens + 1].
    start: Tensor,
    entries: Tensor,
    offset: Tensor,
}

impl SideB {
    /// `next[t]` is the first entry of token t that is not in an earlier tile; it is moved to the next tile.
    fn new(engine: &Engine, b: &Lined, tile: &Range<usize>, next: &mut [usize]) -> Self {
        let mut start = vec![0];
        let mut entries = Vec::new();
        for (t, next) in next.iter_mut().enumerate() {
            while *next < b.start[t + 1] && (b.index[*next] as usize) < tile.end {
                entries.extend([b.index[*next] - tile.start as u32, b.value[*next].to_bits()]);
                *next += 1;
            }
            start.push((entries.len() / 2) as u32);
        }
        Self {
            features: tile.len(),
            start: Tensor::from_u32(engine, &[start.len()], start),
            entries: upload_entries(engine, entries),
            offset: upload_offset(engine, &b.offset[tile.clone()]),
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
fn upload_offset(engine: &Engine, offset: &[f64]) -> Tensor {
    let offset = offset.iter().map(|&o| if o.is_nan() { 4.0 } else { o as f32 });
    Tensor::from_f32(engine, &[offset.len()], offset.collect())
}

/// ρ [features of A, features of B].
fn block(engine: &Engine, gpu: &Gpu, a: &SideA, b: &SideB) -> Tensor {
    let params = |lines: usize| Params { lines: lines as u32, width: b.features as u32, _pad: [0; 2] };
    let sums = Tensor::output(engine, &[a.slices, b.features, 2], Dtype::U32);
    if a.slices > 0 {
        gpu.dispatch(&Dispatch {
            shader: &SUMS,
            constants: &[],
            params: bytemuck::bytes_of(&params(a.slices)),
            inputs: &[&a.slice, &a.entries, &b.start, &b.entries],
            outputs: &[&sums],
            groups: grid(a.slices),
        });
    }
    let rho = Tensor::output(engine, &[a.features, b.features], Dtype::F32);
    gpu.dispatch(&Dispatch {
        shader: &CORRELATION,
        constants: &[],
        params: bytemuck::bytes_of(&params(a.features)),
        inputs: &[&a.first, &sums, &a.offset, &b.offset],
        outputs: &[&rho],
        groups: grid(a.features),
    });
    rho
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{each_engine, normal, uniform};

    #[test]
    fn cuts_cover_everything_within_their_bounds() {
        let costs = [3, 0, 9, 1, 1, 1, 20, 0, 0, 0, 2];
        let ranges = cut(&costs, 4, 10);
        assert_eq!(ranges, [0..2, 2..4, 4..6, 6..7, 7..11]);
        assert!(cut(&[], 4, 10).is_empty());
        assert_eq!(cut(&[5, 5], 4, 0), [0..1, 1..2]);
    }

    #[test]
    fn no_lane_goes_round_too_often() {
        for longest in [0, 1, 8, 32, 33, TILE] {
            let slice = slice_length(longest);
            assert!((1..=SLICE).contains(&slice));
            assert!(slice.div_ceil(TEAMS) * (2 + longest.div_ceil(TEAM)) <= ROUNDS, "{longest}");
        }
    }

    /// Random lines over `other` indices, of which each line has about one in five.
    fn lined(seed: u64, lines: usize, other: usize) -> Lined {
        let gate = uniform(seed, lines * other);
        let z = normal(seed + 1, lines * other);
        let mut lined = Lined { start: vec![0], ..Lined::default() };
        for line in 0..lines {
            for i in (0..other).filter(|i| gate[line * other + i] < 0.2) {
                lined.index.push(i as u32);
                // Σz² ≤ 2 along either axis for these sizes.
                lined.value.push(z[line * other + i] / 20.0);
            }
            lined.start.push(lined.index.len());
        }
        lined
    }

    #[test]
    fn agrees_with_float64() {
        for (fa, tokens, fb) in [(1, 1, 1), (1, 200, 5), (7, 200, 1), (130, 133, 129), (3, 0, 2), (0, 4, 2)] {
            let offsets = |seed, n| normal(seed, n).iter().map(|&v| f64::from(v) / 10.0).collect::<Vec<_>>();
            let mut a = Lined { offset: offsets(1, fa), ..lined(2, fa, tokens) };
            let mut b = Lined { offset: offsets(3, fb), ..lined(4, tokens, fb) };
            for side in [&mut a, &mut b] {
                side.offset.iter_mut().skip(4).step_by(9).for_each(|o| *o = f64::NAN);
            }
            let rho = reference(&a, &b);
            each_engine(|engine| {
                let got =
                    pollster::block_on(sparse_correlation(engine, &a, &b)).expect("no device fails here");
                let transposed: Vec<Vec<f64>> =
                    (0..fb).map(|j| rho.iter().map(|row| row[j]).collect()).collect();
                for (best, rho) in [(&got.0, &rho), (&got.1, &transposed)] {
                    assert_eq!(best.mppc.len(), rho.len());
                    for ((&mppc, &argmax), row) in best.mppc.iter().zip(&best.argmax).zip(rho) {
                        let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                        if most == f64::NEG_INFINITY {
                            assert!(mppc.is_nan() && argmax == -1);
                            continue;
                        }
                        // Each product is rounded once to f32 and Σ|za·zb| ≤ 2; offsets and ρ once more.
                        assert!((f64::from(mppc) - most).abs() < 4e-7, "{mppc}, {most} on {engine:?}");
                        assert!(row[argmax as usize] > most - 4e-7, "{engine:?}");
                    }
                }
            });
        }
    }

    /// ρ [fa][fb] in float64; NaN, which `max` passes over, without variance.
    fn reference(a: &Lined, b: &Lined) -> Vec<Vec<f64>> {
        let row = |i: usize| {
            let mut sums = vec![0.0; b.offset.len()];
            for (&t, &za) in a.line(i).0.iter().zip(a.line(i).1) {
                for (&j, &zb) in b.line(t as usize).0.iter().zip(b.line(t as usize).1) {
                    sums[j as usize] += f64::from(za) * f64::from(zb);
                }
            }
            sums.iter().zip(&b.offset).map(|(sum, other)| sum - a.offset[i] * other).collect()
        };
        (0..a.offset.len()).map(row).collect()
    }
}
