//! Where bytes come from: the Hugging Face hub and its cache, directories or loose files, the built-in pair,
//! safetensors, sharded checkpoints.
//!
//! Everything a file can get wrong is found here and named: a truncated file, a header that lies about its
//! offsets, a missing or misshapen tensor, weights that are not finite.
//!
//! Not supported: pickled checkpoints (`pytorch_model.bin`), which can run code when they are opened.

mod bytes;
pub(crate) mod checksum;
#[cfg(not(target_arch = "wasm32"))]
mod embedded;
mod error;
mod files;
#[cfg(not(target_arch = "wasm32"))]
pub mod hub;
pub(crate) mod json;
mod known;
mod safetensors;
mod weights;

pub use bytes::{Bytes, ReadAt, without_bom};
#[cfg(not(target_arch = "wasm32"))]
pub use embedded::{BUILT_IN, embedded};
pub use error::CheckpointError;
pub use files::Files;
pub use known::{Known, known, same_model};
pub use safetensors::{SafeFile, Stored};
pub(crate) use safetensors::{integers, numbers};
pub use weights::Weights;
