use serde::{Deserialize, Serialize};

use super::Layers;
use crate::stats::{Interval, bootstrap, spearman};

/// Bins of a histogram from 0 to 1.
const BINS: usize = 50;

/// A distribution of MPPC values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct Summary {
    /// How many values.
    pub count: usize,
    /// Mean; null when there is no value.
    pub mean: Option<f64>,
    /// Median.
    pub median: Option<f64>,
    /// Share of values above 0.5.
    pub above_half: Option<f64>,
    /// Counts in 50 equal bins from 0 to 1; values below 0 are in the first, 1 in the last.
    pub histogram: Vec<usize>,
    /// 95 % bootstrap intervals of these figures; null for fewer than 2 values.
    #[serde(default)]
    pub intervals: Option<Intervals>,
}

/// How far a summary depends on which values there happen to be: 95 % percentile intervals of its figures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct Intervals {
    /// Of the mean.
    pub mean: Interval,
    /// Of the median.
    pub median: Interval,
    /// Of the share of values above 0.5.
    pub above_half: Interval,
}

impl Intervals {
    /// Of `values`, which rise; none for fewer than 2.
    fn of(values: &[f64]) -> Option<Self> {
        let n = values.len();
        let above = values.partition_point(|v| *v <= 0.5);
        let figures = |drawn: &mut [usize]| {
            let mean = drawn.iter().map(|&i| values[i]).sum::<f64>() / n as f64;
            let above_half = drawn.iter().filter(|i| **i >= above).count() as f64 / n as f64;
            // The values rise, so the median of the places is the place of the median.
            let (_, middle, rest) = drawn.select_nth_unstable((n - 1) / 2);
            let upper = if n % 2 == 1 { *middle } else { *rest.iter().min().expect("the upper half") };
            [mean, (values[*middle] + values[upper]) / 2.0, above_half]
        };
        bootstrap(n, figures).map(|[mean, median, above_half]| Self { mean, median, above_half })
    }
}

/// Summarises MPPC values; NaN (a feature without variance) is left out.
pub fn summarize(values: impl IntoIterator<Item = f32>) -> Summary {
    let mut values: Vec<f64> = values.into_iter().filter(|v| !v.is_nan()).map(f64::from).collect();
    values.sort_unstable_by(f64::total_cmp);
    let count = values.len();
    let mut histogram = vec![0; BINS];
    for v in &values {
        // The cast takes what is below 0 to 0.
        histogram[((v * BINS as f64) as usize).min(BINS - 1)] += 1;
    }
    let some = |value: f64| (count > 0).then_some(value);
    let median = if count > 0 { (values[(count - 1) / 2] + values[count / 2]) / 2.0 } else { 0.0 };
    let above = values.iter().filter(|v| **v > 0.5).count();
    Summary {
        count,
        mean: some(values.iter().sum::<f64>() / count as f64),
        median: some(median),
        above_half: some(above as f64 / count as f64),
        histogram,
        intervals: Intervals::of(&values),
    }
}

/// The heat map: mean over the kept features of layer `[i]` of their best correlation within the other model's
/// layer `[j]`; none where no kept feature has one. `kept[i][f]` says whether feature f of layer i stays.
///
/// # Panics
/// When `kept` has another shape than the layers.
pub fn layer_mean(layers: &Layers, kept: &[Vec<bool>]) -> Vec<Vec<Option<f64>>> {
    assert_eq!(layers.pairs.len(), kept.len(), "layer_mean: layers");
    let mean = |mppc: &[f32], kept: &[bool]| {
        assert_eq!(mppc.len(), kept.len(), "layer_mean: features");
        let values = mppc.iter().zip(kept).filter(|(v, kept)| **kept && !v.is_nan());
        let (count, sum) = values.fold((0usize, 0.0), |(n, sum), (&v, _)| (n + 1, sum + f64::from(v)));
        (count > 0).then(|| sum / count as f64)
    };
    let row = |(row, kept): (&Vec<super::Best>, &Vec<bool>)| {
        row.iter().map(|best| mean(&best.mppc, kept)).collect()
    };
    layers.pairs.iter().zip(kept).map(row).collect()
}

