//! What a run will cost in time, memory and disk: a little of each stage is done and measured, the rest is arithmetic.

use serde::Serialize;
use web_time::Instant;

use super::controls::{neuron_blocks, neuron_sizes, neurons_key};
use super::correlations::{Cut, Null};
use super::encode::{Encoder, Source, Variant};
use super::store::Store;
use super::{Comparison, Run, Which};
use crate::corpus::TokenBatch;
use crate::gpu::Tensor;
use crate::lab::shared::{LabError, LabModel, Observer, Stages};
use crate::rng::Rng;
use crate::sae::Codes;
use crate::universality::{Chunk, CrossSums, DenseCorrelator, SelfSums, linear_cka, pwcca, svcca};

/// Tokens over which a pair of layers is timed: where a run is longer, its cost is a straight line through these two.
const PROBES: [usize; 2] = [10_000, 40_000];
/// Tokens that models and SAEs are tried on, at least.
const TRIED: usize = 500;
/// Bytes of memory for each active feature of a pair of layers: its entry, sorted, and standardised.
const ENTRY_MEMORY: f64 = 24.0;
/// Bytes of a store for each active feature and for each token.
const ENTRY_DISK: f64 = 6.0;
const TOKEN_DISK: f64 = 8.0;

/// What one stage costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Charge {
    /// The stage.
    pub stage: String,
    /// How much of it there is still to do …
    pub units: usize,
    /// … in these units.
    pub unit: &'static str,
    /// Seconds that this takes.
    pub seconds: f64,
    /// Bytes that it adds to the store.
    pub disk: f64,
    /// Bytes of memory beside models and SAEs.
    pub memory: f64,
}

/// What a run costs from where its store is now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bill {
    /// Tokens that the corpus gives.
    pub tokens: usize,
    /// Shards that they make.
    pub shards: usize,
    /// Mean number of active features a token, of A's and of B's SAEs, on the tokens that were tried.
    pub l0: [f64; 2],
    /// Seconds that a pair of layers takes.
    pub pair_seconds: f64,
    /// By stage.
    pub charges: Vec<Charge>,
}

impl Bill {
    /// Seconds in all.
    pub fn seconds(&self) -> f64 {
        self.charges.iter().map(|c| c.seconds).sum()
    }

    /// Bytes added to the store.
    pub fn disk(&self) -> f64 {
        self.charges.iter().map(|c| c.disk).sum()
    }

    /// Most bytes of memory beside models and SAEs.
    pub fn memory(&self) -> f64 {
        self.charges.iter().map(|c| c.memory).fold(0.0, f64::max)
    }
}

/// What the first tokens showed of one side.
struct Tried {
    /// Seconds for a token, of everything that is missing.
    seconds: f64,
    /// Active features a token of each SAE.
    l0: Vec<f64>,
    /// Codes of the middle SAE.
    middle: Codes,
}

impl Comparison<'_> {
    /// Tells what [`Comparison::run`] would cost from where the store is now, by trying a little of each stage.
    ///
    /// # Errors
    /// As [`Comparison::run`].
    pub async fn bill(&self, store: &mut dyn Store, observer: &dyn Observer) -> Result<Bill, LabError> {
        let mut run = Run::start(self, store, Stages::new(observer, 4)).await?;
        run.stages.begin("trying", 3, "stages").await?;
        let a = tried(&run, Which::A).await?;
        let b = tried(&run, Which::B).await?;
        run.stages.step(1).await?;
        let line = pair_line(&run, &a.middle, &b.middle).await?;
        run.stages.step(2).await?;
        let mut charges = Vec::new();
        encoding(&run, (&a, &b), &mut charges)?;
        correlating(&run, (&a, &b), line, &mut charges)?;
        streaming(&run, &mut charges).await?;
        run.tell_damage();
        run.stages.step(3).await?;
        run.stages.finish();
        let mean = |l0: &[f64]| l0.iter().sum::<f64>() / l0.len() as f64;
        Ok(Bill {
            tokens: run.tokens,
            shards: run.shards.len(),
            l0: [mean(&a.l0), mean(&b.l0)],
            pair_seconds: line.of(run.tokens),
            charges,
        })
    }
}

