//! Whole experiments put together.
//!
//! Three floors: `shared`, what all experiments need; the experiments; and `report`, which makes files of what they
//! found.

mod circuit;
mod compare;
mod health;
#[cfg(all(test, not(target_arch = "wasm32")))]
mod hooked_tests;
mod prompt;
#[cfg(not(target_arch = "wasm32"))]
mod report;
mod shared;
#[cfg(all(test, not(target_arch = "wasm32")))]
mod special_tests;
mod splice;
#[cfg(all(test, not(target_arch = "wasm32")))]
mod stand_in_tests;
mod train;

pub use circuit::{
    CircuitAsk, CircuitCell, CircuitName, CircuitReport, CircuitSettings, InductionPair, InductionView,
    circuits, induction_pair, induction_view,
};
#[cfg(not(target_arch = "wasm32"))]
pub use circuit::{Deviation, Paper, paper};
pub use compare::{
    Baseline, BaselineKind, Bill, Charge, ComparePlan, Compared, Comparison, Complexity, Controls,
    Converging, DecoderMatch, Direction, Encoded, Example, Feature, FeatureRow, Halves, LayerPairs, Likeness,
    Matches, Matching, MemoryStore, Pair, Report, SaeSummary, Shard, SidePlan, Significance, Store, Subject,
};
#[cfg(not(target_arch = "wasm32"))]
pub use compare::{FolderStore, Merged, example as example_plan, schema as plan_schema};
pub use health::{HealthReport, HealthSettings, SaeHealth, health};
pub use prompt::{NextToken, PromptToken, Prompted, prompt};
#[cfg(not(target_arch = "wasm32"))]
pub use report::{save, save_circuits, save_paper};
pub use shared::{
    Bos, CorpusPlan, HookedSae, Input, Inputs, LabError, LabModel, Observer, Progress, SideInputs, Silent,
    Timing, limits,
};
#[cfg(not(target_arch = "wasm32"))]
pub use shared::{corpus_inputs, model_inputs, open_corpus};
pub use train::{
    Checkpoint, Checkpoints, CurvePoint, LeftTraining, Recipe, TrainPlan, TrainWatch, Trained, train,
};
