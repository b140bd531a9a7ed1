use std::sync::OnceLock;

use super::Chunk;
use super::spectrum::Spectrum;
use crate::gpu::GpuError;
use crate::kernels::{self, Layout, Product};
use crate::par;

/// What a pair of layers has to be asked for, summed over tokens that stream by: x [n, Da] of one, y [n, Db] of the
/// other.
///
/// Chunks are multiplied in f32 on the engine and joined in float64 on the host (Chan's formula), so neither the
/// chunking nor a mean that drifts matters beyond rounding. Memory: Da·Db float64 values, whatever the number of
/// tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct CrossSums {
    pub(super) tokens: usize,
    x: LayerSums,
    y: LayerSums,
    /// Σ d eᵀ, [Da, Db], with d = x − its mean and e = y − its mean.
    pub(super) products: Vec<f64>,
    /// Σ ‖d‖² ‖e‖².
    pub(super) squares: f64,
}

/// What [`CrossSums`] knows of one of its sides.
#[derive(Debug, Clone, PartialEq)]
struct LayerSums {
    mean: Vec<f64>,
    /// Σ ‖d‖².
    squares: f64,
    /// Σ d times the other side's squared length.
    weighted: Vec<f64>,
}

/// Sums over a stretch of tokens that are to be added, the products in the precision that they come in.
struct Part<'a, T> {
    tokens: usize,
    x: &'a LayerSums,
    y: &'a LayerSums,
    products: &'a [T],
    squares: f64,
}

impl LayerSums {
    fn new(width: usize) -> Self {
        Self { mean: vec![0.0; width], squares: 0.0, weighted: vec![0.0; width] }
    }

    fn of(chunk: &Chunk, weighted: Vec<f64>) -> Self {
        Self { mean: chunk.mean.clone(), squares: chunk.squares.iter().sum(), weighted }
    }

    /// The mean over `own` tokens of this and `more` of the other.
    fn joint_mean(&self, own: usize, other: &LayerSums, more: usize) -> Vec<f64> {
        let share = more as f64 / (own + more) as f64;
        self.mean.iter().zip(&other.mean).map(|(a, b)| a + (b - a) * share).collect()
    }
}

impl CrossSums {
    /// No tokens yet, for layers of these widths.
    pub fn new(width_a: usize, width_b: usize) -> Self {
        Self {
            tokens: 0,
            x: LayerSums::new(width_a),
            y: LayerSums::new(width_b),
            products: vec![0.0; width_a * width_b],
            squares: 0.0,
        }
    }

    /// How many tokens it is over.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Widths of the two layers.
    pub fn widths(&self) -> (usize, usize) {
        (self.x.mean.len(), self.y.mean.len())
    }

    /// Takes in the activations of both layers on the same stretch of tokens.
    ///
    /// # Errors
    /// When the device fails.
    ///
    /// # Panics
    /// When the chunks have other widths, different numbers of tokens, or live on different engines.
    pub async fn push(&mut self, a: &Chunk, b: &Chunk) -> Result<(), GpuError> {
        assert_eq!((a.width(), b.width()), self.widths(), "CrossSums: widths");
        assert_eq!(a.tokens, b.tokens, "CrossSums: tokens");
        if a.tokens == 0 || self.products.is_empty() {
            self.tokens += a.tokens;
            return Ok(());
        }
        let transposed = Product { layout: Layout::Tn, ..Product::default() };
        let products = kernels::matmul(&a.values, &b.values, &transposed); // [Da, Db]
        let of_x = kernels::matmul(&b.weights, &a.values, &transposed); // [1, Da]
        let of_y = kernels::matmul(&a.weights, &b.values, &transposed); // [1, Db]
        let scaled = |sums: Vec<f32>, by: f64| sums.iter().map(|&v| f64::from(v) * by).collect();
        let x = LayerSums::of(a, scaled(of_x.read_f32().await?, b.heaviest));
        let y = LayerSums::of(b, scaled(of_y.read_f32().await?, a.heaviest));
        let products = products.read_f32().await?;
        let squares = a.squares.iter().zip(&b.squares).map(|(p, q)| p * q).sum();
        self.join(&Part { tokens: a.tokens, x: &x, y: &y, products: &products, squares });
        Ok(())
    }

