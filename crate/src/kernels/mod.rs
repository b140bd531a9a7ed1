//! The arithmetic, one kernel a file: `name.rs` here, `shaders/name.wgsl` beside it.
//!
//! Each kernel is one function with two bodies. On a GPU it records a dispatch of the WGSL file; on the CPU
//! engine it runs its plain Rust twin, which is also the oracle of its tests. Shapes are checked by
//! assertions, since a wrong shape is a defect of the caller: everything a user can get wrong is refused
//! before (checkpoint shapes, token ids, widths).

mod activation;
mod adam;
mod age;
mod attention;
mod attention_mix;
mod attention_scores;
mod best;
mod center;
mod column_sums;
mod columns;
mod conv1d;
mod count_rows;
mod cross_entropy;
mod decoder_penalty;
mod discretize;
mod divide_rows;
mod elementwise;
mod embed;
mod exp;
mod gated;
mod heads;
mod jump_relu;
mod layer_norm;
mod linear_scan;
mod matmul;
mod only_dead;
pub(crate) mod par;
mod rms_norm;
mod rotary;
mod row_norms;
mod row_spread;
mod sae_error;
mod sae_gate;
mod sae_input;
mod sae_output;
mod selective_scan;
mod softmax;
mod sparse_correlation;
mod sparsify;
mod ssm_gate;
#[cfg(test)]
pub(crate) mod testing;
mod topk;
mod vectors;
mod weight;

pub use activation::Activation;
pub use adam::{AdamStep, adam};
pub use age::age;
pub use attention::attention;
pub use attention_mix::attention_mix;
pub use attention_scores::attention_scores;
pub use best::Best;
pub(crate) use best::Running;
pub use center::{Centered, center};
pub use column_sums::column_sums;
pub use columns::{columns, paste};
pub use conv1d::conv1d;
pub use count_rows::count_rows;
pub use cross_entropy::cross_entropy;
pub use decoder_penalty::decoder_penalty;
pub use discretize::discretize;
pub use divide_rows::divide_rows;
pub use elementwise::{Binary, Unary, map, zip};
pub use embed::embed;
pub use gated::{Gate, gated};
pub use jump_relu::jump_relu;
pub use layer_norm::layer_norm;
pub use linear_scan::{LinearScanInput, linear_scan};
pub use matmul::{Layout, Product, matmul, matmul_parts};
pub use only_dead::only_dead;
pub use rms_norm::rms_norm;
pub use rotary::rotary;
pub use row_norms::row_norms;
pub use row_spread::row_spread;
pub use sae_error::{Divisor, sae_error};
pub use sae_gate::sae_gate;
pub use sae_input::{Normalize, sae_input};
pub use sae_output::sae_output;
pub use selective_scan::{Scan, ScanInput, selective_scan};
pub use softmax::softmax;
pub(crate) use sparse_correlation::{Lined, sparse_correlation};
pub use sparsify::{SparseRows, sparsify};
pub use ssm_gate::ssm_gate;
pub use topk::topk;
