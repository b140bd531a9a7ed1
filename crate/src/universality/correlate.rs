use super::error::{check, same_tokens};
use super::{Correlation, CorrelationError, DenseCorrelator, moments, standard};
use crate::gpu::{Engine, Tensor};
use crate::kernels;
use crate::sae::Codes;

/// MPPC between two sets of sparse features over the same tokens.
///
/// The cost is the number of pairs of features active on the same token, plus the number of pairs of features.
///
/// # Errors
/// When the token counts differ, the codes are damaged or hold a value that is not finite, or the device fails.
pub async fn correlate(engine: &Engine, a: &Codes, b: &Codes) -> Result<Correlation, CorrelationError> {
    Prepared::new(a)?.correlate(engine, b).await
}

/// Codes of side A made ready once, to be correlated with several of side B.
pub struct Prepared {
    compressed: kernels::Compressed,
    tokens: usize,
}

impl Prepared {
    /// Standardises the codes and sorts them by feature.
    ///
    /// # Errors
    /// Codes that are damaged or hold a value that is not finite.
    pub fn new(a: &Codes) -> Result<Self, CorrelationError> {
        check(a)?;
        Ok(Self { compressed: standard::by_feature(a, &moments(a)), tokens: a.tokens() })
    }

    /// MPPC with side B, over the same tokens.
    ///
    /// # Errors
    /// As [`correlate`].
    pub async fn correlate(&self, engine: &Engine, b: &Codes) -> Result<Correlation, CorrelationError> {
        check(b)?;
        same_tokens(self.tokens, b.tokens())?;
        let b = standard::by_token(b, &moments(b));
        let (a_to_b, b_to_a) = kernels::sparse_correlation(engine, &self.compressed, &b).await?;
        Ok(Correlation { a_to_b, b_to_a })
    }
}

/// How many multiply-adds of a dense product cost as much as one of the sparse kernel: 60–100 GFLOP/s against
/// some 10⁹ scattered additions a second on two cores, and of the same order on a GPU.
const SPARSE_PRICE: u64 = 50;
/// The most pairs of features that are correlated densely: their sums take 8 GiB in float64 and a chunk's half of that.
const MOST_PAIRS: usize = 1 << 30;
/// Tokens pushed at once: long enough for an efficient product, short enough for its f32 sums.
const CHUNK: usize = 1_024;

/// MPPC between two sets of features given densely: `a` [T, `fa`] and `b` [T, `fb`], row-major. Mostly silent
/// features go the sparse way, others the dense one.
///
/// # Errors
/// As [`correlate`]; also when the length of `a` or `b` is no multiple of its number of features.
pub async fn correlate_dense(
    engine: &Engine,
    (a, fa): (&[f32], usize),
    (b, fb): (&[f32], usize),
) -> Result<Correlation, CorrelationError> {
    for (side, values, features) in [("A", a, fa), ("B", b, fb)] {
        if features == 0 || values.len() % features != 0 {
            let len = values.len();
            return Err(CorrelationError::Malformed(format!(
                "{len} values of {side} are no rows of {features}"
            )));
        }
    }
    same_tokens(a.len() / fa, b.len() / fb)?;
    if let Some((feature, token, value)) = not_finite(a, fa).or_else(|| not_finite(b, fb)) {
        return Err(CorrelationError::NotFinite { feature, token, value });
    }
    let all = (a.len() as u64).saturating_mul(fb as u64);
    if products(a, fa, b, fb).saturating_mul(SPARSE_PRICE) < all || !has_room(fa, fb) {
        return correlate(engine, &from_dense(fa, a), &from_dense(fb, b)).await;
    }
    let mut correlator = DenseCorrelator::new(engine, fa, fb);
    for (a, b) in a.chunks(CHUNK * fa).zip(b.chunks(CHUNK * fb)) {
        let a = Tensor::from_f32(engine, &[a.len() / fa, fa], a.to_vec());
        let b = Tensor::from_f32(engine, &[b.len() / fb, fb], b.to_vec());
        correlator.push(&a, &b).await?;
    }
    correlator.finish()
}

/// Whether the sums of products of so many features fit memory. (Sparse sums of one feature at a time always do.)
fn has_room(fa: usize, fb: usize) -> bool {
    let Some(sums) = fa.checked_mul(fb).filter(|sums| *sums <= MOST_PAIRS) else { return false };
    // What the system gives is given back, and asked for again when it is used.
    Vec::<f64>::new().try_reserve_exact(sums).is_ok()
}

fn not_finite(values: &[f32], features: usize) -> Option<(usize, usize, f32)> {
    let at = values.iter().position(|v| !v.is_finite())?;
    Some((at % features, at / features, values[at]))
}

/// Products of the sparse kernel: pairs of features that fire on the same token.
fn products(a: &[f32], fa: usize, b: &[f32], fb: usize) -> u64 {
    let fires = |row: &[f32]| row.iter().filter(|v| **v != 0.0).count() as u64;
    a.chunks(fa).zip(b.chunks(fb)).map(|(a, b)| fires(a) * fires(b)).sum()
}

/// Sparse codes of dense activations [T, `n_features`].
///
/// # Panics
/// When `n_features` is 0 or the length of `values` is no multiple of it.
pub fn from_dense(n_features: usize, values: &[f32]) -> Codes {
    assert_eq!(values.len() % n_features, 0, "values do not fill rows of {n_features}");
    let mut codes = Codes::new(n_features);
    for row in values.chunks(n_features) {
        for (j, &x) in (0u32..).zip(row).filter(|(_, x)| **x != 0.0) {
            codes.indices.push(j);
            codes.values.push(x);
        }
        codes.indptr.push(codes.indices.len() as u64);
    }
    codes
}

#[cfg(test)]
mod tests {
    use super::has_room;

    #[test]
    fn absurd_sums_have_no_room() {
        assert!(has_room(24_576, 24_576) || has_room(2_048, 2_048));
        for (fa, fb) in [(1 << 31, 1 << 31), (usize::MAX, 2), (100_000, 100_000), (1 << 40, 1)] {
            assert!(!has_room(fa, fb), "{fa} and {fb}");
        }
    }
}
