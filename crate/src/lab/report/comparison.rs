//! A comparison as a directory: `report.json`, `report.html`, tables of every feature, figures.

use std::io::Write;
use std::path::Path;

use super::{figures, html, tables};
use crate::atomic;
use crate::lab::compare::Compared;
use crate::lab::shared::LabError;

/// Writes the report directory: `report.json` and `report.html`, `features_a` and `features_b` as `.csv` and
/// `.parquet`, and the figures of the page as SVG. Each file is whole or as it was before.
///
/// # Errors
/// [`LabError::Io`].
pub fn save(compared: &Compared, dir: &Path) -> Result<(), LabError> {
    let io = |path: &Path, source| LabError::Io { path: path.display().to_string(), source };
    atomic::folder(dir).map_err(|e| io(dir, e))?;
    let write = |name: &str, content: &[u8]| {
        let path = dir.join(name);
        atomic::write(&path, |file| file.write_all(content)).map_err(|e| io(&path, e))
    };
    let report = &compared.report;
    for (side, rows) in [("a", &compared.features_a), ("b", &compared.features_b)] {
        write(&format!("features_{side}.csv"), &tables::csv(rows))?;
        write(&format!("features_{side}.parquet"), &tables::parquet(rows))?;
    }
    for figure in figures::comparison(report) {
        write(&format!("{}.svg", figure.name), figure.svg.as_bytes())?;
    }
    write("report.html", html::page(report).as_bytes())?;
    write("report.json", &serde_json::to_vec_pretty(report).expect("a report is plain data"))
}
