//! What every reader gives, and what it reads weights with.

use std::ops::Deref;

use super::fold::{row_norms, transposed};
use crate::checkpoint::{CheckpointError, Files, SafeFile};
use crate::gpu::Engine;
use crate::sae::{Sae, SaeConfig, SaeError, SaeWeights};

/// Whose files an SAE is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// SAELens, of version 6 or older: `cfg.json`, `sae_weights.safetensors`.
    SaeLens,
    /// EleutherAI's sparsify: `cfg.json`, `sae.safetensors`.
    Sparsify,
    /// dictionary_learning, its pickle converted: `config.json`, `ae.safetensors`.
    DictionaryLearning,
    /// OpenMOSS's Language-Model-SAEs of 2024: `hyperparams.json` and weights.
    LmSaes2024,
    /// OpenMOSS's Language-Model-SAEs of 2025: `config.json`, `sae_weights.safetensors`.
    LmSaes2025,
}

impl Format {
    /// The library's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::SaeLens => "SAELens",
            Self::Sparsify => "sparsify",
            Self::DictionaryLearning => "dictionary_learning",
            Self::LmSaes2024 => "Language-Model-SAEs (2024)",
            Self::LmSaes2025 => "Language-Model-SAEs (2025)",
        }
    }

    /// The configuration's key for the width D.
    pub fn width_key(self) -> &'static str {
        match self {
            Self::SaeLens | Self::Sparsify => "d_in",
            Self::DictionaryLearning => "trainer.activation_dim",
            Self::LmSaes2024 | Self::LmSaes2025 => "d_model",
        }
    }

    /// What names the hook, in the configuration or around it.
    pub fn hook_key(self) -> &'static str {
        match self {
            Self::SaeLens => "hook_name",
            Self::Sparsify => "the folder's name",
            Self::DictionaryLearning => "trainer.layer and trainer.submodule_name",
            Self::LmSaes2024 | Self::LmSaes2025 => "hook_point_in",
        }
    }
}

/// A tensor as a file stores it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct StoredTensor {
    /// Its name.
    pub name: String,
    /// Type of its elements.
    pub dtype: String,
    /// Its shape.
    pub shape: Vec<usize>,
}

/// An SAE as read from files, in the lab's arithmetic and in host memory.
#[derive(Debug, Clone)]
pub struct SaeFile {
    /// Whose files they are.
    pub format: Format,
    /// What the SAE is.
    pub config: SaeConfig,
    /// Its weights, conventions folded in.
    pub weights: SaeWeights,
    /// What the library does at an encode or a decode, a sentence each, and what became of it here.
    pub conventions: Vec<String>,
    /// What to know before its features are believed: what else was done to the model that it was trained on.
    pub notes: Vec<String>,
    /// Whether it predicts another place than it reads.
    pub transcoder: bool,
    /// The tensors of its weights file.
    pub tensors: Vec<StoredTensor>,
}

impl SaeFile {
    /// The least and the largest norm of a decoder row, after conventions are folded in.
    pub fn decoder_norms(&self) -> (f64, f64) {
        let norms = row_norms(&self.weights.w_dec, self.config.d_in);
        norms.into_iter().fold((f64::INFINITY, 0.0), |(least, most), n| (n.min(least), n.max(most)))
    }

    /// Puts the SAE on an engine.
    pub fn sae(self, engine: &Engine) -> Sae {
        Sae::new(engine, self.config, self.weights)
    }
}

/// A weights file that notes how its tensors are turned.
pub(super) struct Tensors {
    file: SafeFile,
}

impl Deref for Tensors {
    type Target = SafeFile;

    fn deref(&self) -> &SafeFile {
        &self.file
    }
}

impl Tensors {
    pub(super) fn open(files: &Files, name: &str) -> Result<Self, SaeError> {
        Ok(Self { file: SafeFile::parse(files.label(name), files.open(name)?)? })
    }

    /// A matrix that is stored [cols, rows], as [rows, cols].
    pub(super) fn turned(&self, name: &str, rows: usize, cols: usize) -> Result<Vec<f32>, SaeError> {
        Ok(transposed(&self.file.tensor(name, &[cols, rows])?, cols, rows))
    }

    /// The one element of a tensor of any shape.
    pub(super) fn scalar(&self, name: &str) -> Result<f32, SaeError> {
        let values = self.file.f32s(name)?;
        match values[..] {
            [value] => Ok(value),
            _ => Err(CheckpointError::Shape {
                file: self.file.label().to_owned(),
                name: name.to_owned(),
                found: self.file.shape(name).unwrap_or_default().to_vec(),
                expected: Vec::new(),
            }
            .into()),
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.file.shape(name).is_some()
    }

    pub(super) fn list(&self) -> Vec<StoredTensor> {
        let tensor = |name: String| StoredTensor {
            dtype: self.file.dtype(&name).unwrap_or_default(),
            shape: self.file.shape(&name).unwrap_or_default().to_vec(),
            name,
        };
        self.file.names().into_iter().map(tensor).collect()
    }
}

/// How a sentence about b_dec begins.
pub(super) fn about_b_dec(subtracted: bool, by: &str) -> String {
    format!("b_dec is {}subtracted from the input ({by})", if subtracted { "" } else { "not " })
}
