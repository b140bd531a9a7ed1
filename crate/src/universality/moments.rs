use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::bands;
use crate::par;
use crate::sae::Codes;

/// How one feature is distributed over the tokens, those on which it does not fire included.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Moment {
    /// Mean.
    pub mean: f64,
    /// Variance (divided by n).
    pub variance: f64,
    /// Share of tokens on which it is not 0.
    pub density: f64,
    /// Largest value.
    pub max: f32,
    /// Whether two of its values differ. Decided exactly, unlike a variance above 0.
    pub varies: bool,
}

/// One feature on the way.
#[derive(Clone, Copy, Default)]
struct Running {
    fires: usize,
    sum: f64,
    first: f32,
    differs: bool,
    max: f32,
    /// Σ (x − mean) and Σ (x − mean)² over the tokens on which it fires.
    residual: f64,
    squares: f64,
}

/// Mean, variance, density and maximum of each feature. Two passes in float64: a large mean costs nothing.
///
/// # Panics
/// When the codes break the promises of [`Codes`].
pub fn moments(codes: &Codes) -> Vec<Moment> {
    let bands = bands::of_features(codes.n_features);
    par::map(bands.len(), |b| moments_of(codes, &bands[b])).concat()
}

fn moments_of(codes: &Codes, band: &Range<usize>) -> Vec<Moment> {
    let n = codes.tokens();
    let mut features = vec![Running::default(); band.len()];
    bands::entries(codes, band, |_, j, x| {
        if x == 0.0 {
            return;
        }
        let f = &mut features[j - band.start];
        if f.fires == 0 {
            (f.first, f.max) = (x, x);
        }
        f.fires += 1;
        f.sum += f64::from(x);
        f.differs |= x != f.first;
        f.max = f.max.max(x);
    });
    let count = n.max(1) as f64;
    let means: Vec<f64> = features.iter().map(|f| f.sum / count).collect();
    bands::entries(codes, band, |_, j, x| {
        if x == 0.0 {
            return;
        }
        let f = &mut features[j - band.start];
        let d = f64::from(x) - means[j - band.start];
        f.residual += d;
        f.squares += d * d;
    });
    let finish = |(f, &mean): (&Running, &f64)| {
        let silent = n - f.fires;
        let varies = f.differs || (f.fires > 0 && silent > 0);
        // What the rounding of the mean left behind is taken off again.
        let residual = f.residual - silent as f64 * mean;
        let squares = f.squares + silent as f64 * mean * mean - residual * residual / count;
        Moment {
            mean,
            variance: if varies { squares / count } else { 0.0 },
            density: f.fires as f64 / count,
            max: if silent > 0 { f.max.max(0.0) } else { f.max },
            varies,
        }
    };
    features.iter().zip(&means).map(finish).collect()
}

/// Which features a filtered summary is about: those that are neither dead, rare nor always on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify))]
#[serde(deny_unknown_fields, default)]
pub struct DensityFilter {
    /// Smallest share of tokens.
    pub min: f64,
    /// Largest share of tokens.
    pub max: f64,
}

impl Default for DensityFilter {
    /// At least one token in 10,000, at most half of them.
    fn default() -> Self {
        Self { min: 1e-4, max: 0.5 }
    }
}

impl DensityFilter {
    /// Whether a feature stays.
    pub fn keeps(&self, moment: &Moment) -> bool {
        moment.varies && moment.density > 0.0 && (self.min..=self.max).contains(&moment.density)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::universality::from_dense;

    #[test]
    fn tells_constants_from_features_with_variance_exactly() {
        // Columns: dead, constant, the constant with one neighbour in the last place, one firing, negative.
        let next = f32::from_bits(0.3f32.to_bits() + 1);
        let rows = [[0.0, 0.3, 0.3, 0.0, -2.0], [0.0, 0.3, next, 4.0, -2.0], [0.0, 0.3, 0.3, 0.0, -1.0]];
        let m = moments(&from_dense(5, rows.as_flattened()));
        assert_eq!(m.iter().map(|m| m.varies).collect::<Vec<_>>(), [false, false, true, true, true]);
        assert_eq!(m.iter().map(|m| m.max).collect::<Vec<_>>(), [0.0, 0.3, next, 4.0, -1.0]);
        assert_eq!(m[3].density, 1.0 / 3.0);
        assert_eq!(m[1].variance, 0.0);
        // Two float64 operations away from the textbook value.
        assert!((m[3].variance - 32.0 / 9.0).abs() < 1e-14, "{}", m[3].variance);
        let step = f64::from(next) - f64::from(0.3f32);
        assert!((m[2].variance / (step * step * 2.0 / 9.0) - 1.0).abs() < 1e-6, "{}", m[2].variance);
    }

    #[test]
    fn filter_drops_dead_rare_and_always_on_features() {
        let m = |density, varies| Moment { density, varies, ..Default::default() };
        let filter = DensityFilter { min: 0.0, max: 0.5 };
        assert!(filter.keeps(&m(0.1, true)) && filter.keeps(&m(0.5, true)));
        assert!(
            !filter.keeps(&m(0.0, false)) && !filter.keeps(&m(0.6, true)) && !filter.keeps(&m(0.3, false))
        );
    }
}
