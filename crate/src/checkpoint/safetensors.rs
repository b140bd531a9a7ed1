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

    /// All of the file's `__metadata__`.
    pub fn notes(&self) -> impl Iterator<Item = (&str, &str)> {
        let notes = self.metadata.metadata().as_ref();
        notes.into_iter().flatten().map(|(key, value)| (key.as_str(), value.as_str()))
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
        // A tensor without elements may have rows of any length.
        let most = (PIECE / step.max(1)).max(1).saturating_mul(step);
        while at < end {
            let next = at.saturating_add(most as u64).min(end);
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
        self.pieces(name, width.saturating_mul(stored.size()), |bytes| {
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
        let mut values = self.room(name)?;
        self.rows(name, &shape, |_, bytes| {
            values.extend(stored.widen(bytes));
            Ok(())
        })?;
        Ok(values)
    }

    /// A tensor of numbers of any type and shape as f32: floats of 16 to 64 bits, integers, booleans. What f32 has no
    /// number for is rounded.
    ///
    /// # Errors
    /// [`CheckpointError::NoTensor`], [`CheckpointError::ElementType`], [`CheckpointError::NotFinite`] (also for what
    /// is too large for f32), [`CheckpointError::Memory`], [`CheckpointError::Io`].
    pub fn numbers(&self, name: &str) -> Result<Vec<f32>, CheckpointError> {
        let dtype = self.info(name)?.dtype;
        let mut values: Vec<f32> = self.room(name)?;
        self.pieces(name, 8, |bytes| {
            let piece = numbers(dtype, bytes).ok_or_else(|| self.wrong_type(name, dtype, NUMBERS))?;
            values.extend(piece);
            Ok(())
        })?;
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

    /// Memory for the elements of a tensor: as many as the file has bytes for.
    fn room<T>(&self, name: &str) -> Result<Vec<T>, CheckpointError> {
        let count: usize = self.info(name)?.shape.iter().product();
        let mut values = Vec::new();
        values.try_reserve_exact(count).map_err(|_| CheckpointError::Memory {
            file: self.label.clone(),
            name: name.to_owned(),
            bytes: (count as u64).saturating_mul(size_of::<T>() as u64),
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

    /// An integer tensor of any type as i64; what is too large for it becomes the largest.
    ///
    /// # Errors
    /// [`CheckpointError::NoTensor`], [`CheckpointError::ElementType`], [`CheckpointError::Memory`],
    /// [`CheckpointError::Io`].
    pub fn integers(&self, name: &str) -> Result<Vec<i64>, CheckpointError> {
        let dtype = self.info(name)?.dtype;
        let mut values = self.room(name)?;
        self.pieces(name, 8, |bytes| {
            values.extend(integers(dtype, bytes).ok_or_else(|| self.wrong_type(name, dtype, INTEGERS))?);
            Ok(())
        })?;
        Ok(values)
    }
}

const INTEGERS: &str = "I8 to I64 or U8 to U64";
const NUMBERS: &str = "F16, BF16, F32, F64, integers or BOOL";

/// Little-endian integers of a type; none where it is not one of integers.
pub(crate) fn integers(dtype: Dtype, bytes: &[u8]) -> Option<Vec<i64>> {
    macro_rules! elements {
        ($type:ty) => {
            bytes.as_chunks().0.iter().map(|b| i64::from(<$type>::from_le_bytes(*b))).collect()
        };
    }
    let unsigned = |b: &[u8; 8]| i64::try_from(u64::from_le_bytes(*b)).unwrap_or(i64::MAX);
    Some(match dtype {
        Dtype::I64 => bytes.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)).collect(),
        Dtype::U64 => bytes.as_chunks().0.iter().map(unsigned).collect(),
        Dtype::I32 => elements!(i32),
        Dtype::I16 => elements!(i16),
        Dtype::I8 => elements!(i8),
        Dtype::U32 => elements!(u32),
        Dtype::U16 => elements!(u16),
        Dtype::U8 => elements!(u8),
        _ => return None,
    })
}

/// Little-endian numbers of a type, rounded to f32; none where it is not one of numbers.
pub(crate) fn numbers(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    Some(match dtype {
        Dtype::F64 => bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect(),
        Dtype::F32 => Stored::F32.widen(bytes),
        Dtype::F16 => Stored::F16.widen(bytes),
        Dtype::BF16 => Stored::BF16.widen(bytes),
        Dtype::U64 => bytes.as_chunks().0.iter().map(|b| u64::from_le_bytes(*b) as f32).collect(),
        Dtype::BOOL => bytes.iter().map(|b| f32::from(u8::from(*b != 0))).collect(),
        _ => integers(dtype, bytes)?.into_iter().map(|v| v as f32).collect(),
    })
}

#[cfg(test)]
mod tests {
    use safetensors::serialize;
    use safetensors::tensor::TensorView;

    use super::*;

    fn file(dtype: Dtype, shape: &[usize], data: &[u8]) -> SafeFile {
        let view = TensorView::new(dtype, shape.to_vec(), data).expect("a view");
        let bytes = serialize([("x", view)], None).expect("a file");
        SafeFile::parse("f", bytes.into()).expect("a sound file")
    }

    #[test]
    fn numbers_of_every_type_are_the_same() {
        let values = [0u8, 1, 2, 100];
        macro_rules! bytes {
            ($type:ty) => {
                values.iter().flat_map(|v| <$type>::from(*v).to_le_bytes()).collect::<Vec<u8>>()
            };
        }
        let narrow = |narrow: fn(f32) -> [u8; 2]| values.iter().flat_map(|v| narrow(f32::from(*v))).collect();
        let signed: Vec<u8> = values.to_vec();
        let (floats, wholes) = (
            [
                (Dtype::F64, bytes!(f64)),
                (Dtype::F32, bytes!(f32)),
                (Dtype::F16, narrow(|v| f16::from_f32(v).to_le_bytes())),
                (Dtype::BF16, narrow(|v| bf16::from_f32(v).to_le_bytes())),
            ],
            [
                (Dtype::I64, bytes!(i64)),
                (Dtype::I32, bytes!(i32)),
                (Dtype::I16, bytes!(i16)),
                (Dtype::I8, signed),
                (Dtype::U64, bytes!(u64)),
                (Dtype::U32, bytes!(u32)),
                (Dtype::U16, bytes!(u16)),
                (Dtype::U8, bytes!(u8)),
            ],
        );
        for (dtype, data) in floats.iter().chain(&wholes) {
            let file = file(*dtype, &[2, 2], data);
            assert_eq!(file.numbers("x").expect("numbers"), values.map(f32::from), "{dtype:?}");
            let whole = file.integers("x");
            if wholes.iter().any(|(whole, _)| whole == dtype) {
                assert_eq!(whole.expect("integers"), values.map(i64::from), "{dtype:?}");
            } else {
                let error = whole.expect_err("no integers").to_string();
                assert_eq!(error, format!("f: tensor x is {dtype:?}; I8 to I64 or U8 to U64 can be read"));
            }
        }
        assert_eq!(file(Dtype::BOOL, &[3], &[0, 1, 0]).numbers("x").expect("numbers"), [0.0, 1.0, 0.0]);
        assert_eq!(file(Dtype::U64, &[1], &[255; 8]).integers("x").expect("integers"), [i64::MAX]);
        let error = file(Dtype::F8_E4M3, &[1], &[0]).numbers("x").expect_err("no such").to_string();
        assert!(error.ends_with("F16, BF16, F32, F64, integers or BOOL can be read"), "{error}");
    }

    #[test]
    fn numbers_that_f32_cannot_hold_are_refused() {
        for value in [f64::NAN, f64::INFINITY, 1e300, -1e39] {
            let data = [1.0, value].map(f64::to_le_bytes);
            let error = file(Dtype::F64, &[2], data.as_flattened()).numbers("x").expect_err("not finite");
            assert!(error.to_string().contains("at element 1"), "{error}");
        }
    }

    #[test]
    fn rows_of_nothing_may_have_any_length() {
        for shape in [&[0, 1 << 62][..], &[1 << 62, 0], &[0, 1 << 31], &[0, usize::MAX]] {
            let file = file(Dtype::F32, shape, &[]);
            assert_eq!(file.f32s("x").expect("nothing"), [0.0; 0]);
            assert_eq!(file.numbers("x").expect("nothing"), [0.0; 0]);
            file.rows("x", shape, |_, _| panic!("there is no row")).expect("nothing");
        }
    }
}
