//! The arithmetic, one kernel a file: `name.rs` here, `shaders/name.wgsl` beside it.
//!
//! Each kernel is one function with two bodies. On a GPU it records a dispatch of the WGSL file; on the CPU
//! engine it runs its plain Rust twin, which is also the oracle of its tests. Shapes are checked by
//! assertions, since a wrong shape is a defect of the caller: everything a user can get wrong is refused
//! before (checkpoint shapes, token ids, widths).

mod activation;
mod best;
mod center;
mod layer_norm;
mod matmul;
pub(crate) mod par;
mod sparse_correlation;
#[cfg(test)]
pub(crate) mod testing;

pub use activation::Activation;
pub use best::Best;
pub(crate) use best::Running;
pub use center::{Centered, center};
pub use layer_norm::layer_norm;
pub use matmul::{Layout, Product, matmul};
pub(crate) use sparse_correlation::{Lined, sparse_correlation};
