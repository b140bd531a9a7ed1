//! Why a model cannot be loaded or run.

use thiserror::Error;

use super::hooks::HookError;
use crate::checkpoint::CheckpointError;
use crate::failure::{Fails, Failure, printed};
use crate::gpu::GpuError;

/// A model cannot be loaded or run.
#[derive(Debug, Error)]
pub enum ModelError {
    /// Its files.
    Checkpoint(#[from] CheckpointError),
    /// The plan of a run.
    Hook(#[from] HookError),
    /// A token id no row of the embedding belongs to.
    Token {
        /// The id.
        id: u32,
        /// Prompt in the batch.
        prompt: usize,
        /// Position in the prompt.
        position: usize,
        /// Rows of the embedding.
        vocab: usize,
    },
    /// A pass that is not finite.
    NotFinite {
        /// The first hook point that holds NaN or an infinity.
        hook: String,
        /// What it holds.
        value: f32,
        /// Prompt in the batch.
        prompt: usize,
        /// Position in the prompt, where the hook point has positions.
        position: Option<usize>,
    },
    /// A prompt longer than the model was made to read.
    TooLong {
        /// Tokens of the prompt.
        len: usize,
        /// [`Model::context`].
        context: usize,
        /// Multiplications and additions of a pass.
        operations: f64,
        /// Memory beside the weights.
        gigabytes: f64,
        /// What else there is to do.
        remedy: &'static str,
    },
    /// The device.
    Gpu(#[from] GpuError),
    /// Nothing to run on.
    Empty,
}

impl Fails for ModelError {
    fn failure(&self) -> Failure {
        match self {
            Self::Checkpoint(error) => error.failure(),
            Self::Hook(error) => error.failure(),
            Self::Token { id, prompt, position, vocab } => format!(
                "token id {id} (prompt {prompt}, position {position}) is beyond the vocabulary of {vocab} entries"
            )
            .into(),
            Self::NotFinite { hook, value, prompt, position } => Failure::new(
                format!(
                    "the model is not finite: {hook} holds {value} (prompt {prompt}{}), and nothing before it does",
                    position.map_or_else(String::new, |position| format!(", position {position}"))
                ),
                "the weights or a number of the config cannot be right",
            ),
            Self::TooLong { len, context, operations, gigabytes, remedy } => Failure::new(
                format!(
                    "the prompt has {len} tokens, but the model was made to read {context}"
                ),
                format!(
                    "such a run would take about {operations:.0e} operations and {gigabytes:.1} GB; give a shorter \
                     one{}{remedy}",
                    if remedy.is_empty() { "" } else { ", " }
                ),
            ),
            Self::Gpu(error) => error.failure(),
            Self::Empty => Failure::new(
                "there is no token to run the model on",
                "give at least one prompt of at least one token",
            ),
        }
    }
}

printed!(ModelError);
