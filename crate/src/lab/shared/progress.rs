//! How a long run tells where it is, and how it is told to stop.

use std::pin::Pin;

use serde::{Deserialize, Serialize};

/// Where a run is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct Progress {
    /// Name of the stage, e.g. `tiny-neox activations`.
    pub stage: String,
    /// This stage, counted from 1 …
    pub stage_index: usize,
    /// … of so many.
    pub stages: usize,
    /// Units done in this stage.
    pub done: usize,
    /// Units of this stage.
    pub total: usize,
    /// What a unit is, e.g. `tokens`.
    pub unit: String,
    /// What somebody should know before the result is there, one line each; they stay once they are said.
    pub warnings: Vec<String>,
}

/// Somebody who watches a run. Called often: an observer that draws limits its own rate.
pub trait Observer {
    /// The run has come this far.
    fn progress(&self, progress: &Progress);

    /// Whether the run should stop now; asked at every step.
    fn cancelled(&self) -> bool {
        false
    }

    /// Lets the host do something else for a moment; awaited at every step. The page's worker has one thread,
    /// so this is when the message to stop comes in.
    fn breathe(&self) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(std::future::ready(()))
    }
}

/// An observer that watches nothing.
pub struct Silent;

impl Observer for Silent {
    fn progress(&self, _: &Progress) {}
}
