//! What the programs that measure share.

use std::process::ExitCode;

use anyhow::Result;
use mppc::gpu::{Engine, Tier};
use serde_json::{Value, json};

/// The processor, and the preferred adapter with `MPPC_BENCH_GPU=1`, each with what it is called.
pub(crate) async fn engines() -> Result<Vec<(Engine, String)>> {
    let mut engines = vec![(Engine::cpu(), "mppc cpu".to_owned())];
    if std::env::var_os("MPPC_BENCH_GPU").is_some_and(|v| v == "1") {
        let gpu = Engine::gpu(Tier::Full).await?;
        let name = format!("mppc gpu ({})", gpu.report().name);
        engines.push((gpu, name));
    }
    Ok(engines)
}

/// Prints the row of a measurement: its samples in seconds, their median, how much was done in each, in units, and what
/// else there is to say.
pub(crate) fn tell(
    what: &str,
    who: &str,
    samples: &[f64],
    (amount, unit): (u64, &str),
    more: &[(&str, Value)],
) {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let seconds = sorted[sorted.len() / 2];
    let mut row = json!({
        "what": what, "who": who, "seconds": seconds, "samples": samples, "amount": amount, "unit": unit
    });
    for (key, value) in more {
        row[*key] = value.clone();
    }
    println!("{row}");
}

/// Runs a program to its exit code; an error is told in one line.
pub(crate) fn measure(run: impl Future<Output = Result<()>>) -> ExitCode {
    mppc::memory::keep_freed();
    match pollster::block_on(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}
