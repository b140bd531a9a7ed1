//! Storage buffers and the pool that they go back to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

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

impl Buffer {
    /// A buffer of `size` bytes, from the pool or new; its content is undefined.
    pub(super) fn new(device: &wgpu::Device, pool: &Arc<Mutex<Pool>>, size: u64) -> Arc<Self> {
        let reused = lock(pool).take(size);
        let buffer = reused.unwrap_or_else(|| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size,
                usage: wgpu::BufferUsages::STORAGE
                    | wgpu::BufferUsages::COPY_SRC
                    | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        });
        Arc::new(Self { buffer, pool: pool.clone() })
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere leaves plain data behind, never a half-made invariant.
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
