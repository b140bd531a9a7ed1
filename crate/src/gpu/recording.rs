//! Work that is recorded, and handed to the device in batches.

use std::collections::HashMap;

use super::buffers::Buffer;

/// A kernel's name and its WGSL, in the files that make it up. Every shader has the entry point `main`, its parameters
/// as a uniform at binding 0, then its inputs (`read`), then its outputs (`read_write`), in the order of the
/// [`Dispatch`].
pub(crate) struct Shader {
    pub(crate) name: &'static str,
    pub(crate) wgsl: &'static [&'static str],
}

/// One run of a shader on buffers.
pub(super) struct Dispatch<'a> {
    pub(super) shader: &'static Shader,
    /// Values of the shader's `override` constants.
    pub(super) constants: &'a [(&'static str, f64)],
    /// The uniform at binding 0; a multiple of 16 bytes.
    pub(super) params: &'a [u8],
    /// Inputs and outputs, and how many bytes of each are bound.
    pub(super) bound: &'a [(&'a Buffer, usize)],
    /// Workgroups in x, y, z.
    pub(super) groups: [u32; 3],
}

/// Uniforms are bound at this alignment, the largest that WebGPU allows a device to ask for.
const UNIFORM_STRIDE: usize = 256;
/// Dispatches recorded before they are submitted by themselves: few enough that the device starts early,
/// many enough that a submission's cost (tens of microseconds) vanishes.
const BATCH: usize = 64;

struct Recorded {
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    groups: [u32; 3],
}

type PipelineKey = (&'static str, Vec<(&'static str, u64)>);

/// What a device was told to do and has not been handed yet, and the pipelines made so far.
pub(super) struct Recording {
    device: wgpu::Device,
    queue: wgpu::Queue,
    pipelines: HashMap<PipelineKey, wgpu::ComputePipeline>,
    recorded: Vec<Recorded>,
    /// Uniforms of the recorded dispatches, [`UNIFORM_STRIDE`] apart.
    uniforms: Vec<u8>,
    /// Where they lie on the device.
    uniform: wgpu::Buffer,
}

impl Recording {
    pub(super) fn new(device: &wgpu::Device, queue: &wgpu::Queue) -> Self {
        let uniform = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("uniforms"),
            size: (BATCH * UNIFORM_STRIDE) as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        Self {
            device: device.clone(),
            queue: queue.clone(),
            pipelines: HashMap::new(),
            recorded: Vec::new(),
            uniforms: Vec::new(),
            uniform,
        }
    }

    fn pipeline(&mut self, dispatch: &Dispatch<'_>) -> wgpu::ComputePipeline {
        let constants = dispatch.constants.iter().map(|&(name, value)| (name, value.to_bits())).collect();
        let key = (dispatch.shader.name, constants);
        if let Some(pipeline) = self.pipelines.get(&key) {
            return pipeline.clone();
        }
        let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(dispatch.shader.name),
            source: wgpu::ShaderSource::Wgsl(dispatch.shader.wgsl.concat().into()),
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
        self.pipelines.insert(key, pipeline.clone());
        pipeline
    }

    /// Records one dispatch.
    pub(super) fn push(&mut self, dispatch: &Dispatch<'_>) {
        let pipeline = self.pipeline(dispatch);
        let offset = self.uniforms.len();
        self.uniforms.extend_from_slice(dispatch.params);
        self.uniforms.resize(offset + UNIFORM_STRIDE, 0);

        let mut entries = vec![wgpu::BindGroupEntry {
            binding: 0,
            resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: &self.uniform,
                offset: offset as u64,
                size: std::num::NonZeroU64::new(dispatch.params.len() as u64),
            }),
        }];
        for (i, (Buffer { buffer, .. }, bytes)) in dispatch.bound.iter().enumerate() {
            let bytes = (*bytes as u64).max(16).min(buffer.size());
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
        self.recorded.push(Recorded { pipeline, bind_group, groups: dispatch.groups });
        if self.recorded.len() == BATCH {
            self.submit();
        }
    }

    /// Hands everything recorded so far to the device.
    pub(super) fn submit(&mut self) {
        if self.recorded.is_empty() {
            return;
        }
        self.queue.write_buffer(&self.uniform, 0, &self.uniforms);
        let mut encoder = self.device.create_command_encoder(&Default::default());
        {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            for Recorded { pipeline, bind_group, groups: [x, y, z] } in self.recorded.drain(..) {
                pass.set_pipeline(&pipeline);
                pass.set_bind_group(0, &bind_group, &[]);
                pass.dispatch_workgroups(x, y, z);
            }
        }
        self.queue.submit([encoder.finish()]);
        self.uniforms.clear();
    }
}
