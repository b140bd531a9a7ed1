//! What an experiment does to a model, cell by cell.

use super::experiment::CircuitName;
use super::report::CircuitSettings;
use crate::circuits::{Answers, CircuitError, Experiment, Head, Offset, SsmPart, Taps};
use crate::lab::{LabError, LabModel};

/// Positions whose writes are looked at: B is at 1.
const WRITES: usize = 6;

/// What one cell of a sweep changes.
pub(super) struct Cell {
    pub(super) label: String,
    pub(super) layer: usize,
    pub(super) unit: usize,
}

/// The cells of an experiment, and what runs them.
pub(super) struct Sweep {
    pub(super) cells: Vec<Cell>,
    interventions: Interventions,
}

enum Interventions {
    Heads,
    Through(Head),
    States,
    Y,
    Parts(Vec<(usize, SsmPart)>),
    Writes { layer: usize, places: Vec<usize>, published: bool },
    Taps { layers: Vec<usize>, taps: Vec<Taps> },
    Offsets(Vec<(usize, Offset)>),
}

impl Sweep {
    /// The sweep of an experiment on a model. A layer or a receiver that the settings leave open is the last one here.
    ///
    /// # Errors
    /// A layer or head that does not exist.
    pub(super) fn of(
        model: &LabModel,
        experiment: CircuitName,
        settings: &CircuitSettings,
    ) -> Result<Self, LabError> {
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
                return Err(LabError::Refused(
                    format!(
                        "layer {layer} does not exist: {} has {layers} (0 to {})",
                        model.name(),
                        layers - 1
                    )
                    .into(),
                ));
            }
            chosen => chosen,
        };
        let of_layer = || chosen.map_or_else(|| (0..layers).collect(), |layer| vec![layer]);
        let sweep = |cells, interventions| Sweep { cells, interventions };
        Ok(match experiment {
            CircuitName::HeadToLogit => sweep(of_heads(layers), Interventions::Heads),
            CircuitName::HeadToHead => {
                let [layer, head] = settings.receiver.unwrap_or([layers - 1, 0]);
                if layer == 0 || layer >= layers || head >= heads {
                    return Err(LabError::Refused(
                        format!(
                            "head {layer}.{head} cannot receive: {} has layers \
                     0 to {}, of {heads} heads (0 to {}), and those of layer 0 read no other head",
                            model.name(),
                            layers - 1,
                            heads.saturating_sub(1)
                        )
                        .into(),
                    ));
                }
                sweep(of_heads(layer), Interventions::Through(Head { layer, head }))
            }
            CircuitName::StateToLogit => sweep(of_layers(), Interventions::States),
            CircuitName::YToLogit => sweep(of_layers(), Interventions::Y),
            CircuitName::SsmParts => of_parts(&of_layer()),
            CircuitName::WritePosition => {
                let layer = chosen.unwrap_or(layers - 1);
                let places: Vec<usize> = (0..WRITES.min(settings.tokens)).collect();
                let cell = |&unit: &usize| Cell { label: format!("write at {unit}"), layer, unit };
                let cells = places.iter().map(cell).collect();
                let published = settings.published;
                sweep(cells, Interventions::Writes { layer, places, published })
            }
            CircuitName::ConvTaps => of_taps(of_layer(), taps),
            CircuitName::OffByOne => of_offsets(&of_layer(), taps),
        })
    }

    /// Runs it, and gives an answer a cell.
    pub(super) async fn run(&self, experiment: &Experiment<'_>) -> Result<Vec<Answers>, CircuitError> {
        match &self.interventions {
            Interventions::Heads => experiment.head_to_logit().await,
            Interventions::Through(receiver) => experiment.head_to_head_to_logit(*receiver).await,
            Interventions::States => experiment.state_to_logit().await,
            Interventions::Y => experiment.y_to_logit().await,
            Interventions::Parts(parts) => experiment.ssm_parts(parts).await,
            Interventions::Writes { layer, places, published } => {
                experiment.write_position(*layer, places, *published).await
            }
            Interventions::Taps { layers, taps } => {
                let mut all = Vec::new();
                for &layer in layers {
                    all.extend(experiment.conv_taps(layer, taps).await?);
                }
                Ok(all)
            }
            Interventions::Offsets(offsets) => experiment.off_by_one(offsets).await,
        }
    }
}

/// How far back a tap reads, as the paper says it.
fn minus(back: usize) -> String {
    if back == 0 { "0".to_owned() } else { format!("−{back}") }
}

fn of_taps(layers: Vec<usize>, count: usize) -> Sweep {
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
    Sweep {
        cells: layers.iter().flat_map(of_layer).collect(),
        interventions: Interventions::Taps { layers, taps },
    }
}

fn of_parts(layers: &[usize]) -> Sweep {
    let (mut cells, mut parts) = (Vec::new(), Vec::new());
    for &layer in layers {
        for (unit, (part, name)) in SsmPart::ALL.into_iter().zip(["x", "Δ", "B", "C", "gate"]).enumerate() {
            cells.push(Cell { label: format!("layer {layer} {name}"), layer, unit });
            parts.push((layer, part));
        }
    }
    Sweep { cells, interventions: Interventions::Parts(parts) }
}

fn of_offsets(layers: &[usize], taps: usize) -> Sweep {
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
    Sweep { cells, interventions: Interventions::Offsets(offsets) }
}