    /// Takes in sums over other tokens of the same two layers.
    ///
    /// # Panics
    /// When the widths differ.
    pub fn merge(&mut self, other: &CrossSums) {
        assert_eq!(self.widths(), other.widths(), "CrossSums: widths");
        let CrossSums { tokens, x, y, products, squares } = other;
        self.join(&Part { tokens: *tokens, x, y, products, squares: *squares });
    }

    fn join<T: Copy + Into<f64> + Sync>(&mut self, part: &Part<'_, T>) {
        if part.tokens == 0 {
            return;
        }
        let mean_x = self.x.joint_mean(self.tokens, part.x, part.tokens);
        let mean_y = self.y.joint_mean(self.tokens, part.y, part.tokens);
        let own = Part {
            tokens: self.tokens,
            x: &self.x,
            y: &self.y,
            products: &self.products,
            squares: self.squares,
        };
        let (own, other) = (own.about(&mean_x, &mean_y), part.about(&mean_x, &mean_y));
        let all = (self.tokens + part.tokens) as f64;
        let drift = |own: &LayerSums, other: &LayerSums| -> Vec<f64> {
            let by = (self.tokens as f64 * part.tokens as f64 / all).sqrt();
            own.mean.iter().zip(&other.mean).map(|(a, b)| (b - a) * by).collect()
        };
        let (drift_x, drift_y) = (drift(&self.x, part.x), drift(&self.y, part.y));
        let width = drift_y.len();
        par::rows(&mut self.products, width, |i, row| {
            let more = &part.products[i * width..][..width];
            for ((sum, &product), drift) in row.iter_mut().zip(more).zip(&drift_y) {
                *sum += product.into() + drift_x[i] * drift;
            }
        });
        self.x = own.x.plus(&other.x, mean_x);
        self.y = own.y.plus(&other.y, mean_y);
        self.squares = own.squares + other.squares;
        self.tokens += part.tokens;
    }
}

/// A [`Part`] about another point than its means, without its products.
struct Moved {
    x: MovedSide,
    y: MovedSide,
    squares: f64,
}

struct MovedSide {
    squares: f64,
    weighted: Vec<f64>,
}

impl MovedSide {
    fn plus(&self, other: &MovedSide, mean: Vec<f64>) -> LayerSums {
        let weighted = self.weighted.iter().zip(&other.weighted).map(|(a, b)| a + b).collect();
        LayerSums { mean, squares: self.squares + other.squares, weighted }
    }
}

impl<T: Copy + Into<f64> + Sync> Part<'_, T> {
    /// The sums of d + δ and e + ε in place of d and e, where δ and ε lead from the points given to the means.
    /// Multiplied out; Σ d and Σ e are 0.
    fn about(&self, mean_x: &[f64], mean_y: &[f64]) -> Moved {
        let n = self.tokens as f64;
        let shift = |side: &LayerSums, to: &[f64]| -> Vec<f64> {
            side.mean
                .iter()
                .zip(to)
                .map(|(mean, to)| if self.tokens == 0 { 0.0 } else { mean - to })
                .collect()
        };
        let (delta, epsilon) = (shift(self.x, mean_x), shift(self.y, mean_y));
        let (delta_2, epsilon_2) = (dot(&delta, &delta), dot(&epsilon, &epsilon));
        let (p, q) = (self.x.squares, self.y.squares);
        let products_epsilon = self.times(&epsilon);
        let delta_products = self.transposed_times(&delta);
        let moved = |weighted: &[f64], product: &[f64], by: &[f64], factor: f64| {
            let terms = weighted.iter().zip(product).zip(by);
            terms.map(|((w, product), by)| w + 2.0 * product + factor * by).collect()
        };
        Moved {
            squares: self.squares
                + 2.0 * dot(&epsilon, &self.y.weighted)
                + 2.0 * dot(&delta, &self.x.weighted)
                + 4.0 * dot(&delta, &products_epsilon)
                + epsilon_2 * p
                + delta_2 * q
                + n * delta_2 * epsilon_2,
            x: MovedSide {
                squares: p + n * delta_2,
                weighted: moved(&self.x.weighted, &products_epsilon, &delta, q + n * epsilon_2),
            },
            y: MovedSide {
                squares: q + n * epsilon_2,
                weighted: moved(&self.y.weighted, &delta_products, &epsilon, p + n * delta_2),
            },
        }
    }

    /// Σ d eᵀ · `by`.
    fn times(&self, by: &[f64]) -> Vec<f64> {
        let width = by.len();
        let mut out = vec![0.0; self.x.mean.len()];
        par::each(&mut out, width, |i| {
            let row = &self.products[i * width..][..width];
            row.iter().zip(by).map(|(&product, by)| product.into() * by).sum()
        });
        out
    }

    /// Σ e dᵀ · `by`.
    fn transposed_times(&self, by: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; self.y.mean.len()];
        for (row, by) in self.products.chunks(out.len().max(1)).zip(by) {
            out.iter_mut().zip(row).for_each(|(out, &product)| *out += product.into() * by);
        }
        out
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// What a layer has to be asked for by itself, summed over tokens that stream by; with the decompositions of its
/// covariance, which are made when they are first asked for and then kept for all layers it is compared with.
#[derive(Debug, Clone)]
pub struct SelfSums {
    pub(super) sums: CrossSums,
    covariance: OnceLock<Option<Spectrum>>,
    correlation: OnceLock<Option<Spectrum>>,
}

