use faer::{Mat, MatRef};
use serde::{Deserialize, Serialize};

use super::super::CorrelationError;
use super::super::error::same_tokens;
use crate::gpu::Tensor;
use crate::stats::spearman;

/// Dissimilarities that differ by less than this share of the largest are equal: equal rows give other last digits
/// in another place of a product.
const EQUAL: f64 = 1e-12;

/// How alike two geometries of the same tokens are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct Rsa {
    /// Spearman's correlation of the two sides' dissimilarities of pairs of tokens; null when there are fewer than
    /// 3 tokens, or one side finds all pairs equally dissimilar.
    pub spearman: Option<f64>,
    /// Tokens that it is over: those whose values differ on both sides.
    pub tokens: usize,
}

/// Representational similarity analysis (Kriegeskorte et al. 2008) of `x` [n, Da] and `y` [n, Db]: on each side a
/// pair of tokens is as dissimilar as 1 minus the Pearson correlation of its rows, and the n(n − 1)/2
/// dissimilarities of the two sides are ranked and correlated, ties sharing their mean rank.
///
/// Memory and time grow with n²: a sample of about 1,000 tokens is usual. Tokens all of whose values are equal on
/// a side have no correlation there and are left out of both. Products are of float64 on the host, since where a
/// few columns are large on every token all correlations are near 1, and their order is in the last digits of f32.
///
/// # Errors
/// When the numbers of tokens differ, a value is not finite, or the device fails.
pub async fn rsa(x: &Tensor, y: &Tensor) -> Result<Rsa, CorrelationError> {
    same_tokens(x.rows_cols().0, y.rows_cols().0)?;
    let (a, b) = (unit_rows(x).await?, unit_rows(y).await?);
    let both: Vec<usize> = (0..a.len()).filter(|&t| a[t].is_some() && b[t].is_some()).collect();
    let chosen = |rows: &[Option<Vec<f64>>]| both.iter().filter_map(|&t| rows[t].clone()).collect::<Vec<_>>();
    let (a, b) = (dissimilarities(&chosen(&a)), dissimilarities(&chosen(&b)));
    let spearman = if both.len() < 3 { None } else { spearman(&a, &b) };
    Ok(Rsa { spearman, tokens: both.len() })
}

/// Each row less its mean and of length 1; none where all its values are equal.
async fn unit_rows(x: &Tensor) -> Result<Vec<Option<Vec<f64>>>, CorrelationError> {
    let (tokens, width) = x.rows_cols();
    let values = x.read_f32().await?;
    if let Some(at) = values.iter().position(|v| !v.is_finite()) {
        let (feature, token, value) = (at % width, at / width, values[at]);
        return Err(CorrelationError::NotFinite { feature, token, value });
    }
    let unit = |t: usize| {
        let row = &values[t * width..][..width];
        row.iter().any(|v| *v != row[0]).then(|| {
            let mean = row.iter().map(|&v| f64::from(v)).sum::<f64>() / width as f64;
            let length = row.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>().sqrt();
            row.iter().map(|&v| (f64::from(v) - mean) / length).collect()
        })
    };
    Ok((0..tokens).map(unit).collect())
}

/// 1 − z_s·z_t of the pairs s < t of rows of length 1, as ½‖w_s − w_t‖² with w the rows less their common mean: that
/// keeps the digits of a 1 − r that is small for all pairs.
fn dissimilarities(rows: &[Vec<f64>]) -> Vec<f64> {
    let (n, width) = (rows.len(), rows.first().map_or(0, Vec::len));
    let mut mean = vec![0.0; width];
    rows.iter().for_each(|row| mean.iter_mut().zip(row).for_each(|(sum, v)| *sum += v / n as f64));
    let moved: Vec<f64> =
        rows.iter().flat_map(|row| row.iter().zip(&mean).map(|(v, mean)| v - mean)).collect();
    let moved = MatRef::from_row_major_slice(&moved, n, width);
    let products: Mat<f64> = moved * moved.transpose(); // [n, n]
    let pairs = (0..n).flat_map(|s| (s + 1..n).map(move |t| (s, t)));
    let halves = pairs.map(|(s, t)| (products[(s, s)] + products[(t, t)]) / 2.0 - products[(s, t)]);
    let halves: Vec<f64> = halves.collect();
    let step = EQUAL * halves.iter().copied().fold(0.0, f64::max);
    let rounded = |v: f64| if step > 0.0 { (v / step).round() } else { 0.0 };
    halves.into_iter().map(rounded).collect()
}
