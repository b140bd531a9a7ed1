//! Checkpoints of exactly the shapes of the paper's models, with seeded random weights.
//!
//! Tests and measurements at full size need weights that load like the real ones and compute sane values, and
//! must not download anything. `README.md` has the rule of the values; `tools/standin.py` writes the same bytes.

mod file;
mod shapes;
mod tokenizer;
pub mod values;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};

pub use file::Written;
pub use shapes::{Kind, Parameter};

/// Number of the rule: another one when the same stand-in gets other bytes, so that caches are not mistaken.
const RULE: u32 = 1;

/// Element type of the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// 32-bit floats.
    F32,
    /// IEEE 16-bit floats.
    F16,
    /// bfloat16.
    Bf16,
}

impl Element {
    /// Size of an element.
    pub fn bytes(self) -> usize {
        if self == Element::F32 { 4 } else { 2 }
    }

    fn safetensors_name(self) -> &'static str {
        match self {
            Element::F32 => "F32",
            Element::F16 => "F16",
            Element::Bf16 => "BF16",
        }
    }

    fn torch_name(self) -> &'static str {
        match self {
            Element::F32 => "float32",
            Element::F16 => "float16",
            Element::Bf16 => "bfloat16",
        }
    }
}

/// What to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standin {
    /// The model.
    pub kind: Kind,
    /// Element type.
    pub element: Element,
    /// Seed of the values.
    pub seed: u64,
    /// Number of layers; the other sizes are always the real ones.
    pub layers: usize,
    /// Number of weights files, at most; 0 or 1 is one file without an index.
    pub shards: usize,
    /// Only `pytorch_model.bin`, as older repositories have it. It is an empty pickle, for readers that refuse it.
    pub only_pickle: bool,
    /// A `tokenizer.json` to copy.
    pub tokenizer: Option<PathBuf>,
}

impl Standin {
    /// The whole model in its usual element type, seed 0.
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            element: kind.usual_type(),
            seed: 0,
            layers: kind.layers(),
            shards: 1,
            only_pickle: false,
            tokenizer: None,
        }
    }

    /// Every tensor, in the order of the file.
    pub fn parameters(&self) -> Vec<Parameter> {
        shapes::parameters(self)
    }

    /// Writes the directory and returns its weights files.
    ///
    /// # Errors
    /// A directory that already holds a model; a disk that fails.
    pub fn write(&self, dir: &Path) -> Result<Vec<Written>> {
        std::fs::create_dir_all(dir).with_context(|| format!("{} could not be made", dir.display()))?;
        if std::fs::read_dir(dir)?.next().is_some() {
            bail!("{} is not empty; choose a new directory", dir.display());
        }
        write_json(&dir.join("config.json"), &shapes::config(self))?;
        let place = dir.join("tokenizer.json");
        match &self.tokenizer {
            None => write_json(&place, &tokenizer::tokenizer())?,
            Some(from) => {
                std::fs::copy(from, &place)
                    .with_context(|| format!("{} could not be copied", from.display()))?;
            }
        }
        if self.only_pickle {
            // PROTO 2, EMPTY_DICT, STOP.
            std::fs::write(dir.join("pytorch_model.bin"), b"\x80\x02}.")?;
            return Ok(Vec::new());
        }
        file::write_all(dir, self)
    }

    /// The directory of this stand-in below `cache`, written at the first call. Others may ask at the same
    /// time: the directory appears whole. `SHA256SUMS` in it lists its weights files.
    ///
    /// # Errors
    /// As [`Standin::write`].
    pub fn cached(&self, cache: &Path) -> Result<PathBuf> {
        static ONE_WRITER: Mutex<()> = Mutex::new(());
        let _writer = ONE_WRITER.lock().unwrap_or_else(PoisonError::into_inner);
        let name = format!(
            "standin-{RULE}-{:?}-{:?}-{}-{}-{}",
            self.kind, self.element, self.seed, self.layers, self.shards
        );
        let dir = cache.join(name.to_lowercase());
        if dir.is_dir() {
            return Ok(dir);
        }
        let unfinished = dir.with_extension(format!("{}.unfinished", std::process::id()));
        if unfinished.exists() {
            std::fs::remove_dir_all(&unfinished)?;
        }
        let files = self.write(&unfinished)?;
        let sums: String = files.iter().map(|f| format!("{}  {}\n", f.sha256, f.name)).collect();
        std::fs::write(unfinished.join("SHA256SUMS"), sums)?;
        match std::fs::rename(&unfinished, &dir) {
            Err(_) if dir.is_dir() => std::fs::remove_dir_all(&unfinished)?, // another process was faster
            other => other.with_context(|| format!("{} could not be made", dir.display()))?,
        }
        Ok(dir)
    }
}

fn write_json(path: &Path, value: &serde_json::Value) -> Result<()> {
    let text = serde_json::to_string_pretty(value)? + "\n";
    std::fs::write(path, text).with_context(|| format!("{} could not be written", path.display()))
}

#[cfg(test)]
mod tests;
