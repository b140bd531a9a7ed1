//! The stages of a run: progress out, cancel in, wall times kept.

use serde::{Deserialize, Serialize};
use web_time::Instant;

use super::error::LabError;
use super::progress::{Observer, Progress};
use super::subject::LabModel;

/// How long a stage took.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct Timing {
    /// Name of the stage.
    pub stage: String,
    /// Wall time, seconds.
    pub seconds: f64,
}

/// Walks through the stages of a run.
pub(in crate::lab) struct Stages<'a> {
    observer: &'a dyn Observer,
    now: Progress,
    started: Instant,
    timings: Vec<Timing>,
}

impl<'a> Stages<'a> {
    pub(in crate::lab) fn new(observer: &'a dyn Observer, stages: usize) -> Self {
        let now = Progress {
            stage: String::new(),
            stage_index: 0,
            stages,
            done: 0,
            total: 0,
            unit: String::new(),
            warnings: Vec::new(),
        };
        Self { observer, now, started: Instant::now(), timings: Vec::new() }
    }

    /// Says what should be known of these models' files.
    pub(in crate::lab) fn about(mut self, models: &[&LabModel]) -> Self {
        for model in models {
            model.notes.iter().for_each(|note| self.warn(format!("{}: {note}", model.name())));
        }
        self
    }

    /// Ends the stage before and begins the next one.
    pub(in crate::lab) async fn begin(
        &mut self,
        stage: &str,
        total: usize,
        unit: &str,
    ) -> Result<(), LabError> {
        self.end();
        self.now.stage = stage.to_owned();
        self.now.stage_index += 1;
        (self.now.total, self.now.unit) = (total, unit.to_owned());
        self.step(0).await
    }

    /// The stage has come this far.
    pub(in crate::lab) async fn step(&mut self, done: usize) -> Result<(), LabError> {
        self.tell(done)?;
        self.observer.breathe().await;
        self.tell(done)
    }

    /// As [`Stages::step`], where nobody can wait: the host does not get to breathe.
    pub(in crate::lab) fn tell(&mut self, done: usize) -> Result<(), LabError> {
        self.now.done = done.min(self.now.total);
        self.observer.progress(&self.now);
        if self.observer.cancelled() { Err(LabError::Cancelled) } else { Ok(()) }
    }

    /// Who watches.
    pub(in crate::lab) fn observer(&self) -> &'a dyn Observer {
        self.observer
    }

    /// Something to be known before the next stage begins.
    pub(in crate::lab) fn warn(&mut self, line: String) {
        if !self.now.warnings.contains(&line) {
            self.now.warnings.push(line);
        }
    }

    fn end(&mut self) {
        if self.now.stage_index > 0 {
            let seconds = self.started.elapsed().as_secs_f64();
            self.timings.push(Timing { stage: self.now.stage.clone(), seconds });
        }
        self.started = Instant::now();
    }

    /// Ends the last stage and returns all wall times.
    pub(in crate::lab) fn finish(mut self) -> Vec<Timing> {
        self.end();
        self.timings
    }
}
