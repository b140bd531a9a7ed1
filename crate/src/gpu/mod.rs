//! Everything that knows wgpu: adapters and tiers, buffers, pipelines, batching, readback.
//!
//! An [`Engine`] is where arithmetic happens: a WebGPU device or the processor. A [`Tensor`] lives on one
//! engine. Recording work is synchronous and cannot fail; a device's errors are kept and come out where
//! results are read back ([`Tensor::read_f32`]), because that is the only place that waits.
//!
//! A [`Tensor`] fits one storage binding ([`Engine::largest_tensor`]); a larger matrix is kept as several, by
//! rows. Weights may be 16-bit floats, which kernels widen as they read; all arithmetic is in f32.
//!
//! A kernel runs as a `Launch`, which knows its shader and its twin on the processor.
//!
//! Not supported: several devices at once in one tensor expression.

mod adapter;
mod buffers;
mod device;
mod engine;
mod error;
mod filling;
mod launch;
mod recording;
mod tensor;
#[cfg(test)]
pub(crate) mod testing;
mod transfer;

pub use adapter::{AdapterReport, Tier, adapters};
pub(crate) use engine::Backend;
pub use engine::{Engine, EngineChoice, EngineReport};
pub use error::GpuError;
pub(crate) use filling::Filling;
pub(crate) use launch::{Launch, Word, grid, shader};
pub(crate) use recording::Shader;
pub use tensor::{Dtype, Tensor};
