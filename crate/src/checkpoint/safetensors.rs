//! One safetensors file, its header checked before anything is believed.

use std::borrow::Cow;

use half::{bf16, f16};
use safetensors::tensor::Metadata;
use safetensors::{Dtype, SafeTensors};

use super::CheckpointError;

/// A safetensors file whose header fits its bytes.
pub struct SafeFile {
    label: String,
    bytes: Cow<'static, [u8]>,
    metadata: Metadata,
    /// Where tensor data begins.
    start: usize,
}

impl SafeFile {
    /// Checks the header. `label` is what messages call the file.
    ///
    /// # Errors
    /// [`CheckpointError::Damaged`] when the file is truncated or its header lies.
    pub fn parse(label: impl Into<String>, bytes: Cow<'static, [u8]>) -> Result<Self, CheckpointError> {
        let label = label.into();
        let damaged = |reason: String| CheckpointError::Damaged { file: label.clone(), reason };
        // `deserialize` checks that the offsets are in order, fit shapes and types, and fill the file exactly.
        SafeTensors::deserialize(&bytes).map_err(|e| damaged(e.to_string()))?;
        let (header, metadata) = SafeTensors::read_metadata(&bytes).map_err(|e| damaged(e.to_string()))?;
        Ok(Self { label, bytes, metadata, start: header + 8 })
    }

    /// Opens a file.
    ///
    /// # Errors
    /// [`CheckpointError::Io`] and as [`SafeFile::parse`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(path: &std::path::Path) -> Result<Self, CheckpointError> {
        let label = path.display().to_string();
        let bytes =
            std::fs::read(path).map_err(|source| CheckpointError::Io { file: label.clone(), source })?;
        Self::parse(label, Cow::Owned(bytes))
    }

    /// What messages call the file.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Names of the tensors, in the order of the file.
    pub fn names(&self) -> Vec<String> {
        self.metadata.offset_keys()
    }

    /// Shape of a tensor, if it is there.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        Some(&self.metadata.info(name)?.shape)
    }

    /// A value of the file's `__metadata__`.
    pub fn note(&self, key: &str) -> Option<&str> {
        self.metadata.metadata().as_ref()?.get(key).map(String::as_str)
    }

    fn data(&self, name: &str) -> Result<(Dtype, &[u8]), CheckpointError> {
        let info = self.metadata.info(name).ok_or_else(|| CheckpointError::NoTensor {
            file: self.label.clone(),
            name: name.to_owned(),
        })?;
        let (from, to) = info.data_offsets;
        Ok((info.dtype, &self.bytes[self.start + from..self.start + to]))
    }

    fn wrong_type(&self, name: &str, found: Dtype, expected: &'static str) -> CheckpointError {
        CheckpointError::ElementType {
            file: self.label.clone(),
            name: name.to_owned(),
            found: format!("{found:?}"),
            expected,
        }
    }

    /// A float tensor of any shape, widened to f32 (exact for f16 and bf16).
    ///
    /// # Errors
    /// [`CheckpointError::NoTensor`], [`CheckpointError::ElementType`], [`CheckpointError::NotFinite`].
    pub fn f32s(&self, name: &str) -> Result<Vec<f32>, CheckpointError> {
        let values = self.raw_f32s(name)?;
        match values.iter().position(|v| !v.is_finite()) {
            None => Ok(values),
            Some(index) => Err(CheckpointError::NotFinite {
                file: self.label.clone(),
                name: name.to_owned(),
                value: values[index],
                index,
            }),
        }
    }

    /// As [`SafeFile::f32s`], for tensors that may hold NaN and infinity.
    ///
    /// # Errors
    /// [`CheckpointError::NoTensor`] and [`CheckpointError::ElementType`].
    pub fn raw_f32s(&self, name: &str) -> Result<Vec<f32>, CheckpointError> {
        let (dtype, data) = self.data(name)?;
        Ok(match dtype {
            Dtype::F32 => data.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            Dtype::F16 => data.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
            Dtype::BF16 => data.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32()).collect(),
            other => return Err(self.wrong_type(name, other, "F32, F16 or BF16")),
        })
    }

    /// A float tensor of this shape.
    ///
    /// # Errors
    /// As [`SafeFile::f32s`], and [`CheckpointError::Shape`].
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, CheckpointError> {
        match self.shape(name) {
            Some(found) if found != shape => Err(CheckpointError::Shape {
                file: self.label.clone(),
                name: name.to_owned(),
                found: found.to_vec(),
                expected: shape.to_vec(),
            }),
            _ => self.f32s(name),
        }
    }

    /// An integer tensor (I32, I64 or U32) as i64.
    ///
    /// # Errors
    /// [`CheckpointError::NoTensor`] and [`CheckpointError::ElementType`].
    pub fn integers(&self, name: &str) -> Result<Vec<i64>, CheckpointError> {
        let (dtype, data) = self.data(name)?;
        match dtype {
            Dtype::I64 => Ok(data.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)).collect()),
            Dtype::I32 => Ok(data.as_chunks().0.iter().map(|b| i32::from_le_bytes(*b).into()).collect()),
            Dtype::U32 => Ok(data.as_chunks().0.iter().map(|b| u32::from_le_bytes(*b).into()).collect()),
            other => Err(self.wrong_type(name, other, "I64, I32 or U32")),
        }
    }
}
