//! Distributions over features, in bins that are the same for every SAE.

use serde::Serialize;

/// How many values lie in each of some bins.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct Histogram {
    /// Edges of the bins, ascending, one more than there are bins. Bin i holds edges`[i]` ≤ value < edges`[i + 1]`,
    /// the last one its upper edge, too; what lies beyond the ends counts in the first or the last bin.
    pub edges: Vec<f64>,
    /// Values in each bin.
    pub counts: Vec<u64>,
    /// Values that are exactly 0 and in no bin; only where 0 has a place of its own.
    pub zero: u64,
}

impl Histogram {
    /// No values yet, in bins between these edges.
    ///
    /// # Panics
    /// When there are fewer than two edges.
    pub fn new(edges: Vec<f64>) -> Self {
        assert!(edges.len() >= 2, "a bin has two edges");
        Self { counts: vec![0; edges.len() - 1], edges, zero: 0 }
    }

    /// For shares of tokens: a quarter of a decade a bin, from 10⁻⁷ to 1, and 0 apart.
    pub fn decades() -> Self {
        // Constants, so that the same value falls into the same bin on every machine.
        const DECADES: [f64; 7] = [1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1];
        const QUARTERS: [f64; 4] =
            [1.0, 1.778_279_410_038_922_8, 3.162_277_660_168_379_5, 5.623_413_251_903_491];
        let edges = DECADES.iter().flat_map(|decade| QUARTERS.map(|quarter| decade * quarter));
        Self::new(edges.chain([1.0]).collect())
    }

    /// `bins` equal bins from `from` to `to`.
    pub fn even(from: f64, to: f64, bins: usize) -> Self {
        let edge = |i: usize| from + (to - from) * i as f64 / bins as f64;
        Self::new((0..=bins).map(edge).collect())
    }

    /// Counts a value that is not NaN.
    pub fn add(&mut self, value: f64) {
        // How many inner edges lie at or below it.
        let inner = &self.edges[1..self.counts.len()];
        self.counts[inner.partition_point(|edge| *edge <= value)] += 1;
    }
}

/// What a distribution looks like. Figures are `None` where there is no value.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct Distribution {
    /// How many finite values there are; all figures are of them.
    pub count: u64,
    /// How many values are not finite.
    pub not_finite: u64,
    /// Their mean.
    pub mean: Option<f64>,
    /// Where the values lie.
    pub quantiles: Option<Quantiles>,
    /// How many values lie where.
    pub histogram: Histogram,
}

impl Distribution {
    /// The distribution of `values`, counted in `histogram`.
    pub fn of(values: &[f32], mut histogram: Histogram) -> Self {
        let mut finite: Vec<f64> = values.iter().map(|&v| f64::from(v)).filter(|v| v.is_finite()).collect();
        finite.sort_by(f64::total_cmp);
        finite.iter().for_each(|v| histogram.add(*v));
        let count = finite.len();
        Self {
            count: count as u64,
            not_finite: (values.len() - count) as u64,
            mean: (count > 0).then(|| finite.iter().sum::<f64>() / count as f64),
            quantiles: Quantiles::new(count as u64, |rank| finite[rank as usize]),
            histogram,
        }
    }
}

/// Quantiles of some values. The q-quantile is the smallest value that at least q of all values do not exceed, so
/// it is always one of them (NumPy's `inverted_cdf`).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct Quantiles {
    /// The smallest value.
    pub min: f64,
    /// 5 %.
    pub p5: f64,
    /// 25 %.
    pub p25: f64,
    /// 50 %.
    pub median: f64,
    /// 75 %.
    pub p75: f64,
    /// 95 %.
    pub p95: f64,
    /// The largest value.
    pub max: f64,
}

impl Quantiles {
    /// Of `count` values, `value(r)` being the one of rank r, counted from 0; none of no values.
    fn new(count: u64, value: impl Fn(u64) -> f64) -> Option<Self> {
        // In whole hundredths: q·count is exact.
        let at = |percent: u64| value((percent * count).div_ceil(100).max(1) - 1);
        (count > 0).then(|| Self {
            min: at(0),
            p5: at(5),
            p25: at(25),
            median: at(50),
            p75: at(75),
            p95: at(95),
            max: at(100),
        })
    }

    /// Of whole numbers, `counts[n]` being how often n occurs.
    pub(super) fn of_counts(counts: &[u64]) -> Option<Self> {
        let upto: Vec<u64> = counts
            .iter()
            .scan(0, |sum, n| {
                *sum += n;
                Some(*sum)
            })
            .collect();
        let total = upto.last().copied().unwrap_or(0);
        Self::new(total, |rank| upto.partition_point(|sum| *sum <= rank) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fall_into_their_bins() {
        let mut shares = Histogram::decades();
        assert_eq!(shares.edges.len(), 29);
        // The edge itself, just below it, both ends, and beyond them.
        for value in [1e-3, 1e-3 - 1e-9, 1e-7, 1.0, 1e-9, 20.0 / 20_000.0] {
            shares.add(value);
        }
        let filled: Vec<(usize, u64)> =
            shares.counts.iter().copied().enumerate().filter(|(_, n)| *n > 0).collect();
        assert_eq!(filled, [(0, 2), (15, 1), (16, 2), (27, 1)]);

        let mut even = Histogram::even(-1.0, 1.0, 4);
        assert_eq!(even.edges, [-1.0, -0.5, 0.0, 0.5, 1.0]);
        [-2.0, -1.0, -0.5, 0.0, 0.25, 1.0, 3.0].into_iter().for_each(|v| even.add(v));
        assert_eq!(even.counts, [2, 1, 2, 2]);
    }

    #[test]
    fn quantiles_are_values() {
        let of = |values: &[f32]| Distribution::of(values, Histogram::even(0.0, 10.0, 2));
        let five = of(&[4.0, f32::NAN, 1.0, 2.0, f32::INFINITY, 3.0, 5.0]);
        assert_eq!((five.count, five.not_finite, five.mean), (5, 2, Some(3.0)));
        // NumPy's quantile([1, 2, 3, 4, 5], q, method="inverted_cdf") of 0, .05, .25, .5, .75, .95, 1.
        let q = five.quantiles.expect("five values");
        assert_eq!([q.min, q.p5, q.p25, q.median, q.p75, q.p95, q.max], [1.0, 1.0, 2.0, 3.0, 4.0, 5.0, 5.0]);
        assert_eq!(five.histogram.counts, [4, 1]);
        assert_eq!(of(&[]).quantiles, None);
        assert_eq!(of(&[f32::NAN]).mean, None);

        // 3 zeros, 4 twos, 1 three.
        let q = Quantiles::of_counts(&[3, 0, 4, 1]).expect("eight values");
        assert_eq!([q.min, q.p5, q.p25, q.median, q.p75, q.p95, q.max], [0.0, 0.0, 0.0, 2.0, 2.0, 3.0, 3.0]);
        assert_eq!(Quantiles::of_counts(&[0, 0]), None);
    }
}
