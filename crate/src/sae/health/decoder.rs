//! What an SAE's decoder looks like: norms of its rows, and how alike they are.

use serde::Serialize;

use super::histogram::{Distribution, Histogram};
use crate::gpu::{Engine, Tensor};
use crate::kernels::{Product, embed, matmul, nearest};
use crate::sae::{Sae, SaeError};

/// Bytes that a block of similarities may take.
const BLOCK_BYTES: usize = 64 << 20;
/// Bins of norms and of cosines.
const BINS: usize = 40;

/// The rows of a decoder [F, D], the directions of the features.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct DecoderHealth {
    /// ‖d_i‖ of every row, in 40 equal bins from 0 to the largest norm.
    pub norms: Distribution,
    /// max over j ≠ i of d_i·d_j / (‖d_i‖ ‖d_j‖) of every row, in 40 equal bins from −1 to 1. Rows of norm 0, or with a
    /// value that is not finite, have no direction: they have no cosine and are nobody's nearest. 1 means that
    /// another feature writes in the same direction.
    pub nearest_cosine: Distribution,
}

/// Measures a decoder block by block: all F × F cosines, of which a block of rows is there at a time.
#[derive(Debug)]
pub struct DecoderScan {
    norms: Vec<f32>,
    /// Rows that have a direction, of norm 1: [n, D].
    unit: Tensor,
    rows: usize,
    cosines: Vec<f32>,
}

impl DecoderScan {
    /// Nothing compared yet.
    ///
    /// # Errors
    /// When the device failed.
    pub async fn new(sae: &Sae) -> Result<Self, SaeError> {
        let values = sae.w_dec.read_f32().await?;
        Ok(Self::of_rows(sae.w_dec.engine(), &values, sae.config.d_in))
    }

    fn of_rows(engine: &Engine, values: &[f32], width: usize) -> Self {
        let (mut norms, mut unit) = (Vec::new(), Vec::new());
        for row in values.chunks_exact(width) {
            let norm = row.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>().sqrt();
            norms.push(norm as f32);
            if norm > 0.0 && norm.is_finite() {
                unit.extend(row.iter().map(|&w| (f64::from(w) / norm) as f32));
            }
        }
        let rows = unit.len() / width;
        Self { norms, unit: Tensor::from_f32(engine, &[rows, width], unit), rows, cosines: Vec::new() }
    }

    /// How many rows have to be compared.
    pub fn total(&self) -> usize {
        self.rows
    }

    /// Compares the next block of rows with all others; how many rows are done, or nothing when all were before.
    ///
    /// # Errors
    /// When the device failed.
    pub async fn step(&mut self) -> Result<Option<usize>, SaeError> {
        let start = self.cosines.len();
        if start >= self.rows {
            return Ok(None);
        }
        let end = (start + (BLOCK_BYTES / 4 / self.rows).max(1)).min(self.rows);
        let ids = Tensor::from_u32(self.unit.engine(), &[end - start], (start as u32..end as u32).collect());
        let block = embed(std::slice::from_ref(&self.unit), &ids); // [n, D]
        let cosines = matmul(&block, &self.unit, &Product::default()); // [n, rows]
        self.cosines.extend(nearest(&cosines, start).read_f32().await?);
        Ok(Some(end))
    }

