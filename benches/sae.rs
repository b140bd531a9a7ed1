//! `mppc-bench-sae [TEXT]`: steps of training and encoding at the paper's size, 768 → 24,576. Prints a JSON row for
//! each on standard output. `cargo xtask bench sae` runs this beside torch and keeps the rows.
//!
//! All cases, or those whose names hold TEXT. The processor always, the preferred adapter with `MPPC_BENCH_GPU=1`.
//! Activations are random; what a step costs depends on how many features are active, and TopK fixes that.

mod common;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use mppc::gpu::{Engine, Tensor};
use mppc::rng::Rng;
use mppc::sae::kinds::{Relu, TopK};
use mppc::sae::{ActivationFn, Sae, SaeConfig, SaeKind, SaeWeights, TrainConfig, Trainer};

const D: usize = 768;
const F: usize = 24_576;
const REPEATS: usize = 5;

fn normal(n: usize, seed: u64) -> Vec<f32> {
    let mut random = Rng::new(seed);
    (0..n).map(|_| random.normal() as f32).collect()
}

fn tell(what: &str, who: &str, samples: &[f64], tokens: usize) {
    common::tell(what, who, samples, (tokens as u64, "token"), &[]);
}

async fn train(engine: &Engine, kind: SaeKind, tokens: usize) -> Result<Vec<f64>> {
    // Statistics are read at the end, so that every step is waited for.
    let config = TrainConfig { report_every: 1, ..TrainConfig::new(D, F, kind, 1_000) };
    let mut trainer = Trainer::new(engine, config)?;
    let batch = Tensor::from_f32(engine, &[tokens, D], normal(tokens * D, 1));
    let mut samples = Vec::new();
    for i in 0..=REPEATS {
        let start = Instant::now();
        trainer.step(&batch).await?;
        // The first step makes the weights.
        if i > 0 {
            samples.push(start.elapsed().as_secs_f64());
        }
    }
    Ok(samples)
}

async fn encode(
    engine: &Engine,
    activation: ActivationFn<Vec<f32>>,
    bias: f32,
    tokens: usize,
) -> Result<Vec<f64>> {
    let w_enc: Vec<f32> = normal(D * F, 2).iter().map(|v| v / (D as f32).sqrt()).collect();
    let weights =
        SaeWeights { w_dec: w_enc.clone(), w_enc, b_enc: vec![bias; F], b_dec: vec![0.0; D], activation };
    let sae = Sae::new(engine, SaeConfig::new(D, F), weights);
    let x = Tensor::from_f32(engine, &[tokens, D], normal(tokens * D, 1));
    let mut samples = Vec::new();
    for i in 0..=REPEATS {
        let start = Instant::now();
        let codes = sae.encode(&x).await?;
        anyhow::ensure!(codes.tokens() == tokens, "every token has codes");
        if i > 0 {
            samples.push(start.elapsed().as_secs_f64());
        }
    }
    Ok(samples)
}

async fn run() -> Result<()> {
    let engines = common::engines().await?;
    let only = std::env::args().nth(1).unwrap_or_default();
    let wanted = |what: &str| what.contains(&only);
    for (engine, who) in &engines {
        for tokens in [512, 1_024, 2_048, 4_096] {
            let what = format!("SAE training step, topk 32, {tokens} tokens");
            if wanted(&what) {
                tell(&what, who, &train(engine, SaeKind::TopK(TopK { k: 32 }), tokens).await?, tokens);
            }
        }
        let what = "SAE training step, relu (half of the features active), 4096 tokens";
        if wanted(what) {
            tell(what, who, &train(engine, SaeKind::Relu(Relu { l1: 0.01 }), 4_096).await?, 4_096);
        }
        let what = "SAE encode, topk 32, 4096 tokens";
        if wanted(what) {
            tell(what, who, &encode(engine, ActivationFn::TopK { k: 32 }, 0.0, 4_096).await?, 4_096);
        }
        // Pre-activations have a deviation of 1: 0.2% of them are positive, 47 a token.
        let what = "SAE encode, relu, 4096 tokens";
        if wanted(what) {
            tell(what, who, &encode(engine, ActivationFn::Relu, -2.89, 4_096).await?, 4_096);
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    common::measure(run())
}
