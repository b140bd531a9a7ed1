//! MPPC by the published script's own arithmetic, to see what it changes (paper section 3).
//!
//! Codes are rounded to bf16, and everything else is f32: raw moments, the sums of products, n·Σxy − Σx·Σy and the
//! denominator, which is floored at 1e-12. So features with a mean that is large beside their spread lose their digits;
//! dead and constant features correlate with 0, and are candidates; where a variance is rounded below 0 the script has
//! NaN, which is counted here and is no candidate.
//!
//! The script adds up on a GPU in an order that is not known; here tokens are added in theirs. Correlations beyond ±1,
//! which f32 gives now and then, are cut to ±1.

use std::ops::Range;

use half::bf16;

use super::error::{check, same_tokens};
use super::{Correlation, CorrelationError, bands};
use crate::kernels::Running;
use crate::par;
use crate::sae::Codes;

/// What the script would report of a layer pair.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Published {
    /// Maxima and partners, both ways; the lowest index of equals.
    pub both: Correlation,
    /// Pairs whose correlation is NaN.
    pub undefined: usize,
}

/// Raw moments of a feature.
#[derive(Clone, Copy, Default)]
struct Raw {
    sum: f32,
    /// n·Σx² − (Σx)².
    spread: f32,
}

/// MPPC between two sets of sparse features, both ways, in the script's arithmetic. On the processor, whatever the
/// engine.
///
/// # Errors
/// As [`super::correlate`].
pub fn published(a: &Codes, b: &Codes) -> Result<Published, CorrelationError> {
    check(a)?;
    check(b)?;
    same_tokens(a.tokens(), b.tokens())?;
    let (a, b) = (rounded(a), rounded(b));
    let (of_a, of_b) = (raw(&a), raw(&b));
    let bands = bands::of_features(a.n_features);
    let parts = par::map(bands.len(), |p| part(&a, &b, &bands[p], (&of_a, &of_b)));
    let mut a_to_b = Running::new(a.n_features);
    let mut b_to_a = Running::new(b.n_features);
    let mut undefined = 0;
    for (band, (rows, columns, nan)) in bands.iter().zip(parts) {
        a_to_b.merge(band.start, &rows);
        b_to_a.merge(0, &columns);
        undefined += nan;
    }
    let both = Correlation { a_to_b: a_to_b.finish(), b_to_a: b_to_a.finish() };
    Ok(Published { both, undefined })
}

fn rounded(codes: &Codes) -> Codes {
    let values = codes.values.iter().map(|&v| bf16::from_f32(v).to_f32()).collect();
    Codes { values, ..codes.clone() }
}

fn raw(codes: &Codes) -> Vec<Raw> {
    let n = codes.tokens() as f32;
    let mut sums = vec![[0.0f32; 2]; codes.n_features];
    for (&j, &x) in codes.indices.iter().zip(&codes.values) {
        let [sum, squares] = &mut sums[j as usize];
        *sum += x;
        *squares += x * x;
    }
    sums.into_iter().map(|[sum, squares]| Raw { sum, spread: n * squares - sum * sum }).collect()
}

