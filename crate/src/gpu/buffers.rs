//! Storage buffers and the pool that they go back to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::GpuError;
use super::device::{Gpu, lock};

/// Idle buffers are kept for reuse up to this many bytes.
const POOL_BYTES: u64 = 512 << 20;

/// The buffers of a device that nobody uses, by size.
#[derive(Default)]
pub(super) struct Pool {
    idle: HashMap<u64, Vec<wgpu::Buffer>>,
    bytes: u64,
}

impl Pool {
    fn take(&mut self, size: u64) -> Option<wgpu::Buffer> {
        let buffer = self.idle.get_mut(&size)?.pop()?;
        self.bytes -= size;
        Some(buffer)
    }

    fn give(&mut self, buffer: wgpu::Buffer) {
        let size = buffer.size();
        if self.bytes + size <= POOL_BYTES {
            self.bytes += size;
            self.idle.entry(size).or_default().push(buffer);
        }
    }
}

/// A storage buffer that goes back to its device's pool when the last tensor lets go of it.
pub(crate) struct Buffer {
    pub(super) buffer: wgpu::Buffer,
    pool: Arc<Mutex<Pool>>,
}

impl Drop for Buffer {
    fn drop(&mut self) {
        lock(&self.pool).give(self.buffer.clone());
    }
}

impl Gpu {
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
        let size = bytes.clamp(256, largest);
        let reused = lock(&self.pool).take(size);
        let buffer = reused.unwrap_or_else(|| {
            self.device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size,
                usage: wgpu::BufferUsages::STORAGE
                    | wgpu::BufferUsages::COPY_SRC
                    | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        });
        Arc::new(Buffer { buffer, pool: self.pool.clone() })
    }
}
