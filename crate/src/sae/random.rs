//! Randomness of training: initial weights and the order of tokens.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};

/// A generator whose values depend on the seed alone, on every machine.
#[derive(Debug, Clone)]
pub(super) struct Random(ChaCha8Rng);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Uniform in 0..n. A remainder would favour small numbers by n / 2⁶⁴: nothing.
    ///
    /// # Panics
    /// When `n` is 0.
    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.0.next_u64() % n as u64) as usize
    }

    /// Mean 0, variance 1, close to normal: a sum of twelve uniform numbers.
    pub(super) fn normal(&mut self) -> f32 {
        let sum: f64 = (0..12).map(|_| f64::from(self.0.next_u32()) / f64::from(u32::MAX)).sum();
        (sum - 6.0) as f32
    }
}
