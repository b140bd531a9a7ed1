//! MPPC: for each feature of one model, the largest Pearson correlation with any feature of another model over
//! the same tokens (paper section 3), with its neuron baseline and its null.
//!
//! - [`correlate`]: two SAEs, both directions; [`Prepared`] where one of them meets several others. [`LayerResult`]:
//!   all layer pairs of two models.
//! - [`DenseCorrelator`]: dense activations that stream by, for the neuron baseline.
//! - [`published`]: the same in the arithmetic of the paper's script, to see the difference.
//! - [`shuffle_tokens`], [`shift_tokens`]: nulls. What is left of MPPC when tokens no longer correspond;
//!   [`pooled_p_values`] of some of them.
//! - [`moments`], [`DensityFilter`]: which features are dead, rare or always on.
//! - [`linear_cka`], [`svcca`], [`pwcca`], [`rsa`], [`mutual_best`], [`assignment`], [`decoder_cosines`], [`above`]:
//!   other measures of likeness on the same activations.
//! - [`summarize`], [`layer_mean`], [`best_layer`], [`depth`]: what is reported.
//!
//! Correlations are those of float64 arithmetic to 1e-5 on either engine, whatever the mean of a feature. A
//! feature is without variance when all its values are equal, exactly; it has MPPC NaN and is no candidate.
//!
//! Not supported: merging results of different token ranges (the maximum comes too late for that).

pub(crate) mod bands;
mod correlate;
mod correlation;
mod dense;
mod error;
mod layers;
mod likeness;
mod moments;
mod null;
mod published;
mod standard;
mod summary;
#[cfg(test)]
mod tests;

pub use crate::kernels::Best;
pub use correlate::{Prepared, correlate, correlate_dense, from_dense};
pub use correlation::Correlation;
pub use dense::DenseCorrelator;
pub use error::CorrelationError;
pub use layers::{LayerBest, LayerResult, Layers};
pub use likeness::{
    Assignment, Candidates, CandidatesError, Chunk, CrossSums, Curve, DecoderCosines, Mutual, MutualPair,
    ProjectionWeighted, Rsa, SelfSums, above, assignment, decoder_cosines, linear_cka, linear_cka_debiased,
    mutual_best, mutual_best_layers, pwcca, rsa, svcca, usual_thresholds,
};
pub use moments::{DensityFilter, Moment, moments};
pub use null::{pooled_p_values, shift_tokens, shuffle_tokens};
pub use published::{Published, published};
pub use summary::{DepthMatch, Intervals, Summary, best_layer, depth, layer_mean, summarize};
