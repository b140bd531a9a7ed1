//! One open device: pipelines, recorded work, the buffer pool, readback.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use super::device::{self, AdapterReport, Tier};
use super::{GpuError, Tensor};

/// A WGSL file and the kernel's name. Every shader has the entry point `main`, its parameters as a uniform at
/// binding 0, then its inputs (`read`), then its outputs (`read_write`), in the order of [`Dispatch`].
pub(crate) struct Shader {
    pub(crate) name: &'static str,
    pub(crate) wgsl: &'static str,
}

/// One recorded run of a shader.
pub(crate) struct Dispatch<'a> {
    pub(crate) shader: &'static Shader,
    /// Values of the shader's `override` constants.
    pub(crate) constants: &'a [(&'static str, f64)],
    /// The uniform at binding 0, as bytes; a multiple of 16.
    pub(crate) params: &'a [u8],
    pub(crate) inputs: &'a [&'a Tensor],
    pub(crate) outputs: &'a [&'a Tensor],
    /// Workgroups in x, y, z.
    pub(crate) groups: [u32; 3],
}

/// Lays `n` workgroups out as x·y, since a dimension holds at most 65,535. Shaders find their group as
/// `wid.x + wid.y * num.x` and return when it is not below `n`.
pub(crate) fn grid(n: usize) -> [u32; 3] {
    const MOST: usize = 65_535;
    let x = n.clamp(1, MOST);
    [x as u32, n.div_ceil(x).max(1) as u32, 1]
}

/// Uniforms are bound at this alignment, the largest that WebGPU allows a device to ask for.
const UNIFORM_STRIDE: usize = 256;
/// Dispatches recorded before they are submitted by themselves: few enough that the device starts early,
/// many enough that a submission's cost (tens of microseconds) vanishes.
const BATCH: usize = 64;
/// Idle buffers are kept for reuse up to this many bytes.
const POOL_BYTES: u64 = 512 << 20;

struct Recorded {
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    groups: [u32; 3],
}

type PipelineKey = (&'static str, Vec<(&'static str, u64)>);

#[derive(Default)]
struct State {
    pipelines: HashMap<PipelineKey, wgpu::ComputePipeline>,
    recorded: Vec<Recorded>,
    /// Uniforms of the recorded dispatches, [`UNIFORM_STRIDE`] apart.
    uniforms: Vec<u8>,
}

#[derive(Default)]
struct Pool {
    idle: HashMap<u64, Vec<wgpu::Buffer>>,
    bytes: u64,
}

