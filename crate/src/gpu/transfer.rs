//! Bytes on their way to the device, on it, and back.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::GpuError;
use super::buffers::Buffer;
use super::device::Gpu;

impl Gpu {
    /// A buffer that holds `data`.
    pub(super) fn upload(&self, data: &[u8]) -> Arc<Buffer> {
        let buffer = self.empty(data.len());
        if data.len() as u64 <= buffer.buffer.size() && !data.is_empty() {
            // A write happens before everything not yet submitted, and a reused buffer may still be read there.
            self.submit();
            self.queue.write_buffer(&buffer.buffer, 0, data);
            self.traffic.uploads.fetch_add(1, Relaxed);
        }
        buffer
    }

    /// Writes `data` (whole words) into a buffer from `offset` on. The buffer must not be in use by recorded
    /// work: a write overtakes it. Every few megabytes the device is waited for, so that the copies in between are
    /// given back. (A browser gives them back by itself.)
    pub(super) fn write(&self, buffer: &Buffer, offset: usize, data: &[u8]) {
        const SETTLE_EVERY: usize = 8 << 20;
        if (offset + data.len()) as u64 <= buffer.buffer.size() {
            self.queue.write_buffer(&buffer.buffer, offset as u64, data);
        }
        if self.unsettled.fetch_add(data.len(), Relaxed) + data.len() >= SETTLE_EVERY {
            self.unsettled.store(0, Relaxed);
            self.settle();
        }
    }

    fn settle(&self) {
        self.submit();
        self.queue.submit(std::iter::empty());
        if let Err(e) = self.device.poll(wgpu::PollType::wait_indefinitely()) {
            self.errors.note(GpuError::Lost(e.to_string()));
        }
    }

    /// A device copy of a tensor's content.
    pub(super) fn duplicate(&self, buffer: &Buffer, bytes: usize) -> Arc<Buffer> {
        let copy = self.empty(bytes);
        self.submit();
        let size = (bytes as u64).next_multiple_of(4).min(copy.buffer.size());
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(&buffer.buffer, 0, &copy.buffer, 0, size);
        self.queue.submit([encoder.finish()]);
        copy
    }

    /// Copies the first bytes of several buffers, one after the other, into another.
    pub(super) fn gather(&self, parts: &[(&Buffer, usize)], into: &Buffer) {
        self.submit();
        let mut encoder = self.device.create_command_encoder(&Default::default());
        let mut offset = 0;
        for &(part, bytes) in parts {
            // A buffer that was too large to make has been noted as an error already.
            if bytes > 0 && offset + bytes as u64 <= into.buffer.size() {
                encoder.copy_buffer_to_buffer(&part.buffer, 0, &into.buffer, offset, bytes as u64);
            }
            offset += bytes as u64;
        }
        self.queue.submit([encoder.finish()]);
    }

    /// Waits for all recorded work and returns the first `bytes` bytes of a buffer.
    ///
    /// # Errors
    /// The first thing that went wrong on the device since the last readback.
    pub(super) async fn read(&self, buffer: &Buffer, bytes: usize) -> Result<Vec<u8>, GpuError> {
        self.submit();
        self.traffic.readbacks.fetch_add(1, Relaxed);
        let size = (bytes as u64).next_multiple_of(4);
        let staging = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("readback"),
            size: size.max(4),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = self.device.create_command_encoder(&Default::default());
        if size > 0 && size <= buffer.buffer.size() {
            encoder.copy_buffer_to_buffer(&buffer.buffer, 0, &staging, 0, size);
        }
        self.queue.submit([encoder.finish()]);
        let (done, wait) = futures_channel::oneshot::channel();
        staging.slice(..).map_async(wgpu::MapMode::Read, move |result| {
            // The receiver is gone only when the reader was cancelled.
            let _ = done.send(result);
        });
        // Natively this runs the callback; in a browser the event loop does.
        let polled = self.device.poll(wgpu::PollType::wait_indefinitely());
        if let Err(e) = polled {
            self.errors.note(GpuError::Lost(e.to_string()));
        }
        let mapped = wait.await;
        if let Some(e) = self.errors.take() {
            return Err(e);
        }
        let lost = |e: &dyn std::fmt::Display| self.errors.failure(GpuError::Lost(e.to_string()));
        mapped.map_err(|e| lost(&e))?.map_err(|e| lost(&e))?;
        let view = staging.slice(..).get_mapped_range().map_err(|e| lost(&e))?;
        Ok(view[..bytes].to_vec())
    }
}
