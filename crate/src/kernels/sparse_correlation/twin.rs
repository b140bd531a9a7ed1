//! The correlations on the processor.
//!
//! A feature of A adds za·zb to one float64 sum for each feature of B, for all entries of the rows of B on its tokens.
//! What that costs is memory: rows lie far apart, and sums are touched in no order. So a row's values and indices lie
//! side by side and are fetched some tokens before they are needed, indices take 16 bits where they fit, and features
//! of B are numbered by how often they fire, so that the sums most often touched lie together.

use std::cmp::Reverse;
use std::ops::Range;

use bytemuck::Pod;
use pulp::{Arch, Simd, WithSimd};

use super::super::best::{Best, Running};
use super::super::par;
use super::compressed::{Compressed, cut};

/// Pieces of A that the cores work on: enough to balance them, few enough that their answers for all of B stay
/// small.
const PIECES: usize = 32;
/// How many of a feature's tokens before it is needed a row of B is asked for.
const AHEAD: usize = 8;
/// Numbers of B come in groups of so many, which fill vectors.
const LANES: usize = 16;

/// [`super::sparse_correlation`] on the processor.
pub(super) fn twin(a: &Compressed, b: &Compressed) -> (Best, Best) {
    if b.offsets.len() <= usize::from(u16::MAX) + 1 {
        Ranked::new(b, |rank| rank as u16).best(a, b.offsets.len())
    } else {
        Ranked::new(b, |rank| rank).best(a, b.offsets.len())
    }
}

/// Side B: its features numbered anew, the ones that fire most often first. `I` is a number of a feature, u16 or u32.
struct Ranked<I> {
    /// Where each row begins, [tokens + 1].
    indptr: Vec<usize>,
    /// Rows: n values, then n numbers of features, filled up to a whole word.
    words: Vec<u32>,
    /// Feature of each number; what fills the last group up to [`LANES`] has none.
    feature: Vec<u32>,
    /// Offset of each number's feature; NaN without one.
    offset: Vec<f64>,
    number: std::marker::PhantomData<I>,
}

impl<I: Pod + Default + Send + Sync + Into<u32>> Ranked<I> {
    /// Numbers in a word.
    const IN_WORD: usize = size_of::<u32>() / size_of::<I>();

    fn new(compressed: &Compressed, narrow: impl Fn(u32) -> I + Sync) -> Self {
        let mut count = vec![0u32; compressed.offsets.len()];
        compressed.indices.iter().for_each(|&j| count[j as usize] += 1);
        let mut feature: Vec<u32> = (0..compressed.offsets.len() as u32).collect();
        feature.sort_by_key(|&j| Reverse(count[j as usize]));
        let mut rank = vec![I::default(); feature.len()];
        (0u32..).zip(&feature).for_each(|(new, &j)| rank[j as usize] = narrow(new));
        let mut offset: Vec<f64> = feature.iter().map(|&j| compressed.offsets[j as usize]).collect();
        offset.resize(feature.len().next_multiple_of(LANES), f64::NAN);
        feature.resize(offset.len(), u32::MAX);

        let tokens = compressed.indptr.len() - 1;
        let mut indptr = vec![0; tokens + 1];
        for t in 0..tokens {
            let n = compressed.indptr[t + 1] - compressed.indptr[t];
            indptr[t + 1] = indptr[t] + n + n.div_ceil(Self::IN_WORD);
        }
        let mut words = vec![0u32; indptr[tokens]];
        let mut rows = par::pieces(&mut words, indptr.windows(2).map(|w| w[1] - w[0]));
        par::each_mut(&mut rows, 128, |t, row| {
            let (features, values) = compressed.line(t);
            let (to_values, to_numbers) = row.split_at_mut(values.len());
            to_values.copy_from_slice(bytemuck::cast_slice(values));
            let to_numbers: &mut [I] = bytemuck::cast_slice_mut(to_numbers);
            to_numbers.iter_mut().zip(features).for_each(|(to, &j)| *to = rank[j as usize]);
        });
        Self { indptr, words, feature, offset, number: std::marker::PhantomData }
    }

    fn best(&self, a: &Compressed, fb: usize) -> (Best, Best) {
        let fa = a.offsets.len();
        let row = |t: &u32| self.indptr[*t as usize + 1] - self.indptr[*t as usize];
        let mut costs = vec![0; fa];
        par::each(&mut costs, 1 << 10, |i| fb + a.line(i).0.iter().map(row).sum::<usize>());
        let pieces = cut(&costs, fa, costs.iter().sum::<usize>() / PIECES);
        let answers = par::map(pieces.len(), |p| self.piece(a, pieces[p].clone()));

        let mut a_to_b = Running::new(fa);
        let mut b_to_a = Running::new(fb);
        for (range, (rows, columns)) in pieces.into_iter().zip(answers) {
            a_to_b.merge(range.start, &rows);
            let columns = columns.value.into_iter().zip(columns.index);
            for (&j, (value, i)) in self.feature[..fb].iter().zip(columns) {
                b_to_a.offer(j as usize, i as i32, value);
            }
        }
        (a_to_b.finish(), b_to_a.finish())
    }

