//! Arrays that live on an engine.

use std::sync::Arc;

use super::buffers::Buffer;
use super::engine::Backend;
use super::{Engine, GpuError};

/// Element type of a [`Tensor`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    /// 32-bit float.
    F32,
    /// 32-bit unsigned integer: token ids, indices.
    U32,
    /// 16-bit float with 5 bits of exponent. Weights only: products and embeddings widen it as they read.
    F16,
    /// 16-bit float with 8 bits of exponent: the upper half of an f32. Weights only.
    BF16,
}

impl Dtype {
    /// Bytes of an element.
    pub fn size(self) -> usize {
        match self {
            Self::F32 | Self::U32 => 4,
            Self::F16 | Self::BF16 => 2,
        }
    }
}

#[derive(Clone)]
pub(crate) enum Data {
    F32(Arc<Vec<f32>>),
    U32(Arc<Vec<u32>>),
    /// Bits of 16-bit floats.
    Half(Arc<Vec<u16>>),
    Gpu(Arc<Buffer>),
}

/// What kernels compute with.
pub(crate) trait Element: bytemuck::Pod {
    /// Its type in a tensor.
    const DTYPE: Dtype;
    /// The content of a tensor of the CPU engine.
    fn on_cpu(values: Vec<Self>) -> Data;
}

impl Element for f32 {
    const DTYPE: Dtype = Dtype::F32;
    fn on_cpu(values: Vec<Self>) -> Data {
        Data::F32(Arc::new(values))
    }
}

impl Element for u32 {
    const DTYPE: Dtype = Dtype::U32;
    fn on_cpu(values: Vec<Self>) -> Data {
        Data::U32(Arc::new(values))
    }
}

/// A dense row-major array on an engine. Cheap to clone: clones share the content, and a kernel that works in
/// place takes a private copy first ([`Tensor::unshare`]).
#[derive(Clone)]
pub struct Tensor {
    pub(super) engine: Engine,
    pub(super) shape: Vec<usize>,
    pub(super) dtype: Dtype,
    pub(super) data: Data,
}

impl std::fmt::Debug for Tensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}{:?}", self.dtype, self.shape)
    }
}

impl Tensor {
    /// A float tensor with these values.
    ///
    /// # Panics
    /// When the number of values is not the product of the shape.
    pub fn from_f32(engine: &Engine, shape: &[usize], values: Vec<f32>) -> Self {
        Self::of(engine, shape, values)
    }

    /// An integer tensor with these values.
    ///
    /// # Panics
    /// As [`Tensor::from_f32`].
    pub fn from_u32(engine: &Engine, shape: &[usize], values: Vec<u32>) -> Self {
        Self::of(engine, shape, values)
    }

