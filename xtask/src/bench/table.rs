//! The tables of BENCHMARKS.md, from the newest run of every machine and case.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::Value;

use super::runs;
use crate::shell::root;

const BEGIN: &str = "<!-- tables: written by `cargo xtask bench --table` -->";
const END: &str = "<!-- end of tables -->";
/// Cases that are a bill, not a comparison.
const BILL: &str = "paper";

/// Writes what stands between the two marks anew.
pub(super) fn write() -> Result<()> {
    let path = root().join("BENCHMARKS.md");
    let text = std::fs::read_to_string(&path).context("BENCHMARKS.md")?;
    let (before, rest) =
        text.split_once(BEGIN).with_context(|| format!("BENCHMARKS.md has no line {BEGIN}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("BENCHMARKS.md has no line {END}"))?;
    let tables = tables(&read()?);
    std::fs::write(&path, format!("{before}{BEGIN}\n{tables}\n{END}{after}"))?;
    println!("BENCHMARKS.md is written");
    Ok(())
}

fn read() -> Result<Vec<Value>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(runs::folder()).context("benches/runs has no runs yet")? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "json") {
            paths.push(path);
        }
    }
    // By date, which begins the name.
    paths.sort();
    let parse = |path: &std::path::PathBuf| -> Result<Value> {
        serde_json::from_slice(&std::fs::read(path)?).with_context(|| path.display().to_string())
    };
    paths.iter().map(parse).collect()
}

/// A table for each machine. Runs come in the order of their dates, and a later run of a case replaces the earlier.
fn tables(runs: &[Value]) -> String {
    let mut machines: BTreeMap<&str, BTreeMap<&str, &Value>> = BTreeMap::new();
    for run in runs {
        if let (Some(machine), Some(case)) = (run["machine"].as_str(), run["case"].as_str()) {
            machines.entry(machine).or_default().insert(case, run);
        }
    }
    let mut text = String::new();
    for (machine, cases) in machines {
        let told: Vec<String> = cases
            .values()
            .map(|run| {
                format!("{} {}", run["case"].as_str().unwrap_or("?"), run["date"].as_str().unwrap_or("?"))
            })
            .collect();
        text += &format!("\n### {machine}\n\nRuns: {}.\n\n", told.join(", "));
        text += "| what | who | time | rate | of the fastest |\n|---|---|--:|--:|--:|\n";
        let mut groups: BTreeMap<&str, Vec<(&str, f64, f64, &str)>> = BTreeMap::new();
        let comparisons = cases.iter().filter(|(case, _)| !case.starts_with(BILL)).map(|(_, run)| run);
        for row in comparisons.flat_map(|run| run["rows"].as_array().into_iter().flatten()) {
            let (seconds, amount) = (row["seconds"].as_f64(), row["amount"].as_f64());
            if let (Some(what), Some(who), Some(seconds), Some(amount), Some(unit)) =
                (row["what"].as_str(), row["who"].as_str(), seconds, amount, row["unit"].as_str())
            {
                groups.entry(what).or_default().push((who, seconds, amount / seconds, unit));
            }
        }
        for (what, mut rows) in groups {
            rows.sort_by(|a, b| a.1.total_cmp(&b.1));
            let fastest = rows[0].2;
            for (who, seconds, rate, unit) in rows {
                let share = 100.0 * rate / fastest;
                text += &format!(
                    "| {what} | {who} | {} | {} | {share:.0} % |\n",
                    time(seconds),
                    shown(rate, unit)
                );
            }
        }
        for (_, run) in cases.iter().filter(|(case, _)| case.starts_with(BILL)) {
            text += &bill(run);
        }
    }
    text
}

/// What a rehearsal took, and what the whole would: stages, not rivals.
fn bill(run: &Value) -> String {
    let mut text =
        "\n| rehearsal | who | how much | time | disk | memory |\n|---|---|--:|--:|--:|--:|\n".to_owned();
    for row in run["rows"].as_array().into_iter().flatten() {
        let word = |key: &str| row[key].as_str().unwrap_or("?");
        let size =
            |key: &str| row[key].as_f64().map_or_else(String::new, |bytes| format!("{:.2} GB", bytes / 1e9));
        let amount = row["amount"].as_u64().map_or_else(String::new, |n| n.to_string());
        let took = match row["seconds"].as_f64() {
            None => String::new(),
            Some(s) if s >= 5_400.0 => format!("{:.1} h", s / 3_600.0),
            Some(s) if s >= 90.0 => format!("{:.1} min", s / 60.0),
            Some(s) => format!("{s:.1} s"),
        };
        text += &format!(
            "| {} | {} | {amount} {} | {took} | {} | {} |\n",
            word("what"),
            word("who"),
            word("unit"),
            size("disk"),
            size("memory")
        );
    }
    text
}

fn time(seconds: f64) -> String {
    match seconds {
        s if s >= 1.0 => format!("{s:.2} s"),
        s if s >= 1e-3 => format!("{:.2} ms", s * 1e3),
        s => format!("{:.1} µs", s * 1e6),
    }
}

fn shown(rate: f64, unit: &str) -> String {
    match unit {
        "FLOP" => format!("{:.1} GFLOP/s", rate / 1e9),
        "byte" => format!("{:.2} GB/s", rate / 1e9),
        "product" => format!("{:.1} M products/s", rate / 1e6),
        _ => format!("{rate:.0} {unit}s/s"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_newest_run_of_a_case_counts_and_the_fastest_comes_first() {
        let run = |date: &str, case: &str, who: &str, seconds: f64| {
            let row = json!({ "what": "w", "who": who, "seconds": seconds, "amount": 1000, "unit": "token" });
            json!({ "date": date, "machine": "m", "case": case, "rows": [row] })
        };
        let runs = [
            run("2025-01-01", "model", "ours", 9.0),
            run("2025-01-02", "model", "ours", 4.0),
            run("2025-01-01", "torch", "theirs", 2.0),
        ];
        let text = tables(&runs);
        let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| w |")).collect();
        assert_eq!(
            rows,
            ["| w | theirs | 2.00 s | 500 tokens/s | 100 % |", "| w | ours | 4.00 s | 250 tokens/s | 50 % |",]
        );
    }
}