impl SelfSums {
    /// No tokens yet, for a layer of this width.
    pub fn new(width: usize) -> Self {
        Self::from(CrossSums::new(width, width))
    }

    fn from(sums: CrossSums) -> Self {
        Self { sums, covariance: OnceLock::new(), correlation: OnceLock::new() }
    }

    /// How many tokens it is over.
    pub fn tokens(&self) -> usize {
        self.sums.tokens
    }

    /// Width of the layer.
    pub fn width(&self) -> usize {
        self.sums.x.mean.len()
    }

    /// Mean of each column.
    pub fn mean(&self) -> &[f64] {
        &self.sums.x.mean
    }

    /// Σ (x − mean)(x − mean)ᵀ, [D, D].
    pub fn products(&self) -> &[f64] {
        &self.sums.products
    }

    /// Takes in the layer's activations on a stretch of tokens.
    ///
    /// # Errors
    /// When the device fails.
    ///
    /// # Panics
    /// When the chunk has another width.
    pub async fn push(&mut self, chunk: &Chunk) -> Result<(), GpuError> {
        self.sums.push(chunk, chunk).await?;
        (self.covariance, self.correlation) = (OnceLock::new(), OnceLock::new());
        Ok(())
    }

    /// Takes in sums over other tokens of the same layer.
    ///
    /// # Panics
    /// When the widths differ.
    pub fn merge(&mut self, other: &SelfSums) {
        self.sums.merge(&other.sums);
        (self.covariance, self.correlation) = (OnceLock::new(), OnceLock::new());
    }

    /// Σ ‖x − mean‖²: above 0 exactly when a column varies (and its square is no underflow).
    pub(super) fn total(&self) -> f64 {
        self.sums.x.squares
    }

    /// Of the covariance as a share of the total variance.
    pub(super) fn covariance(&self) -> Option<&Spectrum> {
        let scales = || vec![self.total().sqrt(); self.width()];
        self.covariance.get_or_init(|| Spectrum::of(&self.sums.products, self.sums.tokens, scales())).as_ref()
    }

    /// Of the correlations between columns.
    pub(super) fn correlation(&self) -> Option<&Spectrum> {
        let scales = || {
            let diagonal = self.sums.products.iter().step_by(self.width() + 1);
            diagonal.map(|square| square.max(0.0).sqrt()).collect()
        };
        self.correlation
            .get_or_init(|| Spectrum::of(&self.sums.products, self.sums.tokens, scales()))
            .as_ref()
    }
}

/// That three sums are over the same tokens of the same layers, whose widths these are.
///
/// # Panics
/// When they are not.
pub(super) fn assert_fit(a: &SelfSums, b: &SelfSums, ab: &CrossSums) {
    assert_eq!((a.width(), b.width()), ab.widths(), "likeness: widths");
    assert_eq!([a.tokens(), b.tokens()], [ab.tokens; 2], "likeness: tokens");
}
