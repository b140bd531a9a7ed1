//! Two models' features held against each other: the paper's first result (section 3), with its controls.
//!
//! Stages stream: texts become tokens, tokens residuals, residuals codes, codes correlations. Codes and correlations go
//! to a [`Store`], so a run that was killed goes on from what is there; machines can each encode some
//! [shards](Comparison::encode) or some layers, and their stores unite ([`FolderStore::merge`]).

mod contexts;
mod controls;
mod correlations;
mod cost;
mod encode;
#[cfg(not(target_arch = "wasm32"))]
mod example;
#[cfg(not(target_arch = "wasm32"))]
mod folder;
mod keys;
mod likeness;
mod matching;
mod plan;
mod report;
mod results;
mod sides;
mod store;

use std::ops::Range;

use super::shared::{Inputs, LabError, LabModel, Observer, Stages, notes, token_batches};
use crate::corpus::{Corpus, TokenBatch, Tokenize as _};
use crate::gpu::Engine;
use correlations::{Cut, correlate_layers};
pub use cost::{Bill, Charge};
use encode::{Basis, Encoder, Source, Variant, corpus_identity};
#[cfg(not(target_arch = "wasm32"))]
pub use example::{example, schema};
#[cfg(not(target_arch = "wasm32"))]
pub use folder::{FolderStore, Merged};
pub use plan::{ComparePlan, Controls, SidePlan};
pub use report::{
    Baseline, BaselineKind, Complexity, Converging, DecoderMatch, Direction, Example, Feature, Halves,
    LayerPairs, Likeness, Matches, Matching, Pair, Report, SaeSummary, Significance, Subject,
};
pub use results::FeatureRow;
use results::Found;
use sides::Side;
pub use store::{MemoryStore, Shard, Store};

/// Batches in a shard.
const SHARD: usize = 8;

/// What is compared.
pub struct Comparison<'a> {
    /// Where to compute.
    pub engine: &'a Engine,
    /// The first model.
    pub a: &'a LabModel,
    /// The second model.
    pub b: &'a LabModel,
    /// The texts.
    pub corpus: &'a Corpus,
    /// What is to be done.
    pub plan: ComparePlan,
    /// The files that went in; they name what a store keeps.
    pub inputs: Inputs,
}

/// A report and the tables behind it.
#[derive(Debug)]
pub struct Compared {
    /// The report.
    pub report: Report,
    /// Every feature of A.
    pub features_a: Vec<FeatureRow>,
    /// Every feature of B.
    pub features_b: Vec<FeatureRow>,
}

/// What [`Comparison::encode`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Shards that were asked for and exist.
    pub shards: Range<usize>,
    /// Shards that there are in all.
    pub of: usize,
    /// Tokens that there are in all.
    pub tokens: usize,
}

/// Which model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    A,
    B,
}

impl Comparison<'_> {
    /// Runs both models over the texts, encodes every layer, correlates everything with everything, and sets the
    /// plan's controls beside it. SAEs whose codes look unhealthy are named in the progress before anything is
    /// correlated, and in the report.
    ///
    /// # Errors
    /// The parts do not fit (different tokenizers, no SAEs), the corpus is too short to correlate over, a device
    /// or the store fails, or the observer cancels.
    pub async fn run(&self, store: &mut dyn Store, observer: &dyn Observer) -> Result<Compared, LabError> {
        let mut run = Run::start(self, store, Stages::new(observer, self.stages())).await?;
        run.encode(0..run.shards.len()).await?;
        let sides = (run.side(Which::A).await?, run.side(Which::B).await?);
        let found = run.correlate(&sides).await?;
        results::compared(run, sides, found)
    }

    /// Encodes the shards of a range, and nothing more: a machine's share of the work.
    ///
    /// # Errors
    /// As [`Comparison::run`]; also when there is no shard in the range.
    pub async fn encode(
        &self,
        shards: Range<usize>,
        store: &mut dyn Store,
        observer: &dyn Observer,
    ) -> Result<Encoded, LabError> {
        let mut run = Run::start(self, store, Stages::new(observer, 3)).await?;
        let of = run.shards.len();
        let shards = shards.start..shards.end.min(of);
        if shards.is_empty() {
            return Err(LabError::Mismatch(format!(
                "the plan has {of} shards, 0 to {}; name some of these",
                of - 1
            )));
        }
        run.encode(shards.clone()).await?;
        run.stages.finish();
        Ok(Encoded { shards, of, tokens: run.tokens })
    }

    /// How many stages [`Comparison::run`] has.
    fn stages(&self) -> usize {
        let c = &self.plan.controls;
        let extra = [
            c.shuffled > 0,
            c.shifted > 0,
            c.rotated,
            c.random,
            c.subsets,
            c.neuron_tokens > 0,
            c.likeness_tokens > 0,
            c.matching,
        ];
        4 + extra.into_iter().filter(|wanted| *wanted).count()
    }

    fn basis<'s>(&'s self, which: Which, corpus: &'s str) -> Basis<'s> {
        match which {
            Which::A => Basis { model: self.a, side: &self.plan.a, inputs: &self.inputs.a, corpus },
            Which::B => Basis { model: self.b, side: &self.plan.b, inputs: &self.inputs.b, corpus },
        }
    }
}