/// Some features of A with all of B: best rows, best columns, how many pairs are NaN.
fn part(a: &Codes, b: &Codes, band: &Range<usize>, of: (&[Raw], &[Raw])) -> (Running, Running, usize) {
    let n = a.tokens() as f32;
    let mut tokens = vec![Vec::new(); band.len()];
    bands::entries(a, band, |t, i, x| tokens[i - band.start].push((t, x)));
    let mut rows = Running::new(band.len());
    let mut columns = Running::new(b.n_features);
    let mut undefined = 0;
    let mut sums = vec![0.0f32; b.n_features];
    for (i, tokens) in band.clone().zip(tokens) {
        sums.fill(0.0);
        for (t, x) in tokens {
            let (features, values) = b.row(t);
            features.iter().zip(values).for_each(|(&j, &y)| sums[j as usize] += x * y);
        }
        let x = of.0[i];
        for (j, (&sum, y)) in sums.iter().zip(of.1).enumerate() {
            let denominator = (x.spread * y.spread).sqrt();
            // What `clamp` does: NaN stays NaN, and `max` would drop it.
            let floored = if denominator < 1e-12 { 1e-12 } else { denominator };
            let rho = (n * sum - x.sum * y.sum) / floored;
            undefined += usize::from(rho.is_nan());
            rows.offer(i - band.start, j as i32, rho.into());
            columns.offer(j, i as i32, rho.into());
        }
    }
    (rows, columns, undefined)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::Engine;
    use crate::kernels::testing::{normal, uniform};
    use crate::universality::{correlate, from_dense};

    const TOKENS: usize = 300;

    /// Columns of sparse features; the last ones dead, constant, and of mean 1,000 with spread 1.
    fn codes(seed: u64) -> Codes {
        let features = 9;
        let (x, gate) = (normal(seed, TOKENS * features), uniform(seed + 1, TOKENS * features));
        let value = |k: usize| match k % features {
            6 => 0.0,
            7 => 2.5,
            8 => 1_000.0 + x[k],
            _ if gate[k] < 0.2 => x[k].abs() + 0.1,
            _ => 0.0,
        };
        from_dense(features, &(0..TOKENS * features).map(value).collect::<Vec<_>>())
    }

    /// The script's formula on dense columns, in f32, tokens in order.
    fn reference(a: &Codes, b: &Codes) -> Vec<Vec<f32>> {
        let column = |codes: &Codes, j: usize| -> Vec<f32> {
            let at = |t| codes.row(t).0.iter().position(|f| *f == j as u32).map(|k| codes.row(t).1[k]);
            (0..TOKENS).map(|t| bf16::from_f32(at(t).unwrap_or(0.0)).to_f32()).collect()
        };
        let sum = |x: &[f32], y: &[f32]| x.iter().zip(y).fold(0.0f32, |s, (x, y)| s + x * y);
        let (n, one) = (TOKENS as f32, vec![1.0; TOKENS]);
        let rho = |x: &[f32], y: &[f32]| {
            let (sx, sy) = (sum(x, &one), sum(y, &one));
            let d = ((n * sum(x, x) - sx * sx) * (n * sum(y, y) - sy * sy)).sqrt();
            (n * sum(x, y) - sx * sy) / if d < 1e-12 { 1e-12 } else { d }
        };
        let (a, b): (Vec<_>, Vec<_>) = (0..9).map(|j| (column(a, j), column(b, j))).unzip();
        a.iter().map(|x| b.iter().map(|y| rho(x, y)).collect()).collect()
    }

    #[test]
    fn follows_the_script_to_the_bit() {
        let (a, b) = (codes(1), codes(5));
        let got = published(&a, &b).expect("good codes");
        let want = reference(&a, &b);
        let clamp = |v: f32| v.clamp(-1.0, 1.0);
        for (i, row) in want.iter().enumerate() {
            let most = row.iter().copied().fold(f32::NAN, f32::max);
            assert_eq!(got.both.a_to_b.mppc[i], clamp(most), "feature {i}");
            let column = want.iter().map(|row| row[i]).fold(f32::NAN, f32::max);
            assert_eq!(got.both.b_to_a.mppc[i], clamp(column), "feature {i} of B");
        }
        assert_eq!(got.undefined, want.iter().flatten().filter(|v| v.is_nan()).count());
        // A dead feature correlates with 0 here, and has no correlation in truth.
        let truth = pollster::block_on(correlate(&Engine::cpu(), &a, &b)).expect("good codes");
        assert_eq!(got.both.a_to_b.mppc[6], 0.0);
        assert!(truth.a_to_b.mppc[6].is_nan());
        // A sparse feature is rounded by bf16 alone: 2⁻⁹ of each value.
        assert!((got.both.a_to_b.mppc[0] - truth.a_to_b.mppc[0]).abs() < 4e-3);
    }
}
