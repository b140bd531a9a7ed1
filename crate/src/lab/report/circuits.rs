//! Circuit experiments as a directory.

use std::io::Write;
use std::path::Path;

use super::figures;
use crate::atomic;
use crate::circuits::{Mean, Means};
use crate::lab::circuit::{CircuitReport, Deviation, Paper};
use crate::lab::shared::LabError;
use crate::words;

/// Writes for each experiment `NAME.json` (every prompt's answers, and everything that decides them), `NAME.csv` (a
/// line for each intervention) and `NAME.svg`; and `circuit.svg`, the circuit that they show together, if those that
/// it takes are there; of a model with heads and states also `circuit-states.svg`. Each file is whole or as it was before.
///
/// # Errors
/// [`LabError::Io`].
pub fn save_circuits(reports: &[CircuitReport], dir: &Path) -> Result<(), LabError> {
    let io = |path: &Path, source| LabError::Io { path: path.display().to_string(), source };
    atomic::folder(dir).map_err(|e| io(dir, e))?;
    let write = |name: &str, content: &[u8]| {
        let path = dir.join(name);
        atomic::write(&path, |file| file.write_all(content)).map_err(|e| io(&path, e))
    };
    for report in reports {
        let name = report.experiment.name();
        write(&format!("{name}.json"), &serde_json::to_vec_pretty(report).expect("a report is plain data"))?;
        write(&format!("{name}.csv"), &table(report))?;
        write(&format!("{name}.svg"), figures::circuit(report).as_bytes())?;
    }
    for (name, graph) in figures::circuits(reports) {
        write(name, graph.as_bytes())?;
    }
    Ok(())
}

/// Writes the experiments of the paper as [`save_circuits`] does, of the Transformer in the folder `transformer` and
/// of the Mamba in `mamba`, and `comparison.csv`, a line for each published figure.
///
/// # Errors
/// [`LabError::Io`].
pub fn save_paper(paper: &Paper, dir: &Path) -> Result<(), LabError> {
    for (name, reports) in ["transformer", "mamba"].into_iter().zip(&paper.reports) {
        save_circuits(reports, &dir.join(name))?;
    }
    let path = dir.join("comparison.csv");
    let table = comparison(&paper.rows);
    atomic::write(&path, |file| file.write_all(&table))
        .map_err(|source| LabError::Io { path: path.display().to_string(), source })
}

fn comparison(rows: &[Deviation]) -> Vec<u8> {
    let mut out = csv::Writer::from_writer(Vec::new());
    let names =
        ["experiment", "tokens", "label", "figure", "published", "measured", "low", "high", "deviation"];
    out.write_record(names).expect("a table in memory");
    for row in rows {
        let end = |end: Option<f64>| end.map_or_else(String::new, |v| v.to_string());
        let interval = row.measured.interval;
        let cells = [
            row.experiment.name().to_owned(),
            row.tokens.to_string(),
            words::cell(&row.label).into_owned(),
            row.figure.to_owned(),
            row.published.to_string(),
            row.measured.mean.to_string(),
            end(interval.map(|i| i.low)),
            end(interval.map(|i| i.high)),
            row.deviation().to_string(),
        ];
        out.write_record(cells).expect("a table in memory");
    }
    out.into_inner().expect("a table in memory")
}

fn table(report: &CircuitReport) -> Vec<u8> {
    let mut out = csv::Writer::from_writer(Vec::new());
    let mut names = ["model", "experiment", "label", "layer", "unit"].map(str::to_owned).to_vec();
    for kind in ["clean", "patched", "change"] {
        for figure in ["logit", "centred", "probability", "log_probability", "difference"] {
            names.extend(["", "_low", "_high"].map(|end| format!("{kind}_{figure}{end}")));
        }
    }
    let written = out.write_record(&names);
    written.expect("a table in memory");
    for cell in &report.cells {
        let mut row = vec![
            words::cell(&report.model).into_owned(),
            report.experiment.name().to_owned(),
            words::cell(&cell.label).into_owned(),
            cell.layer.to_string(),
            cell.unit.to_string(),
        ];
        for means in [&report.clean, &cell.answer, &cell.change] {
            row.extend(all(means).into_iter().flat_map(|mean| {
                let end = |end: Option<f64>| end.map_or_else(String::new, |v| v.to_string());
                [mean.mean.to_string(), end(mean.interval.map(|i| i.low)), end(mean.interval.map(|i| i.high))]
            }));
        }
        out.write_record(&row).expect("a table in memory");
    }
    out.into_inner().expect("a table in memory")
}

fn all(means: &Means) -> [Mean; 5] {
    [means.logit, means.centered, means.probability, means.log_probability, means.difference]
}
