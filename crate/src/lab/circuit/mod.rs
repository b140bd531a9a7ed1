//! The paper's circuit experiments as named runs (section 4).

#[cfg(not(target_arch = "wasm32"))]
mod drawing;
mod look;
#[cfg(not(target_arch = "wasm32"))]
mod published;
mod report;
#[cfg(not(target_arch = "wasm32"))]
mod save;

use std::cell::RefCell;
use std::pin::Pin;

use super::stages::Stages;
use super::{LabError, LabModel, Observer};
use crate::circuits::{
    Answers, CircuitError, Corruption, Draw, Experiment, Head, Induction, Offset, SsmPart, Taps, Target,
    Watch,
};
use crate::model::Prompts;
pub use look::{InductionView, induction_view};
#[cfg(not(target_arch = "wasm32"))]
pub use published::{Deviation, PublishedCircuit, published};
pub use report::{CircuitCell, CircuitName, CircuitReport, CircuitSettings};
#[cfg(not(target_arch = "wasm32"))]
pub use save::save_circuits;

/// Prompts that run through an experiment together: what is kept of their runs must fit memory.
const PIECE: usize = 32;
/// Positions whose writes are looked at: B is at 1.
const WRITES: usize = 6;

/// Tells an observer, lets the host breathe, and takes back whether to stop.
struct Told<'s, 'o>(RefCell<&'s mut Stages<'o>>);

impl Told<'_, '_> {
    fn tell(&self, done: usize) -> Result<(), CircuitError> {
        self.0.borrow_mut().tell(done).map_err(|_| CircuitError::Cancelled)
    }
}

impl Watch for Told<'_, '_> {
    fn step(&self, done: usize, _: usize) -> Pin<Box<dyn Future<Output = Result<(), CircuitError>> + '_>> {
        Box::pin(async move {
            self.tell(done)?;
            let observer = self.0.borrow().observer();
            observer.breathe().await;
            self.tell(done)
        })
    }
}

/// Runs an experiment on a model.
///
/// # Errors
/// An experiment that is not about this kind of model, a layer, head or length that does not exist (before anything
/// runs); a device that fails; an observer that cancels.
pub async fn circuit(
    model: &LabModel,
    experiment: CircuitName,
    mut settings: CircuitSettings,
    observer: &dyn Observer,
) -> Result<CircuitReport, LabError> {
    fits(model, experiment)?;
    // What cannot be is refused before anything runs.
    let drawn = draw(model, experiment, &settings)?;
    plan(model, experiment, &settings)?;
    choose(model, experiment, &mut settings, observer).await?;
    let plan = plan(model, experiment, &settings)?;
    let mut stages = Stages::new(observer, 2).about(&[model]);
    let pieces = drawn.count().div_ceil(PIECE);
    stages.begin("unchanged", pieces, "runs").await?;
    let target = target(model, &drawn);
    let corrupted = drawn.corrupt(corruption(experiment));
    let (mut clean, mut cells) = (Answers::default(), vec![Answers::default(); plan.len()]);
    for piece in pieces_of(&drawn, &corrupted, &target) {
        clean.take_in(piece.experiment(model, &crate::circuits::Unwatched).unchanged().await?);
    }
    stages.begin(experiment.name(), plan.len() * pieces, "runs").await?;
    for (nth, piece) in pieces_of(&drawn, &corrupted, &target).enumerate() {
        let told = Told(RefCell::new(&mut stages));
        let after = After { inner: &told, before: nth * plan.len() };
        let found = plan.run(&piece.experiment(model, &after)).await?;
        cells.iter_mut().zip(found).for_each(|(all, found)| all.take_in(found));
    }
    let told = model.model.engine().report();
    let cell = |(place, answers): (&Cell, Answers)| CircuitCell {
        label: place.label.clone(),
        layer: place.layer,
        unit: place.unit,
        answer: answers.means(),
        change: answers.changes(&clean),
        prompts: answers,
    };
    Ok(CircuitReport {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        engine: told.engine.to_owned(),
        adapter: told.name,
        model: model.name().to_owned(),
        architecture: model.model.architecture().to_owned(),
        layers: model.model.layers(),
        experiment,
        what: experiment.what().to_owned(),
        settings,
        clean: clean.means(),
        cells: plan.cells.iter().zip(cells).map(cell).collect(),
        clean_prompts: clean,
        timings: stages.finish(),
    })
}

