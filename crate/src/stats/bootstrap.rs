//! How far a figure depends on which values there happen to be: intervals by the bootstrap.

use serde::{Deserialize, Serialize};

use crate::par;
use crate::rng::Rng;

/// Resamples behind an interval.
const RESAMPLES: usize = 1_000;
/// Which resamples.
const SEED: u64 = 1;

/// A 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// 95 % percentile intervals of `K` figures of `n` values, by 1,000 bootstrap resamples (Efron 1979); none for fewer
/// than 2 values. `figures` is given a resample as the `n` places that were drawn, each below `n`, and may reorder
/// them. The same values give the same intervals.
///
/// What is resampled is taken to be independent. Features of one model are not, quite: the interval says how much a
/// figure depends on which features there happen to be.
pub fn bootstrap<const K: usize>(
    n: usize,
    figures: impl Fn(&mut [usize]) -> [f64; K] + Sync + Send,
) -> Option<[Interval; K]> {
    if n < 2 {
        return None;
    }
    let random = Rng::new(SEED);
    let resample = |r: usize| {
        let mut random = random.fork(r as u64);
        let mut drawn: Vec<usize> = (0..n).map(|_| random.below(n as u64) as usize).collect();
        figures(&mut drawn)
    };
    let resamples = par::map(RESAMPLES, resample);
    Some(std::array::from_fn(|k| {
        let mut all: Vec<f64> = resamples.iter().map(|figures| figures[k]).collect();
        all.sort_unstable_by(f64::total_cmp);
        let quantile = |q: f64| all[(q * (RESAMPLES - 1) as f64).round() as usize];
        Interval { low: quantile(0.025), high: quantile(0.975) }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_as_wide_as_theory_says() {
        let mut random = Rng::new(3);
        let values: Vec<f64> = (0..4_000).map(|_| random.normal()).collect();
        let mean = |drawn: &mut [usize]| [drawn.iter().map(|&i| values[i]).sum::<f64>() / drawn.len() as f64];
        let [got] = bootstrap(values.len(), mean).expect("many values");
        assert_eq!(bootstrap(values.len(), mean), Some([got]));
        let [at] = mean(&mut (0..values.len()).collect::<Vec<_>>());
        assert!(got.low < at && at < got.high, "{got:?} around {at}");
        // σ/√n; a quantile of 1,000 resamples is off by some percent.
        let width = (got.high - got.low) / (2.0 * 1.96 / 4_000f64.sqrt());
        assert!((width - 1.0).abs() < 0.2, "{width} of what theory says");
    }

    #[test]
    fn few_values_have_no_interval() {
        let first = |drawn: &mut [usize]| [drawn[0] as f64];
        assert_eq!((bootstrap(0, first), bootstrap(1, first)), (None, None));
        assert_eq!(bootstrap(2, first), Some([Interval { low: 0.0, high: 1.0 }]));
    }
}
