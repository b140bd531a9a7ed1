//! Everybody's files: which library wrote a folder, what its files say, and the conventions that make its
//! features. Each reader returns the same thing, a SAE in the arithmetic of [`SaeConfig`](super::SaeConfig).

mod dictionary_learning;
mod file;
mod fold;
mod keys;
mod lm_saes;
mod modules;
pub(super) mod saelens;
mod sparsify;

use serde_json::Value;

pub use file::{Format, SaeFile, StoredTensor};
pub(crate) use modules::module_hook;

use super::SaeError;
use crate::checkpoint::Files;

impl Format {
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

#[cfg(test)]
mod tests;
