//! What the maximum over many features reaches by chance, and how probable an MPPC is without correspondence.
//!
//! Each null is a whole MPPC of its own, exact. A thousand of them would cost a thousand runs, so a feature's p-value
//! pools: the null maxima of a feature depend on how often it fires far more than on anything else it is, so those of
//! its neighbours by density stand in for more nulls of its own. Twenty nulls and 51 neighbours give 1,020 draws.

use crate::rng::Rng;
use crate::sae::Codes;

/// The tokens in an order that only `seed` and their number decide: all layers of a model stay together, while
/// nothing corresponds to the other model any longer. MPPC of shuffled codes is the null: what the maximum over
/// many features reaches by chance.
///
/// # Panics
/// When the codes break the promises of [`Codes`].
pub fn shuffle_tokens(codes: &Codes, seed: u64) -> Codes {
    let mut order: Vec<usize> = (0..codes.tokens()).collect();
    Rng::new(seed).shuffle(&mut order);
    in_order(codes, order.into_iter())
}

/// The tokens moved on in a circle, by a distance between a tenth and nine tenths of them that only `seed` and their
/// number decide. Unlike [`shuffle_tokens`] this keeps neighbours together, so that what is alike from one token to the
/// next, and within a document, stays alike.
///
/// # Panics
/// When the codes break the promises of [`Codes`].
pub fn shift_tokens(codes: &Codes, seed: u64) -> Codes {
    let n = codes.tokens();
    let distance = n / 10 + Rng::new(seed).below((n - 2 * (n / 10)).max(1) as u64) as usize;
    in_order(codes, (distance..n).chain(0..distance))
}

fn in_order(codes: &Codes, order: impl Iterator<Item = usize>) -> Codes {
    let mut moved = Codes::new(codes.n_features);
    moved.indices.reserve(codes.indices.len());
    moved.values.reserve(codes.values.len());
    for t in order {
        let (indices, values) = codes.row(t);
        moved.indices.extend_from_slice(indices);
        moved.values.extend_from_slice(values);
        moved.indptr.push(moved.indices.len() as u64);
    }
    moved
}

/// For each feature the share of null maxima at least as large as its MPPC, (1 + count) / (1 + draws), over its own
/// nulls and those of the features nearest by density, until there are at least `draws` (or no more features). NaN for
/// a feature without MPPC; `nulls[r][i]` is feature i's maximum in null r.
///
/// The nulls are exact; that neighbours by density share a null distribution is an estimate.
///
/// # Panics
/// When the lengths differ.
pub fn pooled_p_values(mppc: &[f32], density: &[f64], nulls: &[Vec<f32>], draws: usize) -> Vec<f64> {
    assert_eq!(mppc.len(), density.len(), "pooled_p_values: densities");
    assert!(nulls.iter().all(|null| null.len() == mppc.len()), "pooled_p_values: nulls");
    let mut order: Vec<usize> = (0..mppc.len()).filter(|&i| !mppc[i].is_nan()).collect();
    order.sort_by(|&i, &j| density[i].total_cmp(&density[j]));
    let wide = draws.div_ceil(nulls.len().max(1)).clamp(1, order.len().max(1));
    let mut p = vec![f64::NAN; mppc.len()];
    for (rank, &i) in order.iter().enumerate() {
        let start = rank.saturating_sub(wide / 2).min(order.len() - wide);
        let pool = || order[start..start + wide].iter().flat_map(|&j| nulls.iter().map(move |null| null[j]));
        let drawn = pool().filter(|v| !v.is_nan()).count();
        let reached = pool().filter(|v| *v >= mppc[i]).count();
        p[i] = (1 + reached) as f64 / (1 + drawn) as f64;
    }
    p
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::universality::{from_dense, moments};

    #[test]
    fn a_circle_keeps_neighbours() {
        let dense: Vec<f32> = (1..=50).map(|t| t as f32).collect();
        for seed in 0..20 {
            let moved = shift_tokens(&from_dense(1, &dense), seed).values;
            let distance = moved[0] as usize - 1;
            assert!((5..45).contains(&distance), "{distance}");
            assert!((0..50).all(|t| moved[t] == dense[(t + distance) % 50]));
        }
        assert_eq!(shift_tokens(&Codes::new(3), 1), Codes::new(3));
    }

    #[test]
    fn p_values_are_even_without_correspondence_and_small_with_it() {
        // Maxima grow as features get rarer, so that pooling all of them would be wrong.
        let features = 4_000;
        let density: Vec<f64> = (0..features).map(|i| (1 + (i * 37) % features) as f64).collect();
        let draw = |seed: u64| {
            let noise = crate::kernels::testing::uniform(seed, features);
            noise.iter().zip(&density).map(|(u, d)| u + 10.0 / *d as f32).collect::<Vec<f32>>()
        };
        let nulls: Vec<Vec<f32>> = (1..=20).map(draw).collect();
        let mut mppc = draw(99);
        (mppc[0], mppc[1]) = (50.0, f32::NAN);
        let p = pooled_p_values(&mppc, &density, &nulls, 1_000);
        assert_eq!(p[0], 1.0 / 1_001.0);
        assert!(p[1].is_nan());
        for level in [0.05, 0.2, 0.5] {
            let below = p[2..].iter().filter(|p| **p <= level).count() as f64 / (features - 2) as f64;
            // Four deviations of a share of 4,000 at 0.5 are 0.032; neighbours differ a little among the rarest.
            assert!((below - level).abs() < 0.035, "{below} at {level}");
        }
        // Without nulls nothing can be said.
        assert_eq!(pooled_p_values(&[0.5], &[0.1], &[], 1_000), [1.0]);
    }

    #[test]
    fn layers_are_shuffled_alike() {
        let dense: Vec<f32> = (0..300).map(|t| t as f32).collect();
        let twice: Vec<f32> = dense.iter().map(|x| 2.0 * x).collect();
        let one = shuffle_tokens(&from_dense(1, &dense), 5);
        let two = shuffle_tokens(&from_dense(1, &twice), 5);
        // The token of value 0 has an empty row: at the same place in both.
        assert_eq!(one.indptr, two.indptr);
        assert!(one.values.iter().zip(&two.values).all(|(x, y)| 2.0 * x == *y));
        assert_ne!(one.values, from_dense(1, &dense).values);
        assert_ne!(one.values, shuffle_tokens(&from_dense(1, &dense), 6).values);
        // Sums of whole numbers are exact in any order.
        assert_eq!(moments(&one)[0].mean, moments(&from_dense(1, &dense))[0].mean);
    }
}
