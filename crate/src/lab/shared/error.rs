//! Why an experiment stopped.

use thiserror::Error;

use crate::checkpoint::CheckpointError;
use crate::circuits::CircuitError;
use crate::corpus::CorpusError;
use crate::failure::{Fails, Failure, printed};
use crate::gpu::GpuError;
use crate::model::ModelError;
use crate::sae::SaeError;
use crate::universality::CorrelationError;

/// An experiment failed or was stopped. Every one is printed as one line that says what to do.
#[derive(Debug, Error)]
pub enum LabError {
    /// Files of a model or of activations.
    Checkpoint(#[from] CheckpointError),
    /// The model.
    Model(#[from] ModelError),
    /// An SAE.
    Sae(#[from] SaeError),
    /// The corpus.
    Corpus(#[source] CorpusError),
    /// The correlation.
    Correlation(#[from] CorrelationError),
    /// A circuit experiment.
    Circuit(#[source] CircuitError),
    /// The device.
    Gpu(#[from] GpuError),
    /// A file cannot be written or read.
    Io {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// What was asked for cannot be done.
    Refused(#[from] Failure),
    /// Somebody asked it to stop.
    Cancelled,
}

impl LabError {
    /// What cannot be done, and what to do instead.
    pub(crate) fn refused(message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::Refused(Failure::new(message, advice))
    }
}

impl Fails for LabError {
    fn failure(&self) -> Failure {
        match self {
            Self::Checkpoint(error) => error.failure(),
            Self::Model(error) => error.failure().coded("run"),
            Self::Sae(error) => error.failure().coded("model"),
            Self::Corpus(error) => error.failure(),
            Self::Correlation(error) => error.failure().coded("run"),
            Self::Circuit(error) => error.failure().coded("run"),
            Self::Gpu(error) => error.failure(),
            Self::Io { path, source } => Failure::from(source.to_string()).at(path),
            Self::Refused(failure) => failure.clone(),
            Self::Cancelled => Failure::cancelled(),
        }
    }
}

printed!(LabError);

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
        match error {
            CorpusError::Shard(failure) if failure.code == Failure::CANCELLED => Self::Cancelled,
            other => Self::Corpus(other),
        }
    }
}
