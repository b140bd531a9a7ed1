//! The arithmetic, one kernel a file: `name.rs` here, `shaders/name.wgsl` beside it.
//!
//! Each kernel is one function with two bodies. On a GPU it records a dispatch of the WGSL file; on the CPU
//! engine it runs its plain Rust twin, which is also the oracle of its tests. Shapes are checked by
//! assertions, since a wrong shape is a defect of the caller: everything a user can get wrong is refused
//! before (checkpoint shapes, token ids, widths).

mod attention;
mod attention_mix;
mod attention_scores;
mod conv1d;
mod discretize;
mod exp;
mod heads;
mod layer_norm;
mod linear_scan;
mod par;
mod rotary;
mod selective_scan;
mod softmax;
#[cfg(test)]
mod testing;

pub use attention::attention;
pub use attention_mix::attention_mix;
pub use attention_scores::attention_scores;
pub use conv1d::conv1d;
pub use discretize::discretize;
pub use layer_norm::layer_norm;
pub use linear_scan::{LinearScanInput, linear_scan};
pub use rotary::rotary;
pub use selective_scan::{Scan, ScanInput, selective_scan};
pub use softmax::softmax;
