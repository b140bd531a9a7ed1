//! Health figures, gathered block by block.

use super::{Health, Histogram, Quantiles};
use crate::gpu::Tensor;
use crate::kernels::{column_sums, row_spread};
use crate::sae::{Codes, Sae, SaeError};

/// A feature that fires on at least this share of the tokens counts as always on.
const ALWAYS: f64 = 0.99;

/// Gathers [`Health`] block by block; sums are kept in f64.
#[derive(Debug, Clone)]
pub struct HealthAccumulator {
    d_in: usize,
    tokens: u64,
    /// How many tokens have n active features `[F + 1]`.
    active: Vec<u64>,
    /// Tokens on which each feature fired.
    fired: Vec<u64>,
    squared_error: f64,
    /// Mean activation so far, and Σ‖x − mean‖².
    mean: Vec<f64>,
    spread: f64,
}

impl HealthAccumulator {
    /// Nothing measured yet.
    pub fn new(sae: &Sae) -> Self {
        let (d, f) = (sae.config.d_in, sae.config.d_sae);
        Self {
            d_in: d,
            tokens: 0,
            active: vec![0; f + 1],
            fired: vec![0; f],
            squared_error: 0.0,
            mean: vec![0.0; d],
            spread: 0.0,
        }
    }

    /// Encodes and reconstructs activations `x` [.., D] and adds them; the codes are handed on.
    ///
    /// # Errors
    /// When `x` has another width, or the device failed.
    pub async fn add(&mut self, sae: &Sae, x: &Tensor) -> Result<Codes, SaeError> {
        let measured = sae.measure(x).await?;
        let sums = column_sums(x);
        let spread = row_spread(x, &sums);
        let (sums, spread) = (sums.read_f32().await?, spread.read_f32().await?);
        self.squared_error += measured.squared_errors.iter().map(|&e| f64::from(e)).sum::<f64>();
        self.add_moments(measured.codes.tokens() as u64, &sums, &spread);
        for row in measured.codes.indptr.windows(2) {
            self.active[(row[1] - row[0]) as usize] += 1;
        }
        for &j in &measured.codes.indices {
            self.fired[j as usize] += 1;
        }
        Ok(measured.codes)
    }

    /// Joins a block's column sums and spread about its own mean to the whole (Chan's formula: no difference of
    /// large sums).
    fn add_moments(&mut self, tokens: u64, sums: &[f32], spread: &[f32]) {
        if tokens == 0 {
            return;
        }
        let (before, new) = (self.tokens as f64, tokens as f64);
        let total = before + new;
        self.spread += spread.iter().map(|&s| f64::from(s)).sum::<f64>();
        for (mean, &sum) in self.mean.iter_mut().zip(sums) {
            let gap = f64::from(sum) / new - *mean;
            self.spread += gap * gap * before * new / total;
            *mean += gap * new / total;
        }
        self.tokens += tokens;
    }

    /// The figures so far, without the decoder's and the model's; what is a mean is NaN when no token was added.
    pub fn health(&self) -> Health {
        let tokens = self.tokens as f64;
        let entries: u64 = self.active.iter().zip(0..).map(|(count, n)| count * n).sum();
        let explained_variance = 1.0 - self.squared_error / self.spread;
        let features = self.fired.len();
        // Of no tokens nothing is known.
        let share = |count: usize| if self.tokens == 0 { f64::NAN } else { count as f64 / features as f64 };
        let always = (ALWAYS * tokens).ceil() as u64;
        let mut density = Histogram::decades();
        for &fired in &self.fired {
            match fired {
                0 => density.zero += 1,
                fired => density.add(fired as f64 / tokens),
            }
        }
        Health {
            features: features as u64,
            tokens: self.tokens,
            l0: entries as f64 / tokens,
            l0_quantiles: Quantiles::of_counts(&self.active),
            explained_variance,
            fvu: self.squared_error / self.spread,
            mse: self.squared_error / (tokens * self.d_in as f64),
            dead: share(density.zero as usize),
            always_on: share(self.fired.iter().filter(|&&n| n >= always).count()),
            density,
            decoder: None,
            spliced: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{self, each_engine};
    use crate::sae::{SaeConfig, SaeWeights};

    #[test]
    fn agrees_with_the_definitions() {
        let (d, f, tokens) = (3, 4, 60);
        // Far from zero: the variance must not drown in the mean.
        let x: Vec<f32> = testing::normal(1, tokens * d).iter().map(|v| v + 50.0).collect();
        let weights = SaeWeights {
            // Feature 0 always fires, 1 fires on about half of the tokens, 2 and 3 never.
            w_enc: vec![0.1, 1.0, 0.0, 0.0, 0.1, 0.0, 0.0, 0.0, 0.1, 0.0, 0.0, 0.0],
            b_enc: vec![20.0, 0.0, 0.0, -1.0],
            w_dec: testing::normal(2, f * d).iter().map(|v| 0.1 * v).collect(),
            b_dec: vec![50.0; d],
            ..SaeWeights::default()
        };
        let wide: Vec<Vec<f64>> = x.chunks(d).map(|r| r.iter().map(|&v| f64::from(v)).collect()).collect();
        let mut want = Health { tokens: tokens as u64, dead: 0.5, always_on: 0.25, ..Health::default() };
        let (mut error, mut spread) = (0.0, 0.0);
        for x in &wide {
            let w = |j: usize, c: usize| f64::from(weights.w_dec[j * d + c]);
            let first = x.iter().map(|v| 0.1f32 as f64 * (v - 50.0)).sum::<f64>() + 20.0;
            let second = (x[0] - 50.0).max(0.0);
            want.l0 += (1.0 + f64::from(u8::from(second > 0.0))) / tokens as f64;
            for (c, v) in x.iter().enumerate() {
                let mean = wide.iter().map(|x| x[c]).sum::<f64>() / tokens as f64;
                error += (v - 50.0 - first * w(0, c) - second * w(1, c)).powi(2);
                spread += (v - mean).powi(2);
            }
        }
        want.explained_variance = 1.0 - error / spread;
        want.fvu = error / spread;
        want.mse = error / (tokens * d) as f64;
        each_engine(|engine| {
            let sae = Sae::new(engine, SaeConfig::new(d, f), weights.clone());
            let mut health = HealthAccumulator::new(&sae);
            for part in [&x[..0], &x[..10 * d], &x[10 * d..]] {
                let part = Tensor::from_f32(engine, &[part.len() / d, d], part.to_vec());
                pollster::block_on(health.add(&sae, &part)).expect("health");
            }
            let got = health.health();
            assert_eq!((got.tokens, got.dead, got.always_on), (want.tokens, want.dead, want.always_on));
            assert_eq!(got.features, 4);
            let q = got.l0_quantiles.expect("60 tokens");
            assert_eq!((q.min, q.p95, q.max), (1.0, 2.0, 2.0));
            // Two dead, one in the last bin, one on about half of the tokens in the last but one: 10^−¼ = 0.56.
            let counts = &got.density.counts;
            assert_eq!((got.density.zero, counts[26], counts[27]), (2, 1, 1), "{:?}", got.density);
            // f32 values near 50 against deviations of 1: 50 · 2⁻²⁴ = 3e-6 each, errors of either sign.
            for (got, want) in [
                (got.l0, want.l0),
                (got.explained_variance, want.explained_variance),
                (got.fvu, want.fvu),
                (got.mse, want.mse),
            ] {
                assert!((got - want).abs() <= 2e-5 * want.abs().max(1.0), "{got} instead of {want}");
            }
        });
    }
}
