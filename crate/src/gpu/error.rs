//! What can go wrong on a device.

use thiserror::Error;

use crate::failure::{Fails, Failure, printed};

/// A device could not be opened, or failed while it worked.
#[derive(Debug, Clone, Error)]
pub enum GpuError {
    /// No adapter at all.
    NoAdapter,
    /// The adapter refused to give a device.
    NoDevice {
        /// Name of the adapter.
        adapter: String,
        /// What the driver said.
        reason: String,
    },
    /// A buffer larger than the device can bind.
    TooLarge {
        /// Size asked for.
        bytes: u64,
        /// Largest storage binding.
        limit: u64,
    },
    /// The device ran out of memory.
    OutOfMemory(String),
    /// The device went away (driver reset, laptop switched GPUs, tab in the background too long).
    Lost(String),
    /// The device refused a command: a defect of this program.
    Refused(String),
}

impl Fails for GpuError {
    fn failure(&self) -> Failure {
        let failure = match self {
            Self::NoAdapter => Failure::new(
                "no WebGPU adapter was found",
                "install a Vulkan, Metal or DX12 driver, or use the cpu engine",
            ),
            Self::NoDevice { adapter, reason } => {
                format!("the adapter {adapter} gave no device: {reason}").into()
            }
            Self::TooLarge { bytes, limit } => Failure::new(
                format!("a tensor of {bytes} bytes is larger than this device can bind ({limit} bytes)"),
                "use smaller batches or the cpu engine",
            ),
            Self::OutOfMemory(what) => Failure::new(
                "the GPU is out of memory",
                format!("use smaller batches or the cpu engine ({what})"),
            ),
            Self::Lost(what) => Failure::new(
                format!("the GPU device was lost ({what})"),
                "start again, or use the cpu engine",
            ),
            Self::Refused(what) => format!("the GPU refused a command: {what}").into(),
        };
        failure.coded("engine")
    }
}

printed!(GpuError);
