//! Whole experiments put together.

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
mod reproduce;
#[cfg(not(target_arch = "wasm32"))]
mod save;
mod splice;
mod stages;
mod subject;
mod tokens;
mod top;
mod train;

#[cfg(not(target_arch = "wasm32"))]
pub use corpora::open_corpus;
#[cfg(not(target_arch = "wasm32"))]
pub use embedded::embedded;
pub use error::LabError;
pub use health::{HealthReport, HealthSettings, SaeHealth, health};
pub use progress::{Observer, Progress, Silent};
pub use prompt::{NextToken, PromptToken, Prompted, prompt};
pub use report::{Direction, Example, Feature, Pair, Report, SaeSummary, Settings, Subject, Timing};
pub use reproduce::{FeatureRow, Reproduction, reproduce};
#[cfg(not(target_arch = "wasm32"))]
pub use save::save;
pub use subject::{HookedSae, LabModel};
pub use train::{
    Checkpoint, Checkpoints, CurvePoint, LeftTraining, Recipe, TrainPlan, TrainWatch, Trained, train,
};