/// A watch of which some steps are behind already.
struct After<'a> {
    inner: &'a dyn Watch,
    before: usize,
}

impl Watch for After<'_> {
    fn step(
        &self,
        done: usize,
        cells: usize,
    ) -> Pin<Box<dyn Future<Output = Result<(), CircuitError>> + '_>> {
        self.inner.step(self.before + done, cells)
    }
}

/// Refuses what takes something apart that the model does not have.
fn fits(model: &LabModel, experiment: CircuitName) -> Result<(), LabError> {
    let Some(lacking) = experiment.needs().iter().find(|needed| !model.model.has(**needed)) else {
        return Ok(());
    };
    let others: Vec<&str> = experiments_of(model).into_iter().map(CircuitName::name).collect();
    let advice = match &others[..] {
        [] => "choose another model".to_owned(),
        others => format!("for it there are {}", others.join(", ")),
    };
    Err(LabError::Mismatch(format!(
        "{} takes {} apart, and {} has none; {advice}",
        experiment.name(),
        lacking.needed(),
        model.name()
    )))
}

/// The experiments on what a model has.
pub fn experiments_of(model: &LabModel) -> Vec<CircuitName> {
    let fits = |name: &CircuitName| name.needs().iter().all(|needed| model.model.has(*needed));
    CircuitName::ALL.into_iter().filter(fits).collect()
}

/// Finds the layer or the receiver that the settings leave open: the one that matters most.
async fn choose(
    model: &LabModel,
    experiment: CircuitName,
    settings: &mut CircuitSettings,
    observer: &dyn Observer,
) -> Result<(), LabError> {
    let asked = settings.clone();
    let strongest = |experiment| Box::pin(circuit(model, experiment, asked, observer));
    match experiment {
        CircuitName::WritePosition if settings.layer.is_none() => {
            let found = strongest(CircuitName::StateToLogit).await?;
            settings.layer = found.strongest().map(|cell| cell.layer);
        }
        CircuitName::HeadToHead if settings.receiver.is_none() => {
            let found = strongest(CircuitName::HeadToLogit).await?;
            let later = found.cells.iter().filter(|cell| cell.layer > 0);
            let best = later.min_by(|x, y| x.change.logit.mean.total_cmp(&y.change.logit.mean));
            settings.receiver = best.map(|cell| [cell.layer, cell.unit]);
        }
        _ => {}
    }
    Ok(())
}

/// The prompts of an experiment. Where positions are compared, A is at the same place in all of them: the first.
fn draw(
    model: &LabModel,
    experiment: CircuitName,
    settings: &CircuitSettings,
) -> Result<Induction, CircuitError> {
    model.model.check_length(settings.tokens, "")?;
    let place = (experiment == CircuitName::WritePosition).then_some(0);
    Induction::draw(Draw {
        count: settings.prompts,
        len: settings.tokens,
        from: model.tokenizer.drawable(model.model.vocab()),
        place,
        seed: settings.seed,
    })
}

fn corruption(experiment: CircuitName) -> Corruption {
    match experiment {
        CircuitName::HeadToLogit | CircuitName::HeadToHead => Corruption::Unrelated,
        CircuitName::YToLogit => Corruption::Last,
        CircuitName::ConvTaps => Corruption::AAndB,
        CircuitName::StateToLogit
        | CircuitName::SsmParts
        | CircuitName::WritePosition
        | CircuitName::OffByOne => Corruption::B,
    }
}

fn target(model: &LabModel, drawn: &Induction) -> Target {
    let vocab = model.tokenizer.real_vocabulary(model.model.vocab());
    Target { b: drawn.b.clone(), other: drawn.other.clone(), vocab }
}

