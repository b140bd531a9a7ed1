use super::sums::assert_fit;
use super::{CrossSums, SelfSums};

/// An estimate of less than this share of the terms that it is the difference of is rounding.
const NOISE: f64 = 1e-5;

/// Linear CKA (Kornblith et al. 2019): ‖XᵀY‖² / (‖XᵀX‖ ‖YᵀY‖) of centred columns. In [0, 1]; none where a side has no
/// variance. It is biased upwards, much so when a layer's width is not small beside the number of tokens.
///
/// # Panics
/// When the sums are not over the same tokens of the same layers.
pub fn linear_cka(a: &SelfSums, b: &SelfSums, ab: &CrossSums) -> Option<f64> {
    assert_fit(a, b, ab);
    if a.total() <= 0.0 || b.total() <= 0.0 {
        return None;
    }
    // Lengths, not their squares: these may leave float64's range.
    let scale = length(&a.sums) * length(&b.sums);
    (scale > 0.0).then(|| (length(ab) / scale * length(ab)).min(1.0))
}

/// Linear CKA from the unbiased estimator of HSIC (Song et al. 2012, Nguyen et al. 2021): 0 in the mean for
/// independent sides, whatever their widths. In [−1, 1]; none for fewer than 4 tokens, or where a side's tokens
/// do not differ in more than one (then the estimator is 0).
///
/// # Panics
/// When the sums are not over the same tokens of the same layers.
pub fn linear_cka_debiased(a: &SelfSums, b: &SelfSums, ab: &CrossSums) -> Option<f64> {
    assert_fit(a, b, ab);
    let total = (a.total(), b.total());
    let own = |layer: &SelfSums| {
        let (value, terms) = hsic(&layer.sums, (layer.total(), layer.total()))?;
        (value > NOISE * terms).then_some(value)
    };
    let (of_a, of_b) = (own(a)?, own(b)?);
    let (value, _) = hsic(ab, total)?;
    Some((value / of_a.sqrt() / of_b.sqrt()).clamp(-1.0, 1.0))
}

/// ‖Σ d eᵀ‖, the Frobenius norm.
fn length(sums: &CrossSums) -> f64 {
    let largest = sums.products.iter().fold(0.0f64, |most, v| most.max(v.abs()));
    if largest == 0.0 {
        return 0.0;
    }
    largest * sums.products.iter().map(|v| (v / largest).powi(2)).sum::<f64>().sqrt()
}

/// n(n − 3) times the unbiased HSIC of the kernels K = XXᵀ and L = YYᵀ, and the largest of the terms that make it.
///
/// With K̃, L̃ without their diagonals it is tr(K̃L̃) + 1ᵀK̃1·1ᵀL̃1/((n−1)(n−2)) − 2/(n−2)·1ᵀK̃L̃1. It does not change
/// when columns are centred (the estimator centres K̃ itself), and then K1 = 0, so K̃1 is minus the diagonal, the
/// squared lengths p of the tokens (q of L): the traces become ‖XᵀY‖² − Σpq, the sums Σp·Σq and Σpq.
fn hsic(sums: &CrossSums, (p, q): (f64, f64)) -> Option<(f64, f64)> {
    if sums.tokens < 4 {
        return None;
    }
    let n = sums.tokens as f64;
    let terms =
        [length(sums).powi(2), p * q / ((n - 1.0) * (n - 2.0)), -sums.squares * (1.0 + 2.0 / (n - 2.0))];
    Some((terms.iter().sum(), terms.iter().fold(0.0, |most, term| most.max(term.abs()))))
}
