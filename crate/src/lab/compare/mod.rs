//! Two models' features held against each other: the paper's first result (section 3), with its controls.
//!
//! [Stages](stage::Stage) stream: texts become tokens, tokens residuals, residuals codes, codes correlations. Codes and
//! correlations go to a [`Store`], so a run that was killed goes on from what is there; machines can each encode some
//! [shards](Comparison::encode) or some layers, and their stores unite ([`FolderStore::merge`]).

mod comparing;
mod comparison;
mod complexity;
mod contexts;
mod cost;
mod encode;
#[cfg(not(target_arch = "wasm32"))]
mod example;
mod features;
#[cfg(not(target_arch = "wasm32"))]
mod folder;
mod found;
mod keys;
mod likeness;
mod matching;
mod neurons;
mod pairs;
mod plan;
mod report;
mod results;
mod run;
mod sources;
mod stage;
mod store;

pub use comparison::Comparison;
pub use cost::{Bill, Charge};
#[cfg(not(target_arch = "wasm32"))]
pub use example::{example, schema};
#[cfg(not(target_arch = "wasm32"))]
pub use folder::{FolderStore, Merged};
pub use plan::{ComparePlan, Controls, SidePlan};
pub use report::{
    Baseline, BaselineKind, Complexity, Converging, DecoderMatch, Direction, Example, Feature, FeatureRow,
    Halves, LayerPairs, Likeness, Matches, Matching, Pair, Report, SaeSummary, Significance, Subject,
};
pub use results::Compared;
pub use run::Encoded;
pub use store::{MemoryStore, Shard, Store};