/// How many kept features of layer `[i]` have their best partner in the other model's layer `[j]`.
///
/// # Panics
/// As [`layer_mean`].
pub fn best_layer(layers: &Layers, kept: &[Vec<bool>]) -> Vec<Vec<usize>> {
    let mut counts: Vec<Vec<usize>> = layers.pairs.iter().map(|row| vec![0; row.len()]).collect();
    for (own, other) in partners(layers, kept) {
        counts[own][other] += 1;
    }
    counts
}

/// How the depth of features goes with the depth of their partners.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct DepthMatch {
    /// Spearman correlation between a kept feature's layer and its partner's; null when one of the two is the same
    /// for all.
    pub spearman: Option<f64>,
    /// Mean of |ℓ/L − k/K|, with ℓ of L layers a kept feature's and k of K its partner's (the paper's relative depth
    /// distance); null without any.
    pub distance: Option<f64>,
    /// What that mean would be if the same layers were paired at random.
    pub distance_by_chance: Option<f64>,
}

/// Depth of the kept features of `layers`; `own` and `other` are the depths ℓ/L of either model's layers.
///
/// # Panics
/// As [`layer_mean`], and when a layer has no depth.
pub fn depth(layers: &Layers, kept: &[Vec<bool>], own: &[f64], other: &[f64]) -> DepthMatch {
    let counts = best_layer(layers, kept);
    let by_row: Vec<usize> = counts.iter().map(|row| row.iter().sum()).collect();
    let by_column: Vec<usize> = (0..other.len()).map(|j| counts.iter().map(|row| row[j]).sum()).collect();
    let all: usize = by_row.iter().sum();
    let mean = |weight: &dyn Fn(usize, usize) -> f64| {
        let pairs = (0..own.len()).flat_map(|i| (0..other.len()).map(move |j| (i, j)));
        let sum: f64 = pairs.map(|(i, j)| weight(i, j) * (own[i] - other[j]).abs()).sum();
        (all > 0).then(|| sum / all as f64)
    };
    let (x, y): (Vec<f64>, Vec<f64>) = partners(layers, kept).map(|(i, j)| (own[i], other[j])).unzip();
    DepthMatch {
        spearman: spearman(&x, &y),
        distance: mean(&|i, j| counts[i][j] as f64),
        distance_by_chance: mean(&|i, j| by_row[i] as f64 * by_column[j] as f64 / all as f64),
    }
}

