//! What a network can have beside the residual stream that every one has, so that experiments ask for what they need
//! and not for an architecture. A network answers for each with itself, or with nothing.

use crate::gpu::Tensor;
use crate::kernels::{Activation, Scan};

/// Something that not every network has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capability {
    /// [`Attention`].
    Attention,
    /// [`Recurrence`].
    Recurrence,
    /// [`Convolution`].
    Convolution,
}

impl Capability {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Attention, Self::Recurrence, Self::Convolution];

    /// Its name in a sentence, without an article.
    pub fn name(self) -> &'static str {
        match self {
            Self::Attention => "attention heads",
            Self::Recurrence => "recurrence",
            Self::Convolution => "convolution",
        }
    }

    /// Its name in a sentence that says it is needed.
    pub fn needed(self) -> &'static str {
        match self {
            Self::Attention => "attention heads",
            Self::Recurrence => "a recurrence",
            Self::Convolution => "a convolution",
        }
    }
}

/// Attention heads, H in each layer.
pub trait Attention {
    /// H.
    fn heads(&self) -> usize;

    /// Hook point of what the heads of a layer have gathered, [B, T, H, d].
    fn z(&self, layer: usize) -> String;

    /// Hook point of a layer's patterns, [B, H, T, T].
    fn pattern(&self, layer: usize) -> String;

    /// What each head of a layer writes into the residual stream, without the bias: z [n, H, d] → H tensors [n, D].
    fn outputs(&self, layer: usize, z: &Tensor) -> Vec<Tensor>;

    /// What attention writes into the residual stream of a layer whatever it sees: [D], if anything.
    fn bias(&self, layer: usize) -> Option<&Tensor>;
}

/// A selective recurrence in each layer: states [E, N] that its channels carry from one position to the next,
/// h_t = exp(Δ_t A) ⊙ h_{t−1} + Δ_t B_t x_t and y_t = C_t · h_t, with a gate behind it.
pub trait Recurrence {
    /// Channels E.
    fn channels(&self) -> usize;

    /// Hook points of a layer's recurrence.
    fn points(&self, layer: usize) -> RecurrencePoints;

    /// Hook point of a layer's state behind a position, [B, E, N].
    fn state(&self, layer: usize, position: usize) -> String;

    /// The recurrence of a layer from state `h0` [B, E, N] (zeros if absent) on inputs of one's own.
    fn scan(&self, layer: usize, inputs: &RecurrenceInputs, h0: Option<&Tensor>) -> Scan;
}

/// Names of the hook points of a layer's recurrence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecurrencePoints {
    /// Its input x, [B, T, E].
    pub x: String,
    /// Its step Δ, [B, T, E].
    pub delta: String,
    /// Where it writes, B, [B, T, N].
    pub b: String,
    /// Where it reads, C, [B, T, N].
    pub c: String,
    /// What it answers, y, [B, T, E].
    pub y: String,
    /// The gate behind it, [B, T, E].
    pub gate: String,
}

/// What a layer's recurrence is given.
#[derive(Debug, Clone)]
pub struct RecurrenceInputs {
    /// Input x, [B, T, E].
    pub x: Tensor,
    /// Step Δ, [B, T, E].
    pub delta: Tensor,
    /// Where it writes, B, [B, T, N].
    pub b: Tensor,
    /// Where it reads, C, [B, T, N].
    pub c: Tensor,
}

/// A causal convolution in each layer, one filter of K taps a channel.
pub trait Convolution {
    /// Taps K.
    fn taps(&self) -> usize;

    /// Hook points of what a layer's convolution reads and of what it gives, [B, T, E] both.
    fn points(&self, layer: usize) -> ConvolutionPoints;

    /// The weights of a layer [E, K]; the last column reads the current token, the one before it the token before,
    /// and so on.
    fn weight(&self, layer: usize) -> &Tensor;

    /// The convolution of a layer with other weights [E, K] than its own: x [B, T, E] → [B, T, E].
    fn convolve(&self, layer: usize, x: &Tensor, weight: &Tensor) -> Tensor;
}

/// Names of the hook points of a layer's convolution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConvolutionPoints {
    /// What it reads.
    pub input: String,
    /// What it gives, before the activation.
    pub output: String,
}

/// Something that a block adds to the residual stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addend {
    /// Each of its heads, and the bias of its attention ([`Attention::outputs`], [`Attention::bias`]).
    Heads,
    /// The value [B, T, D] of a hook point.
    Value {
        /// What it is called, e.g. `MLP`.
        name: &'static str,
        /// The hook point.
        hook: String,
    },
}

/// Neurons of a network, in the sense of the paper's baseline (section 3): the channels of a hook point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neurons {
    /// The hook point.
    pub hook: String,
    /// What they are put through first: a gate is shown before its SiLU.
    pub activation: Activation,
}
