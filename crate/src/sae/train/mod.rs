//! Training: one SAE, a batch at a time.
//!
//! Symbols: B tokens in a batch, D width, F features; x [B, D] activations, u [B, D] what is trained on,
//! p = (u − b_d)·W_e + b_e [B, F] pre-activations, f [B, F] features, û = f·W_d + b_d.
//!
//! All kinds but ReLU train on u = x / σ, with σ the standard deviation of an element of the first batch about its
//! column's mean, and V = D the variance of such a token; the SAE that comes out has σ folded into its biases and
//! thresholds and reads x as it is. Their decoder's rows have norm 1 after every step.
//!
//! - TopK: f = the k largest positive p of a token.
//!   loss = Σ‖û − u‖² / (B·V) + 1/32 · Σ‖ê − e‖² / (B·V) with e = u − û taken as a constant, and ê what the features
//!   that have not fired for a while make of it, the `aux_k` largest of each token.
//! - BatchTopK: the same with the k·B largest of the batch, of which a token brings its 8k largest at most. The SAE
//!   that comes out is a JumpReLU with one threshold for all features, the running mean of the least that was kept.
//! - JumpReLU: f = p where p > θ; loss = Σ‖û − u‖² / (B·V) + λ · L0; ln θ is trained, by straight-through gradients.
//! - Gated: π = p opens the gate, f = 1[π > 0]·ReLU((p − b_e)·exp(r) + b_mag);
//!   loss = (Σ‖û − u‖² + Σ‖û(ReLU(π)) − u‖²) / (B·V) + λ/B · Σ ReLU(π), where the second term leaves the decoder alone.
//! - ReLU and L1 (the paper, section 2), on tokens u = s·x with s = √D/‖x‖: f = ReLU(p),
//!   loss = mean over B and D of (û − u)² / √(Σ_d (u − batch mean)²) + λ · mean over B of Σ_j f_j·‖W_d,j‖.
//!   This is the paper's loss with f and b_d in units of the normalised token: f here is s times the paper's, and
//!   b_d here stands where the paper has s·b_d. A bias that is scaled token by token cannot be said in SAELens's
//!   format; this one is its `constant_norm_rescale`. At the end W_d may be fine-tuned with λ = 0; b_d, which the
//!   paper's library tunes along, stays, because the encoder reads it and features would change.
//!
//! A step's loss is divided by the error of the step before: what Adam sees is the gradient of the error's logarithm.
//! Without that the large gradients of the first steps stay in the second moments for a thousand more, and keep the
//! later ones short. (The libraries clip the gradient's norm, to the same end; that would need the whole gradient
//! first.)
//!
//! A step is sparse: one product for the pre-activations; everything behind it, both weights' gradients and Adam
//! included, touches the features that are active in the batch. A feature that rests keeps its
//! weights while its moments decay. (Dense Adam would go on moving it for as long as its momentum lasts. Making up for
//! these moves was tried: at a high rate it killed a tenth to a third of TopK's features, and it helped nowhere.)
//! Only ReLU without a penalty to speak of is not sparse: above F/32 features a token its steps are dense.

mod config;
mod dense;
mod finish;
pub mod kinds;
mod resample;
mod snapshot;
mod sparse;
mod state;
mod step;
mod target;
mod trainer;

pub use config::TrainConfig;
pub use kinds::SaeKind;
pub use snapshot::{Facts, Snapshot};
pub use trainer::{TrainStats, Trainer};

#[cfg(test)]
mod gradient_tests;
#[cfg(test)]
mod tests;
