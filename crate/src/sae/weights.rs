//! Weights to a safetensors file.

use half::f16;
use safetensors::serialize;
use safetensors::tensor::{Dtype, TensorView};

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
