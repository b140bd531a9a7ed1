//! Where the arithmetic happens.

use std::sync::Arc;

use serde::Serialize;

use super::adapter::{self, Tier};
use super::device::Gpu;
use super::{AdapterReport, GpuError};
use crate::failure::Failure;

/// Which engine the user asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineChoice {
    /// A real GPU if there is one, otherwise the processor.
    #[default]
    Auto,
    /// The preferred adapter, even a software one.
    Gpu,
    /// The processor.
    Cpu,
}

impl std::str::FromStr for EngineChoice {
    type Err = Failure;

    fn from_str(s: &str) -> Result<Self, Failure> {
        match s {
            "auto" => Ok(Self::Auto),
            "gpu" => Ok(Self::Gpu),
            "cpu" => Ok(Self::Cpu),
            other => {
                let failure = Failure::new(format!("{other:?} is not an engine"), "use auto, gpu or cpu");
                Err(failure.coded("engine"))
            }
        }
    }
}

/// Which engine runs, and why.
#[derive(Debug, Clone, Serialize)]
pub struct EngineReport {
    /// `gpu` or `cpu`.
    pub engine: &'static str,
    /// Name of the adapter, or of the processor engine.
    pub name: String,
    /// One sentence.
    pub why: String,
}

pub(crate) enum Backend {
    Cpu,
    Gpu(Box<Gpu>),
}

struct Inner {
    backend: Backend,
    why: String,
}

/// A WebGPU device or the processor. Cheap to clone; all clones are the same engine.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.report())
    }
}

impl Engine {
    fn new(backend: Backend, why: String) -> Self {
        Self(Arc::new(Inner { backend, why }))
    }

    /// The processor: every kernel's plain Rust twin.
    pub fn cpu() -> Self {
        Self::new(Backend::Cpu, "asked for".to_owned())
    }

    /// The preferred adapter, whatever it is.
    ///
    /// # Errors
    /// [`GpuError::NoAdapter`] and [`GpuError::NoDevice`].
    pub async fn gpu(tier: Tier) -> Result<Self, GpuError> {
        let (adapter, report) = adapter::preferred().await?;
        let gpu = Gpu::open(adapter, report, tier).await?;
        Ok(Self::new(Backend::Gpu(Box::new(gpu)), "asked for".to_owned()))
    }

    /// Opens the engine for a choice. `Auto` never fails: it falls back to the processor and says why.
    ///
    /// # Errors
    /// As [`Engine::gpu`] when the GPU was asked for.
    pub async fn open(choice: EngineChoice) -> Result<Self, GpuError> {
        match choice {
            EngineChoice::Cpu => Ok(Self::cpu()),
            EngineChoice::Gpu => Self::gpu(Tier::Full).await,
            EngineChoice::Auto => {
                let cpu = |why: String| Ok(Self::new(Backend::Cpu, why));
                match adapter::preferred().await {
                    Err(e) => cpu(e.to_string()),
                    Ok((_, report)) if report.software => cpu(format!(
                        "{} computes on the processor, where the cpu engine is faster",
                        report.name
                    )),
                    Ok((adapter, report)) => match Gpu::open(adapter, report, Tier::Full).await {
                        Ok(gpu) => {
                            let why = format!("{} is a GPU", gpu.adapter.name);
                            Ok(Self::new(Backend::Gpu(Box::new(gpu)), why))
                        }
                        Err(e) => cpu(e.to_string()),
                    },
                }
            }
        }
    }

    /// Which engine this is, and why.
    pub fn report(&self) -> EngineReport {
        let (engine, name) = match &self.0.backend {
            Backend::Cpu => ("cpu", "processor".to_owned()),
            Backend::Gpu(gpu) => ("gpu", gpu.adapter.name.clone()),
        };
        EngineReport { engine, name, why: self.0.why.clone() }
    }

    /// The adapter this engine computes on; none on the processor.
    pub fn adapter(&self) -> Option<&AdapterReport> {
        match &self.0.backend {
            Backend::Cpu => None,
            Backend::Gpu(gpu) => Some(&gpu.adapter),
        }
    }

    /// Whether the device was lost, ran out of memory or refused a command since the engine was opened, even if nobody
    /// has read anything from it since. Tensors on it are then not to be trusted: open another engine.
    pub fn failed(&self) -> bool {
        match &self.0.backend {
            Backend::Cpu => false,
            Backend::Gpu(gpu) => gpu.failed(),
        }
    }

    /// Bytes of the largest tensor this engine takes: the device's largest storage binding, but no more than
    /// 128 MiB, which WebGPU promises everywhere. The processor has no limit; the same bound keeps what is
    /// computed in stretches (logits) from filling its memory.
    pub fn largest_tensor(&self) -> usize {
        const PROMISED: u64 = 128 << 20;
        match &self.0.backend {
            Backend::Cpu => PROMISED as usize,
            Backend::Gpu(gpu) => gpu.max_binding.min(PROMISED) as usize,
        }
    }

    /// Whether it is a device.
    pub(crate) fn is_gpu(&self) -> bool {
        matches!(self.0.backend, Backend::Gpu(_))
    }

    pub(crate) fn backend(&self) -> &Backend {
        &self.0.backend
    }

    /// Whether two handles are the same engine.
    pub(crate) fn same(&self, other: &Engine) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
