//! Whole experiments put together.

mod progress;
mod report;

pub use progress::{Observer, Progress, Silent};
pub use report::{Direction, Example, Feature, Pair, Report, SaeSummary, Settings, Subject, Summary, Timing};
