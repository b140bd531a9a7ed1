//! Statistics that any experiment reports by: how far a figure can be trusted, and how two orders go together.
//!
//! - [`bootstrap`]: 95 % intervals of figures.
//! - [`spearman`]: rank correlation.
//! - [`q_values`]: p-values corrected for how many there are.
//!
//! Nothing here knows what the numbers are of.
//!
//! Not supported: intervals by cluster, other levels than 95 %.

mod bootstrap;
mod discovery;
mod ranks;

pub use bootstrap::{Interval, bootstrap};
pub use discovery::q_values;
pub use ranks::spearman;
