//! The published numbers (arXiv 2410.06672) beside measured ones.

use serde::{Deserialize, Serialize};

use super::experiment::CircuitName;
use super::report::{CircuitCell, CircuitReport, CircuitSettings};
use super::series::{CircuitAsk, circuits};
use crate::circuits::Mean;
use crate::lab::{LabError, LabModel, Observer};

const NUMBERS: &str = include_str!("../../../../models/published_circuits.json");

/// An experiment as it was published.
#[derive(Debug, Clone, Deserialize)]
struct PublishedCircuit {
    /// Which experiment.
    experiment: CircuitName,
    /// Tokens of its prompts.
    tokens: usize,
    /// The layer that was taken apart.
    layer: Option<usize>,
    /// The head that received.
    receiver: Option<[usize; 2]>,
    /// Whether its logits are less their mean over the vocabulary.
    #[serde(default, rename = "centred")]
    centered: bool,
    /// The unchanged answer.
    clean: PublishedAnswer,
    /// Every cell.
    cells: Vec<PublishedCell>,
}

/// An answer; what was not published is absent.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
struct PublishedAnswer {
    /// Logit of B.
    logit: Option<f64>,
    /// Probability of B.
    probability: Option<f64>,
    /// Logit of B less that of the corrupting token.
    difference: Option<f64>,
}

/// A cell of a published experiment.
#[derive(Debug, Clone, Deserialize)]
struct PublishedCell {
    layer: usize,
    unit: Option<usize>,
    label: Option<String>,
    logit: Option<f64>,
    probability: Option<f64>,
    difference: Option<f64>,
    change: Option<f64>,
}

/// A published change beside a measured one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Deviation {
    /// Which experiment.
    pub experiment: CircuitName,
    /// Tokens of its prompts.
    pub tokens: usize,
    /// What was changed; `unchanged` for the answer itself.
    pub label: String,
    /// `logit`, `probability` or `difference`.
    pub figure: &'static str,
    /// As published: what the intervention changes, or the unchanged answer.
    pub published: f64,
    /// As measured, with its interval.
    pub measured: Mean,
}

impl Deviation {
    /// Measured less published.
    pub fn deviation(&self) -> f64 {
        self.measured.mean - self.published
    }
}

/// The published experiments, measured again.
#[derive(Debug, Clone)]
pub struct Paper {
    /// Every published figure beside the measured one.
    pub rows: Vec<Deviation>,
    /// What was measured, of the Transformer and of the Mamba: of each experiment the one on long prompts.
    pub reports: [Vec<CircuitReport>; 2],
}

/// Tokens of prompts that are short.
const SHORT: usize = 8;

/// Runs every published experiment again, on a Transformer and a Mamba.
///
/// # Errors
/// As [`circuits`].
pub async fn paper(
    models: [&LabModel; 2],
    (prompts, seed): (usize, u64),
    observer: &dyn Observer,
) -> Result<Paper, LabError> {
    let published = published();
    let which = |told: &PublishedCircuit| usize::from(!told.experiment.of_heads());
    let ask = |told: &PublishedCircuit| {
        let model = models[which(told)];
        // Other models may have fewer layers.
        let layers = model.model.layers();
        let settings = CircuitSettings {
            prompts,
            tokens: told.tokens,
            seed,
            layer: told.layer.filter(|layer| *layer < layers),
            receiver: told.receiver.filter(|[layer, _]| *layer < layers),
            // As its numbers were made.
            published: true,
            ..CircuitSettings::default()
        };
        CircuitAsk { model, experiment: told.experiment, settings }
    };
    let asked: Vec<CircuitAsk<'_>> = published.iter().map(ask).collect();
    let mut paper = Paper { rows: Vec::new(), reports: [Vec::new(), Vec::new()] };
    for (told, report) in published.iter().zip(circuits(&asked, observer).await?) {
        paper.rows.extend(told.beside(&report));
        let of_model = &mut paper.reports[which(told)];
        if told.tokens > SHORT && !of_model.iter().any(|other| other.experiment == report.experiment) {
            of_model.push(report);
        }
    }
    Ok(paper)
}

/// Every published experiment.
fn published() -> Vec<PublishedCircuit> {
    #[derive(Deserialize)]
    struct File {
        results: Vec<PublishedCircuit>,
    }
    serde_json::from_str::<File>(NUMBERS).expect("the lab's own file").results
}

impl PublishedCircuit {
    /// Its figures beside those of a measurement of the same experiment.
    fn beside(&self, measured: &CircuitReport) -> Vec<Deviation> {
        let centered = self.centered;
        let row = |label: &str, figure, published, measured| Deviation {
            experiment: self.experiment,
            tokens: self.tokens,
            label: label.to_owned(),
            figure,
            published,
            measured,
        };
        let clean = &measured.clean;
        let logit = if centered { clean.centered } else { clean.logit };
        let mut rows = Vec::new();
        rows.extend(self.clean.logit.map(|v| row("unchanged", "logit", v, logit)));
        rows.extend(self.clean.probability.map(|v| row("unchanged", "probability", v, clean.probability)));
        rows.extend(self.clean.difference.map(|v| row("unchanged", "difference", v, clean.difference)));
        for cell in &self.cells {
            let Some(found) = measured.cells.iter().find(|found| cell.is(found)) else { continue };
            let change = &found.change;
            let logit = if centered { change.centered } else { change.logit };
            let less = |value: Option<f64>, clean: Option<f64>| Some(value? - clean?);
            let figures = [
                ("logit", cell.change.or(less(cell.logit, self.clean.logit)), logit),
                ("probability", less(cell.probability, self.clean.probability), change.probability),
                ("difference", less(cell.difference, self.clean.difference), change.difference),
            ];
            let told = figures.into_iter().filter_map(|(figure, published, mean)| {
                published.map(|published| row(&found.label, figure, published, mean))
            });
            rows.extend(told);
        }
        rows
    }
}

impl PublishedCell {
    fn is(&self, found: &CircuitCell) -> bool {
        match (&self.label, self.unit) {
            (Some(label), _) => *label == found.label,
            (None, unit) => self.layer == found.layer && unit == Some(found.unit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_published_number_is_there() {
        let all = published();
        let sizes: Vec<_> = all.iter().map(|p| (p.experiment.name(), p.tokens, p.cells.len())).collect();
        let wanted = [
            ("head-to-logit", 64, 144),
            ("head-to-head", 64, 60),
            ("state-to-logit", 64, 24),
            ("y-to-logit", 64, 24),
            ("state-to-logit", 8, 24),
            ("write-position", 129, 5),
            ("conv-taps", 64, 2),
            ("conv-taps", 64, 3),
        ];
        assert_eq!(sizes, wanted);
        // The paper's heads and its layer stand out.
        let strongest = |p: &PublishedCircuit| {
            let change = |c: &PublishedCell| c.change.unwrap_or_else(|| c.logit.expect("a logit"));
            let best = p.cells.iter().min_by(|x, y| change(x).total_cmp(&change(y))).expect("cells");
            (best.layer, best.unit)
        };
        let found: Vec<_> = all.iter().take(6).map(strongest).collect();
        assert_eq!(found[..3], [(5, Some(0)), (3, Some(2)), (17, Some(0))]);
        assert_eq!(found[5], (17, Some(2)));
    }
}
