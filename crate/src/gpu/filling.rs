//! Tensors filled piece by piece.

use std::sync::Arc;

use super::buffers::Buffer;
use super::engine::Backend;
use super::tensor::Data;
use super::{Dtype, Engine, Tensor};

/// A tensor that is being filled from front to back, so that its source never lies in memory as a whole.
pub(crate) struct Filling {
    engine: Engine,
    shape: Vec<usize>,
    dtype: Dtype,
    /// Bytes filled.
    at: usize,
    to: Destination,
}

enum Destination {
    F32(Vec<f32>),
    Half(Vec<u16>),
    Gpu {
        buffer: Arc<Buffer>,
        /// What does not fill a word yet.
        rest: Vec<u8>,
    },
}

impl Filling {
    /// An empty tensor of floats.
    ///
    /// # Panics
    /// For integers, which nobody streams.
    pub(crate) fn new(engine: &Engine, shape: &[usize], dtype: Dtype) -> Self {
        let len: usize = shape.iter().product();
        let to = match (engine.backend(), dtype) {
            (_, Dtype::U32) => panic!("integers are not streamed"),
            (Backend::Cpu, Dtype::F32) => Destination::F32(Vec::with_capacity(len)),
            (Backend::Cpu, Dtype::F16 | Dtype::BF16) => Destination::Half(Vec::with_capacity(len)),
            (Backend::Gpu(gpu), _) => {
                // A buffer of the pool may still be read by recorded work, which the writes would overtake.
                gpu.submit();
                let buffer = gpu.exact(len * dtype.size());
                Destination::Gpu { buffer, rest: Vec::new() }
            }
        };
        Self { engine: engine.clone(), shape: shape.to_vec(), dtype, at: 0, to }
    }

    fn bytes(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.size()
    }

    /// Appends elements of the tensor's type, little-endian.
    ///
    /// # Panics
    /// When they are more than the shape has room for.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.at += bytes.len();
        assert!(self.at <= self.bytes(), "more values than {:?} holds", self.shape);
        match (&mut self.to, self.engine.backend()) {
            (Destination::F32(to), _) => {
                to.extend(bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)));
            }
            (Destination::Half(to), _) => {
                to.extend(bytes.as_chunks().0.iter().map(|b| u16::from_le_bytes(*b)));
            }
            (Destination::Gpu { buffer, rest }, Backend::Gpu(gpu)) => {
                let offset = self.at - bytes.len() - rest.len();
                let whole = |bytes: &[u8]| bytes.len() & !3;
                if rest.is_empty() {
                    let words = whole(bytes);
                    gpu.write(buffer, offset, &bytes[..words]);
                    rest.extend_from_slice(&bytes[words..]);
                } else {
                    rest.extend_from_slice(bytes);
                    let words = whole(rest);
                    gpu.write(buffer, offset, &rest[..words]);
                    rest.drain(..words);
                }
            }
            (Destination::Gpu { .. }, Backend::Cpu) => unreachable!("made for this engine"),
        }
    }

    /// The full tensor.
    ///
    /// # Panics
    /// When values are missing.
    pub(crate) fn finish(self) -> Tensor {
        assert_eq!(self.at, self.bytes(), "fewer bytes than {:?} holds", self.shape);
        let data = match (self.to, self.engine.backend()) {
            (Destination::F32(values), _) => Data::F32(Arc::new(values)),
            (Destination::Half(values), _) => Data::Half(Arc::new(values)),
            (Destination::Gpu { buffer, mut rest }, Backend::Gpu(gpu)) => {
                if !rest.is_empty() {
                    let offset = self.at - rest.len();
                    rest.resize(4, 0);
                    gpu.write(&buffer, offset, &rest);
                }
                Data::Gpu(buffer)
            }
            (Destination::Gpu { .. }, Backend::Cpu) => unreachable!("made for this engine"),
        };
        Tensor { engine: self.engine, shape: self.shape, dtype: self.dtype, data }
    }
}

impl Tensor {
    /// A matrix of weights with these bits of 16-bit floats.
    ///
    /// # Panics
    /// When `dtype` is not f16 or bf16, or the number of values is not the product of the shape.
    pub fn from_halves(engine: &Engine, shape: &[usize], dtype: Dtype, bits: &[u16]) -> Self {
        assert_eq!(dtype.size(), 2, "{dtype:?} is no 16-bit float");
        assert_eq!(shape.iter().product::<usize>(), bits.len(), "values do not fill the shape {shape:?}");
        let mut filling = Filling::new(engine, shape, dtype);
        filling.push(&bits.iter().flat_map(|b| b.to_le_bytes()).collect::<Vec<_>>());
        filling.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::testing::{close, each_engine};

    #[test]
    fn pieces_of_any_size_make_the_whole() {
        let values: Vec<f32> = (0..1_001).map(|i| i as f32 - 500.0).collect();
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let want: Vec<f64> = values.iter().map(|&v| v.into()).collect();
        each_engine(|engine| {
            for step in [4, 12, 1_000, 5_000] {
                let mut filling = Filling::new(engine, &[7, 143], Dtype::F32);
                bytes.chunks(step).for_each(|piece| filling.push(piece));
                close(engine, &filling.finish(), &want, 0.0);
            }
        });
    }
}
