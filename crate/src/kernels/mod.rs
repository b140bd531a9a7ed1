//! The arithmetic, one kernel a file: `name.rs` here, `shaders/name.wgsl` beside it.
//!
//! Each kernel is one function with two bodies. On a GPU it records a dispatch of the WGSL file; on the CPU
//! engine it runs its plain Rust twin, which is also the oracle of its tests. Shapes are checked by
//! assertions, since a wrong shape is a defect of the caller: everything a user can get wrong is refused
//! before (checkpoint shapes, token ids, widths).

mod activation;
mod columns;
mod cross_entropy;
mod elementwise;
mod embed;
mod layer_norm;
mod matmul;
mod par;
mod rms_norm;
#[cfg(test)]
mod testing;

pub use activation::Activation;
pub use columns::{columns, paste};
pub use cross_entropy::cross_entropy;
pub use elementwise::{Binary, Unary, map, zip};
pub use embed::embed;
pub use layer_norm::layer_norm;
pub use matmul::{Layout, Product, matmul};
pub use rms_norm::rms_norm;
