//! An open device, and what went wrong on it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::GpuError;
use super::adapter::{self, AdapterReport, Tier};
use super::buffers::{Buffer, Pool, lock};
use super::recording::{Dispatch, Recording};

/// An open device. What is copied to it, on it and from it stands in `transfer.rs`.
pub(crate) struct Gpu {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(crate) adapter: AdapterReport,
    pub(super) max_binding: u64,
    recording: Mutex<Recording>,
    pool: Arc<Mutex<Pool>>,
    /// Bytes on their way since the device was last waited for ([`Gpu::write`]).
    pub(super) unsettled: AtomicUsize,
    pub(super) errors: Arc<Errors>,
    pub(super) traffic: Traffic,
}

/// How often something was copied between the host and a device; tests say what a piece of work may copy.
#[derive(Default)]
pub(super) struct Traffic {
    pub(super) uploads: AtomicUsize,
    pub(super) readbacks: AtomicUsize,
}

/// What went wrong on a device, kept until somebody reads from it.
#[derive(Default)]
pub(super) struct Errors {
    /// The first error since the last readback.
    first: Mutex<Option<GpuError>>,
    /// Whether the device ever failed: what lies on it is then not to be trusted any more.
    failed: AtomicBool,
}

impl Errors {
    /// Keeps an error for the next readback, unless there is an earlier one.
    pub(super) fn note(&self, error: GpuError) {
        let error = self.failure(error);
        lock(&self.first).get_or_insert(error);
    }

    /// An error that its finder returns himself.
    pub(super) fn failure(&self, error: GpuError) -> GpuError {
        self.failed.store(true, Ordering::Relaxed);
        error
    }

    /// The first error since it was last asked for.
    pub(super) fn take(&self) -> Option<GpuError> {
        lock(&self.first).take()
    }
}

impl Gpu {
    /// Opens a device with the limits of a tier.
    ///
    /// # Errors
    /// When the adapter gives none.
    pub(super) async fn open(
        adapter: wgpu::Adapter,
        report: AdapterReport,
        tier: Tier,
    ) -> Result<Self, GpuError> {
        let (device, queue) = adapter::open(&adapter, &report, tier).await?;
        let errors = Arc::new(Errors::default());
        let seen = errors.clone();
        device.on_uncaptured_error(Arc::new(move |e: wgpu::Error| {
            seen.note(match e {
                wgpu::Error::OutOfMemory { source } => GpuError::OutOfMemory(source.to_string()),
                other => GpuError::Refused(other.to_string()),
            });
        }));
        let seen = errors.clone();
        device.set_device_lost_callback(move |reason, message| {
            // Dropping the device is no accident.
            if reason != wgpu::DeviceLostReason::Destroyed {
                seen.note(GpuError::Lost(message));
            }
        });
        Ok(Self {
            recording: Mutex::new(Recording::new(&device, &queue)),
            max_binding: device.limits().max_storage_buffer_binding_size,
            device,
            queue,
            adapter: report,
            pool: Arc::default(),
            unsettled: AtomicUsize::default(),
            errors,
            traffic: Traffic::default(),
        })
    }

    /// Whether the device ever failed.
    pub(super) fn failed(&self) -> bool {
        self.errors.failed.load(Ordering::Relaxed)
    }

    /// A buffer of at least `bytes`, its content undefined: kernels write every element of their outputs.
    pub(super) fn empty(&self, bytes: usize) -> Arc<Buffer> {
        // Sizes are rounded so that batches of slightly different lengths share buffers.
        self.sized(if bytes <= 1 << 20 {
            bytes.next_power_of_two().max(256)
        } else {
            bytes.next_multiple_of(1 << 20)
        })
    }

    /// As [`Gpu::empty`], without room to spare: for weights, which stay as they are.
    pub(super) fn exact(&self, bytes: usize) -> Arc<Buffer> {
        self.sized(bytes.next_multiple_of(256))
    }

    fn sized(&self, bytes: usize) -> Arc<Buffer> {
        let bytes = bytes as u64;
        let largest = self.max_binding & !255;
        if bytes > largest {
            self.errors.note(GpuError::TooLarge { bytes, limit: self.max_binding });
        }
        Buffer::new(&self.device, &self.pool, bytes.clamp(256, largest))
    }

    /// Records one dispatch.
    pub(super) fn record(&self, dispatch: &Dispatch<'_>) {
        lock(&self.recording).push(dispatch);
    }

    /// Hands everything recorded so far to the device.
    pub(super) fn submit(&self) {
        lock(&self.recording).submit();
    }
}
