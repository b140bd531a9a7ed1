//! `mppc-bench DIR`: whole models, from token ids to the last layer's residual stream, on stand-ins of the paper's
//! models kept in DIR. Prints a JSON row for each on standard output. `cargo xtask bench model` runs this and keeps the
//! rows.
//!
//! The processor always, the preferred adapter with `MPPC_BENCH_GPU=1`.

mod common;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use mppc::checkpoint::Files;
use mppc::gpu::Tensor;
use mppc::kernels::columns;
use mppc::model::{Model, Plan, Prompts};
use standin::{Kind, Standin};

const BATCH: usize = 4;
const TOKENS: usize = 512;
const REPEATS: usize = 5;

fn prompts() -> Prompts {
    // Any ids do: Knuth's multiplier spreads them over the vocabulary.
    let ids = (0..(BATCH * TOKENS) as u32).map(|i| i.wrapping_mul(2_654_435_761) % 50_277).collect();
    Prompts { batch: BATCH, len: TOKENS, ids }
}

/// Waits until a tensor is computed: reads its first element.
fn wait(tensor: &Tensor) -> Result<()> {
    let first = columns(&tensor.reshape(&[1, tensor.len()]), 0, 1);
    let value = pollster::block_on(first.read_f32())?;
    anyhow::ensure!(value[0].is_finite(), "the residual stream is not finite");
    Ok(())
}

fn measure(model: &Model) -> Result<Vec<f64>> {
    let hook = format!("blocks.{}.hook_resid_post", model.layers() - 1);
    let prompts = prompts();
    let mut seconds = Vec::new();
    for i in 0..=REPEATS {
        let plan = Plan { keep: vec![hook.clone()], ..Plan::default() };
        let start = Instant::now();
        let output = model.run(&prompts, plan)?;
        wait(&output.hooks[&hook])?;
        // The first run compiles shaders and fills pools.
        if i > 0 {
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    Ok(seconds)
}

async fn run() -> Result<()> {
    let dir = std::env::args_os().nth(1).context("usage: mppc-bench DIR (where stand-ins are kept)")?;
    let engines = common::engines().await?;
    for (kind, name) in [(Kind::Pythia160m, "pythia-160m"), (Kind::Mamba130m, "mamba-130m")] {
        let files = Files::dir(Standin::new(kind).cached(Path::new(&dir))?);
        for (engine, who) in &engines {
            let samples = measure(&Model::load(engine, name, &files)?)?;
            let what = format!("{name}, {BATCH} × {TOKENS} tokens to the last residual stream");
            common::tell(&what, who, &samples, ((BATCH * TOKENS) as u64, "token"), &[]);
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    common::measure(run())
}
