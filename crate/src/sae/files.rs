//! What is written, SAELens's directory form: `cfg.json` and `sae_weights.safetensors`.

use half::f16;
use safetensors::serialize;
use safetensors::tensor::{Dtype, TensorView};

use super::formats::saelens::WEIGHTS as WEIGHTS_FILE;
use super::{Sae, SaeError, SaeFile};
use crate::checkpoint::Files;
use crate::gpu::Engine;
use crate::kernels::Normalize;

/// How weights are stored in a new file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Storage {
    /// 32-bit floats, exactly what was trained.
    #[default]
    F32,
    /// 16-bit floats: half the size, 11 significant bits.
    F16,
}

impl Sae {
    /// Reads an SAE in any form that [`SaeFile`] knows, with f32, f16 or bf16 weights.
    ///
    /// # Errors
    /// As [`SaeFile::read`].
    pub fn load(engine: &Engine, files: &Files) -> Result<Self, SaeError> {
        Ok(SaeFile::read(files)?.sae(engine))
    }

    /// The two files of this SAE, in the form of SAELens 6: `cfg.json` and `sae_weights.safetensors`.
    ///
    /// # Errors
    /// When SAELens has no words for its arithmetic, the device failed, or a weight is not finite or too large for
    /// `storage`.
    pub async fn to_files(&self, storage: Storage) -> Result<(Vec<u8>, Vec<u8>), SaeError> {
        if self.config.normalize == Normalize::Centered {
            let what = "features are scaled back by each token's norm";
            return Err(SaeError::NotSaeLens { name: self.config.name(), what });
        }
        let (d, f) = (self.config.d_in, self.config.d_sae);
        let weights = self.weights().await?;
        let (encoder, features, decoder, input) = ([d, f], [f], [f, d], [d]);
        let mut tensors: Vec<(&'static str, &[usize], &[f32])> = vec![
            ("W_enc", &encoder, &weights.w_enc),
            (weights.activation.bias_name(), &features, &weights.b_enc),
            ("W_dec", &decoder, &weights.w_dec),
            ("b_dec", &input, &weights.b_dec),
        ];
        let parameters = weights.activation.parameters();
        tensors.extend(parameters.iter().map(|own| (own.name, &features[..], &own.values[..])));
        Ok((self.config.to_json(&weights.activation).into_bytes(), write(WEIGHTS_FILE, &tensors, storage)?))
    }
}

/// A safetensors file of these tensors: name, shape, values.
///
/// # Errors
/// [`SaeError::NotFinite`] when a value is not finite, or does not fit into 16 bits.
fn write(
    file: &str,
    tensors: &[(&'static str, &[usize], &[f32])],
    storage: Storage,
) -> Result<Vec<u8>, SaeError> {
    let mut stored = Vec::new();
    for &(tensor, shape, values) in tensors {
        let fits = |v: &f32| match storage {
            Storage::F32 => v.is_finite(),
            Storage::F16 => f16::from_f32(*v).is_finite(),
        };
        if let Some(index) = values.iter().position(|v| !fits(v)) {
            return Err(SaeError::NotFinite { file: file.to_owned(), tensor, index, value: values[index] });
        }
        let (dtype, bytes): (Dtype, Vec<u8>) = match storage {
            Storage::F32 => (Dtype::F32, values.iter().flat_map(|v| v.to_le_bytes()).collect()),
            Storage::F16 => {
                (Dtype::F16, values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect())
            }
        };
        stored.push((tensor, shape, dtype, bytes));
    }
    let views = stored.iter().map(|(tensor, shape, dtype, bytes)| {
        TensorView::new(*dtype, shape.to_vec(), bytes).map(|view| (*tensor, view))
    });
    let fail = |e: safetensors::SafeTensorError| SaeError::Safetensors {
        file: file.to_owned(),
        reason: e.to_string(),
    };
    let views = views.collect::<Result<Vec<_>, _>>().map_err(fail)?;
    serialize(views, None).map_err(fail)
}

#[cfg(not(target_arch = "wasm32"))]
mod native {
    use std::io::Write as _;
    use std::path::Path;

    use super::WEIGHTS_FILE;
    use crate::atomic;
    use crate::sae::formats::saelens::CONFIG as CONFIG_FILE;
    use crate::sae::{Sae, SaeError, Storage};

    impl Sae {
        /// Writes the SAE into a directory, which is made if it is missing. Both files are complete on disk
        /// before the first takes its place: a failed or killed save leaves an older SAE as it was.
        ///
        /// # Errors
        /// As [`Sae::to_files`], and when a file cannot be written.
        pub async fn save(&self, directory: &Path, storage: Storage) -> Result<(), SaeError> {
            let (config, weights) = self.to_files(storage).await?;
            let in_file = |name: &str| {
                let file = directory.join(name).display().to_string();
                move |source| SaeError::Io { file, source }
            };
            let failed = |source| SaeError::Io { file: directory.display().to_string(), source };
            atomic::folder(directory).map_err(failed)?;
            let stage = |name: &str, bytes: &[u8]| {
                atomic::stage(&directory.join(name), |out| out.write_all(bytes)).map_err(in_file(name))
            };
            let (weights, config) = (stage(WEIGHTS_FILE, &weights)?, stage(CONFIG_FILE, &config)?);
            weights.commit().map_err(in_file(WEIGHTS_FILE))?;
            config.commit().map_err(in_file(CONFIG_FILE))
        }
    }
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