/// The first documents of a batch, enough for a few hundred tokens: the second batch's, the first ones having warmed
/// the engine up.
fn sample(run: &Run<'_>, batch: usize) -> TokenBatch {
    let mut few = run.batches.get(batch).unwrap_or(&run.batches[0]).clone();
    let enough = |rows: usize| few.keep[..rows * few.len].iter().filter(|keep| **keep).count() >= TRIED;
    let rows = (1..=few.batch).find(|rows| enough(*rows)).unwrap_or(few.batch);
    let places = rows * few.len;
    few.batch = rows;
    few.ids.truncate(places);
    few.keep.truncate(places);
    few.offsets.truncate(places);
    few.documents.truncate(rows);
    few
}

async fn tried(run: &Run<'_>, which: Which) -> Result<Tried, LabError> {
    let (side, trained) = match which {
        Which::A => (&run.what.plan.a, &run.a),
        Which::B => (&run.what.plan.b, &run.b),
    };
    let seed = run.what.plan.controls.seed;
    let mut sources: Vec<&Source> = trained.iter().collect();
    if which == Which::B {
        sources.extend(run.rotated.iter().chain(&run.random));
    }
    let encoder = Encoder::new(run.model(which), side.center_resid, sources, seed).await?;
    encoder.encode(&sample(run, 0)).await?;
    let batch = sample(run, 1);
    let started = Instant::now();
    let mut codes = encoder.encode(&batch).await?;
    let seconds = started.elapsed().as_secs_f64() / batch.kept() as f64;
    codes.truncate(trained.len());
    let l0 = codes.iter().map(|c| c.indices.len() as f64 / c.tokens().max(1) as f64).collect();
    Ok(Tried { seconds, l0, middle: codes.swap_remove(trained.len() / 2) })
}

/// Seconds of a pair of layers as they grow with the tokens.
#[derive(Debug, Clone, Copy)]
struct Line {
    fixed: f64,
    token: f64,
}

impl Line {
    fn of(&self, tokens: usize) -> f64 {
        self.fixed + self.token * tokens as f64
    }
}

/// Times the two middle layers over the sample's tokens, again and again. Each time the features are others, as many
/// on as many tokens, since a few hundred tokens know only a few features, whose sums would all lie in the cache.
async fn pair_line(run: &Run<'_>, a: &Codes, b: &Codes) -> Result<Line, LabError> {
    let mut random = Rng::new(1);
    let mut again = |codes: &Codes, tokens: usize| {
        let mut all = Codes::new(codes.n_features);
        while all.tokens() < tokens {
            all.append(&turned(codes, random.below(codes.n_features as u64) as u32));
        }
        all.slice(0..tokens)
    };
    let mut seconds = [0.0; 2];
    for (seconds, tokens) in seconds.iter_mut().zip(PROBES) {
        let (a, b) = (again(a, tokens), again(b, tokens));
        let started = Instant::now();
        crate::universality::correlate(run.what.engine, &a, &b).await?;
        *seconds = started.elapsed().as_secs_f64();
    }
    let token = ((seconds[1] - seconds[0]) / (PROBES[1] - PROBES[0]) as f64).max(0.0);
    Ok(Line { fixed: (seconds[0] - token * PROBES[0] as f64).max(0.0), token })
}

/// The same with feature j + `by` in the place of feature j, counted in a circle.
fn turned(codes: &Codes, by: u32) -> Codes {
    let mut turned = codes.clone();
    let features = codes.n_features as u32;
    for t in 0..codes.tokens() {
        let range = codes.indptr[t] as usize..codes.indptr[t + 1] as usize;
        let (indices, values) = codes.row(t);
        let first = indices.partition_point(|&j| j + by < features);
        let order = (first..indices.len()).chain(0..first);
        for (place, from) in range.zip(order) {
            turned.indices[place] = (indices[from] + by) % features;
            turned.values[place] = values[from];
        }
    }
    turned
}

