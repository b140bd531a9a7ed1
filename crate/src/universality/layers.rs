use std::ops::ControlFlow;

use super::correlate::{correlate_prepared, same_tokens};
use super::error::check;
use super::{Best, CorrelationError, moments, standard};
use crate::gpu::Engine;
use crate::sae::Codes;

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

/// MPPC over all layer pairs of two models; `a` and `b` hold one SAE's codes a layer, all over the same tokens.
///
/// `step(done, pairs)` is called before the first layer pair and after each; breaking stops the run.
///
/// # Errors
/// As [`super::correlate`]; [`CorrelationError::Cancelled`] when `step` breaks.
pub async fn mppc_layers(
    engine: &Engine,
    a: &[Codes],
    b: &[Codes],
    mut step: impl FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<LayerResult, CorrelationError> {
    if let Some(first) = a.iter().chain(b).next() {
        for codes in a.iter().chain(b) {
            check(codes)?;
            same_tokens(first.tokens(), codes.tokens())?;
        }
    }
    let total = a.len() * b.len();
    let mut tick = |done| match step(done, total) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(CorrelationError::Cancelled),
    };
    tick(0)?;
    // The standardised codes of B are made anew for each pair: a pass over them costs a small part of a pair,
    // and keeping them would double the memory.
    let b_moments: Vec<_> = b.iter().map(moments).collect();
    let mut a_pairs = Vec::new();
    let mut b_pairs = vec![Vec::new(); b.len()];
    for (i, a) in a.iter().enumerate() {
        let a = standard::by_feature(a, &moments(a));
        let mut row = Vec::new();
        for (j, (codes, moments)) in b.iter().zip(&b_moments).enumerate() {
            let pair = correlate_prepared(engine, &a, codes, moments).await?;
            row.push(pair.a_to_b);
            b_pairs[j].push(pair.b_to_a);
            tick(i * b.len() + j + 1)?;
        }
        a_pairs.push(row);
    }
    Ok(LayerResult { a_to_b: Layers::new(a_pairs), b_to_a: Layers::new(b_pairs) })
}
