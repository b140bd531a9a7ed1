//! Everybody's files: which library wrote a folder, what its files say, and the conventions that make its
//! features. Each reader returns the same thing, a SAE in the arithmetic of [`SaeConfig`].

mod dictionary_learning;
mod fold;
mod keys;
mod lm_saes;
mod modules;
mod saelens;
mod sparsify;

use std::ops::Deref;

use serde_json::Value;

use fold::row_norms;
pub(crate) use modules::module_hook;

use super::{Sae, SaeConfig, SaeError, SaeWeights};
use crate::checkpoint::{Files, SafeFile};
use crate::gpu::Engine;

/// Whose files a SAE is in.
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

    /// Name of the configuration.
    pub fn config_file(self) -> &'static str {
        match self {
            Self::SaeLens => saelens::CONFIG,
            Self::Sparsify => sparsify::CONFIG,
            Self::DictionaryLearning => dictionary_learning::CONFIG,
            Self::LmSaes2024 => lm_saes::CONFIG_2024,
            Self::LmSaes2025 => lm_saes::CONFIG_2025,
        }
    }

    /// Where the weights lie, the first that is there.
    fn weight_files(self) -> &'static [&'static str] {
        match self {
            Self::SaeLens => &[saelens::WEIGHTS],
            Self::Sparsify => &[sparsify::WEIGHTS],
            Self::DictionaryLearning => &[dictionary_learning::WEIGHTS],
            Self::LmSaes2024 | Self::LmSaes2025 => &lm_saes::WEIGHTS,
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

    /// Which library wrote these files; `None` when they are no SAE.
    ///
    /// # Errors
    /// [`SaeError::Pickle`] when the weights are there only as a pickle; a configuration that cannot be read.
    pub fn detect(files: &Files) -> Result<Option<Self>, SaeError> {
        if files.has(saelens::CONFIG) {
            let sparsify = files.has(sparsify::WEIGHTS) && !files.has(saelens::WEIGHTS);
            return Ok(Some(if sparsify { Self::Sparsify } else { Self::SaeLens }));
        }
        if files.has(lm_saes::CONFIG_2024) {
            return Ok(Some(Self::LmSaes2024));
        }
        let pickle = |name: &str| SaeError::Pickle { file: files.label(name), place: files.place() };
        if files.has(dictionary_learning::PICKLE) && !files.has(dictionary_learning::WEIGHTS) {
            return Err(pickle(dictionary_learning::PICKLE));
        }
        // A model's configuration has the same name: what is in it tells.
        const SHARED: &str = "config.json";
        if !files.has(SHARED) {
            return Ok(None);
        }
        let map = keys::object(&files.label(SHARED), &files.read(SHARED)?)?;
        Ok(match () {
            () if map.get("trainer").is_some_and(Value::is_object) => Some(Self::DictionaryLearning),
            () if map.contains_key("sae_type") || map.contains_key("norm_activation") => {
                Some(Self::LmSaes2025)
            }
            () if files.has(dictionary_learning::WEIGHTS) => Some(Self::DictionaryLearning),
            () => None,
        })
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

/// A SAE as read from files, in the lab's arithmetic and in host memory.
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
    /// Reads the SAE in a folder, whoever wrote it. Only JSON and safetensors are opened.
    ///
    /// # Errors
    /// When it is no SAE, a file is missing or damaged, says something impossible, or asks for arithmetic that
    /// is not implemented; the error names the file and the key or tensor.
    pub fn read(files: &Files) -> Result<Self, SaeError> {
        let format = Format::detect(files)?.ok_or_else(|| SaeError::NotSae { place: files.place() })?;
        let mut read = match format {
            Format::SaeLens => saelens::read(files),
            Format::Sparsify => sparsify::read(files),
            Format::DictionaryLearning => dictionary_learning::read(files),
            Format::LmSaes2024 => lm_saes::read_2024(files),
            Format::LmSaes2025 => lm_saes::read_2025(files),
        }?;
        let short = read.tensors.iter().map(|t| t.dtype.as_str()).find(|d| matches!(*d, "F16" | "BF16"));
        if let Some(note) = short.map(|dtype| format!("weights stored as {dtype} are computed with in f32")) {
            read.conventions.push(note);
        }
        Ok(read)
    }

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

/// Whether a file of this path is a SAE's configuration that has weights beside it, by names alone; `has` tells which
/// files there are.
pub fn is_config(path: &str, has: impl Fn(&str) -> bool) -> bool {
    const ALL: [Format; 5] = [
        Format::SaeLens,
        Format::Sparsify,
        Format::DictionaryLearning,
        Format::LmSaes2024,
        Format::LmSaes2025,
    ];
    ALL.iter().any(|format| {
        let folder = path.strip_suffix(format.config_file());
        let folder = folder.filter(|folder| folder.is_empty() || folder.ends_with('/'));
        folder.is_some_and(|folder| format.weight_files().iter().any(|file| has(&format!("{folder}{file}"))))
    })
}

/// The SAEs of a place: itself, or those in the folders inside it, down to three deep, in the order of their
/// names; each with its path inside the place.
///
/// # Errors
/// As [`Format::detect`].
pub fn find(place: &Files) -> Result<Vec<(String, Files)>, SaeError> {
    /// Deep enough for `layer/trainer/ae.safetensors` in a folder of a repository.
    const DEPTH: usize = 3;
    fn walk(
        path: &str,
        files: Files,
        depth: usize,
        found: &mut Vec<(String, Files)>,
    ) -> Result<(), SaeError> {
        if Format::detect(&files)?.is_some() {
            found.push((path.to_owned(), files));
            return Ok(());
        }
        if depth > 0 {
            for folder in files.folders() {
                let path = if path.is_empty() { folder.clone() } else { format!("{path}/{folder}") };
                walk(&path, files.folder(&folder), depth - 1, found)?;
            }
        }
        Ok(())
    }
    let mut found = Vec::new();
    walk("", place.clone(), DEPTH, &mut found)?;
    Ok(found)
}

/// A weights file that notes how its tensors are turned.
struct Tensors {
    file: SafeFile,
}

impl Deref for Tensors {
    type Target = SafeFile;

    fn deref(&self) -> &SafeFile {
        &self.file
    }
}

impl Tensors {
    fn open(files: &Files, name: &str) -> Result<Self, SaeError> {
        Ok(Self { file: SafeFile::parse(files.label(name), files.open(name)?)? })
    }

    /// A matrix that is stored [cols, rows], as [rows, cols].
    fn turned(&self, name: &str, rows: usize, cols: usize) -> Result<Vec<f32>, SaeError> {
        Ok(fold::transposed(&self.file.tensor(name, &[cols, rows])?, cols, rows))
    }

    /// The one element of a tensor of any shape.
    fn scalar(&self, name: &str) -> Result<f32, SaeError> {
        let values = self.file.f32s(name)?;
        match values[..] {
            [value] => Ok(value),
            _ => Err(crate::checkpoint::CheckpointError::Shape {
                file: self.file.label().to_owned(),
                name: name.to_owned(),
                found: self.file.shape(name).unwrap_or_default().to_vec(),
                expected: Vec::new(),
            }
            .into()),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.file.shape(name).is_some()
    }

    fn list(&self) -> Vec<StoredTensor> {
        let tensor = |name: String| StoredTensor {
            dtype: self.file.dtype(&name).unwrap_or_default(),
            shape: self.file.shape(&name).unwrap_or_default().to_vec(),
            name,
        };
        self.file.names().into_iter().map(tensor).collect()
    }
}

/// How a sentence about b_dec begins.
fn about_b_dec(subtracted: bool, by: &str) -> String {
    format!("b_dec is {}subtracted from the input ({by})", if subtracted { "" } else { "not " })
}

#[cfg(test)]
mod tests;
