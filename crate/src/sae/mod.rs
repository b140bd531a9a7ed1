//! Sparse autoencoders: formats, encode, train, health.
//!
//! Shapes are SAELens's: encoder [D, F], decoder [F, D], with D the width of the activations and F the number
//! of features. What [`Sae::encode`] returns is what SAELens's `encode` returns; with `constant_norm_rescale`
//! that is the feature of the normalised token, √D/‖x‖ times the feature that the paper writes.
//!
//! Files may be SAELens's, sparsify's, dictionary_learning's or Language-Model-SAEs' ([`SaeFile`]); written are
//! SAELens's.
//!
//! Not supported: transcoders as parts of a model (they encode).

mod activation;
mod buffer;
mod codes;
mod codes_file;
mod config;
mod controls;
mod encode;
mod error;
mod files;
pub mod formats;
mod heads;
mod health;
mod train;
mod weights;
mod without;

pub use activation::ActivationFn;
pub use buffer::ShuffleBuffer;
pub use codes::Codes;
pub use config::{Heads, SaeConfig};
pub use controls::Rotation;
pub use encode::Sae;
pub use error::SaeError;
pub use files::Storage;
pub use formats::{Format, SaeFile, StoredTensor};
pub use health::{
    DecoderHealth, DecoderScan, Distribution, Flag, Health, HealthAccumulator, Histogram, Quantiles, Spliced,
    code_flags,
};
pub use train::{Facts, SaeKind, Snapshot, TrainConfig, TrainStats, Trainer, kinds};
pub use weights::SaeWeights;
