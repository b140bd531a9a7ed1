//! Whole experiments put together.

mod circuit;
mod compare;
#[cfg(not(target_arch = "wasm32"))]
mod corpora;
#[cfg(not(target_arch = "wasm32"))]
mod embedded;
mod error;
#[cfg(not(target_arch = "wasm32"))]
mod figures;
mod health;
#[cfg(not(target_arch = "wasm32"))]
mod html;
mod progress;
mod prompt;
mod report;
#[cfg(not(target_arch = "wasm32"))]
mod save;
mod splice;
mod stages;
mod subject;
#[cfg(not(target_arch = "wasm32"))]
mod tables;
mod tokens;
mod top;
mod train;

pub use circuit::{
    CircuitCell, CircuitName, CircuitReport, CircuitSettings, InductionView, circuit, induction_view,
};
#[cfg(not(target_arch = "wasm32"))]
pub use circuit::{Deviation, PublishedCircuit, published, save_circuits};
pub use compare::{
    Bill, Bos, Charge, ComparePlan, Compared, Comparison, Controls, CorpusPlan, Encoded, FeatureRow, Input,
    Inputs, MemoryStore, Shard, SideInputs, SidePlan, Store,
};
#[cfg(not(target_arch = "wasm32"))]
pub use compare::{FolderStore, Merged, corpus_inputs, model_inputs};
#[cfg(not(target_arch = "wasm32"))]
pub use corpora::open_corpus;
#[cfg(not(target_arch = "wasm32"))]
pub use embedded::embedded;
pub use error::LabError;
pub use health::{HealthReport, HealthSettings, SaeHealth, health};
pub use progress::{Observer, Progress, Silent};
pub use prompt::{NextToken, PromptToken, Prompted, prompt};
pub use report::{
    Baseline, BaselineKind, Complexity, Converging, DecoderMatch, Direction, Example, Feature, Halves,
    LayerPairs, Likeness, Matches, Matching, Pair, Report, SaeSummary, Significance, Subject, Timing,
};
#[cfg(not(target_arch = "wasm32"))]
pub use save::save;
pub use subject::{HookedSae, LabModel};
pub use train::{
    Checkpoint, Checkpoints, CurvePoint, LeftTraining, Recipe, TrainPlan, TrainWatch, Trained, train,
};