fn encoding(run: &Run<'_>, (a, b): (&Tried, &Tried), charges: &mut Vec<Charge>) -> Result<(), LabError> {
    for (which, tried) in [(Which::A, a), (Which::B, b)] {
        let sources: Vec<&Source> = match which {
            Which::A => run.a.iter().collect(),
            Which::B => run.b.iter().chain(&run.rotated).chain(&run.random).collect(),
        };
        let mut charge = Charge {
            stage: format!("{} features", run.model(which).name()),
            units: 0,
            unit: "tokens",
            seconds: 0.0,
            disk: 0.0,
            memory: 0.0,
        };
        for &shard in &run.shards {
            let mut l0s = Vec::new();
            for source in &sources {
                if !run.store.has_codes(&source.key, shard)? {
                    l0s.push(tried.l0[source.sae]);
                }
            }
            let tokens = shard.tokens as f64;
            let entries: f64 = l0s.iter().sum();
            charge.units += if l0s.is_empty() { 0 } else { shard.tokens };
            // The model runs once whatever is missing; the SAEs are most of it, and share it alike.
            charge.seconds += tokens * tried.seconds * l0s.len() as f64 / sources.len() as f64;
            charge.disk += tokens * (entries * ENTRY_DISK + l0s.len() as f64 * TOKEN_DISK);
            charge.memory = charge.memory.max(tokens * entries * ENTRY_MEMORY / 3.0);
        }
        charges.push(charge);
    }
    Ok(())
}

fn correlating(
    run: &Run<'_>,
    (a, b): (&Tried, &Tried),
    line: Line,
    charges: &mut Vec<Charge>,
) -> Result<(), LabError> {
    let controls = &run.what.plan.controls;
    let n = run.tokens;
    let cut = |tokens, null| Cut { tokens, null };
    let nulls = |runs: usize, null: fn(u64) -> Null| {
        let one = |r| (Variant::Trained, cut(0..n, Some(null(controls.seed + r as u64))));
        (0..runs).map(one).collect::<Vec<_>>()
    };
    let subsets: Vec<_> = match controls.subsets {
        true => [0..n / 16, 0..n / 8, 0..n / 4, 0..n / 2, n / 2..n]
            .map(|r| (Variant::Trained, cut(r, None)))
            .into(),
        false => Vec::new(),
    };
    let stages = [
        ("MPPC", vec![(Variant::Trained, cut(0..n, None))]),
        ("shuffled-token nulls", nulls(controls.shuffled, Null::Shuffled)),
        ("shifted-token nulls", nulls(controls.shifted, Null::Shifted)),
        ("rotated SAEs", if controls.rotated { vec![(Variant::Rotated, cut(0..n, None))] } else { vec![] }),
        ("random SAEs", if controls.random { vec![(Variant::Random, cut(0..n, None))] } else { vec![] }),
        ("fewer tokens", subsets),
    ];
    let most = |l0: &[f64]| l0.iter().copied().fold(0.0, f64::max);
    let middle = |l0: &[f64]| l0[l0.len() / 2];
    for (stage, runs) in stages.into_iter().filter(|(_, runs)| !runs.is_empty()) {
        let memory = n as f64 * (most(&a.l0) + most(&b.l0)) * ENTRY_MEMORY;
        let mut charge = Charge {
            stage: stage.to_owned(),
            units: 0,
            unit: "layer pairs",
            seconds: 0.0,
            disk: 0.0,
            memory,
        };
        for (variant, cut) in runs {
            let b_sources = run.sources(variant);
            for (i, x) in run.a.iter().enumerate() {
                for (j, y) in b_sources.iter().enumerate() {
                    if run.store.pair(&cut.key(x, y), (x.features, y.features))?.is_some() {
                        continue;
                    }
                    // Products are as many as pairs of features that fire together.
                    let share = a.l0[i] * b.l0[j] / (middle(&a.l0) * middle(&b.l0)).max(f64::MIN_POSITIVE);
                    charge.units += 1;
                    charge.seconds += line.fixed + line.token * share * cut.tokens.len() as f64;
                    charge.disk += 8.0 * (x.features + y.features) as f64;
                }
            }
        }
        charges.push(charge);
    }
    Ok(())
}

