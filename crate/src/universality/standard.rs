//! Codes made ready for the sparse kernel: z = (x − shift) / (σ√n).
//!
//! ρ_ij = Σ_t z_i z_j − offset_i·offset_j with offset = Σz/√n. With shift 0 a silent token stays silent, and
//! offset = μ/σ. Where |μ| ≥ σ that difference would cancel digits, so such a feature is shifted by its mean
//! and all its tokens become entries. It fires on at least half of the tokens anyway (μ² ≤ density·E[x²] gives
//! μ²/σ² ≤ density/(1 − density)), so this never doubles the entries.

use std::ops::Range;

use super::{Moment, bands};
use crate::kernels::Compressed;
use crate::par;
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

fn offset(scaling: &Scaling, sum: f64, tokens: usize) -> f64 {
    if scaling.varies() { sum / (tokens as f64).sqrt() } else { f64::NAN }
}

/// The codes by feature.
pub(super) fn by_feature(codes: &Codes, moments: &[Moment]) -> Compressed {
    let scalings = scalings(codes, moments);
    let tokens = codes.tokens();
    let bands = bands::of_features(codes.n_features);
    let counts = par::map(bands.len(), |b| {
        let mut counts = vec![0; bands[b].len()];
        bands::entries(codes, &bands[b], |_, j, _| counts[j - bands[b].start] += 1);
        counts
    });
    let mut start = vec![0];
    for (s, &count) in scalings.iter().zip(counts.iter().flatten()) {
        let len = if s.full() { tokens } else { count * usize::from(s.varies()) };
        start.push(start[start.len() - 1] + len);
    }
    let mut index = vec![0u32; start[start.len() - 1]];
    let mut value = vec![0.0f32; index.len()];
    let mut offsets = vec![0.0; codes.n_features];

    let sizes = || bands.iter().map(|b| start[b.end] - start[b.start]);
    let index_of = par::pieces(&mut index, sizes());
    let value_of = par::pieces(&mut value, sizes());
    let offsets_of = par::pieces(&mut offsets, bands.iter().map(Range::len));
    let mut parts: Vec<_> = bands.iter().zip(index_of.into_iter().zip(value_of).zip(offsets_of)).collect();
    par::each_mut(&mut parts, 1 << 16, |_, (band, ((index, value), offsets))| {
        let base = start[band.start];
        let mut next: Vec<usize> = start[(*band).clone()].iter().map(|s| s - base).collect();
        for (j, &from) in (*band).clone().zip(&next).filter(|(j, _)| scalings[*j].full()) {
            value[from..from + tokens].fill(scalings[j].apply(0.0));
            index[from..from + tokens].iter_mut().zip(0..).for_each(|(index, t)| *index = t);
        }
        bands::entries(codes, band, |t, j, x| {
            let s = &scalings[j];
            let next = &mut next[j - band.start];
            if s.full() {
                value[*next + t] = s.apply(x);
            } else if s.varies() {
                index[*next] = t as u32;
                value[*next] = s.apply(x);
                *next += 1;
            }
        });
        for (j, o) in (*band).clone().zip(offsets.iter_mut()) {
            let sum = value[start[j] - base..start[j + 1] - base].iter().map(|&z| f64::from(z)).sum();
            *o = offset(&scalings[j], sum, tokens);
        }
    });
    Compressed { indptr: start, indices: index, values: value, offsets }
}

/// The codes by token.
pub(super) fn by_token(codes: &Codes, moments: &[Moment]) -> Compressed {
    let scalings = scalings(codes, moments);
    let tokens = codes.tokens();
    let full: Vec<u32> = (0u32..).zip(&scalings).filter(|(_, s)| s.full()).map(|(j, _)| j).collect();
    let mut start = vec![0; tokens + 1];
    par::each(&mut start[1..], 64, |t| {
        let partial = |j: &&u32| scalings[**j as usize].varies() && !scalings[**j as usize].full();
        full.len() + codes.row(t).0.iter().filter(partial).count()
    });
    for t in 0..tokens {
        start[t + 1] += start[t];
    }
    let mut index = vec![0u32; start[tokens]];
    let mut value = vec![0.0f32; index.len()];

    let bands = bands::of_tokens(tokens);
    let sizes = || bands.iter().map(|b| start[b.end] - start[b.start]);
    let mut parts: Vec<_> =
        par::pieces(&mut index, sizes()).into_iter().zip(par::pieces(&mut value, sizes())).collect();
    let mut sums = vec![Vec::new(); bands.len()];
    let mut work: Vec<_> = bands.iter().zip(parts.iter_mut()).zip(sums.iter_mut()).collect();
    par::each_mut(&mut work, 1 << 16, |_, ((band, (index, value)), sums)| {
        **sums = vec![0.0; codes.n_features];
        let mut at = 0;
        let mut push = |j: u32, x: f32| {
            let z = scalings[j as usize].apply(x);
            sums[j as usize] += f64::from(z);
            (index[at], value[at]) = (j, z);
            at += 1;
        };
        for t in (*band).clone() {
            let (features, values) = codes.row(t);
            // Two ascending lists become one: what is in the row, and the full features that are not.
            let mut silent = full.iter().copied().peekable();
            for (&j, &x) in features.iter().zip(values).filter(|(j, _)| scalings[**j as usize].varies()) {
                while let Some(f) = silent.next_if(|&f| f <= j) {
                    if f < j {
                        push(f, 0.0);
                    }
                }
                push(j, x);
            }
            silent.for_each(|f| push(f, 0.0));
        }
    });
    let total = |j: usize| sums.iter().map(|part: &Vec<f64>| part[j]).sum();
    let offset = scalings.iter().enumerate().map(|(j, s)| offset(s, total(j), tokens)).collect();
    Compressed { indptr: start, indices: index, values: value, offsets: offset }
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
        assert!(columns.indices.len() > codes.indices.len(), "some feature is full");
        for j in 0..40 {
            let fires = codes.indices.iter().filter(|i| **i == j as u32).count();
            let entries = columns.indptr[j + 1] - columns.indptr[j];
            assert!(
                entries == fires || (entries == tokens && tokens <= 2 * fires),
                "{j}: {fires}, {entries}"
            );
        }
        // Both orders hold the same numbers.
        let by_row = |t: usize| (rows.indptr[t]..rows.indptr[t + 1]).map(move |e| (t, e));
        let mut entries: Vec<_> =
            (0..tokens).flat_map(by_row).map(|(t, e)| (rows.indices[e], t as u32, rows.values[e])).collect();
        entries.sort_by_key(|&(j, t, _)| (j, t));
        let by_column = |j: usize| (columns.indptr[j]..columns.indptr[j + 1]).map(move |e| (j as u32, e));
        let want = (0..40).flat_map(by_column).map(|(j, e)| (j, columns.indices[e], columns.values[e]));
        let want: Vec<_> = want.collect();
        assert_eq!(entries, want);
        assert_eq!(columns.offsets, rows.offsets);
    }
}
