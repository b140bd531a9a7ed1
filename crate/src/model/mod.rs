//! Language models of any architecture that is registered ([`ARCHITECTURES`]), of any size their configs describe, with
//! hooks.
//!
//! Not supported: generation, caches across calls, and architectures that are not registered.

mod architectures;
mod capabilities;
mod config;
mod error;
mod hooks;
mod language_model;
mod likeliest;
#[cfg(test)]
pub(crate) mod linear;
mod load;
#[cfg(test)]
mod loading_tests;
mod logits;
mod mamba;
mod neox;
mod network;
mod positions;
mod readout;
mod sound;
#[cfg(test)]
mod tests;

pub use architectures::{ARCHITECTURES, architecture};
pub use capabilities::{
    Addend, Attention, Capability, Convolution, ConvolutionPoints, Neurons, Recurrence, RecurrenceInputs,
    RecurrencePoints,
};
pub use error::ModelError;
pub(crate) use hooks::meant;
pub use hooks::{Axis, Edit, HookError, HookPoint, Plan};
pub use language_model::{Model, Output, Prompts};
pub(crate) use likeliest::Softmax;
pub use likeliest::{Likely, argmax, likeliest};
pub use logits::Logits;
pub use network::Architecture;
pub(crate) use positions::positions;
pub use readout::{LastNorm, Readout};
pub(crate) use sound::finite;
