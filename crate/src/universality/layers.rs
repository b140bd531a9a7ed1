use super::{Best, Correlation};

/// MPPC between all layers of two models, both ways.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LayerResult {
    /// For each feature of A the best feature of B.
    pub a_to_b: Layers,
    /// For each feature of B the best feature of A.
    pub b_to_a: Layers,
}

/// One direction of [`LayerResult`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Layers {
    /// `pairs[i][j]`: features of own layer `i` against the other model's layer `j` alone.
    pub pairs: Vec<Vec<Best>>,
    /// `best[i]`: features of own layer `i` against all layers of the other model.
    pub best: Vec<LayerBest>,
}

/// For each feature of a layer its best partner in all layers of the other model.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LayerBest {
    /// MPPC; NaN for a feature without variance, or when the other model has no feature with any.
    pub mppc: Vec<f32>,
    /// The partner's layer, the lowest one of equals; −1 where `mppc` is NaN.
    pub layer: Vec<i32>,
    /// The partner's index in that layer; −1 where `mppc` is NaN.
    pub argmax: Vec<i32>,
}

impl Layers {
    fn new(pairs: Vec<Vec<Best>>) -> Self {
        let best = pairs.iter().map(|row| LayerBest::over(row)).collect();
        Self { pairs, best }
    }
}

impl LayerBest {
    fn over(layers: &[Best]) -> Self {
        let len = layers.first().map_or(0, |best| best.mppc.len());
        let mut all = Self { mppc: vec![f32::NAN; len], layer: vec![-1; len], argmax: vec![-1; len] };
        for (layer, best) in (0i32..).zip(layers) {
            for (i, (&mppc, &argmax)) in best.mppc.iter().zip(&best.argmax).enumerate() {
                if argmax >= 0 && (all.layer[i] < 0 || mppc > all.mppc[i]) {
                    (all.mppc[i], all.layer[i], all.argmax[i]) = (mppc, layer, argmax);
                }
            }
        }
        all
    }
}

impl LayerResult {
    /// What all pairs of layers say together: `pairs[i][j]` is A's layer `i` with B's layer `j`.
    pub fn new(pairs: Vec<Vec<Correlation>>) -> Self {
        let mut b_pairs = vec![Vec::new(); pairs.first().map_or(0, Vec::len)];
        let mut a_pairs = Vec::new();
        for row in pairs {
            let (to_b, to_a): (Vec<Best>, Vec<Best>) =
                row.into_iter().map(|pair| (pair.a_to_b, pair.b_to_a)).unzip();
            for (all, best) in b_pairs.iter_mut().zip(to_a) {
                all.push(best);
            }
            a_pairs.push(to_b);
        }
        Self { a_to_b: Layers::new(a_pairs), b_to_a: Layers::new(b_pairs) }
    }
}
