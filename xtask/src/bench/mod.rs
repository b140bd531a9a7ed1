//! Measurements: each case runs, and what it measured is kept raw in `benches/runs/`.

mod runs;
mod table;

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::page;
use crate::setup;
use crate::shell::{self, cargo, find, root};

struct Case {
    name: &'static str,
    what: &'static str,
    /// Whether it measures other people's programs beside ours, or takes long.
    peers: bool,
    run: fn(&BenchArgs) -> Result<Vec<Value>>,
}

const CASES: [Case; 7] = [
    Case { name: "kernels", what: "matmul, selective scan, attention", peers: false, run: kernels },
    Case { name: "model", what: "whole models of the paper's shapes, tokens/s", peers: false, run: model },
    Case {
        name: "torch",
        what: "products and the same models in torch and transformers",
        peers: true,
        run: torch,
    },
    Case { name: "sae", what: "training steps and encoding of SAEs, beside torch", peers: true, run: sae },
    Case {
        name: "correlation",
        what: "MPPC of a layer pair at the paper's size, beside SciPy (and torch on a GPU)",
        peers: true,
        run: correlation,
    },
    Case {
        name: "paper",
        what: "a rehearsal of the paper's whole figure: its shapes, some layer pairs, and the bill for all",
        peers: true,
        run: paper,
    },
    Case {
        name: "page",
        what: "matmul in a browser, beside jax-js and onnxruntime-web",
        peers: true,
        run: in_page,
    },
];

/// What `cargo xtask bench` was asked for.
#[derive(Debug, Default)]
pub(crate) struct BenchArgs {
    /// Names of cases; empty for the usual ones.
    pub(crate) cases: Vec<String>,
    /// List the cases and measure nothing.
    pub(crate) list: bool,
    /// Also the cases with other people's programs.
    pub(crate) peers: bool,
    /// On the adapter too, beside torch.
    pub(crate) gpu: bool,
    /// Write the tables of BENCHMARKS.md and measure nothing.
    pub(crate) table: bool,
}

impl BenchArgs {
    fn wants(&self, case: &Case) -> bool {
        if !self.cases.is_empty() {
            return self.cases.iter().any(|name| name == case.name);
        }
        !case.peers || self.peers || (self.gpu && ["torch", "sae", "correlation"].contains(&case.name))
    }
}

/// Runs the cases asked for; a case that fails does not stop the others.
pub(crate) fn run(how: &BenchArgs) -> Result<()> {
    if let Some(name) = how.cases.iter().find(|name| CASES.iter().all(|case| case.name != **name)) {
        bail!("{name} is no case; `cargo xtask bench --list` lists them");
    }
    if how.list {
        for Case { name, what, peers, .. } in &CASES {
            println!("{name:11} {what}{}", if *peers { " (with --peers)" } else { "" });
        }
        return Ok(());
    }
    if how.table {
        return table::write();
    }
    let mut failed = Vec::new();
    for case in CASES.iter().filter(|case| how.wants(case)) {
        println!("\n── {}: {}", case.name, case.what);
        match (case.run)(how).and_then(|rows| runs::keep(&file_name(case, how), rows)) {
            Ok(path) => println!("kept in {}", path.display()),
            Err(e) => {
                println!("FAILED   {}: {e:#}", case.name);
                failed.push(case.name);
            }
        }
    }
    if !failed.is_empty() {
        bail!("{} could not be measured", failed.join(", "));
    }
    println!("\n`cargo xtask bench --table` puts the newest runs into BENCHMARKS.md");
    Ok(())
}

/// A run with an adapter is another run than one without.
fn file_name(case: &Case, how: &BenchArgs) -> String {
    if how.gpu { format!("{}-gpu", case.name) } else { case.name.to_owned() }
}

fn on_gpu(command: &mut Command, how: &BenchArgs) {
    if how.gpu {
        command.env("MPPC_BENCH_GPU", "1");
    }
}

fn kernels(how: &BenchArgs) -> Result<Vec<Value>> {
    // Criterion keeps what it measured before; only this run counts.
    let results = shell::target().join("criterion");
    if results.is_dir() {
        std::fs::remove_dir_all(&results)?;
    }
    let mut bench = cargo(["bench", "-p", "mppc-bench", "--bench", "kernels"]);
    bench.env("CRITERION_HOME", &results);
    on_gpu(&mut bench, how);
    shell::run(&mut bench)?;
    runs::of_criterion(&results)
}

fn model(how: &BenchArgs) -> Result<Vec<Value>> {
    let mut bench = cargo(["run", "--quiet", "--release", "-p", "mppc-bench", "--bin", "mppc-bench", "--"]);
    bench.arg(shell::target().join("standins"));
    on_gpu(&mut bench, how);
    rows(&mut bench)
}

fn torch(_: &BenchArgs) -> Result<Vec<Value>> {
    in_python("tools/bench_torch.py", &[])
}

fn sae(how: &BenchArgs) -> Result<Vec<Value>> {
    let mut bench = cargo(["run", "--quiet", "--release", "-p", "mppc-bench", "--bin", "mppc-bench-sae"]);
    on_gpu(&mut bench, how);
    let mut all = rows(&mut bench)?;
    all.extend(in_python("tools/bench_sae.py", &[])?);
    Ok(all)
}

fn correlation(how: &BenchArgs) -> Result<Vec<Value>> {
    let codes = shell::target().join("bench/codes");
    let mut bench =
        cargo(["run", "--quiet", "--release", "-p", "mppc-bench", "--bin", "mppc-bench-correlation", "--"]);
    bench.arg(&codes);
    on_gpu(&mut bench, how);
    let mut all = rows(&mut bench)?;
    let mut peer = vec![codes.as_os_str()];
    if how.gpu {
        peer.push(OsStr::new("--cuda"));
    }
    all.extend(in_python("tools/bench_correlation.py", &peer)?);
    Ok(all)
}

/// Rows of a script that needs Python's libraries.
fn in_python(script: &str, args: &[&OsStr]) -> Result<Vec<Value>> {
    let own = root().join(".venv/bin/python");
    let python = match std::env::var_os("MPPC_PYTHON") {
        Some(python) => PathBuf::from(python),
        None if own.is_file() => own,
        None => find(&["python3", "python"])
            .context("Python is missing; tools/README.md says how to set it up")?,
    };
    rows(Command::new(python).arg(script).args(args).current_dir(root())).context(
        "torch, transformers and SciPy are wanted (tools/README.md); MPPC_PYTHON names a Python that has them",
    )
}

fn paper(how: &BenchArgs) -> Result<Vec<Value>> {
    let mut bench =
        cargo(["run", "--quiet", "--release", "-p", "mppc-bench", "--bin", "mppc-bench-paper", "--"]);
    bench.arg(shell::target().join("standins"));
    on_gpu(&mut bench, how);
    rows(&mut bench)
}

fn in_page(_: &BenchArgs) -> Result<Vec<Value>> {
    let chromium = setup::system().chromium.context("the page is measured in Chromium, which is missing")?;
    let folder = root().join("benches/page");
    let pkg = page::bench_package()?;
    setup::npm_packages_of(&folder)?;
    rows(Command::new("node").arg("run.mjs").arg(pkg).current_dir(folder).env("CHROMIUM", chromium))
}

/// Rows that a program prints, one JSON object a line.
fn rows(command: &mut Command) -> Result<Vec<Value>> {
    let text = shell::printed(command)?;
    let rows = text.lines().filter(|line| line.starts_with('{'));
    rows.map(|line| serde_json::from_str(line).with_context(|| format!("{line} is no row"))).collect()
}
