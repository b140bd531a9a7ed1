//! Tensors to a safetensors file.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use mppc::atomic;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::session::Outcome;

/// A tensor with its name.
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    dtype: Dtype,
    bytes: Vec<u8>,
}

impl Named {
    pub(crate) fn f32(name: &str, shape: &[usize], values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self { name: name.to_owned(), shape: shape.to_vec(), dtype: Dtype::F32, bytes }
    }

    pub(crate) fn i32(name: &str, shape: &[usize], values: &[i32]) -> Self {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self { name: name.to_owned(), shape: shape.to_vec(), dtype: Dtype::I32, bytes }
    }
}

/// Writes a file whole, or leaves what was there.
pub(crate) fn save(path: &Path, tensors: &[Named], notes: &[(&str, &str)]) -> Outcome {
    let views = tensors.iter().map(|t| {
        let view = TensorView::new(t.dtype, t.shape.clone(), &t.bytes).map_err(|e| e.to_string())?;
        Ok((t.name.clone(), view))
    });
    let views: Vec<_> = views.collect::<Result<_, String>>()?;
    let notes: HashMap<String, String> =
        notes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let bytes = safetensors::serialize(views, Some(notes)).map_err(|e| e.to_string())?;
    atomic::write(path, |file| file.write_all(&bytes)).map_err(|e| format!("{}: {e}", path.display()).into())
}
