//! What can go wrong on a device.

use thiserror::Error;

/// A device could not be opened, or failed while it worked.
#[derive(Debug, Clone, Error)]
pub enum GpuError {
    /// No adapter at all.
    #[error("no WebGPU adapter was found; install a Vulkan, Metal or DX12 driver, or use the cpu engine")]
    NoAdapter,
    /// The adapter refused to give a device.
    #[error("the adapter {adapter} gave no device: {reason}")]
    NoDevice {
        /// Name of the adapter.
        adapter: String,
        /// What the driver said.
        reason: String,
    },
    /// A buffer larger than the device can bind.
    #[error(
        "a tensor of {bytes} bytes is larger than this device can bind ({limit} bytes); use smaller batches or the cpu engine"
    )]
    TooLarge {
        /// Size asked for.
        bytes: u64,
        /// Largest storage binding.
        limit: u64,
    },
    /// The device ran out of memory.
    #[error("the GPU is out of memory; use smaller batches or the cpu engine ({0})")]
    OutOfMemory(String),
    /// The device went away (driver reset, laptop switched GPUs, tab in the background too long).
    #[error("the GPU device was lost ({0}); start again, or use the cpu engine")]
    Lost(String),
    /// The device refused a command: a defect of this program.
    #[error("the GPU refused a command: {0}")]
    Refused(String),
}
