use super::super::CorrelationError;
use crate::gpu::Tensor;

/// Sums of squares beyond this may overflow in the f32 products of the engine.
const LARGEST: f64 = f32::MAX as f64 / 16.0;

/// Dense activations [n, D] of one layer on a stretch of tokens, centred: what the sums of [`SelfSums`] and
/// [`CrossSums`](super::CrossSums) are taken over. Made once a layer, however many layers it is compared with.
///
/// The mean is taken off in float64 on the host and the difference is rounded once, so a large mean costs no
/// digits and a column of equal values becomes exactly 0.
///
/// [`SelfSums`]: super::SelfSums
pub struct Chunk {
    pub(super) tokens: usize,
    pub(super) mean: Vec<f64>,
    /// x − mean, [n, D].
    pub(super) values: Tensor,
    /// ‖x − mean‖² of each token.
    pub(super) squares: Vec<f64>,
    /// `squares` over the largest of them, [n, 1]; and that one.
    pub(super) weights: Tensor,
    pub(super) heaviest: f64,
}

impl Chunk {
    /// Centres `x` [n, D]. About 1,000 tokens are a good chunk: a long one costs digits of the f32 sums, and each
    /// costs a readback of D × D' products for every pair of layers.
    ///
    /// # Errors
    /// When a value is not finite or too large to square, or the device fails.
    pub async fn new(x: &Tensor) -> Result<Self, CorrelationError> {
        let (tokens, width) = x.rows_cols();
        let mut values = x.read_f32().await?;
        if let Some(at) = values.iter().position(|v| !v.is_finite()) {
            let (feature, token, value) = (at % width, at / width, values[at]);
            return Err(CorrelationError::NotFinite { feature, token, value });
        }
        let mut mean = vec![0.0f64; width];
        for row in values.chunks(width.max(1)) {
            mean.iter_mut().zip(row).for_each(|(sum, &v)| *sum += f64::from(v));
        }
        mean.iter_mut().for_each(|sum| *sum /= tokens.max(1) as f64);
        let mut by_column = vec![0.0f64; width];
        let mut squares = vec![0.0f64; tokens];
        for (row, square) in values.chunks_mut(width.max(1)).zip(&mut squares) {
            for ((v, mean), column) in row.iter_mut().zip(&mean).zip(&mut by_column) {
                *v = (f64::from(*v) - mean) as f32;
                let own = f64::from(*v).powi(2);
                *square += own;
                *column += own;
            }
        }
        if let Some(feature) = by_column.iter().position(|sum| *sum > LARGEST) {
            return Err(CorrelationError::Overflow { feature });
        }
        let heaviest = squares.iter().copied().fold(0.0, f64::max);
        let weight = |square: &f64| if heaviest > 0.0 { (square / heaviest) as f32 } else { 0.0 };
        Ok(Self {
            tokens,
            weights: Tensor::from_f32(x.engine(), &[tokens, 1], squares.iter().map(weight).collect()),
            values: Tensor::from_f32(x.engine(), &[tokens, width], values),
            mean,
            squares,
            heaviest,
        })
    }

    /// How many tokens it holds.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// How many values a token has.
    pub fn width(&self) -> usize {
        self.mean.len()
    }
}
