//! Induction in two models that do it each in its own way.

use serde::Serialize;

use super::experiment::CircuitName;
use super::look::{InductionView, LOOK_STAGES, look};
use super::report::{CircuitReport, CircuitSettings};
use super::series::{CircuitAsk, Series};
use crate::lab::shared::Stages;
use crate::lab::{LabError, LabModel, Observer};
use crate::model::Capability;

/// Two models from inside, and what interventions change.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct InductionPair {
    /// A model with attention heads.
    pub a: InductionView,
    /// A model with a recurrence.
    pub b: InductionView,
    /// Each head of the first.
    pub heads: CircuitReport,
    /// Each layer of the second.
    pub states: CircuitReport,
    /// Each position's write into the layer of the second that matters most.
    pub writes: CircuitReport,
}

/// Looks into the first model with attention heads and the first with a recurrence among some, at a text, or at a
/// planted A B … A where `text` is absent, and takes their circuits apart.
///
/// # Errors
/// None with heads or none with a recurrence among them; as [`induction_view`](super::induction_view) and
/// [`circuits`](super::circuits).
pub async fn induction_pair(
    models: &[&LabModel],
    text: Option<&str>,
    settings: &CircuitSettings,
    observer: &dyn Observer,
) -> Result<InductionPair, LabError> {
    let first = |needed: Capability| {
        let found = models.iter().find(|model| model.model.has(needed)).copied();
        found.ok_or_else(|| {
            let names: Vec<&str> = models.iter().map(|model| model.name()).collect();
            let (what, names) = (needed.needed(), names.join(", "));
            LabError::refused(format!("none of the models has {what} ({names})"), "choose others")
        })
    };
    let (a, b) = (first(Capability::Attention)?, first(Capability::Recurrence)?);
    let ask = |model, experiment| CircuitAsk { model, experiment, settings: settings.clone() };
    let series = Series::of(&[
        ask(a, CircuitName::HeadToLogit),
        ask(b, CircuitName::StateToLogit),
        ask(b, CircuitName::WritePosition),
    ])?;
    let mut stages = Stages::new(observer, 2 * LOOK_STAGES + series.stages()).about(&[a, b]);
    let (of_a, of_b) =
        (look(a, text, settings, &mut stages).await?, look(b, text, settings, &mut stages).await?);
    let reports = series.run(stages).await?.try_into();
    let [heads, states, writes] = reports.expect("three were asked for");
    Ok(InductionPair { a: of_a, b: of_b, heads, states, writes })
}
