//! Which adapter, which limits: the one place that knows capability tiers.

use serde::Serialize;

use super::GpuError;

/// How much of an adapter is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// The limits the adapter offers.
    Full,
    /// WebGPU's default limits, which every browser guarantees: 128 MiB bindings, 8 storage buffers a stage,
    /// 16 KiB of workgroup memory, 256 invocations. Passing natively is not passing in a browser, so tests
    /// run here too.
    Floor,
}

/// An adapter as `mppc devices` shows it.
#[derive(Debug, Clone, Serialize)]
pub struct AdapterReport {
    /// Name given by the driver.
    pub name: String,
    /// Vulkan, Metal, Dx12 or BrowserWebGpu.
    pub backend: String,
    /// Discrete, integrated, virtual, cpu or other.
    pub kind: String,
    /// Driver and its version.
    pub driver: String,
    /// Whether it computes on the processor (a software driver).
    pub software: bool,
    /// Largest storage binding, bytes.
    pub max_binding: u64,
    /// Largest buffer, bytes.
    pub max_buffer: u64,
    /// Workgroup memory, bytes.
    pub workgroup_memory: u32,
    /// Invocations in a workgroup.
    pub workgroup_invocations: u32,
    /// 16-bit floats in shaders.
    pub shader_f16: bool,
    /// Subgroup operations.
    pub subgroups: bool,
    /// Timestamp queries.
    pub timestamps: bool,
}

impl AdapterReport {
    fn of(adapter: &wgpu::Adapter) -> Self {
        let info = adapter.get_info();
        let limits = adapter.limits();
        let features = adapter.features();
        let name = if info.name.is_empty() { "the browser's adapter".to_owned() } else { info.name.clone() };
        let told = format!("{name} {} {}", info.driver, info.driver_info).to_lowercase();
        Self {
            name,
            backend: format!("{:?}", info.backend),
            kind: format!("{:?}", info.device_type),
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
            software: info.device_type == wgpu::DeviceType::Cpu
                || told.contains("swiftshader")
                || told.contains("llvmpipe"),
            max_binding: limits.max_storage_buffer_binding_size,
            max_buffer: limits.max_buffer_size,
            workgroup_memory: limits.max_compute_workgroup_storage_size,
            workgroup_invocations: limits.max_compute_invocations_per_workgroup,
            shader_f16: features.contains(wgpu::Features::SHADER_F16),
            subgroups: features.contains(wgpu::Features::SUBGROUP),
            timestamps: features.contains(wgpu::Features::TIMESTAMP_QUERY),
        }
    }
}

fn instance() -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    // GL lacks compute on many drivers and is never the best adapter of a machine that has another.
    descriptor.backends = wgpu::Backends::PRIMARY;
    wgpu::Instance::new(descriptor)
}

/// Every adapter of this machine (in a browser: the one it offers).
pub async fn adapters() -> Vec<AdapterReport> {
    instance().enumerate_adapters(wgpu::Backends::PRIMARY).await.iter().map(AdapterReport::of).collect()
}

/// The preferred adapter, before a device is opened on it.
pub(super) async fn preferred() -> Result<(wgpu::Adapter, AdapterReport), GpuError> {
    let options = wgpu::RequestAdapterOptions {
        power_preference: wgpu::PowerPreference::HighPerformance,
        ..Default::default()
    };
    let adapter = instance().request_adapter(&options).await.map_err(|_| GpuError::NoAdapter)?;
    let report = AdapterReport::of(&adapter);
    Ok((adapter, report))
}

/// Opens a device with the limits of `tier`.
pub(super) async fn open(
    adapter: &wgpu::Adapter,
    report: &AdapterReport,
    tier: Tier,
) -> Result<(wgpu::Device, wgpu::Queue), GpuError> {
    let mut limits = wgpu::Limits::default();
    if tier == Tier::Full {
        // Only what the kernels can use is raised: a browser may refuse a device over a limit nobody needs.
        let offered = adapter.limits();
        limits.max_storage_buffer_binding_size = offered.max_storage_buffer_binding_size;
        limits.max_buffer_size = offered.max_buffer_size;
    }
    let descriptor = wgpu::DeviceDescriptor {
        label: Some("mppc"),
        required_limits: limits,
        // Buffers are pooled here (`buffers.rs`); a second pool of large blocks below would only cost memory: 150 MB
        // beside the weights of Pythia-160M.
        memory_hints: wgpu::MemoryHints::MemoryUsage,
        ..Default::default()
    };
    adapter
        .request_device(&descriptor)
        .await
        .map_err(|e| GpuError::NoDevice { adapter: report.name.clone(), reason: e.to_string() })
}