/// A comparison that is under way.
struct Run<'a> {
    what: &'a Comparison<'a>,
    store: &'a mut dyn Store,
    stages: Stages<'a>,
    batches: Vec<TokenBatch>,
    shards: Vec<Shard>,
    tokens: usize,
    /// See [`corpus_identity`].
    corpus: String,
    a: Vec<Source>,
    b: Vec<Source>,
    /// Codes of B's control SAEs, by what they are.
    rotated: Vec<Source>,
    random: Vec<Source>,
}

impl<'a> Run<'a> {
    /// Makes the batches, after making sure that both models read the same tokens.
    async fn start(
        what: &'a Comparison<'a>,
        store: &'a mut dyn Store,
        mut stages: Stages<'a>,
    ) -> Result<Self, LabError> {
        let plan = &what.plan;
        plan.check().map_err(LabError::Mismatch)?;
        stages = stages.about(&[what.a, what.b]);
        let [of_a, of_b] = [what.a, what.b].map(|model| model.tokenizer.special());
        if (of_a.bos, of_a.ends()) != (of_b.bos, of_b.ends()) {
            let (a, b) = (what.a.name(), what.b.name());
            stages.warn(format!(
                "{a} and {b} name other tokens BOS, EOS or PAD; those of {a} are taken for both"
            ));
        }
        for model in [what.a, what.b] {
            if model.saes.is_empty() {
                let name = model.name();
                return Err(LabError::Mismatch(format!(
                    "{name} has no SAEs; train them with `mppc sae train {name} --hook 'blocks.*.hook_resid_post' …`"
                )));
            }
        }
        for model in [what.a, what.b] {
            model.sae_notes(&model.saes).into_iter().for_each(|note| stages.warn(note));
        }
        stages.begin("tokens", plan.corpus.tokens, "tokens").await?;
        let batches = tokenize(what, &mut stages).await?;
        let shard = |(number, batches): (usize, &[TokenBatch])| Shard {
            number,
            tokens: batches.iter().map(TokenBatch::kept).sum(),
        };
        let shards: Vec<Shard> = batches.chunks(SHARD).enumerate().map(shard).collect();
        let tokens = shards.iter().map(|shard| shard.tokens).sum();
        notes(what.corpus, tokens, plan.corpus.tokens).for_each(|note| stages.warn(note));
        let hashes: Vec<&str> = what.inputs.corpus.iter().map(|input| input.sha256.as_str()).collect();
        let corpus = corpus_identity(what.corpus, &hashes, &plan.corpus, what.a.tokenizer.special());
        let sources = |which, variant| what.basis(which, &corpus).sources(variant, plan.controls.seed);
        let control = |wanted, variant| if wanted { sources(Which::B, variant) } else { Vec::new() };
        Ok(Self {
            a: sources(Which::A, Variant::Trained),
            b: sources(Which::B, Variant::Trained),
            rotated: control(plan.controls.rotated, Variant::Rotated),
            random: control(plan.controls.random, Variant::Random),
            tokens,
            what,
            store,
            stages,
            batches,
            shards,
            corpus,
        })
    }

    /// Names what of the store was found damaged; it is computed again.
    fn tell_damage(&mut self) {
        self.store.damaged().into_iter().for_each(|line| self.stages.warn(line));
    }

