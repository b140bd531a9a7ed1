//! A reproduction as a directory: `report.json`, `report.html`, `features_a.csv`, `features_b.csv`.

use std::io::Write;
use std::path::Path;

use super::{FeatureRow, LabError, Reproduction, html};
use crate::atomic;

/// Writes the report directory. Each file is whole or as it was before.
///
/// # Errors
/// [`LabError::Io`].
pub fn save(reproduction: &Reproduction, dir: &Path) -> Result<(), LabError> {
    let io = |path: &Path, source| LabError::Io { path: path.display().to_string(), source };
    std::fs::create_dir_all(dir).map_err(|e| io(dir, e))?;
    let write = |name: &str, content: &[u8]| {
        let path = dir.join(name);
        atomic::write(&path, |file| file.write_all(content)).map_err(|e| io(&path, e))
    };
    let json = serde_json::to_vec_pretty(&reproduction.report).expect("a report is plain data");
    write("features_a.csv", &table(&reproduction.features_a))?;
    write("features_b.csv", &table(&reproduction.features_b))?;
    write("report.html", html::page(&reproduction.report).as_bytes())?;
    write("report.json", &json)
}

fn table(rows: &[FeatureRow]) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row).expect("a row is plain data");
    }
    writer.into_inner().expect("a table in memory")
}
