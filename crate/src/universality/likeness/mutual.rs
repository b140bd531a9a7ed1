use serde::{Deserialize, Serialize};

use super::super::{Best, LayerBest};

/// A feature of A and one of B that are each other's best.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct MutualPair {
    /// Layer and index of A's feature.
    pub a: (usize, usize),
    /// Layer and index of B's feature.
    pub b: (usize, usize),
    /// Their correlation, as A's side has it.
    pub mppc: f32,
}

/// Features that are each other's best.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct Mutual {
    /// The pairs, by A's feature.
    pub pairs: Vec<MutualPair>,
    /// Their share of the features of A that have a best at all; null when none has.
    pub share_of_a: Option<f64>,
    /// The same of B.
    pub share_of_b: Option<f64>,
    /// Mean correlation of the pairs; null when there is none.
    pub mean: Option<f64>,
}

/// The features of two layers that are each other's best. Equals went to the lowest index when the best were
/// found, so of several copies of a feature one is matched.
pub fn mutual_best(a_to_b: &Best, b_to_a: &Best) -> Mutual {
    let layer = |best: &Best| {
        let layer = best.argmax.iter().map(|&j| if j < 0 { -1 } else { 0 }).collect();
        LayerBest { mppc: best.mppc.clone(), layer, argmax: best.argmax.clone() }
    };
    mutual_best_layers(&[layer(a_to_b)], &[layer(b_to_a)])
}

/// The features of two models that are each other's best over all layers; one [`LayerBest`] for each layer.
pub fn mutual_best_layers(a_to_b: &[LayerBest], b_to_a: &[LayerBest]) -> Mutual {
    let mut pairs = Vec::new();
    for (layer, best) in a_to_b.iter().enumerate() {
        for (i, &mppc) in best.mppc.iter().enumerate() {
            let a = (layer, i);
            if let Some(b) = partner(a_to_b, a)
                && partner(b_to_a, b) == Some(a)
            {
                pairs.push(MutualPair { a, b, mppc });
            }
        }
    }
    let matched = pairs.len() as f64;
    let share = |side: &[LayerBest]| {
        let partners = side.iter().flat_map(|best| &best.argmax).filter(|j| **j >= 0).count();
        (partners > 0).then(|| matched / partners as f64)
    };
    let sum: f64 = pairs.iter().map(|pair| f64::from(pair.mppc)).sum();
    Mutual {
        share_of_a: share(a_to_b),
        share_of_b: share(b_to_a),
        mean: (!pairs.is_empty()).then(|| sum / matched),
        pairs,
    }
}

/// Layer and index of a feature's best; none where it has none or the feature does not exist.
fn partner(side: &[LayerBest], (layer, i): (usize, usize)) -> Option<(usize, usize)> {
    let best = side.get(layer)?;
    let place = |v: Option<&i32>| v.and_then(|v| usize::try_from(*v).ok());
    Some((place(best.layer.get(i))?, place(best.argmax.get(i))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_whose_best() {
        let best = |mppc: &[f32], argmax: &[i32]| Best { mppc: mppc.to_vec(), argmax: argmax.to_vec() };
        // A's 0 and 2 both like B's 1, which likes 2; A's 1 and B's 0 like each other; A's 3 is silent.
        let a = best(&[0.5, 0.25, 0.75, f32::NAN], &[1, 0, 1, -1]);
        let b = best(&[0.25, 0.75, 0.1], &[1, 2, 0]);
        let got = mutual_best(&a, &b);
        let pairs: Vec<_> = got.pairs.iter().map(|p| (p.a.1, p.b.1, p.mppc)).collect();
        assert_eq!(pairs, [(1, 0, 0.25), (2, 1, 0.75)]);
        assert_eq!((got.share_of_a, got.share_of_b, got.mean), (Some(2.0 / 3.0), Some(2.0 / 3.0), Some(0.5)));
        let none = mutual_best(&best(&[f32::NAN], &[-1]), &Best::default());
        assert_eq!((none.share_of_a, none.share_of_b, none.mean, none.pairs.len()), (None, None, None, 0));
        // An index that the other side lacks matches nobody.
        assert!(mutual_best(&best(&[0.5], &[7]), &best(&[0.5], &[0])).pairs.is_empty());
    }

    #[test]
    fn over_layers_the_layer_counts() {
        let best = |mppc: &[f32], layer: &[i32], argmax: &[i32]| LayerBest {
            mppc: mppc.to_vec(),
            layer: layer.to_vec(),
            argmax: argmax.to_vec(),
        };
        // Both layers of A have a feature 0 whose best is feature 0 of B's second layer, which likes A's second.
        let a = [best(&[0.5], &[1], &[0]), best(&[0.75], &[1], &[0])];
        let b = [best(&[0.5], &[0], &[0]), best(&[0.75], &[1], &[0])];
        let got = mutual_best_layers(&a, &b);
        assert_eq!(got.pairs, [MutualPair { a: (1, 0), b: (1, 0), mppc: 0.75 }]);
        assert_eq!((got.share_of_a, got.share_of_b), (Some(0.5), Some(0.5)));
    }
}
