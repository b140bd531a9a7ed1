//! What the stages of a comparison found, before it becomes a report.

use std::ops::Range;

use super::comparing::Comparing;
use super::features::{Features, kept};
use super::pairs::AllPairs;
use super::report::{Likeness, Matching};
use super::sources::Variant;
use super::stage::Stage;
use crate::lab::shared::LabError;
use crate::universality::{Correlation, LayerBest, LayerResult};

/// Everything that was computed.
#[derive(Default)]
pub(super) struct Found {
    /// A's, and B's.
    pub(super) features: Vec<Features>,
    /// The scores themselves.
    pub(super) real: LayerResult,
    /// Every whole run beside it, in the order in which they ran.
    pub(super) controls: Vec<Control>,
    /// Of neurons.
    pub(super) neurons: Option<Correlation>,
    pub(super) likeness: Option<Likeness>,
    pub(super) matching: Option<Matching>,
}

/// A whole run of MPPC as a control: both directions' best partners over all layers, by SAE.
pub(super) struct Control {
    /// What it belongs to.
    stage: Stage,
    /// What it is over.
    pub(super) tokens: Range<usize>,
    a_to_b: Vec<LayerBest>,
    b_to_a: Vec<LayerBest>,
    /// Which features the filter keeps of what stands in for B's SAEs, where something does.
    pub(super) kept_b: Option<Vec<Vec<bool>>>,
}

impl Control {
    pub(super) fn of(
        run: &Comparing<'_>,
        stage: Stage,
        all: &AllPairs,
        result: LayerResult,
    ) -> Result<Self, LabError> {
        let others = (all.variant != Variant::Trained).then(|| run.sources(all.variant));
        let kept_b =
            others.map(|others| others.iter().map(|source| kept(run, source)).collect()).transpose()?;
        let (tokens, a_to_b, b_to_a) = (all.cut.tokens.clone(), result.a_to_b.best, result.b_to_a.best);
        Ok(Self { stage, tokens, a_to_b, b_to_a, kept_b })
    }

    /// From A to B, or back.
    pub(super) fn direction(&self, forth: bool) -> &[LayerBest] {
        if forth { &self.a_to_b } else { &self.b_to_a }
    }
}

impl Found {
    /// The runs of a stage.
    pub(super) fn of(&self, stage: Stage) -> impl Iterator<Item = &Control> {
        self.controls.iter().filter(move |control| control.stage == stage)
    }
}