    fn model(&self, which: Which) -> &'a LabModel {
        match which {
            Which::A => self.what.a,
            Which::B => self.what.b,
        }
    }

    /// Encodes what the store lacks of these shards.
    async fn encode(&mut self, shards: Range<usize>) -> Result<(), LabError> {
        self.encode_side(Which::A, shards.clone()).await?;
        self.encode_side(Which::B, shards).await
    }

    async fn encode_side(&mut self, which: Which, shards: Range<usize>) -> Result<(), LabError> {
        let model = self.model(which);
        let (side, sources): (_, Vec<&Source>) = match which {
            Which::A => (&self.what.plan.a, self.a.iter().collect()),
            Which::B => (&self.what.plan.b, self.b.iter().chain(&self.rotated).chain(&self.random).collect()),
        };
        let total = self.shards[shards.clone()].iter().map(|shard| shard.tokens).sum();
        self.stages.begin(&format!("{} features", model.name()), total, "tokens").await?;
        let (mut done, mut encoder) = (0, None::<(Vec<&str>, Encoder<'_>)>);
        for &shard in &self.shards[shards] {
            let mut missing: Vec<&Source> = Vec::new();
            for source in &sources {
                if !self.store.has_codes(&source.key, shard)? {
                    missing.push(source);
                }
            }
            self.store.damaged().into_iter().for_each(|line| self.stages.warn(line));
            if missing.is_empty() {
                done += shard.tokens;
                self.stages.step(done).await?;
                continue;
            }
            // The same is missing of most shards; rotations and random SAEs are made once.
            let keys: Vec<&str> = missing.iter().map(|source| source.key.as_str()).collect();
            if encoder.as_ref().is_none_or(|(of, _)| *of != keys) {
                let seed = self.what.plan.controls.seed;
                encoder = Some((keys, Encoder::new(model, side.center_resid, missing.clone(), seed).await?));
            }
            let (_, encoder) = encoder.as_ref().expect("just made");
            let batches = self.batches.iter().skip(shard.number * SHARD).take(SHARD);
            let mut all: Vec<crate::sae::Codes> = Vec::new();
            for batch in batches {
                let codes = encoder.encode(batch).await?;
                match all.is_empty() {
                    true => all = codes,
                    false => all.iter_mut().zip(&codes).for_each(|(all, codes)| all.append(codes)),
                }
                done += batch.kept();
                self.stages.step(done).await?;
            }
            for (source, codes) in missing.iter().zip(all) {
                self.store.put_codes(&source.key, shard, codes)?;
            }
        }
        Ok(())
    }

    /// What the codes of a model say by themselves.
    async fn side(&mut self, which: Which) -> Result<Side, LabError> {
        let sources = if which == Which::A { &self.a } else { &self.b };
        let filter = self.what.plan.filter;
        let side = Side::of(self.model(which), sources, &filter, (&*self.store, &self.shards))?;
        side.warn(&mut self.stages);
        Ok(side)
    }

    /// MPPC and the plan's controls.
    async fn correlate(&mut self, sides: &(Side, Side)) -> Result<Found, LabError> {
        let whole = Cut { tokens: 0..self.tokens, null: None };
        let pairs = self.a.len() * self.b.len();
        self.stages.begin("MPPC", pairs, "layer pairs").await?;
        let real = self.layers(Variant::Trained, &whole, 0).await?;
        let mut found = Found::new(real);
        controls::nulls(self, &mut found).await?;
        controls::strangers(self, &whole, &mut found).await?;
        controls::subsets(self, &mut found).await?;
        controls::neurons(self, &mut found).await?;
        likeness::likeness(self, &mut found).await?;
        matching::matching(self, sides, &mut found).await?;
        Ok(found)
    }

    /// MPPC of A's codes with a variant of B's, over all layers.
    async fn layers(
        &mut self,
        variant: Variant,
        cut: &Cut,
        done: usize,
    ) -> Result<crate::universality::LayerResult, LabError> {
        let b = self.sources(variant).to_vec();
        let place = (&mut *self.store, &self.shards[..]);
        correlate_layers(self.what.engine, (&self.a, &b), cut, place, (&mut self.stages, done)).await
    }

    /// Codes of B's SAEs, or of what stands in for them.
    fn sources(&self, variant: Variant) -> &[Source] {
        match variant {
            Variant::Trained => &self.b,
            Variant::Rotated => &self.rotated,
            Variant::Random => &self.random,
        }
    }
}

/// The corpus as batches, after making sure that both models read the same tokens.
async fn tokenize(what: &Comparison<'_>, stages: &mut Stages<'_>) -> Result<Vec<TokenBatch>, LabError> {
    let (a, b) = (what.a, what.b);
    let (mut all, mut kept): (Vec<TokenBatch>, usize) = (Vec::new(), 0);
    for batch in token_batches(what.corpus, &a.tokenizer, &what.plan.corpus)? {
        all.push(batch?);
        kept += all.last().map_or(0, TokenBatch::kept);
        stages.step(kept).await?;
    }
    let sample = all.first().map(|batch| a.tokenizer.decode(&batch.ids)).unwrap_or_default();
    let ids = |m: &LabModel| {
        m.tokenizer.encode(&sample).map(|e| e.ids).map_err(|e| LabError::Mismatch(e.to_string()))
    };
    if ids(a)? != ids(b)? {
        return Err(LabError::Mismatch(format!(
            "{} and {} have different tokenizers; features can only be correlated over the same tokens",
            a.name(),
            b.name()
        )));
    }
    if kept < 2 {
        return Err(LabError::Mismatch(format!(
            "the corpus gives {kept} tokens; a correlation needs at least 2, and means something from about 10,000"
        )));
    }
    Ok(all)
}
