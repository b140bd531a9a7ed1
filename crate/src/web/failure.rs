//! Errors as the page shows them.

use serde::Serialize;

use crate::corpus::CorpusError;
use crate::gpu::GpuError;
use crate::lab::LabError;

/// An error: what is wrong, and what to do about it.
#[derive(Debug, Clone, PartialEq, Serialize, tsify_next::Tsify)]
#[tsify(into_wasm_abi)]
pub struct Failure {
    /// A word for programs: `engine`, `model`, `corpus`, `run` or `cancelled`.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// What to do; empty when there is nothing to do.
    pub hint: String,
}

impl Failure {
    /// The lab's errors are one line, `what is wrong; what to do`.
    pub(super) fn new(code: &str, line: &str) -> Self {
        let line = crate::words::line(line);
        let (message, hint) = line.split_once("; ").unwrap_or((line.as_str(), ""));
        Self { code: code.to_owned(), message: message.to_owned(), hint: hint.to_owned() }
    }
}

impl From<GpuError> for Failure {
    fn from(e: GpuError) -> Self {
        Self::new("engine", &e.to_string())
    }
}

impl From<CorpusError> for Failure {
    fn from(e: CorpusError) -> Self {
        Self::new("corpus", &e.to_string())
    }
}

impl From<LabError> for Failure {
    fn from(e: LabError) -> Self {
        let code = match e {
            LabError::Cancelled => "cancelled",
            LabError::Corpus(_) => "corpus",
            LabError::Checkpoint(_) | LabError::Sae(_) => "model",
            LabError::Gpu(_) => "engine",
            _ => "run",
        };
        Self::new(code, &e.to_string())
    }
}
