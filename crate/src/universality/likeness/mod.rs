//! Other measures of likeness than MPPC, on the same activations.
//!
//! - [`linear_cka`], [`linear_cka_debiased`], [`svcca`], [`pwcca`]: how alike two spaces of activations are, from
//!   sums that stream by ([`Chunk`], [`SelfSums`] once a layer, [`CrossSums`] once a pair of layers).
//! - [`rsa`]: how alike two geometries of tokens are, over a sample.
//! - [`mutual_best`], [`mutual_best_layers`], [`assignment`]: which features match one to one.
//! - [`decoder_cosines`]: matches of features by the directions that they write in.
//! - [`above`]: the share of features above a threshold, as a curve.
//!
//! What is not defined (too few tokens, no variance) is `None`, never NaN.

mod assignment;
mod cca;
mod chunk;
mod cka;
mod cosine;
mod curve;
mod mutual;
mod rsa;
mod spectrum;
mod sums;
#[cfg(test)]
mod tests;

pub use assignment::{Assignment, Candidates, CandidatesError, assignment};
pub use cca::{ProjectionWeighted, pwcca, svcca};
pub use chunk::Chunk;
pub use cka::{linear_cka, linear_cka_debiased};
pub use cosine::{DecoderCosines, decoder_cosines};
pub use curve::{Curve, above, usual_thresholds};
pub use mutual::{Mutual, MutualPair, mutual_best, mutual_best_layers};
pub use rsa::{Rsa, rsa};
pub use sums::{CrossSums, SelfSums};