    /// The figures, once [`DecoderScan::step`] has returned nothing.
    pub fn finish(self) -> DecoderHealth {
        let largest = self.norms.iter().copied().filter(|n| n.is_finite()).fold(0.0, f32::max);
        // Without a norm above 0 any scale does.
        let top = if largest > 0.0 { f64::from(largest) } else { 1.0 };
        // A row without another one has nothing to be near to; rounding may go beyond the ends.
        let alone = self.rows < 2;
        let cosines: Vec<f32> = self.cosines.iter().filter(|_| !alone).map(|c| c.clamp(-1.0, 1.0)).collect();
        DecoderHealth {
            norms: Distribution::of(&self.norms, Histogram::even(0.0, top, BINS)),
            nearest_cosine: Distribution::of(&cosines, Histogram::even(-1.0, 1.0, BINS)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{self, each_engine};

    fn scan(engine: &Engine, values: &[f32], width: usize) -> DecoderHealth {
        let mut scan = DecoderScan::of_rows(engine, values, width);
        while pollster::block_on(scan.step()).expect("a step").is_some() {}
        scan.finish()
    }

    /// Every row's largest cosine with another row, in f64.
    fn reference(values: &[f32], width: usize) -> Vec<f64> {
        let rows: Vec<Vec<f64>> = values
            .chunks(width)
            .map(|r| r.iter().map(|&v| f64::from(v)).collect())
            .filter(|r: &Vec<f64>| r.iter().any(|v| *v != 0.0))
            .collect();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let cosine = |i: usize, j: usize| {
            let (a, b) = (&rows[i], &rows[j]);
            dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
        };
        (0..rows.len())
            .map(|i| (0..rows.len()).filter(|j| *j != i).map(|j| cosine(i, j)).fold(-2.0, f64::max))
            .collect()
    }

    #[test]
    fn agrees_with_float64() {
        let (rows, width) = (200, 6);
        let mut values = testing::normal(4, rows * width);
        // Row 7 is silent, row 9 is row 3 five times as long.
        values[7 * width..8 * width].fill(0.0);
        for c in 0..width {
            values[9 * width + c] = 5.0 * values[3 * width + c];
        }
        let mut want = reference(&values, width);
        want.sort_by(f64::total_cmp);
        each_engine(|engine| {
            let got = scan(engine, &values, width);
            assert_eq!((got.norms.count, got.nearest_cosine.count), (200, 199));
            assert_eq!(got.norms.quantiles.expect("norms").min, 0.0);
            let norms: f64 = values
                .chunks(width)
                .map(|r| r.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt())
                .sum();
            assert!((got.norms.mean.expect("norms") - norms / 200.0).abs() < 1e-6);
            let (q, mean) = (got.nearest_cosine.quantiles.expect("cosines"), got.nearest_cosine.mean);
            // Products of six factors near 1: a few units of 6e-8.
            let wanted = want.iter().sum::<f64>() / 199.0;
            assert!((mean.expect("cosines") - wanted).abs() < 1e-6, "{mean:?} instead of {wanted}");
            for (got, want) in
                [(q.min, want[0]), (q.median, want[99]), (q.p95, want[189]), (q.max, want[198])]
            {
                assert!((got - want).abs() < 1e-6, "{got} instead of {want}");
            }
            assert!(q.max > 1.0 - 1e-6, "rows 3 and 9 are alike");
            assert_eq!(got.nearest_cosine.histogram.counts.iter().sum::<u64>(), 199);
        });
    }

    /// More rows than a block holds, so that blocks must fit together.
    #[test]
    fn blocks_are_seamless() {
        let engine = Engine::cpu();
        let (rows, width) = (5_000, 4);
        let values = testing::normal(5, rows * width);
        let mut scan = DecoderScan::of_rows(&engine, &values, width);
        let mut steps = 0;
        while pollster::block_on(scan.step()).expect("a step").is_some() {
            steps += 1;
        }
        assert!(steps > 1, "one block is no test");
        let want = reference(&values, width);
        assert_eq!(scan.cosines.len(), rows);
        for (i, (got, want)) in scan.cosines.iter().zip(want).enumerate() {
            assert!((f64::from(*got) - want).abs() < 1e-6, "row {i}: {got} instead of {want}");
        }
    }

    #[test]
    fn rows_without_a_direction_are_left_out() {
        each_engine(|engine| {
            let none = scan(engine, &[0.0, 0.0, 0.0, 0.0], 2);
            assert_eq!((none.norms.count, none.nearest_cosine.count), (2, 0));
            let one = scan(engine, &[3.0, 4.0, f32::NAN, 0.0], 2);
            assert_eq!((one.norms.count, one.norms.not_finite, one.norms.mean), (1, 1, Some(5.0)));
            assert_eq!((one.nearest_cosine.count, one.nearest_cosine.mean), (0, None));
            // Opposite directions are each other's nearest.
            let two = scan(engine, &[3.0, 4.0, -6.0, -8.0], 2);
            assert_eq!(two.nearest_cosine.mean.map(|m| (m * 1e5).round()), Some(-1e5));
        });
    }
}
