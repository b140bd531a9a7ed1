//! One safetensors file, its header checked before anything is believed.

use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use super::{Bytes, CheckpointError};

/// Tensors are read in pieces of about this many bytes, so that what is read never weighs beside what is kept.
const PIECE: usize = 4 << 20;

/// A safetensors file whose header fits its bytes.
pub struct SafeFile {
    label: String,
    bytes: Bytes,
    metadata: Metadata,
    /// Where tensor data begins.
    start: u64,
}

/// How the elements of a float tensor are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// 32 bits.
    F32,
    /// 16 bits: 5 of exponent, 10 of fraction.
    F16,
    /// 16 bits: 8 of exponent, 7 of fraction.
    BF16,
}

impl Stored {
    /// Bytes of an element.
    pub fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
        }
    }

    /// Little-endian elements as f32, which is exact.
    pub fn widen(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::F32 => bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            Self::F16 => bytes.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
            Self::BF16 => bytes.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32()).collect(),
        }
    }

    /// The first element that is NaN or infinite.
    fn not_finite(self, bytes: &[u8]) -> Option<usize> {
        // An exponent of nothing but ones.
        let wide = |mask: u32| {
            let mut elements = bytes.as_chunks().0.iter().map(|b| u32::from_le_bytes(*b));
            elements.position(|v| v & mask == mask)
        };
        let narrow = |mask: u16| {
            let mut elements = bytes.as_chunks().0.iter().map(|b| u16::from_le_bytes(*b));
            elements.position(|v| v & mask == mask)
        };
        match self {
            Self::F32 => wide(0x7f80_0000),
            Self::F16 => narrow(0x7c00),
            Self::BF16 => narrow(0x7f80),
        }
    }
}

impl SafeFile {
    /// Checks the header. `label` is what messages call the file.
    ///
    /// # Errors
    /// [`CheckpointError::Damaged`] when the file is truncated or its header lies, [`CheckpointError::Io`].
    pub fn parse(label: impl Into<String>, bytes: Bytes) -> Result<Self, CheckpointError> {
        /// Length of the header's length.
        const PREFIX: u64 = 8;
        /// A longer header is no header: the format's own limit.
        const MOST: u64 = 100_000_000;
        let label = label.into();
        let damaged = |reason: String| CheckpointError::Damaged { file: label.clone(), reason };
        let unread = |source| CheckpointError::Io { file: label.clone(), source };
        let size = bytes.size();
        if size < PREFIX {
            return Err(damaged(format!("it has only {size} bytes")));
        }
        let prefix = bytes.slice(0..PREFIX).map_err(unread)?;
        let header = u64::from_le_bytes(prefix.as_ref().try_into().expect("eight bytes were asked for"));
        if header > MOST || header > size - PREFIX {
            return Err(damaged(format!("its header claims {header} bytes, but the file has {size}")));
        }
        let start = PREFIX + header;
        // Reading the header checks that the offsets are in order and fit shapes and types.
        let text = bytes.slice(PREFIX..start).map_err(unread)?;
        let metadata: Metadata =
            serde_json::from_slice(&text).map_err(|e| damaged(format!("its header is wrong: {e}")))?;
        let data = metadata.data_len() as u64;
        if data != size - start {
            return Err(damaged(format!(
                "its header promises {data} bytes of tensors, {} are there",
                size - start
            )));
        }
        drop(text);
        Ok(Self { label, bytes, metadata, start })
    }