    /// The features `range` of A against all of B: their best, and the best of each number of B among them.
    fn piece(&self, a: &Compressed, range: Range<usize>) -> (Running, Columns) {
        let mut rows = Running::new(range.len());
        let fb = self.offset.len();
        let mut columns = Columns { value: vec![f64::NEG_INFINITY; fb], index: vec![-1; fb] };
        let mut sums = vec![0.0; fb];
        let start = range.start;
        for i in range.filter(|&i| !a.offsets[i].is_nan()) {
            self.add_products(a.line(i), &mut sums);
            let take = Take {
                b_offset: &self.offset,
                feature: &self.feature,
                a: (i as i64, a.offsets[i]),
                sums: &mut sums,
                columns: &mut columns,
            };
            if let Some((value, j)) = Arch::new().dispatch(take) {
                rows.offer(i - start, j as i32, value);
            }
        }
        (rows, columns)
    }

    /// Adds the products of a feature of A with all of B to `sums` [fb].
    fn add_products(&self, (tokens, values): (&[u32], &[f32]), sums: &mut [f64]) {
        let words = |t: u32| &self.words[self.indptr[t as usize]..self.indptr[t as usize + 1]];
        for (k, (&t, &za)) in tokens.iter().zip(values).enumerate() {
            // Even where a row is must be asked for first.
            if let Some(&later) = tokens.get(k + 2 * AHEAD) {
                fetch(&self.indptr[later as usize..][..1]);
            }
            if let Some(&later) = tokens.get(k + AHEAD) {
                fetch(words(later));
            }
            let row = words(t);
            let n = row.len() * Self::IN_WORD / (Self::IN_WORD + 1);
            let (values, numbers) = row.split_at(n);
            let numbers: &[I] = bytemuck::cast_slice(numbers);
            let za = f64::from(za);
            for (&j, &zb) in numbers.iter().zip(bytemuck::cast_slice::<u32, f32>(values)) {
                sums[j.into() as usize] += za * f64::from(zb);
            }
        }
    }
}

/// The best of each number of B among some features of A. (Indices are as wide as values, so that both fill a vector.)
struct Columns {
    value: Vec<f64>,
    index: Vec<i64>,
}

/// Correlations of a feature of A from its sums, which are zeros again afterwards: offers them to the columns, and
/// returns the largest with its feature of B, the lowest one of equals.
struct Take<'a> {
    b_offset: &'a [f64],
    /// Feature of each number of B.
    feature: &'a [u32],
    /// Feature of A and its offset.
    a: (i64, f64),
    sums: &'a mut [f64],
    columns: &'a mut Columns,
}

impl WithSimd for Take<'_> {
    type Output = Option<(f64, u32)>;

    // Without branches, so that the compiler makes vectors of it.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Self::Output {
        let (i, a_offset) = self.a;
        let mut best = [f64::NEG_INFINITY; LANES];
        let columns = self.columns.value.as_chunks_mut().0.iter_mut();
        let columns = columns.zip(self.columns.index.as_chunks_mut::<LANES>().0);
        let sums = self.sums.as_chunks_mut().0.iter_mut().zip(self.b_offset.as_chunks::<LANES>().0);
        for ((value, index), (sums, offset)) in columns.zip(sums) {
            let (value, sums): (&mut [f64; LANES], &mut [f64; LANES]) = (value, sums);
            for lane in 0..LANES {
                // NaN where B has no variance: larger than nothing.
                let rho = sums[lane] - a_offset * offset[lane];
                sums[lane] = rho;
                best[lane] = if rho > best[lane] { rho } else { best[lane] };
                index[lane] = if rho > value[lane] { i } else { index[lane] };
                value[lane] = if rho > value[lane] { rho } else { value[lane] };
            }
        }
        let most = best.into_iter().fold(f64::NEG_INFINITY, f64::max);
        let mut first = u32::MAX;
        let features = self.feature.as_chunks::<LANES>().0;
        for (rho, feature) in self.sums.as_chunks_mut::<LANES>().0.iter_mut().zip(features) {
            if rho.iter().fold(false, |found, rho| found | (*rho == most)) {
                let equals = rho.iter().zip(feature).filter(|(rho, _)| **rho == most);
                first = equals.fold(first, |first, (_, &j)| first.min(j));
            }
            *rho = [0.0; LANES];
        }
        (first < u32::MAX).then_some((most, first))
    }
}

/// Asks for what will be read soon, where the processor can be asked.
#[inline(always)]
fn fetch<T>(soon: &[T]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        const LINE: usize = 64;
        for part in soon.chunks((LINE / size_of::<T>()).max(1)) {
            // SAFETY: a hint reads nothing, and every x86-64 has it.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(part.as_ptr().cast()) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = soon;
}
