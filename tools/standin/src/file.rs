//! Weights files, streamed to disk.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use half::{bf16, f16};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::values::Values;
use crate::{Element, Parameter, Standin};

/// A weights file that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its name in the directory.
    pub name: String,
    /// Its SHA-256, in hexadecimal digits.
    pub sha256: String,
}

#[derive(Serialize)]
struct Entry<'a> {
    dtype: &'static str,
    shape: &'a [usize],
    data_offsets: [usize; 2],
}

fn bytes(parameter: &Parameter, element: Element) -> usize {
    parameter.shape.iter().product::<usize>() * element.bytes()
}

/// Writes what it passes on into the digest too.
struct Hashed<W> {
    inner: W,
    digest: Sha256,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        let n = self.inner.write(data)?;
        self.digest.update(&data[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

/// The length and JSON of a safetensors file's beginning.
fn header(parameters: &[Parameter], element: Element) -> Result<Vec<u8>> {
    let mut text = r#"{"__metadata__":{"format":"pt"}"#.to_owned();
    let mut at = 0;
    for p in parameters {
        let end = at + bytes(p, element);
        let entry = Entry { dtype: element.safetensors_name(), shape: &p.shape, data_offsets: [at, end] };
        text += &format!(",{}:{}", serde_json::to_string(&p.name)?, serde_json::to_string(&entry)?);
        at = end;
    }
    text.push('}');
    while !text.len().is_multiple_of(8) {
        text.push(' ');
    }
    Ok([&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat())
}

/// One weights file.
fn write(path: &Path, parameters: &[Parameter], standin: &Standin) -> Result<String> {
    let file = BufWriter::with_capacity(1 << 20, File::create_new(path)?);
    let mut out = Hashed { inner: file, digest: Sha256::new() };
    out.write_all(&header(parameters, standin.element)?)?;
    let mut piece = Vec::new();
    for p in parameters {
        let values = Values::new(standin.seed, &p.name, p.spread);
        let len = p.shape.iter().product::<usize>() as u64;
        for start in (0..len).step_by(PIECE as usize) {
            piece.clear();
            let elements = (start..len.min(start + PIECE)).map(|i| values.at(i));
            match standin.element {
                Element::F32 => piece.extend(elements.flat_map(f32::to_le_bytes)),
                Element::F16 => piece.extend(elements.flat_map(|v| f16::from_f32(v).to_le_bytes())),
                Element::Bf16 => piece.extend(elements.flat_map(|v| bf16::from_f32(v).to_le_bytes())),
            }
            out.write_all(&piece)?;
        }
    }
    out.flush()?;
    Ok(out.digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Elements made at a time.
const PIECE: u64 = 1 << 16;

/// All weights of a stand-in: one file, or shards with their index.
pub(crate) fn write_all(dir: &Path, standin: &Standin) -> Result<Vec<Written>> {
    let parameters = standin.parameters();
    let of = |name: &str| format!("{} could not be written", dir.join(name).display());
    if standin.shards <= 1 {
        let name = "model.safetensors".to_owned();
        let sha256 = write(&dir.join(&name), &parameters, standin).with_context(|| of(&name))?;
        return Ok(vec![Written { name, sha256 }]);
    }
    let total: usize = parameters.iter().map(|p| bytes(p, standin.element)).sum();
    let shards: Vec<&[Parameter]> = parameters.chunks(parameters.len().div_ceil(standin.shards)).collect();
    let mut written = Vec::new();
    let mut place = BTreeMap::new();
    for (i, shard) in shards.iter().enumerate() {
        let name = format!("model-{:05}-of-{:05}.safetensors", i + 1, shards.len());
        let sha256 = write(&dir.join(&name), shard, standin).with_context(|| of(&name))?;
        place.extend(shard.iter().map(|p| (p.name.clone(), name.clone())));
        written.push(Written { name, sha256 });
    }
    let index = serde_json::json!({ "metadata": { "total_size": total }, "weight_map": place });
    crate::write_json(&dir.join("model.safetensors.index.json"), &index)?;
    Ok(written)
}
