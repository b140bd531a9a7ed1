//! How far a figure can be trusted: intervals by the bootstrap, and p-values corrected for how many there are.

use serde::{Deserialize, Serialize};

use crate::kernels::par;
use crate::rng::Rng;

/// Resamples behind an interval.
const RESAMPLES: usize = 1_000;

/// A 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The 2.5 % quantile.
    pub low: f64,
    /// The 97.5 % quantile.
    pub high: f64,
}

/// 95 % percentile interval of the mean of `values` by 1,000 bootstrap resamples (Efron 1979); none for fewer than 2 values. NaN
/// values are left out. The same seed gives the same interval.
///
/// What is resampled is taken to be independent. Features of one model are not, quite: the interval says how much the mean
/// depends on which features there happen to be.
pub fn bootstrap_mean(values: impl IntoIterator<Item = f32>, seed: u64) -> Option<Interval> {
    let values: Vec<f64> = values.into_iter().filter(|v| !v.is_nan()).map(f64::from).collect();
    if values.len() < 2 {
        return None;
    }
    let random = Rng::new(seed);
    let mean = |resample: usize| {
        let mut random = random.fork(resample as u64);
        let drawn = (0..values.len()).map(|_| values[random.below(values.len() as u64) as usize]);
        drawn.sum::<f64>() / values.len() as f64
    };
    let mut means = par::map(RESAMPLES, mean);
    means.sort_unstable_by(f64::total_cmp);
    let quantile = |q: f64| means[(q * (RESAMPLES - 1) as f64).round() as usize];
    Some(Interval { low: quantile(0.025), high: quantile(0.975) })
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
        let values = normal(3, 4_000);
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / 4_000.0;
        let Interval { low, high } = bootstrap_mean(values.clone(), 1).expect("many values");
        assert!(low < mean && mean < high);
        // 2·1.96/√4000 = 0.062; a quantile of 1,000 resamples is off by some percent.
        assert!(((high - low) / 0.062 - 1.0).abs() < 0.15, "{}", high - low);
        assert_eq!(bootstrap_mean(values.clone(), 1), bootstrap_mean(values, 1));
        assert_eq!(bootstrap_mean([1.0, f32::NAN], 1), None);
        assert_eq!(bootstrap_mean([2.0; 9], 1), Some(Interval { low: 2.0, high: 2.0 }));
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