/// A storage buffer that goes back to its device's pool when the last tensor lets go of it.
pub(crate) struct Buffer {
    buffer: wgpu::Buffer,
    pool: Arc<Mutex<Pool>>,
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let size = self.buffer.size();
        let mut pool = lock(&self.pool);
        if pool.bytes + size <= POOL_BYTES {
            pool.bytes += size;
            pool.idle.entry(size).or_default().push(self.buffer.clone());
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere leaves plain data behind, never a half-made invariant.
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// An open device.
pub(crate) struct Gpu {
    device: wgpu::Device,
    queue: wgpu::Queue,
    pub(crate) adapter: AdapterReport,
    pub(super) max_binding: u64,
    uniform: wgpu::Buffer,
    state: Mutex<State>,
    pool: Arc<Mutex<Pool>>,
    /// Bytes on their way since the device was last waited for ([`Gpu::write`]).
    unsettled: std::sync::atomic::AtomicUsize,
    /// The first error since the last readback.
    error: Arc<Mutex<Option<GpuError>>>,
    /// Whether the device ever failed: what lies on it is then not to be trusted any more.
    failed: Arc<AtomicBool>,
}

impl Gpu {
    pub(crate) async fn open(
        adapter: wgpu::Adapter,
        report: AdapterReport,
        tier: Tier,
    ) -> Result<Self, GpuError> {
        let (device, queue) = device::open(&adapter, &report, tier).await?;
        let error = Arc::new(Mutex::new(None));
        let failed = Arc::new(AtomicBool::new(false));
        let (seen, fails) = (error.clone(), failed.clone());
        device.on_uncaptured_error(Arc::new(move |e: wgpu::Error| {
            fails.store(true, Ordering::Relaxed);
            let e = match e {
                wgpu::Error::OutOfMemory { source } => GpuError::OutOfMemory(source.to_string()),
                other => GpuError::Refused(other.to_string()),
            };
            lock(&seen).get_or_insert(e);
        }));
        let (seen, fails) = (error.clone(), failed.clone());
        device.set_device_lost_callback(move |reason, message| {
            // Dropping the device is no accident.
            if reason != wgpu::DeviceLostReason::Destroyed {
                fails.store(true, Ordering::Relaxed);
                lock(&seen).get_or_insert(GpuError::Lost(message));
            }
        });
        let uniform = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("uniforms"),
            size: (BATCH * UNIFORM_STRIDE) as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let max_binding = device.limits().max_storage_buffer_binding_size;
        Ok(Self {
            device,
            queue,
            adapter: report,
            max_binding,
            uniform,
            state: Mutex::default(),
            pool: Arc::default(),
            unsettled: Default::default(),
            error,
            failed,
        })
    }

    /// Whether the device ever failed.
    pub(super) fn failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Keeps an error for the next readback, unless there is an earlier one.
    fn note(&self, error: GpuError) {
        self.failed.store(true, Ordering::Relaxed);
        lock(&self.error).get_or_insert(error);
    }

    /// A buffer of at least `bytes`, its content undefined: kernels write every element of their outputs.
    pub(crate) fn empty(&self, bytes: usize) -> Arc<Buffer> {
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
            self.note(GpuError::TooLarge { bytes, limit: self.max_binding });
        }
        let size = bytes.clamp(256, largest);
        let mut pool = lock(&self.pool);
        let reused = pool.idle.get_mut(&size).and_then(Vec::pop);
        if reused.is_some() {
            pool.bytes -= size;
        }
        drop(pool);
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

    /// A buffer that holds `data`.
    pub(crate) fn upload(&self, data: &[u8]) -> Arc<Buffer> {
        let buffer = self.empty(data.len());
        if data.len() as u64 <= buffer.buffer.size() && !data.is_empty() {
            // A write happens before everything not yet submitted, and a reused buffer may still be read there.
            self.submit();
            self.queue.write_buffer(&buffer.buffer, 0, data);
        }
        buffer
    }

    /// Writes `data` (whole words) into a buffer from `offset` on. The buffer must not be in use by recorded
    /// work: a write overtakes it. Every few megabytes the device is waited for, so that the copies in between are
    /// given back. (A browser gives them back by itself.)
    pub(super) fn write(&self, buffer: &Buffer, offset: usize, data: &[u8]) {
        use std::sync::atomic::Ordering::Relaxed;
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
            self.note(GpuError::Lost(e.to_string()));
        }
    }

    fn pipeline(&self, state: &mut State, dispatch: &Dispatch<'_>) -> wgpu::ComputePipeline {
        let constants = dispatch.constants.iter().map(|&(name, value)| (name, value.to_bits())).collect();
        let key = (dispatch.shader.name, constants);
        if let Some(pipeline) = state.pipelines.get(&key) {
            return pipeline.clone();
        }
        let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(dispatch.shader.name),
            source: wgpu::ShaderSource::Wgsl(dispatch.shader.wgsl.into()),
        });
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(dispatch.shader.name),
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: dispatch.constants,
                // Measured on SwiftShader: a pipeline takes 0.8 s with it, 0.04 s without. Kernels
                // initialise what they read.
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        });
        state.pipelines.insert(key, pipeline.clone());
        pipeline
    }

    /// Records one dispatch.
    ///
    /// # Panics
    /// When a tensor lives on another engine.
    pub(crate) fn dispatch(&self, dispatch: &Dispatch<'_>) {
        let mut state = lock(&self.state);
        let pipeline = self.pipeline(&mut state, dispatch);
        let offset = state.uniforms.len();
        state.uniforms.extend_from_slice(dispatch.params);
        state.uniforms.resize(offset + UNIFORM_STRIDE, 0);

        let mut entries = vec![wgpu::BindGroupEntry {
            binding: 0,
            resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: &self.uniform,
                offset: offset as u64,
                size: std::num::NonZeroU64::new(dispatch.params.len() as u64),
            }),
        }];
        for (i, tensor) in dispatch.inputs.iter().chain(dispatch.outputs).enumerate() {
            let buffer = &tensor.buffer().buffer;
            let bytes = (tensor.bytes() as u64).max(16).min(buffer.size());
            entries.push(wgpu::BindGroupEntry {
                binding: 1 + i as u32,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer,
                    offset: 0,
                    size: std::num::NonZeroU64::new(bytes),
                }),
            });
        }
        let bind_group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(dispatch.shader.name),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        state.recorded.push(Recorded { pipeline, bind_group, groups: dispatch.groups });
        if state.recorded.len() == BATCH {
            self.submit_state(&mut state);
        }
    }

    fn submit_state(&self, state: &mut State) {
        if state.recorded.is_empty() {
            return;
        }
        self.queue.write_buffer(&self.uniform, 0, &state.uniforms);
        let mut encoder = self.device.create_command_encoder(&Default::default());
        {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            for Recorded { pipeline, bind_group, groups: [x, y, z] } in state.recorded.drain(..) {
                pass.set_pipeline(&pipeline);
                pass.set_bind_group(0, &bind_group, &[]);
                pass.dispatch_workgroups(x, y, z);
            }
        }
        self.queue.submit([encoder.finish()]);
        state.uniforms.clear();
    }

    /// Hands everything recorded so far to the device.
    pub(crate) fn submit(&self) {
        self.submit_state(&mut lock(&self.state));
    }

    /// A device copy of a tensor's content.
    pub(crate) fn duplicate(&self, buffer: &Buffer, bytes: usize) -> Arc<Buffer> {
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
    pub(crate) async fn read(&self, buffer: &Buffer, bytes: usize) -> Result<Vec<u8>, GpuError> {
        self.submit();
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
            self.note(GpuError::Lost(e.to_string()));
        }
        let mapped = wait.await;
        if let Some(e) = lock(&self.error).take() {
            return Err(e);
        }
        let lost = |e: &dyn std::fmt::Display| {
            self.failed.store(true, Ordering::Relaxed);
            GpuError::Lost(e.to_string())
        };
        mapped.map_err(|e| lost(&e))?.map_err(|e| lost(&e))?;
        let view = staging.slice(..).get_mapped_range().map_err(|e| lost(&e))?;
        Ok(view[..bytes].to_vec())
    }
}
