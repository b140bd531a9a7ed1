//! What cannot be asked of a model.

use thiserror::Error;

use crate::failure::{Fails, Failure, printed};
use crate::gpu::GpuError;
use crate::model::{Attention, Capability, Convolution, Model, ModelError, Recurrence};

/// A request that was refused before anything ran, or a run that failed.
#[derive(Debug, Error)]
pub enum CircuitError {
    /// The model, its hooks or its tokens.
    Model(#[from] ModelError),
    /// The device.
    Gpu(#[from] GpuError),
    /// Something that there is not.
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
    NoUnits {
        /// The hook.
        hook: String,
        /// `heads`, `channels` or `states`.
        units: &'static str,
    },
    /// A value of another shape than its place.
    Shape {
        /// The hook.
        hook: String,
        /// Shape given.
        found: Vec<usize>,
        /// Shape needed.
        expected: Vec<usize>,
    },
    /// Two interventions in one place.
    Contradiction {
        /// The hook.
        hook: String,
        /// A prompt where both do.
        prompt: usize,
        /// Position and unit where both do.
        place: String,
    },
    /// A request that makes no sense for this model or these prompts.
    Request(Failure),
    /// Somebody asked it to stop.
    Cancelled,
}

impl Fails for CircuitError {
    fn failure(&self) -> Failure {
        match self {
            Self::Model(error) => error.failure(),
            Self::Gpu(error) => error.failure(),
            Self::Missing { what, index, place, count, hint } => {
                format!("{what} {index} does not exist: {place} has {count} ({hint})").into()
            }
            Self::NoUnits { hook, units } => {
                Failure::new(format!("{hook} has no {units}"), "choose others, or all of it")
            }
            Self::Shape { hook, found, expected } => Failure::new(
                format!("the value for {hook} has the shape {found:?}"),
                format!("{expected:?} is needed"),
            ),
            Self::Contradiction { hook, prompt, place } => Failure::new(
                format!("two interventions contradict: both change {hook} at prompt {prompt}{place}"),
                "keep one of them",
            ),
            Self::Request(failure) => failure.clone(),
            Self::Cancelled => Failure::cancelled(),
        }
    }
}

printed!(CircuitError);

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
    CircuitError::Request(Failure::new(format!("{} has no {}", model.name(), needed.name()), advice))
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
