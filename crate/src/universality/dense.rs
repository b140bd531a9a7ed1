use super::{Correlation, CorrelationError};
use crate::gpu::{Engine, GpuError, Tensor};
use crate::kernels::{self, Layout, Product, Running};
use crate::par;

/// MPPC between two sets of dense features whose tokens stream by: the neuron baseline.
///
/// Each chunk is centred by its own mean and multiplied in f32 on the engine; chunks are joined in float64 on
/// the host (Chan's formula, with the differences of their means), so a mean that is large or that drifts costs
/// no digits. Memory: fa·fb float64 values, whatever the number of tokens.
pub struct DenseCorrelator {
    engine: Engine,
    a: FeatureSums,
    b: FeatureSums,
    tokens: usize,
    /// Σ (x_i − mean_i)(y_j − mean_j), [fa, fb].
    products: Vec<f64>,
}

/// The features of one side so far.
struct FeatureSums {
    mean: Vec<f64>,
    /// Σ (x − mean)².
    squares: Vec<f64>,
    smallest: Vec<f32>,
    largest: Vec<f32>,
}

/// What one chunk adds to the products.
struct Step {
    /// Sum of what the rounded mean of the chunk left behind, over √n.
    left: Vec<f64>,
    /// Mean of the chunk minus mean before it, times √(n·N/(n + N)).
    drift: Vec<f64>,
}

impl DenseCorrelator {
    /// No tokens yet.
    pub fn new(engine: &Engine, fa: usize, fb: usize) -> Self {
        Self {
            engine: engine.clone(),
            a: FeatureSums::new(fa),
            b: FeatureSums::new(fb),
            tokens: 0,
            products: vec![0.0; fa * fb],
        }
    }

    /// Takes in a chunk of tokens: `a` [n, fa] and `b` [n, fb]. About 1,000 tokens are a good chunk: each costs
    /// one pass over the products, and a long one costs digits.
    ///
    /// # Errors
    /// When the device fails.
    ///
    /// # Panics
    /// When the shapes do not fit, there are more than 16,384 tokens, or a tensor lives on another engine.
    pub async fn push(&mut self, a: &Tensor, b: &Tensor) -> Result<(), GpuError> {
        let (n, fa) = a.rows_cols();
        let fb = self.b.mean.len();
        assert_eq!(fa, self.a.mean.len(), "DenseCorrelator: features of A");
        assert_eq!(b.rows_cols(), (n, fb), "DenseCorrelator: shape of B");
        assert!(a.engine().same(&self.engine) && b.engine().same(&self.engine), "DenseCorrelator: engine");
        if n == 0 || fa == 0 || fb == 0 {
            self.tokens += n;
            return Ok(());
        }
        let (a, b) = (kernels::center(a), kernels::center(b));
        let transposed = Product { layout: Layout::Tn, ..Product::default() };
        let products = kernels::matmul(&a.values, &b.values, &transposed);
        let a = self.a.push(&a.stats.read_f32().await?, n, self.tokens);
        let b = self.b.push(&b.stats.read_f32().await?, n, self.tokens);
        let chunk = products.read_f32().await?;
        par::rows(&mut self.products, fb, |i, row| {
            let (left, drift) = (a.left[i], a.drift[i]);
            for (j, (sum, &product)) in row.iter_mut().zip(&chunk[i * fb..][..fb]).enumerate() {
                *sum += f64::from(product) - left * b.left[j] + drift * b.drift[j];
            }
        });
        self.tokens += n;
        Ok(())
    }

    /// MPPC both ways over all tokens pushed.
    ///
    /// # Errors
    /// [`CorrelationError::Overflow`] when a feature's values were not finite or too large to square.
    pub fn finish(self) -> Result<Correlation, CorrelationError> {
        let (fa, fb) = (self.a.mean.len(), self.b.mean.len());
        let a_scale = self.a.scales()?;
        let b_scale = self.b.scales()?;
        let mut a_to_b = Running::new(fa);
        let mut b_to_a = Running::new(fb);
        for (i, a_scale) in a_scale.iter().enumerate() {
            for (j, b_scale) in b_scale.iter().enumerate() {
                let rho = self.products[i * fb + j] * a_scale * b_scale;
                a_to_b.offer(i, j as i32, rho);
                b_to_a.offer(j, i as i32, rho);
            }
        }
        Ok(Correlation { a_to_b: a_to_b.finish(), b_to_a: b_to_a.finish() })
    }
}

impl FeatureSums {
    fn new(features: usize) -> Self {
        Self {
            mean: vec![0.0; features],
            squares: vec![0.0; features],
            smallest: vec![f32::INFINITY; features],
            largest: vec![f32::NEG_INFINITY; features],
        }
    }

    /// Takes in the moments of a chunk of `n` tokens (see [`kernels::Centered`]) after `before` others.
    fn push(&mut self, stats: &[f32], n: usize, before: usize) -> Step {
        let f = self.mean.len();
        let (n, before) = (n as f64, before as f64);
        let share = n / (n + before);
        let mut step = Step { left: vec![0.0; f], drift: vec![0.0; f] };
        for j in 0..f {
            let [shift, left, squares] = [0, 1, 2].map(|k| f64::from(stats[k * f + j]));
            let delta = shift + left / n - self.mean[j];
            step.left[j] = left / n.sqrt();
            step.drift[j] = delta * (share * before).sqrt();
            self.mean[j] += delta * share;
            self.squares[j] += squares - step.left[j].powi(2) + step.drift[j].powi(2);
            self.smallest[j] = self.smallest[j].min(stats[3 * f + j]);
            self.largest[j] = self.largest[j].max(stats[4 * f + j]);
        }
        step
    }

    /// 1/√Σ(x − mean)² of each feature, NaN without variance.
    fn scales(&self) -> Result<Vec<f64>, CorrelationError> {
        let scale = |(feature, &squares): (usize, &f64)| {
            if !squares.is_finite() {
                return Err(CorrelationError::Overflow { feature });
            }
            let varies = self.largest[feature] > self.smallest[feature];
            Ok(if varies && squares > 0.0 { 1.0 / squares.sqrt() } else { f64::NAN })
        };
        self.squares.iter().enumerate().map(scale).collect()
    }
}
