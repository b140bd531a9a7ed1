//! Work that is recorded, and handed to the device in batches.

use std::collections::HashMap;

use super::device::{Gpu, lock};
use super::{Launch, Tensor};

/// A kernel's name and its WGSL, in the files that make it up. Every shader has the entry point `main`, its parameters as a uniform at
/// binding 0, then its inputs (`read`), then its outputs (`read_write`), in the order of the [`Launch`].
pub(crate) struct Shader {
    pub(crate) name: &'static str,
    pub(crate) wgsl: &'static [&'static str],
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
#[derive(Default)]
pub(super) struct Recording {
    pipelines: HashMap<PipelineKey, wgpu::ComputePipeline>,
    recorded: Vec<Recorded>,
    /// Uniforms of the recorded dispatches, [`UNIFORM_STRIDE`] apart.
    uniforms: Vec<u8>,
}

/// The buffer that a batch's uniforms lie in.
pub(super) fn uniform_buffer(device: &wgpu::Device) -> wgpu::Buffer {
    device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("uniforms"),
        size: (BATCH * UNIFORM_STRIDE) as u64,
        usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    })
}

impl Gpu {
    fn pipeline(&self, recording: &mut Recording, launch: &Launch<'_>) -> wgpu::ComputePipeline {
        let constants = launch.constants.iter().map(|&(name, value)| (name, value.to_bits())).collect();
        let key = (launch.shader.name, constants);
        if let Some(pipeline) = recording.pipelines.get(&key) {
            return pipeline.clone();
        }
        let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(launch.shader.name),
            source: wgpu::ShaderSource::Wgsl(launch.shader.wgsl.concat().into()),
        });
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(launch.shader.name),
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: launch.constants,
                // Measured on SwiftShader: a pipeline takes 0.8 s with it, 0.04 s without. Kernels
                // initialise what they read.
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        });
        recording.pipelines.insert(key, pipeline.clone());
        pipeline
    }

    /// Records one dispatch, which writes `outputs`.
    ///
    /// # Panics
    /// When a tensor lives on another engine.
    pub(super) fn record(&self, launch: &Launch<'_>, outputs: &[&Tensor]) {
        let mut recording = lock(&self.recording);
        let pipeline = self.pipeline(&mut recording, launch);
        let offset = recording.uniforms.len();
        let params = bytemuck::cast_slice(&launch.params);
        recording.uniforms.extend_from_slice(params);
        recording.uniforms.resize(offset + UNIFORM_STRIDE, 0);

        let mut entries = vec![wgpu::BindGroupEntry {
            binding: 0,
            resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: &self.uniform,
                offset: offset as u64,
                size: std::num::NonZeroU64::new(params.len() as u64),
            }),
        }];
        for (i, tensor) in launch.inputs.iter().chain(outputs).enumerate() {
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
            label: Some(launch.shader.name),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        recording.recorded.push(Recorded { pipeline, bind_group, groups: launch.groups });
        if recording.recorded.len() == BATCH {
            self.submit_recording(&mut recording);
        }
    }

    fn submit_recording(&self, recording: &mut Recording) {
        if recording.recorded.is_empty() {
            return;
        }
        self.queue.write_buffer(&self.uniform, 0, &recording.uniforms);
        let mut encoder = self.device.create_command_encoder(&Default::default());
        {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            for Recorded { pipeline, bind_group, groups: [x, y, z] } in recording.recorded.drain(..) {
                pass.set_pipeline(&pipeline);
                pass.set_bind_group(0, &bind_group, &[]);
                pass.dispatch_workgroups(x, y, z);
            }
        }
        self.queue.submit([encoder.finish()]);
        recording.uniforms.clear();
    }

    /// Hands everything recorded so far to the device.
    pub(super) fn submit(&self) {
        self.submit_recording(&mut lock(&self.recording));
    }
}
