use serde::{Deserialize, Serialize};

use super::{Intervals, Layers, bootstrap};

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
        intervals: bootstrap(&values),
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

/// Spearman's rank correlation, ties sharing their mean rank; none when one side is constant or empty.
///
/// # Panics
/// When the lengths differ.
pub fn spearman(x: &[f64], y: &[f64]) -> Option<f64> {
    assert_eq!(x.len(), y.len(), "spearman: lengths");
    let (x, y) = (ranks(x), ranks(y));
    // Ranks have this mean on either side, and are exact halves.
    let mean = (x.len() as f64 + 1.0) / 2.0;
    let product = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| (x - mean) * (y - mean)).sum::<f64>();
    let scale = (product(&x, &x) * product(&y, &y)).sqrt();
    (scale > 0.0).then(|| (product(&x, &y) / scale).clamp(-1.0, 1.0))
}

/// Ranks from 1; equal values share their mean rank.
fn ranks(x: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..x.len()).collect();
    order.sort_by(|&i, &j| x[i].total_cmp(&x[j]));
    let mut ranks = vec![0.0; x.len()];
    let mut start = 0;
    for group in order.chunk_by(|&i, &j| x[i] == x[j]) {
        let rank = start as f64 + (group.len() as f64 + 1.0) / 2.0;
        group.iter().for_each(|&i| ranks[i] = rank);
        start += group.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn spearman_shares_ranks_of_ties() {
        // By hand: ranks 1, 2.5, 2.5, 4 and 1, 3, 2, 4 give 4.5 / √(4.5·5) = 0.9486833.
        let rho = spearman(&[1.0, 2.0, 2.0, 3.0], &[1.0, 3.0, 2.0, 4.0]).expect("both vary");
        assert!((rho - 0.948_683_298).abs() < 1e-9, "{rho}");
        assert_eq!(spearman(&[1.0, 2.0, 9.0], &[5.0, 4.0, 0.0]), Some(-1.0));
        assert_eq!(spearman(&[1.0, 1.0], &[1.0, 2.0]), None);
        assert_eq!(spearman(&[], &[]), None);
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
        // Two at 0 with 0, one at 0.5 with 0.25; at random 4/9 + 1/9 are where they are, 2/9 at 0 with 0.25, 2/9 at 0.5 with 0.
        assert!((depth.distance.expect("partners") - 0.25 / 3.0).abs() < 1e-15);
        let chance = 0.25 / 9.0 + 0.25 * 2.0 / 9.0 + 0.5 * 2.0 / 9.0;
        assert!((depth.distance_by_chance.expect("partners") - chance).abs() < 1e-15);
        assert_eq!(layer_mean(&layers, &[vec![false; 3], vec![true; 3]])[0], [None, None]);
    }
}