/// The stages that run both models again: neurons, and the activations themselves.
async fn streaming(run: &Run<'_>, charges: &mut Vec<Charge>) -> Result<(), LabError> {
    let (a, b) = (run.what.a, run.what.b);
    let controls = &run.what.plan.controls;
    let batch = &sample(run, 1);
    let kept = batch.kept() as f64;
    let neurons = controls.neuron_tokens.min(run.tokens);
    let blocks = neuron_blocks(run);
    let mut todo: Vec<&Vec<String>> = Vec::new();
    for block in blocks.iter().filter(|_| neurons > 0) {
        let (key, sizes) = (neurons_key(run, block, neurons), neuron_sizes(run, block));
        if run.store.pair(&key, sizes)?.is_none() {
            todo.push(block);
        }
    }
    if let Some(block) = todo.first() {
        let of_b = b.model.neuron_hooks();
        let (of_a, others) = (a.neuron_count(block), b.neuron_count(&of_b));
        let mut correlator = DenseCorrelator::new(run.what.engine, of_a, others);
        // A whole batch: each one costs a pass over the sums.
        let whole = run.batches.get(1).unwrap_or(&run.batches[0]);
        let started = Instant::now();
        correlator.push(&a.neurons(whole, block).await?, &b.neurons(whole, &of_b).await?).await?;
        let seconds = started.elapsed().as_secs_f64() / whole.kept() as f64 * neurons as f64;
        charges.push(Charge {
            stage: "neuron baseline".to_owned(),
            units: neurons * todo.len(),
            unit: "tokens",
            seconds: seconds * todo.len() as f64,
            disk: 8.0 * (of_a + others) as f64 * todo.len() as f64,
            // The sums in float64, and a chunk's in f32.
            memory: 12.0 * (of_a * others) as f64,
        });
    }
    let tokens = controls.likeness_tokens.min(run.tokens);
    if tokens > 0 && run.store.note(&super::likeness::key(run, tokens))?.is_none() {
        let first = async |model: &LabModel| -> Result<Tensor, LabError> {
            let sae = &model.saes[0];
            Ok(sae.reads(&model.activations(batch, std::slice::from_ref(&sae.hook)).await?[0]))
        };
        let started = Instant::now();
        let (x, y) = (first(a).await?, first(b).await?);
        let (x, y) = (Chunk::new(&x).await?, Chunk::new(&y).await?);
        let models = started.elapsed().as_secs_f64();
        let (mut sa, mut sb) = (SelfSums::new(x.width()), SelfSums::new(y.width()));
        let mut ab = CrossSums::new(x.width(), y.width());
        let started = Instant::now();
        ab.push(&x, &y).await?;
        let cross = started.elapsed().as_secs_f64();
        sa.push(&x).await?;
        sb.push(&y).await?;
        let started = Instant::now();
        let _ = (linear_cka(&sa, &sb, &ab), svcca(&sa, &sb, &ab, 0.99), pwcca(&sa, &sb, &ab));
        let finish = started.elapsed().as_secs_f64();
        let pairs = (a.saes.len() * b.saes.len()) as f64;
        charges.push(Charge {
            stage: "activations".to_owned(),
            units: tokens,
            unit: "tokens",
            seconds: (models + cross * pairs) / kept * tokens as f64 + finish * pairs,
            disk: 100.0 * pairs,
            memory: 8.0 * pairs * (x.width() * y.width()) as f64,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turned_codes_are_codes() {
        let codes = Codes {
            n_features: 10,
            indptr: vec![0, 3, 3, 5],
            indices: vec![0, 4, 9, 2, 7],
            values: vec![1.0, 2.0, 3.0, 4.0, 5.0],
        };
        let turned = turned(&codes, 3);
        assert_eq!(turned.indices, [2, 3, 7, 0, 5]);
        assert_eq!(turned.values, [3.0, 1.0, 2.0, 5.0, 4.0]);
        assert_eq!(turned.indptr, codes.indptr);
    }
}
