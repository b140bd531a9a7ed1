//! What an architecture has to say of itself.

use serde::Serialize;

use super::capabilities::{Addend, Attention, Convolution, Neurons, Recurrence};
use super::hooks::{HookPoint, Pass};
use super::load::Source;
use super::logits::Logits;
use super::readout::Readout;
use crate::checkpoint::{CheckpointError, Weights};
use crate::gpu::Tensor;

/// An architecture, and how its checkpoints are told and loaded.
#[derive(Debug, Serialize)]
pub struct Architecture {
    /// `model_type` of its `config.json`.
    pub model_type: &'static str,
    /// Its name in sentences.
    pub title: &'static str,
    /// Keys by which a `config.json` without a `model_type` is known to be of it; none where there is no such layout.
    pub keys: &'static [&'static str],
    /// What stands behind `layers.{l}.` in the names of tensors that every layer has.
    pub part: &'static str,
    #[serde(skip)]
    pub(super) load: fn(&Source<'_>, &mut Vec<String>) -> Result<Loaded, CheckpointError>,
}

/// A network, and the weights that it was loaded from.
pub(super) type Loaded = (Box<dyn Network>, Weights);

/// Sizes that every network has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizes {
    /// Layers L.
    pub(super) layers: usize,
    /// Width D of the residual stream.
    pub(super) d_model: usize,
    /// Rows V of the embedding, padding rows included.
    pub(super) vocab: usize,
    /// Tokens that it was made to read at most.
    pub(super) context: usize,
}

/// A network with its weights on an engine: blocks that add to a residual stream, from an embedding to an unembedding.
///
/// Its hook points are named as TransformerLens does. `hook_embed`, `blocks.{l}.hook_resid_pre` and
/// `blocks.{l}.hook_resid_post`, [B, T, D] each, are among them, whatever the architecture.
pub(super) trait Network {
    /// Its sizes.
    fn sizes(&self) -> Sizes;

    /// Operations of a pass over one prompt of `len` tokens, and the bytes of what it holds at once, roughly.
    fn work(&self, len: usize) -> (f64, f64);

    /// Every hook point for prompts of this batch and length, in the order of the pass.
    fn hooks(&self, batch: usize, len: usize) -> Vec<HookPoint>;

    /// Runs it on token ids `tokens` [B, T]; returns logits [B, T, V] if the pass wants them.
    fn forward(&self, tokens: &Tensor, pass: &mut Pass) -> Option<Logits>;

    /// How the residual stream becomes logits.
    fn readout(&self) -> Readout<'_>;

    /// What a layer adds to the residual stream, in the order of the pass.
    fn addends(&self, layer: usize) -> Vec<Addend>;

    /// Its neurons, layer after layer.
    fn neurons(&self) -> Vec<Neurons>;

    /// Its attention heads, if it has any.
    fn attention(&self) -> Option<&dyn Attention> {
        None
    }

    /// Its recurrence, if it has one.
    fn recurrence(&self) -> Option<&dyn Recurrence> {
        None
    }

    /// Its convolution, if it has one.
    fn convolution(&self) -> Option<&dyn Convolution> {
        None
    }
}
