//! What cannot be asked of a model.

use thiserror::Error;

use crate::gpu::GpuError;
use crate::model::{Attention, Capability, Convolution, Model, ModelError, Recurrence};

/// A request that was refused before anything ran, or a run that failed.
#[derive(Debug, Error)]
pub enum CircuitError {
    /// The model, its hooks or its tokens.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The device.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// Something that there is not.
    #[error("{what} {index} does not exist: {place} has {count} ({hint})")]
    Missing {
        /// What was named: `head`, `position`, …
        what: &'static str,
        /// Its number.
        index: usize,
        /// Where it was looked for.
        place: String,
        /// How many there are there.
        count: usize,
        /// How they are numbered.
        hint: String,
    },
    /// A hook without what was chosen of it.
    #[error("{hook} has no {units}; choose others, or all of it")]
    NoUnits {
        /// The hook.
        hook: String,
        /// `heads`, `channels` or `states`.
        units: &'static str,
    },
    /// A value of another shape than its place.
    #[error("the value for {hook} has the shape {found:?}; {expected:?} is needed")]
    Shape {
        /// The hook.
        hook: String,
        /// Shape given.
        found: Vec<usize>,
        /// Shape needed.
        expected: Vec<usize>,
    },
    /// Two interventions in one place.
    #[error("two interventions contradict: both change {hook} at prompt {prompt}{place}; keep one of them")]
    Contradiction {
        /// The hook.
        hook: String,
        /// A prompt where both do.
        prompt: usize,
        /// Position and unit where both do.
        place: String,
    },
    /// A request that makes no sense for this model or these prompts.
    #[error("{0}")]
    Request(String),
    /// Somebody asked it to stop.
    #[error("cancelled")]
    Cancelled,
}

/// The attention heads of a model, or that it has none.
pub(super) fn attention_of(model: &Model) -> Result<&dyn Attention, CircuitError> {
    model.attention().ok_or_else(|| lacks(model, Capability::Attention))
}

/// The recurrence of a model, or that it has none.
pub(super) fn recurrence_of(model: &Model) -> Result<&dyn Recurrence, CircuitError> {
    model.recurrence().ok_or_else(|| lacks(model, Capability::Recurrence))
}

/// The convolution of a model, or that it has none.
pub(super) fn convolution_of(model: &Model) -> Result<&dyn Convolution, CircuitError> {
    model.convolution().ok_or_else(|| lacks(model, Capability::Convolution))
}

fn lacks(model: &Model, needed: Capability) -> CircuitError {
    let there = Capability::ALL.into_iter().filter(|one| model.has(*one)).map(Capability::name);
    let advice = match &there.collect::<Vec<_>>()[..] {
        [] => "choose another model".to_owned(),
        there => format!("choose an experiment on its {}", there.join(" or ")),
    };
    CircuitError::Request(format!("{} has no {}; {advice}", model.name(), needed.name()))
}

/// Refuses an index that is not below `count`.
pub(super) fn within(
    what: &'static str,
    index: usize,
    count: usize,
    place: &str,
) -> Result<(), CircuitError> {
    if index < count {
        return Ok(());
    }
    let hint = if count == 0 { "there is none".to_owned() } else { format!("0 to {}", count - 1) };
    Err(CircuitError::Missing { what, index, place: place.to_owned(), count, hint })
}