/// (own layer, partner's layer) of each kept feature that has a partner.
fn partners<'a>(layers: &'a Layers, kept: &'a [Vec<bool>]) -> impl Iterator<Item = (usize, usize)> + 'a {
    assert_eq!(layers.best.len(), kept.len(), "partners: layers");
    layers.best.iter().zip(kept).enumerate().flat_map(|(own, (best, kept))| {
        assert_eq!(best.layer.len(), kept.len(), "partners: features");
        let kept = best.layer.iter().zip(kept).filter(|(layer, kept)| **kept && **layer >= 0);
        kept.map(move |(&layer, _)| (own, layer as usize))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::normal;
    use crate::universality::{Best, LayerBest};

    #[test]
    fn summary_leaves_nan_out() {
        let s = summarize([0.5, f32::NAN, -0.25, 1.0, 0.75]);
        assert_eq!(s.count, 4);
        assert_eq!((s.mean, s.median, s.above_half), (Some(0.5), Some(0.625), Some(0.5)));
        let bins: Vec<_> = s.histogram.iter().enumerate().filter(|(_, n)| **n > 0).collect();
        assert_eq!(bins, [(0, &1), (25, &1), (37, &1), (49, &1)]);
        let empty = summarize([f32::NAN]);
        assert_eq!((empty.count, empty.mean, empty.median, empty.above_half), (0, None, None, None));
    }

    #[test]
    fn intervals_are_as_wide_as_theory_says() {
        let mut values: Vec<f64> = normal(3, 4_000).into_iter().map(f64::from).collect();
        values.sort_unstable_by(f64::total_cmp);
        let got = Intervals::of(&values).expect("many values");
        assert_eq!(Intervals::of(&values), Some(got));
        let mean = values.iter().sum::<f64>() / 4_000.0;
        let median = (values[1_999] + values[2_000]) / 2.0;
        let share = values.iter().filter(|v| **v > 0.5).count() as f64 / 4_000.0;
        // Standard errors: σ/√n, √(π/2)·σ/√n, √(p(1 − p)/n).
        let error = 1.0 / 4_000f64.sqrt();
        for (interval, at, error) in [
            (got.mean, mean, error),
            (got.median, median, (std::f64::consts::PI / 2.0).sqrt() * error),
            (got.above_half, share, (share * (1.0 - share)).sqrt() * error),
        ] {
            assert!(interval.low < at && at < interval.high, "{interval:?} around {at}");
            // A quantile of 1,000 resamples is off by some percent, the spacing of the values about a median by more.
            let width = (interval.high - interval.low) / (2.0 * 1.96 * error);
            assert!((width - 1.0).abs() < 0.2, "{width} of what theory says");
        }
    }

    #[test]
    fn few_values_have_no_interval() {
        assert_eq!(Intervals::of(&[1.0]), None);
        let same = Intervals::of(&[0.75; 9]).expect("values");
        assert_eq!(same.mean, Interval { low: 0.75, high: 0.75 });
        assert_eq!((same.median, same.above_half.low), (same.mean, 1.0));
        // Of two values the median is their mean, whichever are drawn.
        let two = Intervals::of(&[0.0, 1.0]).expect("values");
        assert_eq!(
            (two.median, two.mean),
            (Interval { low: 0.0, high: 1.0 }, Interval { low: 0.0, high: 1.0 })
        );
    }

    #[test]
    fn depth_follows_the_kept_features() {
        let best = |mppc: [f32; 3]| Best { mppc: mppc.to_vec(), argmax: vec![0, 0, -1] };
        let over = |layer: [i32; 3]| LayerBest { layer: layer.to_vec(), ..Default::default() };
        let layers = Layers {
            pairs: vec![
                vec![best([0.5, 0.25, f32::NAN]), best([0.25, 0.0, f32::NAN])],
                vec![best([0.0, 0.5, f32::NAN]), best([0.5, 1.0, f32::NAN])],
            ],
            best: vec![over([0, 0, -1]), over([1, 1, -1])],
        };
        let kept = vec![vec![true, true, true], vec![false, true, true]];
        assert_eq!(layer_mean(&layers, &kept), [[Some(0.375), Some(0.125)], [Some(0.5), Some(1.0)]]);
        assert_eq!(best_layer(&layers, &kept), [[2, 0], [0, 1]]);
        let depth = depth(&layers, &kept, &[0.0, 0.5], &[0.0, 0.25]);
        let rho = depth.spearman.expect("both vary");
        // Equal ranks on both sides; one rounding of the square root.
        assert!((rho - 1.0).abs() < 1e-12, "{rho}");
        // Two at 0 with 0, one at 0.5 with 0.25; at random 4/9 + 1/9 are where they are, 2/9 at 0 with 0.25, 2/9 at 0.5
        // with 0.
        assert!((depth.distance.expect("partners") - 0.25 / 3.0).abs() < 1e-15);
        let chance = 0.25 / 9.0 + 0.25 * 2.0 / 9.0 + 0.5 * 2.0 / 9.0;
        assert!((depth.distance_by_chance.expect("partners") - chance).abs() < 1e-15);
        assert_eq!(layer_mean(&layers, &[vec![false; 3], vec![true; 3]])[0], [None, None]);
    }
}
