//! Sparse autoencoders: formats, encode, train, health.
//!
//! Shapes are SAELens's: encoder [D, F], decoder [F, D], with D the width of the activations and F the number
//! of features. What [`Sae::encode`] returns is what SAELens's `encode` returns; with `constant_norm_rescale`
//! that is the feature of the normalised token, √D/‖x‖ times the feature that the paper writes.
//!
//! Not supported: gated and JumpReLU SAEs, transcoders, SAEs on `hook_z` with their heads apart.

mod buffer;
mod codes;
mod codes_file;
mod config;
mod encode;
mod error;
mod files;
mod health;
mod train;
mod weights;

pub use buffer::ShuffleBuffer;
pub use codes::Codes;
pub use config::{Architecture, SaeConfig};
pub use encode::{Sae, SaeWeights};
pub use error::SaeError;
pub use files::{CONFIG_FILE, WEIGHTS_FILE};
pub use health::{
    DecoderHealth, DecoderScan, Distribution, Flag, Health, HealthAccumulator, Histogram, Quantiles, Spliced,
    code_flags,
};
pub use train::{SaeKind, TrainConfig, TrainStats, Trainer};
pub use weights::Storage;
