//! Codes made ready for the sparse kernel: z = (x − shift) / (σ√n).
//!
//! ρ_ij = Σ_t z_i z_j − offset_i·offset_j with offset = Σz/√n. With shift 0 a silent token stays silent, and
//! offset = μ/σ. Where |μ| ≥ σ that difference would cancel digits, so such a feature is shifted by its mean
//! and all its tokens become entries. It fires on at least half of the tokens anyway (μ² ≤ density·E[x²] gives
//! μ²/σ² ≤ density/(1 − density)), so this never doubles the entries.

use super::Moment;
use crate::kernels::Lined;
use crate::sae::Codes;

/// How one feature is standardised.
#[derive(Clone, Copy)]
struct Scaling {
    shift: f64,
    /// 1/(σ√n); NaN without variance.
    scale: f64,
}

impl Scaling {
    fn of(moment: &Moment, tokens: usize) -> Self {
        let sigma = moment.variance.sqrt();
        let scale = if moment.varies { 1.0 / (sigma * (tokens as f64).sqrt()) } else { f64::NAN };
        let shift = if moment.mean.abs() >= sigma { moment.mean } else { 0.0 };
        Self { shift, scale }
    }

    /// Whether silent tokens are entries too.
    fn full(&self) -> bool {
        self.shift != 0.0 && self.varies()
    }

    fn varies(&self) -> bool {
        !self.scale.is_nan()
    }

    fn apply(&self, x: f32) -> f32 {
        ((f64::from(x) - self.shift) * self.scale) as f32
    }
}

fn scalings(codes: &Codes, moments: &[Moment]) -> Vec<Scaling> {
    moments.iter().map(|m| Scaling::of(m, codes.tokens())).collect()
}

fn offsets(scalings: &[Scaling], sums: &[f64], tokens: usize) -> Vec<f64> {
    let root = (tokens as f64).sqrt();
    let offset = |(s, sum): (&Scaling, &f64)| if s.varies() { sum / root } else { f64::NAN };
    scalings.iter().zip(sums).map(offset).collect()
}

/// The codes by feature.
pub(super) fn by_feature(codes: &Codes, moments: &[Moment]) -> Lined {
    let scalings = scalings(codes, moments);
    let mut counts = vec![0; codes.n_features];
    for &j in &codes.indices {
        counts[j as usize] += 1;
    }
    let mut start = vec![0];
    for (s, &count) in scalings.iter().zip(&counts) {
        let len = if s.full() { codes.tokens() } else { count * usize::from(s.varies()) };
        start.push(start[start.len() - 1] + len);
    }
    let mut index = vec![0u32; start[start.len() - 1]];
    let mut value = vec![0.0f32; index.len()];
    for (s, w) in scalings.iter().zip(start.windows(2)).filter(|(s, _)| s.full()) {
        value[w[0]..w[1]].fill(s.apply(0.0));
        index[w[0]..w[1]].iter_mut().zip(0..).for_each(|(index, t)| *index = t);
    }
    let mut next = start.clone();
    for t in 0..codes.tokens() {
        let (features, values) = codes.row(t);
        for (&j, &x) in features.iter().zip(values) {
            let j = j as usize;
            let s = &scalings[j];
            if s.full() {
                value[start[j] + t] = s.apply(x);
            } else if s.varies() {
                index[next[j]] = t as u32;
                value[next[j]] = s.apply(x);
                next[j] += 1;
            }
        }
    }
    let sum = |w: &[usize]| value[w[0]..w[1]].iter().map(|&z| f64::from(z)).sum();
    let sums: Vec<f64> = start.windows(2).map(sum).collect();
    let offset = offsets(&scalings, &sums, codes.tokens());
    Lined { start, index, value, offset }
}

/// The codes by token.
pub(super) fn by_token(codes: &Codes, moments: &[Moment]) -> Lined {
    let scalings = scalings(codes, moments);
    let full: Vec<u32> = (0u32..).zip(&scalings).filter(|(_, s)| s.full()).map(|(j, _)| j).collect();
    let entries = codes.indices.len() + full.len() * codes.tokens();
    let mut lined = Lined {
        start: Vec::with_capacity(codes.tokens() + 1),
        index: Vec::with_capacity(entries),
        value: Vec::with_capacity(entries),
        offset: Vec::new(),
    };
    let mut sums = vec![0.0; codes.n_features];
    let mut push = |lined: &mut Lined, j: u32, x: f32| {
        let z = scalings[j as usize].apply(x);
        sums[j as usize] += f64::from(z);
        lined.index.push(j);
        lined.value.push(z);
    };
    lined.start.push(0);
    for t in 0..codes.tokens() {
        let (features, values) = codes.row(t);
        // Two ascending lists become one: what is in the row, and the full features that are not.
        let mut silent = full.iter().copied().peekable();
        for (&j, &x) in features.iter().zip(values).filter(|(j, _)| scalings[**j as usize].varies()) {
            while let Some(f) = silent.next_if(|&f| f <= j) {
                if f < j {
                    push(&mut lined, f, 0.0);
                }
            }
            push(&mut lined, j, x);
        }
        silent.for_each(|f| push(&mut lined, f, 0.0));
        lined.start.push(lined.index.len());
    }
    lined.offset = offsets(&scalings, &sums, codes.tokens());
    lined
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{normal, uniform};
    use crate::universality::{from_dense, moments};

    #[test]
    fn entries_at_most_double() {
        let tokens = 400;
        let gate = uniform(1, tokens * 40);
        // Features that fire on 2 % to 99 % of the tokens, with little spread: the later ones become full.
        let fires = |i: usize| gate[i] < 0.02 + 0.97 * (i % 40) as f32 / 39.0;
        let x = normal(2, tokens * 40)
            .into_iter()
            .enumerate()
            .map(|(i, v)| if fires(i) { 3.0 + v / 9.0 } else { 0.0 });
        let codes = from_dense(40, &x.collect::<Vec<_>>());
        let moments = moments(&codes);
        let (columns, rows) = (by_feature(&codes, &moments), by_token(&codes, &moments));
        assert!(columns.index.len() > codes.indices.len(), "some feature is full");
        for j in 0..40 {
            let fires = codes.indices.iter().filter(|i| **i == j as u32).count();
            let entries = columns.start[j + 1] - columns.start[j];
            assert!(
                entries == fires || (entries == tokens && tokens <= 2 * fires),
                "{j}: {fires}, {entries}"
            );
        }
        // Both orders hold the same numbers.
        let by_row = |t: usize| (rows.start[t]..rows.start[t + 1]).map(move |e| (t, e));
        let mut entries: Vec<_> =
            (0..tokens).flat_map(by_row).map(|(t, e)| (rows.index[e], t as u32, rows.value[e])).collect();
        entries.sort_by_key(|&(j, t, _)| (j, t));
        let by_column = |j: usize| (columns.start[j]..columns.start[j + 1]).map(move |e| (j as u32, e));
        let want = (0..40).flat_map(by_column).map(|(j, e)| (j, columns.index[e], columns.value[e]));
        let want: Vec<_> = want.collect();
        assert_eq!(entries, want);
        assert_eq!(columns.offset, rows.offset);
    }
}
