//! What a run will cost in time, memory and disk: a little of each stage is done and measured, the rest is arithmetic.

use serde::Serialize;
use web_time::Instant;

use super::comparing::Comparing;
use super::comparison::{Comparison, Side};
use super::encode::{self, Coder};
use super::likeness::{LikenessJob, SVCCA_VARIANCE};
use super::neurons::NeuronBlock;
use super::pairs::AllPairs;
use super::sources::Source;
use super::stage::{Jobs, Stage};
use super::store::{Shard, Store};
use crate::corpus::TokenBatch;
use crate::gpu::Tensor;
use crate::lab::shared::{LabError, LabModel, Observer, Stages};
use crate::rng::Rng;
use crate::sae::Codes;
use crate::universality::{Chunk, CrossSums, SelfSums, linear_cka, pwcca, svcca};

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

impl Charge {
    fn of(stage: Stage, what: &Comparison<'_>) -> Self {
        Self { stage: stage.name(what), units: 0, unit: stage.unit(), seconds: 0.0, disk: 0.0, memory: 0.0 }
    }
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
        let mut run = Comparing::start(self, store, Stages::new(observer, 2)).await?;
        run.stages.begin("trying", 3, "stages").await?;
        let (a, b) = (tried(&run, Side::A).await?, tried(&run, Side::B).await?);
        run.stages.step(1).await?;
        let line = pair_line(&run, &a.middle, &b.middle).await?;
        run.stages.step(2).await?;
        let mut charges = Vec::new();
        for stage in Stage::all(&self.plan.controls) {
            let charge = Charge::of(stage, self);
            charges.extend(match stage.jobs(&run) {
                Jobs::Codes(side, shards) => {
                    Some(encoding(&run, (side, &shards), if side == Side::A { &a } else { &b }, charge)?)
                }
                Jobs::AllPairs(runs) => Some(correlating(&run, &runs, (&a, &b, line), charge)?),
                Jobs::Neurons(blocks) => neurons(&run, &blocks, charge).await?,
                Jobs::Likeness(job) => likeness(&run, &job, charge).await?,
                // It takes seconds, and is not kept.
                Jobs::Matching => None,
            });
        }
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
fn sample(run: &Comparing<'_>, batch: usize) -> TokenBatch {
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

async fn tried(run: &Comparing<'_>, side: Side) -> Result<Tried, LabError> {
    let (sources, trained) = (run.encoded(side), run.trained(side).len());
    let coder = Coder::new(run, side, sources.iter().collect()).await?;
    coder.encode(&sample(run, 0)).await?;
    let batch = sample(run, 1);
    let started = Instant::now();
    let mut codes = coder.encode(&batch).await?;
    let seconds = started.elapsed().as_secs_f64() / batch.kept() as f64;
    codes.truncate(trained);
    let l0 = codes.iter().map(|c| c.indices.len() as f64 / c.tokens().max(1) as f64).collect();
    Ok(Tried { seconds, l0, middle: codes.swap_remove(trained / 2) })
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
async fn pair_line(run: &Comparing<'_>, a: &Codes, b: &Codes) -> Result<Line, LabError> {
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

/// Codes of a model, of the shards of which some are missing.
fn encoding(
    run: &Comparing<'_>,
    (side, shards): (Side, &[Shard]),
    tried: &Tried,
    mut charge: Charge,
) -> Result<Charge, LabError> {
    let sources = run.encoded(side);
    for &shard in shards {
        let missing = encode::missing(run, &sources, shard)?;
        let (tokens, count) = (shard.tokens as f64, missing.len() as f64);
        let entries: f64 = missing.iter().map(|source: &&Source| tried.l0[source.sae]).sum();
        charge.units += if missing.is_empty() { 0 } else { shard.tokens };
        // The model runs once whatever is missing; the SAEs are most of it, and share it alike.
        charge.seconds += tokens * tried.seconds * count / sources.len() as f64;
        charge.disk += tokens * (entries * ENTRY_DISK + count * TOKEN_DISK);
        charge.memory = charge.memory.max(tokens * entries * ENTRY_MEMORY / 3.0);
    }
    Ok(charge)
}

/// Pairs of layers that are missing of some runs.
fn correlating(
    run: &Comparing<'_>,
    runs: &[AllPairs],
    (a, b, line): (&Tried, &Tried, Line),
    mut charge: Charge,
) -> Result<Charge, LabError> {
    let most = |l0: &[f64]| l0.iter().copied().fold(0.0, f64::max);
    let middle = |l0: &[f64]| l0[l0.len() / 2];
    charge.memory = run.tokens as f64 * (most(&a.l0) + most(&b.l0)) * ENTRY_MEMORY;
    for all in runs {
        for pair in all.pairs(run) {
            if !pair.missing(run)? {
                continue;
            }
            // Products are as many as pairs of features that fire together.
            let share = a.l0[pair.a] * b.l0[pair.b] / (middle(&a.l0) * middle(&b.l0)).max(f64::MIN_POSITIVE);
            charge.units += 1;
            charge.seconds += line.fixed + line.token * share * all.cut.tokens.len() as f64;
            charge.disk += 8.0 * (pair.sizes.0 + pair.sizes.1) as f64;
        }
    }
    Ok(charge)
}

/// Blocks of neurons, which run both models again; none where nothing is missing.
async fn neurons(
    run: &Comparing<'_>,
    blocks: &[NeuronBlock],
    charge: Charge,
) -> Result<Option<Charge>, LabError> {
    let mut missing = Vec::new();
    for block in blocks {
        if block.missing(run)? {
            missing.push(block);
        }
    }
    let Some(block) = missing.first() else { return Ok(None) };
    let (a, b) = (run.what.a, run.what.b);
    let (of_a, of_b) = block.sizes;
    let mut correlator = block.correlator(run);
    // A whole batch: each one costs a pass over the sums.
    let whole = run.batches.get(1).unwrap_or(&run.batches[0]);
    let started = Instant::now();
    let (x, y) = (a.neurons(whole, &block.neurons).await?, b.neurons(whole, &b.model.neurons()).await?);
    correlator.push(&x, &y).await?;
    let token = started.elapsed().as_secs_f64() / whole.kept() as f64;
    let units = block.tokens * missing.len();
    Ok(Some(Charge {
        units,
        seconds: token * units as f64,
        disk: 8.0 * (of_a + of_b) as f64 * missing.len() as f64,
        // The sums in float64, and a chunk's in f32.
        memory: 12.0 * (of_a * of_b) as f64,
        ..charge
    }))
}

/// The activations themselves, for which both models run again; none where nothing is missing.
async fn likeness(
    run: &Comparing<'_>,
    job: &LikenessJob,
    charge: Charge,
) -> Result<Option<Charge>, LabError> {
    if !job.missing(run)? {
        return Ok(None);
    }
    let (a, b) = (run.what.a, run.what.b);
    let batch = &sample(run, 1);
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
    let _ = (linear_cka(&sa, &sb, &ab), svcca(&sa, &sb, &ab, SVCCA_VARIANCE), pwcca(&sa, &sb, &ab));
    let finish = started.elapsed().as_secs_f64();
    let pairs = run.layer_pairs() as f64;
    Ok(Some(Charge {
        units: job.tokens,
        seconds: (models + cross * pairs) / batch.kept() as f64 * job.tokens as f64 + finish * pairs,
        disk: 100.0 * pairs,
        memory: 8.0 * pairs * (x.width() * y.width()) as f64,
        ..charge
    }))
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