    /// A tensor with these values.
    pub(super) fn of<T: Element>(engine: &Engine, shape: &[usize], values: Vec<T>) -> Self {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "values do not fill the shape {shape:?}");
        let data = match engine.backend() {
            Backend::Cpu => T::on_cpu(values),
            Backend::Gpu(gpu) => Data::Gpu(gpu.upload(bytemuck::cast_slice(&values))),
        };
        Self { engine: engine.clone(), shape: shape.to_vec(), dtype: T::DTYPE, data }
    }

    /// A float tensor of zeros.
    pub fn zeros(engine: &Engine, shape: &[usize]) -> Self {
        Self::from_f32(engine, shape, vec![0.0; shape.iter().product()])
    }

    /// An output of a GPU kernel; its content is undefined until the kernel has written it.
    ///
    /// # Panics
    /// On the CPU engine, whose twins make their outputs themselves.
    pub(crate) fn output(engine: &Engine, shape: &[usize], dtype: Dtype) -> Self {
        let Backend::Gpu(gpu) = engine.backend() else { panic!("outputs are allocated on a GPU only") };
        let bytes = shape.iter().product::<usize>() * dtype.size();
        Self { engine: engine.clone(), shape: shape.to_vec(), dtype, data: Data::Gpu(gpu.empty(bytes)) }
    }

    /// The elements of all `parts`, one after the other, as one axis.
    ///
    /// # Panics
    /// When there is no part, or they are not of one type of 32 bits and one engine.
    pub(crate) fn concat(parts: &[Tensor]) -> Self {
        let engine = parts.first().expect("at least one part").engine();
        let dtype = parts[0].dtype;
        assert!(dtype.size() == 4 && parts.iter().all(|p| p.dtype == dtype), "concat of {parts:?}");
        let len = parts.iter().map(Tensor::len).sum();
        match engine.backend() {
            Backend::Cpu if dtype == Dtype::U32 => {
                Self::of(engine, &[len], parts.iter().map(Tensor::u32s).collect::<Vec<_>>().concat())
            }
            Backend::Cpu => {
                Self::of(engine, &[len], parts.iter().map(Tensor::f32s).collect::<Vec<_>>().concat())
            }
            Backend::Gpu(gpu) => {
                let all = Self::output(engine, &[len], dtype);
                let sizes: Vec<(&Buffer, usize)> = parts.iter().map(|p| (p.buffer(), p.len() * 4)).collect();
                gpu.gather(&sizes, all.buffer());
                all
            }
        }
    }

    /// The engine it lives on.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Length along each axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Element type.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The shape read as a matrix: all axes but the last, and the last. A scalar is one row of one.
    pub fn rows_cols(&self) -> (usize, usize) {
        match self.shape.split_last() {
            Some((&cols, rows)) => (rows.iter().product(), cols),
            None => (1, 1),
        }
    }

    /// The same content under another shape.
    ///
    /// # Panics
    /// When the number of elements differs.
    pub fn reshape(&self, shape: &[usize]) -> Self {
        assert_eq!(shape.iter().product::<usize>(), self.len(), "{:?} cannot become {shape:?}", self.shape);
        Self { shape: shape.to_vec(), ..self.clone() }
    }

    /// Bytes of the content: whole words, as a shader reads them.
    pub(crate) fn bytes(&self) -> usize {
        (self.len() * self.dtype.size()).next_multiple_of(4)
    }

    /// The content on the CPU engine.
    ///
    /// # Panics
    /// On a GPU, or when the elements are not floats.
    pub(crate) fn f32s(&self) -> &[f32] {
        match &self.data {
            Data::F32(values) => values,
            _ => panic!("{self:?} is not a float tensor of the cpu engine"),
        }
    }

    /// The content on the CPU engine.
    ///
    /// # Panics
    /// On a GPU, or when the elements are not integers.
    pub(crate) fn u32s(&self) -> &[u32] {
        match &self.data {
            Data::U32(values) => values,
            _ => panic!("{self:?} is not an integer tensor of the cpu engine"),
        }
    }

    /// The bits of 16-bit floats on the CPU engine.
    ///
    /// # Panics
    /// On a GPU, or when the elements are no 16-bit floats.
    pub(crate) fn halves(&self) -> &[u16] {
        match &self.data {
            Data::Half(values) => values,
            _ => panic!("{self:?} holds no 16-bit floats of the cpu engine"),
        }
    }

    /// The content on the CPU engine, to change in place; a private copy is taken first if it is shared.
    ///
    /// # Panics
    /// As [`Tensor::f32s`].
    pub(crate) fn f32s_mut(&mut self) -> &mut [f32] {
        match &mut self.data {
            Data::F32(values) => Arc::<Vec<f32>>::make_mut(values),
            _ => panic!("not a float tensor of the cpu engine"),
        }
    }

    /// Makes sure nobody else sees a change of the content: before a GPU kernel works in place.
    pub(crate) fn unshare(&mut self) {
        if let (Data::Gpu(buffer), Backend::Gpu(gpu)) = (&mut self.data, self.engine.backend())
            && Arc::strong_count(buffer) > 1
        {
            let bytes = self.shape.iter().product::<usize>() * self.dtype.size();
            *buffer = gpu.duplicate(buffer, bytes);
        }
    }

    /// The device buffer.
    ///
    /// # Panics
    /// On the CPU engine.
    pub(crate) fn buffer(&self) -> &Buffer {
        match &self.data {
            Data::Gpu(buffer) => buffer,
            _ => panic!("{self:?} lives on the cpu engine"),
        }
    }

    /// Waits for the content.
    ///
    /// # Errors
    /// What went wrong on the device while it was computed.
    ///
    /// # Panics
    /// When the elements are not floats.
    pub async fn read_f32(&self) -> Result<Vec<f32>, GpuError> {
        assert_eq!(self.dtype, Dtype::F32);
        match (&self.data, self.engine.backend()) {
            (Data::Gpu(buffer), Backend::Gpu(gpu)) => {
                Ok(bytemuck::pod_collect_to_vec(&gpu.read(buffer, self.bytes()).await?))
            }
            _ => Ok(self.f32s().to_vec()),
        }
    }

    /// Waits for the content.
    ///
    /// # Errors
    /// As [`Tensor::read_f32`].
    ///
    /// # Panics
    /// When the elements are not integers.
    pub async fn read_u32(&self) -> Result<Vec<u32>, GpuError> {
        assert_eq!(self.dtype, Dtype::U32);
        match (&self.data, self.engine.backend()) {
            (Data::Gpu(buffer), Backend::Gpu(gpu)) => {
                Ok(bytemuck::pod_collect_to_vec(&gpu.read(buffer, self.bytes()).await?))
            }
            _ => Ok(self.u32s().to_vec()),
        }
    }
}
