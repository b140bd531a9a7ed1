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
mod hooked;
#[cfg(not(target_arch = "wasm32"))]
mod html;
pub mod limits;
mod progress;
mod prompt;
mod report;
#[cfg(not(target_arch = "wasm32"))]
mod save;
#[cfg(all(test, not(target_arch = "wasm32")))]
mod special_tests;
mod splice;
mod stages;
#[cfg(all(test, not(target_arch = "wasm32")))]
mod stand_in_tests;
mod subject;
#[cfg(not(target_arch = "wasm32"))]
mod tables;
mod tokens;
mod top;
mod train;

pub use circuit::{
    CircuitAsk, CircuitCell, CircuitName, CircuitReport, CircuitSettings, InductionPair, InductionView,
    circuits, induction_pair, induction_view,
};
#[cfg(not(target_arch = "wasm32"))]
pub use circuit::{Deviation, Paper, paper, save_circuits, save_paper};
pub use compare::{
    Bill, Bos, Charge, ComparePlan, Compared, Comparison, Controls, CorpusPlan, Encoded, FeatureRow, Input,
    Inputs, MemoryStore, Shard, SideInputs, SidePlan, Store,
};
#[cfg(not(target_arch = "wasm32"))]
pub use compare::{
    FolderStore, Merged, corpus_inputs, example as example_plan, model_inputs, schema as plan_schema,
};
#[cfg(not(target_arch = "wasm32"))]
pub use corpora::open_corpus;
#[cfg(not(target_arch = "wasm32"))]
pub use embedded::embedded;
pub use error::LabError;
pub use health::{HealthReport, HealthSettings, SaeHealth, health};
pub use hooked::HookedSae;
pub use progress::{Observer, Progress, Silent};
pub use prompt::{NextToken, PromptToken, Prompted, prompt};
pub use report::{
    Baseline, BaselineKind, Complexity, Converging, DecoderMatch, Direction, Example, Feature, Halves,
    LayerPairs, Likeness, Matches, Matching, Pair, Report, SaeSummary, Significance, Subject, Timing,
};
#[cfg(not(target_arch = "wasm32"))]
pub use save::save;
pub use subject::LabModel;
pub use train::{
    Checkpoint, Checkpoints, CurvePoint, LeftTraining, Recipe, TrainPlan, TrainWatch, Trained, train,
};
