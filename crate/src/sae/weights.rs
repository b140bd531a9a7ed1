//! Tensors of a safetensors file, checked and widened to f32.

use half::{bf16, f16};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};

use super::SaeError;

/// How weights are stored in a new file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Storage {
    /// 32-bit floats, exactly what was trained.
    #[default]
    F32,
    /// 16-bit floats: half the size, 11 significant bits.
    F16,
}

/// An open safetensors file; `name` is what errors call it.
pub(super) struct WeightFile<'a> {
    name: &'a str,
    tensors: SafeTensors<'a>,
}

impl<'a> WeightFile<'a> {
    /// Checks the header against the file.
    pub(super) fn open(name: &'a str, bytes: &'a [u8]) -> Result<Self, SaeError> {
        match SafeTensors::deserialize(bytes) {
            Ok(tensors) => Ok(Self { name, tensors }),
            Err(e) => Err(SaeError::Safetensors { file: name.to_owned(), reason: e.to_string() }),
        }
    }

    pub(super) fn has(&self, tensor: &str) -> bool {
        self.tensors.tensor(tensor).is_ok()
    }

    /// The finite values of a float tensor of this shape.
    pub(super) fn floats(&self, tensor: &'static str, shape: &[usize]) -> Result<Vec<f32>, SaeError> {
        let file = || self.name.to_owned();
        let view = self.tensors.tensor(tensor);
        let view = view.map_err(|_| SaeError::MissingTensor { file: file(), tensor })?;
        if view.shape() != shape {
            let (got, want) = (view.shape().to_vec(), shape.to_vec());
            return Err(SaeError::Shape { file: file(), tensor, got, want });
        }
        let data = view.data();
        let values: Vec<f32> = match view.dtype() {
            Dtype::F32 => data.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
            Dtype::F16 => data.as_chunks().0.iter().map(|&b| f16::from_le_bytes(b).to_f32()).collect(),
            Dtype::BF16 => data.as_chunks().0.iter().map(|&b| bf16::from_le_bytes(b).to_f32()).collect(),
            other => {
                let got = format!("{other:?}");
                return Err(SaeError::ElementType { file: file(), tensor, got, want: "F32, F16 and BF16" });
            }
        };
        match values.iter().position(|v| !v.is_finite()) {
            Some(index) => Err(SaeError::NotFinite { file: file(), tensor, index, value: values[index] }),
            None => Ok(values),
        }
    }
}

/// A safetensors file of these tensors: name, shape, values.
///
/// # Errors
/// [`SaeError::NotFinite`] when a value is not finite, or does not fit into 16 bits.
pub(super) fn write(
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
