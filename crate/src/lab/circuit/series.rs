//! Experiments one after the other, under one progress: what several of them need is found once.

use std::cell::RefCell;
use std::pin::Pin;

use super::experiment::{CircuitName, experiments_of, fits};
use super::pieces::{draw_of, pieces_of};
use super::report::{CircuitCell, CircuitReport, CircuitSettings};
use super::sweep::{Cell, Sweep};
use crate::circuits::{Answers, CircuitError, Induction, ScanWatch, Unwatched};
use crate::lab::shared::Stages;
use crate::lab::{LabError, LabModel, Observer};

/// An experiment that is asked for.
#[derive(Clone)]
pub struct CircuitAsk<'a> {
    /// The model.
    pub model: &'a LabModel,
    /// The experiment.
    pub experiment: CircuitName,
    /// What decides its numbers.
    pub settings: CircuitSettings,
}

impl<'a> CircuitAsk<'a> {
    /// Every experiment on what a model has. A layer is for those that take one apart.
    ///
    /// # Errors
    /// There is none.
    pub fn all(model: &'a LabModel, settings: &CircuitSettings) -> Result<Vec<Self>, LabError> {
        let ask = |experiment: CircuitName| {
            let layer = settings.layer.filter(|_| experiment.of_one_layer());
            Self { model, experiment, settings: CircuitSettings { layer, ..settings.clone() } }
        };
        let all: Vec<Self> = experiments_of(model).into_iter().map(ask).collect();
        match all.is_empty() {
            false => Ok(all),
            true => Err(LabError::refused(
                format!("there is no experiment on what {} has", model.name()),
                "choose another model",
            )),
        }
    }

    /// The experiment that finds what the settings leave open: the layer or the receiver that matters most.
    fn source(&self) -> Option<Self> {
        let by = |experiment| Some(Self { experiment, ..self.clone() });
        match self.experiment {
            CircuitName::WritePosition if self.settings.layer.is_none() => by(CircuitName::StateToLogit),
            CircuitName::HeadToHead if self.settings.receiver.is_none() => by(CircuitName::HeadToLogit),
            _ => None,
        }
    }

    fn is(&self, other: &Self) -> bool {
        std::ptr::eq(self.model, other.model)
            && (self.experiment, &self.settings) == (other.experiment, &other.settings)
    }
}

/// Runs experiments in their order. Those that others need, or that are asked for twice, run once.
///
/// # Errors
/// An experiment on what the model does not have, a layer, head or length that does not exist (before anything runs); a
/// device that fails; an observer that cancels.
pub async fn circuits(
    asked: &[CircuitAsk<'_>],
    observer: &dyn Observer,
) -> Result<Vec<CircuitReport>, LabError> {
    let series = Series::of(asked)?;
    let mut models: Vec<&LabModel> = Vec::new();
    for ask in asked {
        if !models.iter().any(|model| std::ptr::eq(*model, ask.model)) {
            models.push(ask.model);
        }
    }
    series.run(Stages::new(observer, series.stages()).about(&models)).await
}

/// Experiments in an order in which each finds what it needs.
pub(super) struct Series<'a> {
    steps: Vec<Step<'a>>,
    /// The step of each that was asked for.
    asked: Vec<usize>,
}

struct Step<'a> {
    ask: CircuitAsk<'a>,
    /// The step that finds what this one leaves open.
    source: Option<usize>,
}

/// Stages of an experiment.
const EXPERIMENT_STAGES: usize = 2;

