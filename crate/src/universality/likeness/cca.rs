use faer::Mat;
use serde::{Deserialize, Serialize};

use super::spectrum::whitened;
use super::sums::assert_fit;
use super::{CrossSums, SelfSums};

/// [`pwcca`] with the weights of either side. The measure is not symmetric; the authors' code takes the side of
/// fewer columns.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct ProjectionWeighted {
    /// Canonical correlations weighted by what A's canonical variables say of A's columns.
    pub by_a: f64,
    /// By what B's say of B's.
    pub by_b: f64,
}

/// SVCCA (Raghu et al. 2017): each side is cut to its leading principal directions that hold `keep_variance` of
/// its variance (0.99 in the paper), and the mean of the canonical correlations between them is taken, as many as
/// the smaller side has directions. In [0, 1]; none where a side has no variance.
///
/// Directions of less than 1e-5 of the largest's variance are left out in any case.
///
/// # Panics
/// When the sums are not over the same tokens of the same layers.
pub fn svcca(a: &SelfSums, b: &SelfSums, ab: &CrossSums, keep_variance: f64) -> Option<f64> {
    assert_fit(a, b, ab);
    let (a, b) = (a.covariance()?, b.covariance()?);
    let between = whitened(&ab.products, (a, a.leading(keep_variance)), (b, b.leading(keep_variance)));
    let correlations = between.singular_values().ok()?;
    Some(correlations.iter().map(|rho| rho.min(1.0)).sum::<f64>() / correlations.len() as f64)
}

/// PWCCA (Morcos et al. 2018): the mean of the canonical correlations ρ_i, weighted by α_i = Σ_j |⟨h_i, x_j⟩| of the
/// canonical variables h_i (of norm 1 over the tokens) with the side's own centred columns x_j. In [0, 1]; none
/// where a side has no variance.
///
/// Each column is scaled to variance 1 before directions are looked for, which changes no canonical correlation but
/// keeps a column of outliers from hiding the others; directions of less than 1e-5 of the largest's variance are
/// then left out. Where canonical correlations are equal and others are not, the weights are not determined, nor is
/// the measure.
///
/// # Panics
/// When the sums are not over the same tokens of the same layers.
pub fn pwcca(a: &SelfSums, b: &SelfSums, ab: &CrossSums) -> Option<ProjectionWeighted> {
    assert_fit(a, b, ab);
    let (a, b) = (a.correlation()?, b.correlation()?);
    let between = whitened(&ab.products, (a, a.values.len()), (b, b.values.len()));
    let svd = between.thin_svd().ok()?;
    let correlations: Vec<f64> = svd.S().column_vector().iter().map(|rho| rho.min(1.0)).collect();
    Some(ProjectionWeighted {
        by_a: weighted(&correlations, &(a.loadings() * svd.U())),
        by_b: weighted(&correlations, &(b.loadings() * svd.V())),
    })
}

/// The mean of the correlations, weighted by the sums of magnitudes in the columns of `products`.
fn weighted(correlations: &[f64], products: &Mat<f64>) -> f64 {
    let weights = products.col_iter().map(|column| column.iter().map(|v| v.abs()).sum::<f64>());
    let (sum, total) =
        weights.zip(correlations).fold((0.0, 0.0), |(sum, total), (w, rho)| (sum + w * rho, total + w));
    sum / total
}