/// Prompts that run together.
struct Piece {
    clean: Prompts,
    other: Prompts,
    a: Vec<usize>,
    target: Target,
}

impl Piece {
    fn experiment<'a>(&'a self, model: &'a LabModel, watch: &'a dyn Watch) -> Experiment<'a> {
        let Self { clean, other, a, target } = self;
        Experiment { model: &model.model, clean, other, a, target, logits: false, watch }
    }
}

fn pieces_of<'a>(
    drawn: &'a Induction,
    corrupted: &'a Prompts,
    target: &'a Target,
) -> impl Iterator<Item = Piece> + 'a {
    let len = drawn.len();
    (0..drawn.count()).step_by(PIECE).map(move |start| {
        let end = (start + PIECE).min(drawn.count());
        let part = |all: &Prompts| Prompts {
            batch: end - start,
            len,
            ids: all.ids[start * len..end * len].to_vec(),
        };
        Piece {
            clean: part(&drawn.clean),
            other: part(corrupted),
            a: drawn.a[start..end].to_vec(),
            target: Target {
                b: target.b[start..end].to_vec(),
                other: target.other[start..end].to_vec(),
                vocab: target.vocab,
            },
        }
    })
}

/// What one cell of a scan changes.
struct Cell {
    label: String,
    layer: usize,
    unit: usize,
}

/// The cells of an experiment, and how they are run.
struct CellPlan {
    cells: Vec<Cell>,
    how: How,
}

enum How {
    Heads,
    Through(Head),
    States,
    Y,
    Parts(Vec<(usize, SsmPart)>),
    Writes { layer: usize, places: Vec<usize>, published: bool },
    Taps { layers: Vec<usize>, taps: Vec<Taps> },
    Offsets(Vec<(usize, Offset)>),
}

fn plan(model: &LabModel, experiment: CircuitName, settings: &CircuitSettings) -> Result<CellPlan, LabError> {
    let layers = model.model.layers();
    let heads = model.model.attention().map_or(0, |attention| attention.heads());
    let taps = model.model.convolution().map_or(0, |convolution| convolution.taps());
    let of_heads = |layers: usize| {
        let all = (0..layers).flat_map(|layer| (0..heads).map(move |head| (layer, head)));
        all.map(|(layer, unit)| Cell { label: format!("head {layer}.{unit}"), layer, unit }).collect()
    };
    let of_layers =
        || (0..layers).map(|layer| Cell { label: format!("layer {layer}"), layer, unit: 0 }).collect();
    let chosen = match settings.layer {
        Some(layer) if layer >= layers => {
            return Err(LabError::Mismatch(format!(
                "layer {layer} does not exist: {} has {layers} (0 to {})",
                model.name(),
                layers - 1
            )));
        }
        chosen => chosen,
    };
    Ok(match experiment {
        CircuitName::HeadToLogit => CellPlan { cells: of_heads(layers), how: How::Heads },
        CircuitName::HeadToHead => {
            let [layer, head] = settings.receiver.unwrap_or([layers - 1, 0]);
            if layer == 0 || layer >= layers || head >= heads {
                return Err(LabError::Mismatch(format!(
                    "head {layer}.{head} cannot receive: {} has layers 0 to {}, of {heads} heads (0 to {}), and those of layer 0 \
                     read no other head",
                    model.name(),
                    layers - 1,
                    heads.saturating_sub(1)
                )));
            }
            CellPlan { cells: of_heads(layer.min(layers)), how: How::Through(Head { layer, head }) }
        }
        CircuitName::StateToLogit => CellPlan { cells: of_layers(), how: How::States },
        CircuitName::YToLogit => CellPlan { cells: of_layers(), how: How::Y },
        CircuitName::SsmParts => {
            let layers: Vec<usize> = chosen.map_or_else(|| (0..layers).collect(), |layer| vec![layer]);
            part_plan(&layers)
        }
        CircuitName::WritePosition => {
            let layer = chosen.unwrap_or(layers - 1);
            let places: Vec<usize> = (0..WRITES.min(settings.tokens)).collect();
            let cell = |&unit: &usize| Cell { label: format!("write at {unit}"), layer, unit };
            let cells = places.iter().map(cell).collect();
            CellPlan { cells, how: How::Writes { layer, places, published: settings.published } }
        }
        CircuitName::ConvTaps => {
            let layers: Vec<usize> = chosen.map_or_else(|| (0..layers).collect(), |layer| vec![layer]);
            tap_plan(layers, taps)
        }
        CircuitName::OffByOne => {
            let layers: Vec<usize> = chosen.map_or_else(|| (0..layers).collect(), |layer| vec![layer]);
            offset_plan(&layers, taps)
        }
    })
}

