//! Running prompts once for each of many interventions.

use std::collections::BTreeMap;
use std::ops::Range;
use std::pin::Pin;

use super::error::CircuitError;
use super::figures::{AnswerTokens, Answers};
use super::intervention::{Intervention, compile};
use crate::gpu::Tensor;
use crate::model::{Logits, Model, Plan, Prompts};

/// Tokens of one pass: cells of a scan run together as long as they stay below.
const PASS: usize = 16_384;

/// Somebody who is told how far a scan is, and may stop it.
pub trait ScanWatch {
    /// So many of the scan's cells are done.
    fn step(&self, done: usize, cells: usize)
    -> Pin<Box<dyn Future<Output = Result<(), CircuitError>> + '_>>;
}

/// Nobody.
pub struct Unwatched;

impl ScanWatch for Unwatched {
    fn step(&self, _: usize, _: usize) -> Pin<Box<dyn Future<Output = Result<(), CircuitError>> + '_>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Prompts, the same corrupted, and what is asked of the model about them. The experiments of the paper (section 4)
/// are its methods.
#[derive(Clone, Copy)]
pub struct Experiment<'a> {
    /// The model.
    pub model: &'a Model,
    /// Prompts [N, T] that end in A.
    pub clean: &'a Prompts,
    /// The same, corrupted.
    pub corrupted: &'a Prompts,
    /// Where A stands first, by prompt; B stands behind it.
    pub a: &'a [usize],
    /// The answers that are looked at.
    pub target: &'a AnswerTokens,
    /// Whether [`Answers::logits`] are kept.
    pub logits: bool,
    /// Who is told.
    pub watch: &'a dyn ScanWatch,
}

/// What a run's hooks saw, by name.
pub(super) type Cache = BTreeMap<String, Tensor>;

impl Experiment<'_> {
    /// The last position.
    pub(super) fn last(&self) -> usize {
        self.clean.len - 1
    }

    /// Checks that there are answers, places and corrupted prompts for all prompts.
    pub(super) fn check(&self) -> Result<(), CircuitError> {
        let n = self.clean.batch;
        let counts = [self.corrupted.batch, self.a.len(), self.target.b.len(), self.target.other.len()];
        if counts.iter().any(|count| *count != n) || self.corrupted.len != self.clean.len {
            return Err(CircuitError::Request(
                "prompts, corrupted prompts, places and answers must be as many, and as long".into(),
            ));
        }
        for &a in self.a {
            super::error::within("position", a + 2, self.clean.len, "the prompt behind A")?;
        }
        Ok(())
    }

    /// Runs prompts and keeps hooks.
    pub(super) fn cache(&self, prompts: &Prompts, keep: Vec<String>) -> Result<Cache, CircuitError> {
        Ok(self.model.run(prompts, Plan { keep, ..Plan::default() })?.hooks)
    }

    /// The answers without any intervention.
    ///
    /// # Errors
    /// Those of the model and of the device.
    pub async fn unchanged(&self) -> Result<Answers, CircuitError> {
        let all = self.scan(1, |_| Ok(Vec::new())).await?;
        Ok(all.into_iter().next().expect("one cell"))
    }

    /// The answers for each of `cells`: the prompts are run once for each, as many cells at a time as are a good
    /// pass. `make` gives the interventions of a stretch of cells, whose batch is its cells' prompts one after the
    /// other.
    pub(super) async fn scan(
        &self,
        cells: usize,
        make: impl Fn(Range<usize>) -> Result<Vec<Intervention>, CircuitError>,
    ) -> Result<Vec<Answers>, CircuitError> {
        self.check()?;
        let mut all = Vec::with_capacity(cells);
        for stretch in self.stretches(cells) {
            let prompts = self.tiled(stretch.len());
            let edits = compile(&make(stretch.clone())?, &self.model.hooks(prompts.batch, prompts.len))?;
            let output = self.model.run(&prompts, Plan { edits, logits: true, ..Plan::default() })?;
            let logits = output.logits.expect("logits were asked for").last();
            all.extend(self.answers(&prompts, &logits, stretch.len()).await?);
            self.watch.step(stretch.end, cells).await?;
        }
        Ok(all)
    }

    /// Cells that run together.
    pub(super) fn stretches(&self, cells: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let most = (PASS / (self.clean.batch * self.clean.len).max(1)).max(1);
        (0..cells).step_by(most).map(move |start| start..(start + most).min(cells))
    }

    /// The clean prompts, said `times` times.
    pub(super) fn tiled(&self, times: usize) -> Prompts {
        let Prompts { batch, len, ids } = self.clean;
        Prompts { batch: times * batch, len: *len, ids: ids.repeat(times) }
    }

    async fn answers(
        &self,
        prompts: &Prompts,
        logits: &Logits,
        cells: usize,
    ) -> Result<Vec<Answers>, CircuitError> {
        let n = self.clean.batch;
        let mut all = vec![Answers::default(); cells];
        for rows in logits.stretches() {
            let values = logits.at(rows.clone()).read_f32().await?;
            self.model.check_finite(prompts, "logits", &values).await?;
            let width = values.len() / rows.len();
            for (row, values) in rows.zip(values.chunks(width)) {
                let answers = &mut all[row / n];
                answers.take_in(Answers::of((values, 1), self.target, row % n));
                if self.logits {
                    answers.logits.extend_from_slice(values);
                }
            }
        }
        Ok(all)
    }
}
