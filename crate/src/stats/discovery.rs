//! p-values corrected for how many there are.

/// q-values: the smallest false discovery rate at which each hypothesis would be rejected (Benjamini and Hochberg
/// 1995). NaN is no hypothesis and stays NaN.
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
