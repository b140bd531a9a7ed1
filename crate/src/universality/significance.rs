//! How far a figure can be trusted: intervals by the bootstrap, and p-values corrected for how many there are.

use serde::{Deserialize, Serialize};

use crate::kernels::par;
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

/// Intervals of `values`, which rise, by 1,000 bootstrap resamples (Efron 1979); none for fewer than 2 values. The same values
/// give the same intervals.
///
/// What is resampled is taken to be independent. Features of one model are not, quite: the interval says how much a figure
/// depends on which features there happen to be.
pub fn bootstrap(values: &[f64]) -> Option<Intervals> {
    let n = values.len();
    if n < 2 {
        return None;
    }
    let above = values.partition_point(|v| *v <= 0.5);
    let random = Rng::new(SEED);
    let figures = |resample: usize| {
        let mut random = random.fork(resample as u64);
        let mut drawn: Vec<usize> = (0..n).map(|_| random.below(n as u64) as usize).collect();
        let mean = drawn.iter().map(|&i| values[i]).sum::<f64>() / n as f64;
        let above_half = drawn.iter().filter(|i| **i >= above).count() as f64 / n as f64;
        // The values rise, so the median of the places is the place of the median.
        let (_, middle, rest) = drawn.select_nth_unstable((n - 1) / 2);
        let upper = if n % 2 == 1 { *middle } else { *rest.iter().min().expect("the upper half") };
        [mean, (values[*middle] + values[upper]) / 2.0, above_half]
    };
    let figures = par::map(RESAMPLES, figures);
    let interval = |k: usize| {
        let mut all: Vec<f64> = figures.iter().map(|f| f[k]).collect();
        all.sort_unstable_by(f64::total_cmp);
        let quantile = |q: f64| all[(q * (RESAMPLES - 1) as f64).round() as usize];
        Interval { low: quantile(0.025), high: quantile(0.975) }
    };
    Some(Intervals { mean: interval(0), median: interval(1), above_half: interval(2) })
}

/// q-values: the smallest false discovery rate at which each hypothesis would be rejected (Benjamini and Hochberg 1995). NaN is no
/// hypothesis and stays NaN.
pub fn q_values(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).filter(|&i| !p[i].is_nan()).collect();
    order.sort_by(|&i, &j| p[i].total_cmp(&p[j]));
    let mut q = vec![f64::NAN; p.len()];
    let mut least = 1.0f64;
    for (rank, &i) in order.iter().enumerate().rev() {
        least = least.min(p[i] * order.len() as f64 / (rank + 1) as f64);
        q[i] = least;
    }
    q
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::normal;

    #[test]
    fn intervals_are_as_wide_as_theory_says() {
        let mut values: Vec<f64> = normal(3, 4_000).into_iter().map(f64::from).collect();
        values.sort_unstable_by(f64::total_cmp);
        let got = bootstrap(&values).expect("many values");
        assert_eq!(bootstrap(&values), Some(got));
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
        assert_eq!(bootstrap(&[1.0]), None);
        let same = bootstrap(&[0.75; 9]).expect("values");
        assert_eq!(same.mean, Interval { low: 0.75, high: 0.75 });
        assert_eq!((same.median, same.above_half.low), (same.mean, 1.0));
        // Of two values the median is their mean, whichever are drawn.
        let two = bootstrap(&[0.0, 1.0]).expect("values");
        assert_eq!(
            (two.median, two.mean),
            (Interval { low: 0.0, high: 1.0 }, Interval { low: 0.0, high: 1.0 })
        );
    }

    #[test]
    fn q_values_are_those_of_benjamini_and_hochberg() {
        // By hand: 0.01·4/1, 0.02·4/2, 0.03·4/3 are all 0.04; 0.5·4/4.
        let q = q_values(&[0.5, 0.01, f64::NAN, 0.03, 0.02]);
        for (got, want) in q.iter().zip([0.5, 0.04, f64::NAN, 0.04, 0.04]) {
            assert!((got - want).abs() < 1e-15 || (got.is_nan() && want.is_nan()), "{q:?}");
        }
        // A smaller q of a larger p holds for the smaller p, too.
        let q = q_values(&[0.04, 0.045]);
        assert_eq!(q, [0.045, 0.045]);
        assert!(q_values(&[]).is_empty());
    }
}
