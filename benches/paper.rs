//! `mppc-bench-paper DIR`: a rehearsal of the paper's figure. Stand-ins of Pythia-160M and Mamba-130M, kept in DIR,
//! with a random SAE of 24,576 features (TopK, 61 active) after every layer, over the built-in text: two layers of each
//! model are compared in full at two lengths, beside what the bill said they would cost; then the bill for all 288
//! pairs and 1,000,000 tokens. Prints a JSON row for each stage on standard output. `cargo xtask bench paper` runs
//! this.
//!
//! Random weights have learnt nothing, so the scores mean nothing; sizes and sparsity, which decide the cost, are the
//! paper's. `MPPC_BENCH_GPU=1`: on the preferred adapter instead of the processor.

mod common;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use mppc::checkpoint::Files;
use mppc::corpus::Corpus;
use mppc::gpu::Engine;
use mppc::lab::{
    Bill, ComparePlan, Comparison, Controls, HookedSae, Inputs, LabModel, MemoryStore, Observer, Progress,
};
use mppc::rng::Rng;
use mppc::sae::{ActivationFn, Format, Sae, SaeConfig, SaeWeights};
use serde_json::json;
use standin::{Kind, Standin};

const FEATURES: usize = 24_576;
const ACTIVE: usize = 61;
/// The paper's tokens.
const TOKENS: usize = 1_000_000;
/// Tokens of the runs in full.
const LENGTHS: [usize; 2] = [8_000, 24_000];

/// Tells stages on standard error.
struct Stages;

impl Observer for Stages {
    fn progress(&self, progress: &Progress) {
        if progress.done == 0 {
            eprintln!("  {} ({} {})", progress.stage, progress.total, progress.unit);
        }
    }
}

/// A stand-in with random SAEs; `layers` of them, or all.
fn model(engine: &Engine, kind: Kind, dir: &Path, layers: Option<&[usize]>) -> Result<LabModel> {
    let name = if kind == Kind::Pythia160m { "pythia-160m" } else { "mamba-130m" };
    let files = Files::dir(Standin::new(kind).cached(dir)?);
    let mut model = LabModel::load(engine, name, &files, None)?;
    let all: Vec<usize> = (0..model.model.layers()).collect();
    for &layer in layers.unwrap_or(&all) {
        model.saes.push(random_sae(engine, model.model.d_model(), layer));
    }
    Ok(model)
}

fn random_sae(engine: &Engine, d: usize, layer: usize) -> HookedSae {
    let mut random = Rng::new(layer as u64);
    let w_enc: Vec<f32> = (0..d * FEATURES).map(|_| random.normal() as f32).collect();
    // The decoder is never asked.
    let weights = SaeWeights {
        w_dec: w_enc.clone(),
        w_enc,
        b_enc: vec![0.0; FEATURES],
        b_dec: vec![0.0; d],
        activation: ActivationFn::TopK { k: ACTIVE },
    };
    HookedSae {
        hook: format!("blocks.{layer}.hook_resid_post"),
        head: None,
        layer,
        folder: String::new(),
        sae: Sae::new(engine, SaeConfig::new(d, FEATURES), weights),
        format: Format::SaeLens,
        conventions: Vec::new(),
        notes: Vec::new(),
        read: Vec::new(),
    }
}

fn plan(tokens: usize, controls: Controls) -> ComparePlan {
    let mut plan = ComparePlan::reproduce("pythia-160m", "mamba-130m");
    (plan.corpus.tokens, plan.corpus.context) = (tokens, 1_024);
    plan.controls = controls;
    plan
}

/// MPPC alone.
fn alone() -> Controls {
    Controls { neuron_tokens: 0, shuffled: 0, ..Controls::few() }
}

fn tell_bill(what: &str, who: &str, bill: &Bill) {
    for charge in &bill.charges {
        let more = [("disk", json!(charge.disk)), ("memory", json!(charge.memory))];
        let stage = format!("{what}: {}", charge.stage);
        common::tell(&stage, who, &[charge.seconds], (charge.units as u64, charge.unit), &more);
    }
    let more = [
        ("disk", json!(bill.disk())),
        ("memory", json!(bill.memory())),
        ("l0", json!(bill.l0)),
        ("pair_seconds", json!(bill.pair_seconds)),
    ];
    common::tell(&format!("{what}: in all"), who, &[bill.seconds()], (bill.tokens as u64, "tokens"), &more);
}

/// Two layers of each model in full, beside what the bill says of them.
async fn some(engine: &Engine, who: &str, dir: &Path) -> Result<()> {
    let a = model(engine, Kind::Pythia160m, dir, Some(&[3, 8]))?;
    let b = model(engine, Kind::Mamba130m, dir, Some(&[7, 16]))?;
    let corpus = Corpus::builtin(2);
    for tokens in LENGTHS {
        let what = Comparison {
            engine,
            a: &a,
            b: &b,
            corpus: &corpus,
            plan: plan(tokens, alone()),
            inputs: Inputs::default(),
        };
        let case = format!("2 × 2 layers, {tokens} tokens");
        let bill = what.bill(&mut MemoryStore::default(), &Stages).await?;
        tell_bill(&format!("{case}, by the bill"), who, &bill);
        let compared = what.run(&mut MemoryStore::default(), &Stages).await?;
        let timings = &compared.report.timings;
        let amount = (compared.report.tokens as u64, "tokens");
        for timing in timings {
            common::tell(&format!("{case}: {}", timing.stage), who, &[timing.seconds], amount, &[]);
        }
        let seconds = timings.iter().map(|timing| timing.seconds).sum();
        common::tell(&format!("{case}: in all"), who, &[seconds], amount, &[]);
    }
    Ok(())
}

/// The bill for everything.
async fn all(engine: &Engine, who: &str, dir: &Path) -> Result<()> {
    let a = model(engine, Kind::Pythia160m, dir, None)?;
    let b = model(engine, Kind::Mamba130m, dir, None)?;
    let corpus = Corpus::builtin(2);
    let controls = Controls { matching: false, complexity: false, ..Controls::default() };
    for (name, controls) in [("MPPC alone", alone()), ("with every control", controls)] {
        let plan = plan(TOKENS, controls);
        let what = Comparison { engine, a: &a, b: &b, corpus: &corpus, plan, inputs: Inputs::default() };
        let bill = what.bill(&mut MemoryStore::default(), &Stages).await?;
        tell_bill(&format!("12 × 24 layers, {TOKENS} tokens, {name}"), who, &bill);
    }
    Ok(())
}

async fn run() -> Result<()> {
    let dir = std::env::args_os().nth(1).context("usage: mppc-bench-paper DIR (where stand-ins are kept)")?;
    let (engine, who) = common::engines().await?.pop().context("an engine")?;
    some(&engine, &who, Path::new(&dir)).await?;
    all(&engine, &who, Path::new(&dir)).await
}

fn main() -> ExitCode {
    common::measure(run())
}
