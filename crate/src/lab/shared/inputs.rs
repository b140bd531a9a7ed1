//! What an experiment was made of, and the names of what it makes.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

#[cfg(not(target_arch = "wasm32"))]
use std::path::PathBuf;

#[cfg(not(target_arch = "wasm32"))]
use super::error::LabError;
#[cfg(not(target_arch = "wasm32"))]
use super::hooked::HookedSae;
#[cfg(not(target_arch = "wasm32"))]
use super::subject::LabModel;
#[cfg(not(target_arch = "wasm32"))]
use crate::checkpoint::{Bytes, CheckpointError, Files};
#[cfg(not(target_arch = "wasm32"))]
use crate::corpus::Corpus;

/// A file that went in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify))]
pub struct Input {
    /// Its name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

/// The files of one side. Empty in the page, whose files were checked when they were fetched.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SideInputs {
    /// What was read of the model: configurations, weights, tokenizer.
    pub model: Vec<Input>,
    /// The files of each SAE, in the order of the model's.
    pub saes: Vec<Vec<Input>>,
}

/// Everything that went in.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Inputs {
    /// Of the first model.
    pub a: SideInputs,
    /// Of the second model.
    pub b: SideInputs,
    /// Of the texts; empty for the built-in corpus, which is part of the lab, and for data sets, which name their
    /// commit.
    pub corpus: Vec<Input>,
}

impl Inputs {
    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Input> {
        self.a.all().chain(self.b.all()).chain(&self.corpus)
    }
}

impl SideInputs {
    fn all(&self) -> impl Iterator<Item = &Input> {
        self.model.iter().chain(self.saes.iter().flatten())
    }
}

/// A hash of `parts`, short enough for a file's name.
#[cfg(not(target_arch = "wasm32"))]
pub(in crate::lab) fn digest(parts: &[&str]) -> String {
    use sha2::{Digest as _, Sha256};
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hex(&hash.finalize()[..8])
}

/// In the page nothing outlives the run: the words themselves do.
#[cfg(target_arch = "wasm32")]
pub(in crate::lab) fn digest(parts: &[&str]) -> String {
    parts.join("|")
}

#[cfg_attr(target_arch = "wasm32", expect(dead_code, reason = "the page hashes nothing"))]
fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(not(target_arch = "wasm32"))]
impl SideInputs {
    /// Hashes the files that were read of a model and of its SAEs, which lie in `saes` or beside the weights.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn of(model: &LabModel, files: &Files, saes: Option<&Files>) -> Result<Self, LabError> {
        let place = saes.cloned().unwrap_or_else(|| files.folder("saes"));
        let of_sae = |sae: &HookedSae| {
            let folder = if sae.folder.is_empty() { place.clone() } else { place.folder(&sae.folder) };
            hash_all(&folder, &sae.read)
        };
        Ok(Self {
            model: model_inputs(model, files)?,
            saes: model.saes.iter().map(of_sae).collect::<Result<_, _>>()?,
        })
    }
}

/// Hashes the files that were read of a model.
///
/// # Errors
/// A file that cannot be read.
#[cfg(not(target_arch = "wasm32"))]
pub fn model_inputs(model: &LabModel, files: &Files) -> Result<Vec<Input>, LabError> {
    hash_all(files, &model.read)
}

/// Hashes files of a set.
#[cfg(not(target_arch = "wasm32"))]
fn hash_all(files: &Files, names: &[String]) -> Result<Vec<Input>, LabError> {
    names.iter().map(|name| Ok(hash(files.label(name), files.open(name))?)).collect()
}

#[cfg(not(target_arch = "wasm32"))]
fn hash(label: String, bytes: Result<Bytes, CheckpointError>) -> Result<Input, CheckpointError> {
    use sha2::{Digest as _, Sha256};
    const PIECE: u64 = 1 << 24;
    let bytes = bytes?;
    let (mut hash, size) = (Sha256::new(), bytes.size());
    for start in (0..size).step_by(PIECE as usize) {
        let piece = bytes.slice(start..(start + PIECE).min(size));
        hash.update(piece.map_err(|source| CheckpointError::Io { file: label.clone(), source })?);
    }
    Ok(Input { name: label, bytes: size, sha256: hex(&hash.finalize()) })
}

