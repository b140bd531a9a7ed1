use faer::{Mat, MatRef, Side};

/// Eigenvalues below this share of the largest are no directions but what rounding left: sums of f32 products are
/// good to about 1e-6 of their diagonal.
const NOISE: f64 = 1e-5;

/// Eigenvectors of a scaled covariance R = S⁻¹ Σ S⁻¹ that have a noteworthy eigenvalue.
#[derive(Debug, Clone)]
pub(super) struct Spectrum {
    /// Descending.
    pub(super) values: Vec<f64>,
    /// Sum of all eigenvalues, those left out included.
    pub(super) total: f64,
    /// [D, rank], beside the values.
    vectors: Mat<f64>,
    /// The diagonal of S.
    scales: Vec<f64>,
}

impl Spectrum {
    /// Of the centred products [D, D] of a layer with itself over so many tokens; none without variance. Columns whose
    /// scale is 0 take no part.
    pub(super) fn of(products: &[f64], tokens: usize, scales: Vec<f64>) -> Option<Self> {
        let width = scales.len();
        let inverse = inverse(&scales);
        let scaled = |i: usize, j: usize| products[i * width + j] * inverse[i] * inverse[j];
        let scaled = Mat::from_fn(width, width, scaled);
        let total = (0..width).map(|i| scaled[(i, i)]).sum::<f64>();
        if tokens < 2 || total <= 0.0 {
            return None;
        }
        let eigen = scaled.self_adjoint_eigen(Side::Lower).ok()?;
        // Ascending. n tokens around their mean span n − 1 directions at most.
        let ascending: Vec<f64> = eigen.S().column_vector().iter().copied().collect();
        let least = NOISE * ascending.last()?;
        let rank = ascending.iter().filter(|v| **v > least).count().min(tokens - 1);
        let values: Vec<f64> = ascending.iter().rev().take(rank).copied().collect();
        let vectors = Mat::from_fn(width, rank, |i, k| eigen.U()[(i, width - 1 - k)]);
        (rank > 0).then_some(Self { values, total, vectors, scales })
    }

    /// How many leading directions hold `share` of the variance.
    pub(super) fn leading(&self, share: f64) -> usize {
        let mut sum = 0.0;
        let enough = self.values.iter().position(|value| {
            sum += value;
            sum >= share * self.total
        });
        enough.map_or(self.values.len(), |k| k + 1)
    }

    /// W [D, rank] with Wᵀ Σ W = I: it takes activations to their whitened coordinates.
    pub(super) fn whitening(&self, rank: usize) -> Mat<f64> {
        let inverse = inverse(&self.scales);
        let element = |i, k| self.vectors[(i, k)] * inverse[i] / f64::sqrt(self.values[k]);
        Mat::from_fn(self.scales.len(), rank, element)
    }

    /// Σ W [D, rank]: covariances of the activations with their whitened coordinates.
    pub(super) fn loadings(&self) -> Mat<f64> {
        let element = |i, k| self.vectors[(i, k)] * self.scales[i] * f64::sqrt(self.values[k]);
        Mat::from_fn(self.scales.len(), self.values.len(), element)
    }
}

fn inverse(scales: &[f64]) -> Vec<f64> {
    scales.iter().map(|scale| if *scale > 0.0 { 1.0 / scale } else { 0.0 }).collect()
}

/// Covariances of the whitened coordinates of two layers of centred products [Da, Db], [rank a, rank b]; their singular
/// values are the canonical correlations.
pub(super) fn whitened(
    products: &[f64],
    (a, rank_a): (&Spectrum, usize),
    (b, rank_b): (&Spectrum, usize),
) -> Mat<f64> {
    let products = MatRef::from_row_major_slice(products, a.scales.len(), b.scales.len());
    let half = a.whitening(rank_a).transpose() * products;
    half * b.whitening(rank_b)
}
