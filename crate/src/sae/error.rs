//! What can be wrong with an SAE, its files, or its codes.

use thiserror::Error;

use crate::checkpoint::CheckpointError;
use crate::failure::{Fails, Failure, printed};
use crate::gpu::GpuError;

/// Everything that loading, saving, training or using a sparse autoencoder can end with.
#[derive(Debug, Error)]
pub enum SaeError {
    /// A file is missing or damaged, or a tensor is not what the configuration says.
    Checkpoint(#[from] CheckpointError),
    /// A file could not be read or written.
    Io {
        /// The file.
        file: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A folder holds no SAE.
    NotSae {
        /// The folder.
        place: String,
    },
    /// The weights are there only as a pickle.
    Pickle {
        /// The file.
        file: String,
        /// Its folder.
        place: String,
    },
    /// A weight that its convention cannot be applied with.
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
    NotSaeLens {
        /// The SAE.
        name: String,
        /// What it does.
        what: &'static str,
    },
    /// The configuration is not JSON, or not an object.
    Json {
        /// The file.
        file: String,
        /// Where it breaks.
        reason: String,
    },
    /// The configuration lacks a key.
    MissingKey {
        /// The file.
        file: String,
        /// The key.
        key: &'static str,
        /// Whose configuration it is.
        form: &'static str,
    },
    /// A key holds something impossible.
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
    Safetensors {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// A weight to be saved is NaN, infinite, or too large for 16 bits.
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
    Overflow {
        /// The SAE.
        name: String,
        /// The token, counted through what was given.
        token: usize,
        /// NaN or an infinity.
        value: f32,
    },
    /// The SAE was made for activations of another width.
    Width {
        /// The SAE.
        name: String,
        /// The SAE's width.
        d_in: usize,
        /// The activations' width.
        width: usize,
    },
    /// A feature that is NaN or infinite.
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
    Head {
        /// The SAE.
        name: String,
        /// What does not fit.
        found: String,
    },
    /// The SAE was made for another place in the model.
    Hook {
        /// The SAE.
        name: String,
        /// Where it was trained.
        trained: String,
        /// Where it is to be used.
        hook: String,
    },
    /// A file of codes is not one.
    Codes {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// Training was asked for with impossible settings.
    Training(Failure),
    /// The device failed.
    Gpu(#[from] GpuError),
}

impl Fails for SaeError {
    fn failure(&self) -> Failure {
        match self {
            Self::Checkpoint(error) => error.failure(),
            Self::Io { file, source } => format!("{file}: {source}").into(),
            Self::NotSae { place } => Failure::new(
                format!("{place} has no cfg.json, hyperparams.json or config.json of an SAE"),
                "give the folder of an SAE of SAELens, sparsify, Language-Model-SAEs, or \
                 dictionary_learning (converted)",
            ),
            Self::Pickle { file, place } => Failure::new(
                format!("{file} is a pickle, which can run code when it is opened"),
                format!("convert it: python tools/convert_dictionary_learning.py {place}"),
            ),
            Self::BadWeight { file, tensor, index, value, expected } => {
                format!("{file}: {tensor} holds {value} at element {index}, but must be {expected}").into()
            }
            Self::NotSaeLens { name, what } => Failure::new(
                format!("{name}: an SAE whose {what} cannot be written in SAELens's form"),
                "use the files it came in",
            ),
            Self::Json { file, reason } => format!("{file}: not a JSON object ({reason})").into(),
            Self::MissingKey { file, key, form } => Failure::new(
                format!("{file}: the key `{key}` is missing"),
                format!("a {form} configuration has it"),
            ),
            Self::BadKey { file, key, value, expected } => {
                format!("{file}: `{key}` is {value}, but must be {expected}").into()
            }
            Self::Unsupported { file, key, value, supported } => Failure::new(
                format!("{file}: `{key}` {value} is not supported"),
                format!("supported: {supported}"),
            ),
            Self::Safetensors { file, reason } => {
                format!("{file}: cannot be written as safetensors: {reason}").into()
            }
            Self::NotFinite { file, tensor, index, value } => format!(
                "{file}: the tensor `{tensor}` holds {value} at element {index}, which cannot be saved"
            )
            .into(),
            Self::Overflow { name, token, value } => Failure::new(
                format!(
                    "{name}: the activations of token {token} are not finite ({value}): they are too large for this SAE"
                ),
                "use those of its hook",
            ),
            Self::Width { name, d_in, width } => Failure::new(
                format!("{name}: the SAE reads activations of width {d_in}, but these have width {width}"),
                "use the SAE of this model",
            ),
            Self::Infinite { name, token, feature, value } => Failure::new(
                format!("{name}: feature {feature} is {value} at token {token}"),
                "these activations or the SAE's weights are too large for 32-bit floats: check that they \
                 belong together",
            ),
            Self::Head { name, found } => {
                Failure::new(format!("{name}: the SAE {found}"), "use the activations that it was trained on")
            }
            Self::Hook { name, trained, hook } => Failure::new(
                format!("{name}: the SAE was trained on {trained}, not on {hook}"),
                "use the SAE of that hook",
            ),
            Self::Codes { file, reason } => format!("{file}: not a file of codes: {reason}").into(),
            Self::Training(failure) => failure.clone().at("SAE training"),
            Self::Gpu(error) => error.failure(),
        }
    }
}

printed!(SaeError);