/// How far back a tap reads, as the paper says it.
fn minus(back: usize) -> String {
    if back == 0 { "0".to_owned() } else { format!("−{back}") }
}

fn tap_plan(layers: Vec<usize>, count: usize) -> CellPlan {
    let mut taps = Vec::new();
    let mut labels = Vec::new();
    for (behind, place) in [(1, "B"), (2, "B+1")] {
        for back in 0..count.min(behind + 1) {
            taps.push(Taps { behind, back: vec![back] });
            labels.push(format!("at {place}, tap {}", minus(back)));
        }
        for back in 1..count.min(behind + 1) {
            taps.push(Taps { behind, back: (0..=back).collect() });
            labels.push(format!("at {place}, taps 0 to {}", minus(back)));
        }
    }
    let of_layer = |&layer: &usize| {
        let labels = labels.iter().enumerate();
        labels.map(move |(unit, label)| Cell { label: format!("layer {layer} {label}"), layer, unit })
    };
    CellPlan { cells: layers.iter().flat_map(of_layer).collect(), how: How::Taps { layers, taps } }
}

fn part_plan(layers: &[usize]) -> CellPlan {
    let (mut cells, mut parts) = (Vec::new(), Vec::new());
    for &layer in layers {
        for (unit, (part, name)) in SsmPart::ALL.into_iter().zip(["x", "Δ", "B", "C", "gate"]).enumerate() {
            cells.push(Cell { label: format!("layer {layer} {name}"), layer, unit });
            parts.push((layer, part));
        }
    }
    CellPlan { cells, how: How::Parts(parts) }
}

fn offset_plan(layers: &[usize], taps: usize) -> CellPlan {
    let (mut cells, mut offsets) = (Vec::new(), Vec::new());
    for &layer in layers {
        for back in 0..taps {
            cells.push(Cell {
                label: format!("layer {layer} without tap {}", minus(back)),
                layer,
                unit: back,
            });
            offsets.push((layer, Offset::Without(back)));
        }
        cells.push(Cell { label: format!("layer {layer}, taps read one later"), layer, unit: taps });
        offsets.push((layer, Offset::TapsLater));
        cells.push(Cell { label: format!("layer {layer}, SSM fed one sooner"), layer, unit: taps + 1 });
        offsets.push((layer, Offset::InputSooner));
    }
    CellPlan { cells, how: How::Offsets(offsets) }
}

impl CellPlan {
    fn len(&self) -> usize {
        self.cells.len()
    }

    async fn run(&self, experiment: &Experiment<'_>) -> Result<Vec<Answers>, CircuitError> {
        match &self.how {
            How::Heads => experiment.head_to_logit().await,
            How::Through(receiver) => experiment.head_to_head_to_logit(*receiver).await,
            How::States => experiment.state_to_logit().await,
            How::Y => experiment.y_to_logit().await,
            How::Parts(parts) => experiment.ssm_parts(parts).await,
            How::Writes { layer, places, published } => {
                experiment.write_position(*layer, places, *published).await
            }
            How::Taps { layers, taps } => {
                let mut all = Vec::new();
                for &layer in layers {
                    all.extend(experiment.conv_taps(layer, taps).await?);
                }
                Ok(all)
            }
            How::Offsets(offsets) => experiment.off_by_one(offsets).await,
        }
    }
}