    /// Opens a file.
    ///
    /// # Errors
    /// [`CheckpointError::Io`] and as [`SafeFile::parse`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(path: &std::path::Path) -> Result<Self, CheckpointError> {
        let label = path.display().to_string();
        let bytes = Bytes::map(path).map_err(|source| CheckpointError::Io { file: label.clone(), source })?;
        Self::parse(label, bytes)
    }

    /// What messages call the file.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Whether the file is as it was written, by the [checksum](super::checksum) in it.
    ///
    /// # Errors
    /// What is wrong with it, in a few words.
    pub(crate) fn check(&self) -> Result<(), String> {
        super::checksum::check(&self.bytes)
    }

    /// Names of the tensors, in the order of the file.
    pub fn names(&self) -> Vec<String> {
        self.metadata.offset_keys()
    }

    /// Shape of a tensor, if it is there.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        Some(&self.metadata.info(name)?.shape)
    }

    /// Element type of a tensor as the header names it, if the tensor is there.
    pub fn dtype(&self, name: &str) -> Option<String> {
        Some(format!("{:?}", self.metadata.info(name)?.dtype))
    }

    /// A value of the file's `__metadata__`.
    pub fn note(&self, key: &str) -> Option<&str> {
        self.metadata.metadata().as_ref()?.get(key).map(String::as_str)
    }

    fn info(&self, name: &str) -> Result<&TensorInfo, CheckpointError> {
        self.metadata
            .info(name)
            .ok_or_else(|| CheckpointError::NoTensor { file: self.label.clone(), name: name.to_owned() })
    }

    fn wrong_type(&self, name: &str, found: Dtype, expected: &'static str) -> CheckpointError {
        CheckpointError::ElementType {
            file: self.label.clone(),
            name: name.to_owned(),
            found: format!("{found:?}"),
            expected,
        }
    }

    /// How the elements of a float tensor are stored.
    ///
    /// # Errors
    /// [`CheckpointError::NoTensor`] and [`CheckpointError::ElementType`].
    pub fn stored(&self, name: &str) -> Result<Stored, CheckpointError> {
        match self.info(name)?.dtype {
            Dtype::F32 => Ok(Stored::F32),
            Dtype::F16 => Ok(Stored::F16),
            Dtype::BF16 => Ok(Stored::BF16),
            other => Err(self.wrong_type(name, other, "F32, F16 or BF16")),
        }
    }

    /// Hands the bytes of a tensor to `take` in pieces of a few megabytes, each a multiple of `step` bytes but
    /// for the last.
    fn pieces(
        &self,
        name: &str,
        step: usize,
        mut take: impl FnMut(&[u8]) -> Result<(), CheckpointError>,
    ) -> Result<(), CheckpointError> {
        let (from, to) = self.info(name)?.data_offsets;
        let (mut at, end) = (self.start + from as u64, self.start + to as u64);
        let most = (PIECE / step).max(1) * step;
        while at < end {
            let next = (at + most as u64).min(end);
            let piece = self
                .bytes
                .slice(at..next)
                .map_err(|source| CheckpointError::Io { file: self.label.clone(), source })?;
            take(&piece)?;
            drop(piece);
            self.bytes.done_with(at..next);
            at = next;
        }
        Ok(())
    }

    /// Hands the rows of a float tensor to `take` as they are stored, a few megabytes at a time: little-endian
    /// bytes of whole rows, every element finite. The number of the first of them comes first.
    ///
    /// # Errors
    /// [`CheckpointError::NoTensor`], [`CheckpointError::ElementType`], [`CheckpointError::Shape`],
    /// [`CheckpointError::NotFinite`], [`CheckpointError::Io`], and those of `take`.
    pub fn rows(
        &self,
        name: &str,
        shape: &[usize],
        mut take: impl FnMut(usize, &[u8]) -> Result<(), CheckpointError>,
    ) -> Result<(), CheckpointError> {
        self.check_shape(name, shape)?;
        let stored = self.stored(name)?;
        let width = shape.last().map_or(1, |&w| w).max(1);
        let mut row = 0;
        self.pieces(name, width * stored.size(), |bytes| {
            if let Some(i) = stored.not_finite(bytes) {
                return Err(CheckpointError::NotFinite {
                    file: self.label.clone(),
                    name: name.to_owned(),
                    value: stored.widen(&bytes[i * stored.size()..][..stored.size()])[0],
                    index: row * width + i,
                });
            }
            let rows = bytes.len() / (width * stored.size());
            take(row, bytes)?;
            row += rows;
            Ok(())
        })
    }

    /// A float tensor of any shape, widened to f32 (exact for f16 and bf16).
    ///
    /// # Errors
    /// As [`SafeFile::rows`].
    pub fn f32s(&self, name: &str) -> Result<Vec<f32>, CheckpointError> {
        let shape = self.info(name)?.shape.clone();
        let stored = self.stored(name)?;
        let mut values = Vec::with_capacity(shape.iter().product());
        self.rows(name, &shape, |_, bytes| {
            values.extend(stored.widen(bytes));
            Ok(())
        })?;
        Ok(values)
    }

    /// As [`SafeFile::f32s`], for tensors that may hold NaN and infinity.
    ///
    /// # Errors
    /// [`CheckpointError::NoTensor`], [`CheckpointError::ElementType`], [`CheckpointError::Io`].
    pub fn raw_f32s(&self, name: &str) -> Result<Vec<f32>, CheckpointError> {
        let stored = self.stored(name)?;
        let mut values = Vec::new();
        self.pieces(name, stored.size(), |bytes| {
            values.extend(stored.widen(bytes));
            Ok(())
        })?;
        Ok(values)
    }

    /// A float tensor of this shape.
    ///
    /// # Errors
    /// As [`SafeFile::f32s`], and [`CheckpointError::Shape`].
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, CheckpointError> {
        self.check_shape(name, shape)?;
        self.f32s(name)
    }

    pub(super) fn check_shape(&self, name: &str, shape: &[usize]) -> Result<(), CheckpointError> {
        match self.shape(name) {
            Some(found) if found != shape => Err(CheckpointError::Shape {
                file: self.label.clone(),
                name: name.to_owned(),
                found: found.to_vec(),
                expected: shape.to_vec(),
            }),
            _ => Ok(()),
        }
    }

    /// An integer tensor (I32, I64 or U32) as i64.
    ///
    /// # Errors
    /// [`CheckpointError::NoTensor`], [`CheckpointError::ElementType`], [`CheckpointError::Io`].
    pub fn integers(&self, name: &str) -> Result<Vec<i64>, CheckpointError> {
        let widen: fn(&[u8]) -> Vec<i64> = match self.info(name)?.dtype {
            Dtype::I64 => |b| b.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)).collect(),
            Dtype::I32 => |b| b.as_chunks().0.iter().map(|b| i32::from_le_bytes(*b).into()).collect(),
            Dtype::U32 => |b| b.as_chunks().0.iter().map(|b| u32::from_le_bytes(*b).into()).collect(),
            other => return Err(self.wrong_type(name, other, "I64, I32 or U32")),
        };
        let mut values = Vec::new();
        self.pieces(name, 8, |bytes| {
            values.extend(widen(bytes));
            Ok(())
        })?;
        Ok(values)
    }
}
