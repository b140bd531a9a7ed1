//! Raw results, one file a day, machine and case: `benches/runs/YYYY-MM-DD-MACHINE-CASE.json`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::shell::{self, root};

/// Where runs are kept.
pub(super) fn folder() -> PathBuf {
    root().join("benches/runs")
}

/// Keeps the rows of a case; a later run of the same day takes the earlier one's place.
pub(super) fn keep(case: &str, rows: Vec<Value>) -> Result<PathBuf> {
    ensure!(!rows.is_empty(), "nothing was measured");
    for row in &rows {
        let whole = row["what"].is_string() && row["who"].is_string() && row["unit"].is_string();
        let measured = row["seconds"].as_f64().is_some_and(|s| s > 0.0) && row["amount"].is_u64();
        ensure!(whole && measured, "{row} is no row of a measurement");
    }
    let (date, machine) = (today(), machine());
    let commit =
        shell::output(Command::new("git").args(["describe", "--always", "--dirty"]).current_dir(root()));
    let run = json!({ "date": date, "machine": machine, "case": case, "commit": commit, "rows": rows });
    let folder = folder();
    std::fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{date}-{}-{case}.json", slug(&machine)));
    // Whole or not at all.
    let unfinished = path.with_extension("unfinished");
    std::fs::write(&unfinished, serde_json::to_string_pretty(&run)? + "\n")?;
    std::fs::rename(&unfinished, &path).with_context(|| path.display().to_string())?;
    Ok(path)
}

/// Rows of what criterion keeps: `WHAT/WHO/new/{benchmark,estimates,sample}.json`.
pub(super) fn of_criterion(results: &Path) -> Result<Vec<Value>> {
    let mut rows = Vec::new();
    for what in folders(results)? {
        for who in folders(&what)? {
            let new = who.join("new");
            if !new.join("benchmark.json").is_file() {
                continue;
            }
            let read = |name: &str| -> Result<Value> {
                let path = new.join(name);
                let text = std::fs::read(&path).with_context(|| path.display().to_string())?;
                serde_json::from_slice(&text).with_context(|| path.display().to_string())
            };
            rows.push(row_of_criterion(
                &read("benchmark.json")?,
                &read("estimates.json")?,
                &read("sample.json")?,
            ));
        }
    }
    rows.sort_by_cached_key(|row| (row["what"].to_string(), row["who"].to_string()));
    Ok(rows)
}

fn row_of_criterion(benchmark: &Value, estimates: &Value, sample: &Value) -> Value {
    let list = |key: &str| {
        sample[key].as_array().into_iter().flatten().filter_map(Value::as_f64).collect::<Vec<_>>()
    };
    // Nanoseconds for so many iterations.
    let samples = list("times").into_iter().zip(list("iters")).map(|(time, n)| time / n / 1e9);
    let throughput = &benchmark["throughput"];
    let (amount, unit) = match &throughput["Bytes"] {
        Value::Null => (&throughput["Elements"], "FLOP"),
        bytes => (bytes, "byte"),
    };
    json!({
        "what": benchmark["group_id"],
        "who": benchmark["value_str"],
        "seconds": estimates["median"]["point_estimate"].as_f64().map(|ns| ns / 1e9),
        "samples": samples.collect::<Vec<_>>(),
        "amount": amount,
        "unit": unit,
    })
}

fn folders(of: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(of).with_context(|| of.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            found.push(path);
        }
    }
    Ok(found)
}

/// The processor and its number of threads: what decides the numbers, and nothing about whose machine it is.
fn machine() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let linux =
        cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, n)| n));
    let name = linux.map(str::to_owned).or_else(|| {
        shell::output(Command::new("sysctl").args(["-n", "machdep.cpu.brand_string"]))
            .or_else(|| std::env::var("PROCESSOR_IDENTIFIER").ok())
    });
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{}, {cores} cores", name.as_deref().unwrap_or(std::env::consts::ARCH))
}

/// Of letters, digits and dashes.
fn slug(text: &str) -> String {
    let plain = text.to_lowercase().replace("(r)", "").replace("(tm)", "");
    let words = plain.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}

fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let (year, month, day) = date(seconds / 86_400);
    format!("{year}-{month:02}-{day:02}")
}

/// The date so many days after 1970-01-01: whole 400 years are peeled off first, then centuries, leap periods and
/// years, of years that begin in March.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // since 0000-03-01
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let known =
            [(0, (1970, 1, 1)), (11_016, (2000, 2, 29)), (11_017, (2000, 3, 1)), (20_453, (2025, 12, 31))];
        for (days, want) in known {
            assert_eq!(date(days), want);
        }
    }

    #[test]
    fn slugs() {
        assert_eq!(
            slug("Intel(R) Xeon(R) Processor @ 2.10GHz, 2 cores"),
            "intel-xeon-processor-2-10ghz-2-cores"
        );
    }

    #[test]
    fn criterions_files_become_rows() {
        let benchmark =
            json!({ "group_id": "scan", "value_str": "mppc cpu", "throughput": { "Bytes": 400 } });
        let estimates = json!({ "median": { "point_estimate": 2.5e6 } });
        let sample = json!({ "iters": [1.0, 2.0], "times": [2e6, 6e6] });
        let row = row_of_criterion(&benchmark, &estimates, &sample);
        assert_eq!(row["samples"], json!([0.002, 0.003]));
        assert_eq!(
            (&row["seconds"], &row["amount"], &row["unit"]),
            (&json!(0.0025), &json!(400), &json!("byte"))
        );
    }
}
