//! What a comparison was made of, and the names of what it makes.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

#[cfg(not(target_arch = "wasm32"))]
use crate::checkpoint::{CheckpointError, Files};
#[cfg(not(target_arch = "wasm32"))]
use crate::lab::{LabError, LabModel};

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
    /// Configuration, weights and tokenizer of the model.
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
    /// Of the texts; empty for the built-in corpus, which is part of the lab, and for data sets, which name their commit.
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
pub(super) fn digest(parts: &[&str]) -> String {
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
pub(super) fn digest(parts: &[&str]) -> String {
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
    /// Reads and hashes the files of a model and of its SAEs, which lie in `saes` or beside the weights.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn of(model: &LabModel, files: &Files, saes: Option<&Files>) -> Result<Self, LabError> {
        let place = saes.cloned().unwrap_or_else(|| files.folder("saes"));
        let of_sae =
            |folder: &String| hash_all(&if folder.is_empty() { place.clone() } else { place.folder(folder) });
        Ok(Self {
            model: hash_all(files)?,
            saes: model.saes.iter().map(|sae| of_sae(&sae.folder)).collect::<Result<_, _>>()?,
        })
    }
}

/// Configurations, weights and tokenizers of a place, and of its folder `checkpoints`, where some SAEs lie.
#[cfg(not(target_arch = "wasm32"))]
fn hash_all(files: &Files) -> Result<Vec<Input>, LabError> {
    let mut names = files.names();
    names.extend(files.folder("checkpoints").names().iter().map(|name| format!("checkpoints/{name}")));
    names.retain(|name| name.ends_with(".json") || name.ends_with(".safetensors"));
    names.iter().map(|name| Ok(hash(files, name)?)).collect()
}

#[cfg(not(target_arch = "wasm32"))]
fn hash(files: &Files, name: &str) -> Result<Input, CheckpointError> {
    let bytes = files.open(name)?;
    let label = files.label(name);
    hash_bytes(&label, &bytes).map_err(|source| CheckpointError::Io { file: label, source })
}

#[cfg(not(target_arch = "wasm32"))]
fn hash_bytes(label: &str, bytes: &crate::checkpoint::Bytes) -> std::io::Result<Input> {
    use sha2::{Digest as _, Sha256};
    const PIECE: u64 = 1 << 24;
    let (mut hash, size) = (Sha256::new(), bytes.size());
    for start in (0..size).step_by(PIECE as usize) {
        hash.update(bytes.slice(start..(start + PIECE).min(size))?);
    }
    Ok(Input { name: label.to_owned(), bytes: size, sha256: hex(&hash.finalize()) })
}

/// Hashes the files that a corpus is read from.
///
/// # Errors
/// A file that cannot be read.
#[cfg(not(target_arch = "wasm32"))]
pub fn corpus_inputs(corpus: &crate::corpus::Corpus) -> Result<Vec<Input>, LabError> {
    let input = |path: &std::path::PathBuf| {
        let file = path.display().to_string();
        let failed = |source| CheckpointError::Io { file: file.clone(), source };
        let bytes = crate::checkpoint::Bytes::map(path).map_err(failed)?;
        Ok(hash_bytes(&file, &bytes).map_err(failed)?)
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
