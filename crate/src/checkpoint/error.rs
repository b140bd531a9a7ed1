//! What can be wrong with a file.

use thiserror::Error;

use crate::failure::{Fails, Failure, printed};

/// A command that turns the pickles of a directory into safetensors, whatever their layout.
pub(super) fn convert(place: &str) -> String {
    format!(
        "`python -c \"import glob, torch, safetensors.torch as s; s.save_file({{k: v.clone().contiguous() \
         for f in glob.glob('{place}/pytorch_model*.bin') \
         for k, v in torch.load(f, map_location='cpu', weights_only=True).items()}}, '{place}/model.safetensors')\"`"
    )
}

/// A file is missing, damaged, or not what its name says.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// No such file.
    Missing {
        /// Directory or file set.
        place: String,
        /// File looked for.
        name: String,
    },
    /// Only a pickle is there.
    Pickle {
        /// Directory.
        place: String,
        /// The file.
        name: String,
    },
    /// A file that names another one elsewhere.
    Outside {
        /// The file.
        file: String,
        /// What it names.
        name: String,
        /// Directory or file set.
        place: String,
    },
    /// The file cannot be read.
    Io {
        /// The file.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// Not a sound safetensors file.
    Damaged {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// A tensor is not there.
    NoTensor {
        /// The file.
        file: String,
        /// The tensor.
        name: String,
    },
    /// A tensor of another shape than the config says.
    Shape {
        /// The file.
        file: String,
        /// The tensor.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// The shape that fits the config.
        expected: Vec<usize>,
    },
    /// An element type that is not read.
    ElementType {
        /// The file.
        file: String,
        /// The tensor.
        name: String,
        /// Its element type.
        found: String,
        /// What can be read.
        expected: &'static str,
    },
    /// NaN or infinity.
    NotFinite {
        /// The file.
        file: String,
        /// The tensor.
        name: String,
        /// The value.
        value: f32,
        /// Where.
        index: usize,
    },
    /// The machine has no memory for it.
    Memory {
        /// The file.
        file: String,
        /// The tensor.
        name: String,
        /// Bytes asked for.
        bytes: u64,
    },
    /// JSON that does not parse, or lacks a key, or has a value that is not supported.
    Config {
        /// The file.
        file: String,
        /// What is wrong and what to do.
        reason: Failure,
    },
}

impl Fails for CheckpointError {
    fn failure(&self) -> Failure {
        let failure = match self {
            Self::Missing { place, name } => Failure::new(
                format!("{place} has no {name}"),
                "a model directory holds config.json, model.safetensors (or its index) and tokenizer.json, \
                 an SAE directory cfg.json and sae_weights.safetensors",
            ),
            Self::Pickle { place, name } => Failure::new(
                format!("{place} has only {name}, a pickle, which can run code when opened"),
                format!("convert it: {}", convert(place)),
            ),
            Self::Outside { file, name, place } => Failure::new(
                format!("{file} names the file {name:?}, which does not lie in {place}"),
                "nothing outside is opened: bring the file there, and name it by its path in the folder",
            ),
            Self::Io { file, source } => format!("{file} cannot be read: {source}").into(),
            Self::Damaged { file, reason } => Failure::new(
                format!("{file} is not a sound safetensors file: {reason}"),
                "download or write it again",
            ),
            Self::NoTensor { file, name } => format!("{file} has no tensor {name}").into(),
            Self::Shape { file, name, found, expected } => {
                format!("{file}: tensor {name} has shape {found:?}, but the config asks for {expected:?}")
                    .into()
            }
            Self::ElementType { file, name, found, expected } => {
                Failure::new(format!("{file}: tensor {name} is {found}"), format!("{expected} can be read"))
            }
            Self::NotFinite { file, name, value, index } => Failure::new(
                format!("{file}: tensor {name} holds {value} at element {index}"),
                "weights must be finite",
            ),
            Self::Memory { file, name, bytes } => Failure::new(
                format!("{file}: there is no memory for the {bytes} bytes of tensor {name}"),
                "use a machine with more",
            ),
            Self::Config { file, reason } => reason.clone().at(file),
        };
        failure.coded("model")
    }
}

printed!(CheckpointError);
