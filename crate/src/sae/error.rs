//! What can be wrong with a SAE, its files, or its codes.

use thiserror::Error;

use crate::checkpoint::CheckpointError;
use crate::gpu::GpuError;

/// Everything that loading, saving, training or using a sparse autoencoder can end with.
#[derive(Debug, Error)]
pub enum SaeError {
    /// A file is missing or damaged, or a tensor is not what the configuration says.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A file could not be read or written.
    #[error("{file}: {source}")]
    Io {
        /// The file.
        file: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A folder holds no SAE.
    #[error(
        "{place} has no cfg.json, hyperparams.json or config.json of an SAE; give the folder of an SAE of SAELens, \
         sparsify, Language-Model-SAEs, or dictionary_learning (converted)"
    )]
    NotSae {
        /// The folder.
        place: String,
    },
    /// The weights are there only as a pickle.
    #[error(
        "{file} is a pickle, which can run code when it is opened; convert it: \
         python tools/convert_dictionary_learning.py {place}"
    )]
    Pickle {
        /// The file.
        file: String,
        /// Its folder.
        place: String,
    },
    /// A weight that its convention cannot be applied with.
    #[error("{file}: {tensor} holds {value} at element {index}, but must be {expected}")]
    BadWeight {
        /// The file.
        file: String,
        /// The tensor.
        tensor: &'static str,
        /// Where.
        index: usize,
        /// What stands there.
        value: f32,
        /// What may stand there.
        expected: &'static str,
    },
    /// SAELens has no words for this arithmetic.
    #[error("{name}: an SAE whose {what} cannot be written in SAELens's form; use the files it came in")]
    NotSaeLens {
        /// The SAE.
        name: String,
        /// What it does.
        what: &'static str,
    },
    /// The configuration is not JSON, or not an object.
    #[error("{file}: not a JSON object ({reason})")]
    Json {
        /// The file.
        file: String,
        /// Where it breaks.
        reason: String,
    },
    /// The configuration lacks a key.
    #[error("{file}: the key `{key}` is missing; a {form} configuration has it")]
    MissingKey {
        /// The file.
        file: String,
        /// The key.
        key: &'static str,
        /// Whose configuration it is.
        form: &'static str,
    },
    /// A key holds something impossible.
    #[error("{file}: `{key}` is {value}, but must be {expected}")]
    BadKey {
        /// The file.
        file: String,
        /// The key.
        key: &'static str,
        /// What it holds, as JSON.
        value: String,
        /// What it may hold.
        expected: String,
    },
    /// A key asks for arithmetic that is not implemented.
    #[error("{file}: `{key}` {value} is not supported; supported: {supported}")]
    Unsupported {
        /// The file.
        file: String,
        /// The key.
        key: &'static str,
        /// What it asks for, as JSON.
        value: String,
        /// What may stand there.
        supported: &'static str,
    },
    /// The tensors do not make a file.
    #[error("{file}: cannot be written as safetensors: {reason}")]
    Safetensors {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// A weight to be saved is NaN, infinite, or too large for 16 bits.
    #[error("{file}: the tensor `{tensor}` holds {value} at element {index}, which cannot be saved")]
    NotFinite {
        /// The file.
        file: String,
        /// The tensor.
        tensor: &'static str,
        /// Where.
        index: usize,
        /// NaN or an infinity.
        value: f32,
    },
    /// Activations that single precision cannot hold once they are normalised.
    #[error(
        "{name}: the activations of token {token} are not finite ({value}): they are too large for this SAE; use \
         those of its hook"
    )]
    Overflow {
        /// The SAE.
        name: String,
        /// The token, counted through what was given.
        token: usize,
        /// NaN or an infinity.
        value: f32,
    },
    /// The SAE was made for activations of another width.
    #[error(
        "{name}: the SAE reads activations of width {d_in}, but these have width {width}; use the SAE of this model"
    )]
    Width {
        /// The SAE.
        name: String,
        /// The SAE's width.
        d_in: usize,
        /// The activations' width.
        width: usize,
    },
    /// A feature that is NaN or infinite.
    #[error(
        "{name}: feature {feature} is {value} at token {token}; these activations or the SAE's weights are too large \
         for 32-bit floats: check that they belong together"
    )]
    Infinite {
        /// The SAE.
        name: String,
        /// The token.
        token: usize,
        /// The feature.
        feature: u32,
        /// NaN or an infinity.
        value: f32,
    },
    /// The activations have heads, and not those that the SAE reads.
    #[error("{name}: the SAE {found}; use the activations that it was trained on")]
    Head {
        /// The SAE.
        name: String,
        /// What does not fit.
        found: String,
    },
    /// The SAE was made for another place in the model.
    #[error("{name}: the SAE was trained on {trained}, not on {hook}; use the SAE of that hook")]
    Hook {
        /// The SAE.
        name: String,
        /// Where it was trained.
        trained: String,
        /// Where it is to be used.
        hook: String,
    },
    /// A file of codes is not one.
    #[error("{file}: not a file of codes: {reason}")]
    Codes {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// Training was asked for with impossible settings.
    #[error("SAE training: {0}")]
    Training(String),
    /// The device failed.
    #[error(transparent)]
    Gpu(#[from] GpuError),
}
