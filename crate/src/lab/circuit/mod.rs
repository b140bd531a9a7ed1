//! The paper's circuit experiments as named runs (section 4).

mod experiment;
mod look;
mod pair;
mod pieces;
#[cfg(not(target_arch = "wasm32"))]
mod published;
mod report;
mod series;
mod sweep;

pub use experiment::CircuitName;
pub use look::{InductionView, induction_view};
pub use pair::{InductionPair, induction_pair};
#[cfg(not(target_arch = "wasm32"))]
pub use published::{Deviation, Paper, paper};
pub use report::{CircuitCell, CircuitReport, CircuitSettings};
pub use series::{CircuitAsk, circuits};
