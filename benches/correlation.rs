//! `mppc-bench-correlation FOLDER [TEXT]`: MPPC between two layers at the paper's size, 24,576 features a side of which
//! about 61 are active on a token. Prints a JSON row for each case on standard output, and leaves the codes of each
//! case in FOLDER for `tools/bench_correlation.py`. `cargo xtask bench correlation` runs both and keeps the rows.
//!
//! All cases, or those whose names hold TEXT. The processor always, the preferred adapter with `MPPC_BENCH_GPU=1`. What
//! is counted are products: pairs of features active on one token. Standardising the codes counts as work, too.

mod common;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use mppc::rng::Rng;
use mppc::sae::Codes;
use mppc::universality::correlate;
use serde_json::json;

const F: usize = 24_576;
const ACTIVE: f64 = 61.0;
const REPEATS: usize = 3;

/// How often features fire.
#[derive(Clone, Copy)]
enum Frequencies {
    /// All equally often.
    Even,
    /// Log-normal, with a feature on every second token and many on one in ten thousand.
    Skewed,
}

impl Frequencies {
    fn name(self) -> &'static str {
        match self {
            Self::Even => "even",
            Self::Skewed => "skewed",
        }
    }

    /// Share of tokens of each feature; they sum to about [`ACTIVE`].
    fn densities(self, random: &mut Rng) -> Vec<f64> {
        match self {
            Self::Even => vec![ACTIVE / F as f64; F],
            Self::Skewed => {
                let all: Vec<f64> = (0..F).map(|_| (1.6 * random.normal()).exp()).collect();
                let scale = ACTIVE / all.iter().sum::<f64>();
                all.iter().map(|d| (d * scale).min(0.5)).collect()
            }
        }
    }
}

/// Codes whose features fire independently, at places found by the geometric distances between them.
fn codes(tokens: usize, frequencies: Frequencies, seed: u64) -> Codes {
    let mut random = Rng::new(seed);
    let mut rows: Vec<Vec<(u32, f32)>> = vec![Vec::new(); tokens];
    for (j, density) in (0u32..).zip(frequencies.densities(&mut random)) {
        let step = (1.0 - density).ln();
        let mut gap = || ((1.0 - random.uniform()).ln() / step) as usize;
        let mut t = gap();
        let mut value = j.wrapping_mul(2_654_435_761);
        while t < tokens {
            // What the values are does not matter here, as long as they differ.
            value = value.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            rows[t].push((j, 0.1 + (value >> 8) as f32 / (1 << 24) as f32));
            t += 1 + gap();
        }
    }
    let mut codes = Codes::new(F);
    for row in rows {
        codes.indices.extend(row.iter().map(|e| e.0));
        codes.values.extend(row.iter().map(|e| e.1));
        codes.indptr.push(codes.indices.len() as u64);
    }
    codes
}

async fn run() -> Result<()> {
    let folder: PathBuf = std::env::args_os().nth(1).context("name a folder for the codes")?.into();
    let only = std::env::args().nth(2).unwrap_or_default();
    std::fs::create_dir_all(&folder)?;
    let engines = common::engines().await?;
    for (frequencies, tokens) in [
        (Frequencies::Even, 100_000),
        (Frequencies::Skewed, 100_000),
        (Frequencies::Skewed, 250_000),
        (Frequencies::Skewed, 500_000),
        (Frequencies::Skewed, 1_000_000),
    ] {
        let what = format!("MPPC of a layer pair, {} frequencies, {tokens} tokens", frequencies.name());
        if !what.contains(&only) {
            continue;
        }
        let [a, b] = [1, 2].map(|seed| codes(tokens, frequencies, seed));
        let row = |codes: &Codes, t: usize| codes.indptr[t + 1] - codes.indptr[t];
        let products: u64 = (0..tokens).map(|t| row(&a, t) * row(&b, t)).sum();
        let name = format!("{}-{tokens}", frequencies.name());
        for (side, codes) in [("a", &a), ("b", &b)] {
            std::fs::write(folder.join(format!("{name}-{side}.safetensors")), codes.to_safetensors()?)?;
        }
        let case = json!({ "what": what, "amount": products, "unit": "product", "features": F });
        std::fs::write(folder.join(format!("{name}.json")), case.to_string())?;
        for (engine, who) in &engines {
            let mut samples = Vec::new();
            for _ in 0..REPEATS {
                let start = Instant::now();
                let both = correlate(engine, &a, &b).await?;
                samples.push(start.elapsed().as_secs_f64());
                anyhow::ensure!(both.a_to_b.mppc.len() == F, "every feature has an MPPC");
            }
            common::tell(&what, who, &samples, (products, "product"), &[]);
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    common::measure(run())
}
