//! Everybody's files: which library wrote a folder, what its files say, and the conventions that make its
//! features. Each reader returns the same thing, an SAE in the arithmetic of [`SaeConfig`](super::SaeConfig).

mod dictionary_learning;
mod file;
mod fold;
mod keys;
mod lm_saes;
mod modules;
pub(super) mod saelens;
mod sparsify;

use serde_json::{Map, Value};

pub use file::{Format, SaeFile, StoredTensor};
pub(crate) use modules::module_hook;

use super::SaeError;
use crate::checkpoint::Files;

/// What a library's folders are known by.
struct Signature {
    /// Name of the configuration.
    config: &'static str,
    /// Where the weights lie, the first that is there.
    weights: &'static [&'static str],
    /// Whether a configuration says that it is the library's: some have the name that a model's has.
    says: fn(&Map<String, Value>) -> bool,
}

impl Format {
    const ALL: [Self; 5] =
        [Self::SaeLens, Self::Sparsify, Self::DictionaryLearning, Self::LmSaes2024, Self::LmSaes2025];

    fn signature(self) -> Signature {
        match self {
            Self::SaeLens => {
                Signature { config: saelens::CONFIG, weights: &[saelens::WEIGHTS], says: |_| true }
            }
            Self::Sparsify => {
                Signature { config: sparsify::CONFIG, weights: &[sparsify::WEIGHTS], says: |_| true }
            }
            Self::DictionaryLearning => Signature {
                config: dictionary_learning::CONFIG,
                weights: &[dictionary_learning::WEIGHTS],
                says: |map| map.get("trainer").is_some_and(Value::is_object),
            },
            Self::LmSaes2024 => {
                Signature { config: lm_saes::CONFIG_2024, weights: &lm_saes::WEIGHTS, says: |_| true }
            }
            Self::LmSaes2025 => Signature {
                config: lm_saes::CONFIG_2025,
                weights: &lm_saes::WEIGHTS,
                says: |map| map.contains_key("sae_type") || map.contains_key("norm_activation"),
            },
        }
    }

    /// Name of the configuration.
    pub fn config_file(self) -> &'static str {
        self.signature().config
    }

    /// Which library wrote these files; `None` when they are no SAE.
    ///
    /// # Errors
    /// [`SaeError::Pickle`] when the weights are there only as a pickle; a configuration that cannot be read.
    pub fn detect(files: &Files) -> Result<Option<Self>, SaeError> {
        let configured = |format: Self| files.has(format.signature().config);
        let weighed = |format: Self| format.signature().weights.iter().any(|name| files.has(name));
        if configured(Self::SaeLens) {
            let sparsify = weighed(Self::Sparsify) && !weighed(Self::SaeLens);
            return Ok(Some(if sparsify { Self::Sparsify } else { Self::SaeLens }));
        }
        if configured(Self::LmSaes2024) {
            return Ok(Some(Self::LmSaes2024));
        }
        let pickle = dictionary_learning::PICKLE;
        if files.has(pickle) && !weighed(Self::DictionaryLearning) {
            return Err(SaeError::Pickle { file: files.label(pickle), place: files.place() });
        }
        // A model's configuration has the same name: what is in it tells.
        let sharing = [Self::DictionaryLearning, Self::LmSaes2025];
        let Some(shared) = sharing.into_iter().find(|format| configured(*format)) else { return Ok(None) };
        let shared = shared.config_file();
        let map = keys::object(&files.label(shared), &files.read(shared)?)?;
        let told = sharing.into_iter().find(|format| (format.signature().says)(&map));
        Ok(told.or_else(|| weighed(Self::DictionaryLearning).then_some(Self::DictionaryLearning)))
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

/// Whether a file of this path is an SAE's configuration that has weights beside it, by names alone; `has` tells which
/// files there are.
pub fn is_config(path: &str, has: impl Fn(&str) -> bool) -> bool {
    Format::ALL.into_iter().map(Format::signature).any(|Signature { config, weights, .. }| {
        let folder = path.strip_suffix(config);
        let folder = folder.filter(|folder| folder.is_empty() || folder.ends_with('/'));
        folder.is_some_and(|folder| weights.iter().any(|file| has(&format!("{folder}{file}"))))
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
