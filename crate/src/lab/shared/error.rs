//! Why an experiment stopped.

use thiserror::Error;

use crate::checkpoint::CheckpointError;
use crate::circuits::CircuitError;
use crate::corpus::CorpusError;
use crate::gpu::GpuError;
use crate::model::ModelError;
use crate::sae::SaeError;
use crate::universality::CorrelationError;

/// An experiment failed or was stopped. Every message is one line that says what to do.
#[derive(Debug, Error)]
pub enum LabError {
    /// Files of a model or of activations.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// An SAE.
    #[error(transparent)]
    Sae(#[from] SaeError),
    /// The corpus.
    #[error(transparent)]
    Corpus(CorpusError),
    /// The correlation.
    #[error(transparent)]
    Correlation(#[from] CorrelationError),
    /// A circuit experiment.
    #[error(transparent)]
    Circuit(CircuitError),
    /// The device.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// A file cannot be written or read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The parts do not fit together.
    #[error("{0}")]
    Mismatch(String),
    /// Somebody asked it to stop.
    #[error("cancelled")]
    Cancelled,
}

impl From<CircuitError> for LabError {
    fn from(error: CircuitError) -> Self {
        match error {
            CircuitError::Cancelled => Self::Cancelled,
            other => Self::Circuit(other),
        }
    }
}

impl From<CorpusError> for LabError {
    fn from(error: CorpusError) -> Self {
        #[cfg(not(target_arch = "wasm32"))]
        if let CorpusError::Shard(inner) = &error
            && let Some(crate::checkpoint::hub::HubError::Cancelled) = inner.downcast_ref()
        {
            return Self::Cancelled;
        }
        Self::Corpus(error)
    }
}