impl<'a> Series<'a> {
    /// Checks all of them.
    pub(super) fn of(asked: &[CircuitAsk<'a>]) -> Result<Self, LabError> {
        let mut series = Self { steps: Vec::new(), asked: Vec::new() };
        for ask in asked {
            fits(ask.model, ask.experiment)?;
            draw_of(ask.model, ask.experiment, &ask.settings)?;
            Sweep::of(ask.model, ask.experiment, &ask.settings)?;
            let source = ask.source().map(|source| series.step(source, None));
            let step = series.step(ask.clone(), source);
            series.asked.push(step);
        }
        Ok(series)
    }

    fn step(&mut self, ask: CircuitAsk<'a>, source: Option<usize>) -> usize {
        self.steps.iter().position(|step| step.ask.is(&ask)).unwrap_or_else(|| {
            self.steps.push(Step { ask, source });
            self.steps.len() - 1
        })
    }

    /// Stages that it takes.
    pub(super) fn stages(&self) -> usize {
        EXPERIMENT_STAGES * self.steps.len()
    }

    /// Runs it as the last of some stages.
    pub(super) async fn run(&self, mut stages: Stages<'_>) -> Result<Vec<CircuitReport>, LabError> {
        let mut reports: Vec<CircuitReport> = Vec::new();
        for Step { ask, source } in &self.steps {
            let mut ask = ask.clone();
            if let Some(source) = source {
                reports[*source].settle(&mut ask.settings);
            }
            reports.push(run(&ask, &mut stages).await?);
        }
        let timings = stages.finish();
        let own = &timings[timings.len() - self.stages()..];
        for (report, own) in reports.iter_mut().zip(own.chunks(EXPERIMENT_STAGES)) {
            report.timings = own.to_vec();
        }
        Ok(self.asked.iter().map(|step| reports[*step].clone()).collect())
    }
}

/// Runs one experiment, of which nothing is left open; its wall times are still in the stages.
async fn run(ask: &CircuitAsk<'_>, stages: &mut Stages<'_>) -> Result<CircuitReport, LabError> {
    let CircuitAsk { model, experiment, settings } = ask;
    let sweep = Sweep::of(model, *experiment, settings)?;
    let drawn = Induction::draw(draw_of(model, *experiment, settings)?)?;
    let pieces = pieces_of(model, &drawn, *experiment);
    drop(drawn);
    stages.begin("unchanged", pieces.len(), "runs").await?;
    let (mut clean, mut cells) = (Answers::default(), vec![Answers::default(); sweep.cells.len()]);
    for piece in &pieces {
        clean.take_in(piece.experiment(model, &Unwatched).unchanged().await?);
    }
    stages.begin(experiment.name(), sweep.cells.len() * pieces.len(), "runs").await?;
    for (nth, piece) in pieces.iter().enumerate() {
        let watch = StageWatch { stages: RefCell::new(stages), before: nth * sweep.cells.len() };
        let found = sweep.run(&piece.experiment(model, &watch)).await?;
        cells.iter_mut().zip(found).for_each(|(all, found)| all.take_in(found));
    }
    let engine = model.model.engine().report();
    let cell = |(cell, answers): (&Cell, Answers)| CircuitCell {
        label: cell.label.clone(),
        layer: cell.layer,
        unit: cell.unit,
        answer: answers.means(),
        change: answers.changes(&clean),
        prompts: answers,
    };
    Ok(CircuitReport {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        engine: engine.engine.to_owned(),
        adapter: engine.name,
        model: model.name().to_owned(),
        architecture: model.model.architecture().to_owned(),
        layers: model.model.layers(),
        experiment: *experiment,
        what: experiment.what().to_owned(),
        settings: settings.clone(),
        clean: clean.means(),
        cells: sweep.cells.iter().zip(cells).map(cell).collect(),
        clean_prompts: clean,
        timings: Vec::new(),
    })
}

/// A sweep's watch that tells a stage, of which some units are done already.
struct StageWatch<'s, 'o> {
    stages: RefCell<&'s mut Stages<'o>>,
    before: usize,
}

impl StageWatch<'_, '_> {
    fn tell(&self, done: usize) -> Result<(), CircuitError> {
        self.stages.borrow_mut().tell(self.before + done).map_err(|_| CircuitError::Cancelled)
    }
}

impl ScanWatch for StageWatch<'_, '_> {
    fn step(&self, done: usize, _: usize) -> Pin<Box<dyn Future<Output = Result<(), CircuitError>> + '_>> {
        Box::pin(async move {
            self.tell(done)?;
            let observer = self.stages.borrow().observer();
            observer.breathe().await;
            self.tell(done)
        })
    }
}