/// Hashes the files that a corpus is read from.
///
/// # Errors
/// A file that cannot be read.
#[cfg(not(target_arch = "wasm32"))]
pub fn corpus_inputs(corpus: &Corpus) -> Result<Vec<Input>, LabError> {
    let input = |path: &PathBuf| {
        let file = path.display().to_string();
        let bytes = Bytes::map(path).map_err(|source| CheckpointError::Io { file: file.clone(), source });
        Ok(hash(file, bytes)?)
    };
    corpus.files().iter().map(input).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::Corpus;

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
        assert_eq!(digest(&["ab", "c"]).len(), 16);
    }

    #[test]
    fn files_have_the_hash_that_sha256sum_tells() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("t.txt");
        std::fs::write(&file, "abc").expect("written");
        let corpus = Corpus::open(&file.display().to_string(), 1).expect("a corpus");
        let inputs = corpus_inputs(&corpus).expect("hashed");
        // FIPS 180-2, appendix B.1.
        assert_eq!(inputs[0].sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!((inputs[0].bytes, inputs.len()), (3, 1));
        assert_eq!(corpus_inputs(&Corpus::builtin(1)).expect("nothing"), []);
    }

    /// Parquet with one text in one column.
    fn table(column: &str) -> Vec<u8> {
        use parquet::basic::{LogicalType, Repetition, Type as Physical};
        use parquet::data_type::{ByteArray, ByteArrayType};
        use parquet::file::writer::SerializedFileWriter;
        use parquet::schema::types::Type;
        let field = Type::primitive_type_builder(column, Physical::BYTE_ARRAY)
            .with_repetition(Repetition::REQUIRED)
            .with_logical_type(Some(LogicalType::String));
        let fields = vec![std::sync::Arc::new(field.build().expect("a field"))];
        let schema = Type::group_type_builder("texts").with_fields(fields).build().expect("a schema");
        let mut file = Vec::new();
        let mut writer =
            SerializedFileWriter::new(&mut file, schema.into(), Default::default()).expect("a writer");
        let mut group = writer.next_row_group().expect("a group");
        let mut out = group.next_column().expect("no error").expect("a column");
        out.typed::<ByteArrayType>().write_batch(&[ByteArray::from("a text")], None, None).expect("a row");
        out.close().expect("written");
        group.close().expect("written");
        writer.close().expect("written");
        file
    }

    /// Whatever a corpus's name looks like: what is read is what is hashed.
    #[test]
    fn what_is_opened_is_hashed() {
        let dir = tempfile::tempdir().expect("a folder");
        let name = |file: &str| dir.path().join(file).display().to_string();
        let table = table("a:b");
        std::fs::create_dir(dir.path().join("many")).expect("a folder");
        for file in ["x.parquet", "many/b.parquet", "many/a.PARQUET"] {
            std::fs::write(dir.path().join(file), &table).expect("written");
        }
        for file in ["many/_notes.parquet", "many/.part.parquet"] {
            std::fs::write(dir.path().join(file), "no table").expect("written");
        }
        std::fs::write(dir.path().join("x.parquet:a.txt"), "odd").expect("written");
        for (spec, files) in [
            ("x.parquet:a:b", &["x.parquet"][..]),
            ("many:a:b", &["many/a.PARQUET", "many/b.parquet"]),
            ("x.parquet:a.txt", &["x.parquet:a.txt"]),
        ] {
            let corpus = Corpus::open(&name(spec), 0).expect(spec);
            let inputs = corpus_inputs(&corpus).expect(spec);
            let hashed: Vec<String> = inputs.into_iter().map(|input| input.name).collect();
            assert_eq!(hashed, files.iter().map(|file| name(file)).collect::<Vec<_>>());
        }
    }
}
