//! How healthy the SAEs of a model are.

use serde::{Deserialize, Serialize};

use super::shared::{
    CorpusPlan, HookedSae, LabError, LabModel, Observer, Stages, Timing, limits, notes, token_batches,
};
use super::splice::{Splice, SpliceSums};
use crate::corpus::{Corpus, TokenBatch};
use crate::sae::{DecoderScan, Flag, Health, HealthAccumulator, Spliced};

/// Everything that decides the figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi, from_wasm_abi))]
pub struct HealthSettings {
    /// `builtin` or the name of the file.
    pub corpus: String,
    /// Seed of the built-in corpus.
    pub seed: u64,
    /// Tokens to measure on (BOS, EOS and PAD are dropped).
    pub tokens: usize,
    /// Documents are cut to this many tokens, BOS included.
    pub context: usize,
    /// Documents in a batch.
    pub batch: usize,
}

impl Default for HealthSettings {
    /// 20,000 tokens of the built-in corpus, contexts of 256.
    fn default() -> Self {
        let CorpusPlan { source: corpus, seed, context, batch, .. } = CorpusPlan::default();
        Self { corpus, seed, tokens: 20_000, context, batch }
    }
}

/// The result of `mppc sae health`.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct HealthReport {
    /// Version of the lab that made it.
    pub version: String,
    /// `gpu` or `cpu`.
    pub engine: String,
    /// Name of the adapter or processor engine.
    pub adapter: String,
    /// The model.
    pub model: String,
    /// What was asked for; `tokens` is how many there were.
    pub settings: HealthSettings,
    /// One entry an SAE, in the order of the layers.
    pub saes: Vec<SaeHealth>,
    /// Wall time by stage.
    pub timings: Vec<Timing>,
}

/// One SAE of a [`HealthReport`].
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct SaeHealth {
    /// Where it reads, e.g. `blocks.2.hook_resid_post`, or `blocks.2.attn.hook_z.head1`.
    pub hook: String,
    /// Width of the activations.
    pub width: usize,
    /// Its figures.
    pub health: Health,
    /// Why it should not be correlated as it is; empty for a healthy one.
    pub flags: Vec<Flag>,
}

/// Health of `saes`, which read `subject` (its own, or others of the same model), on a corpus: how well they
/// reconstruct, what is left of the model's predictions when the reconstruction stands in for the activations, and
/// what their decoders look like.
///
/// # Errors
/// No SAE, a corpus without tokens, a device that fails, an observer that cancels.
pub async fn health(
    subject: &LabModel,
    saes: &[HookedSae],
    corpus: &Corpus,
    mut settings: HealthSettings,
    observer: &dyn Observer,
) -> Result<HealthReport, LabError> {
    if saes.is_empty() {
        return Err(LabError::refused(
            format!("{} has no SAEs", subject.name()),
            "give a directory with --saes",
        ));
    }
    let HealthSettings { tokens, context, batch, .. } = settings;
    let sizes = [
        ("tokens", tokens, limits::TOKENS),
        ("context", context, limits::CONTEXT),
        ("batch", batch, limits::DOCUMENTS),
    ];
    limits::check(sizes)?;
    let asked = CorpusPlan { tokens, context, batch, ..CorpusPlan::default() };
    let mut stages = Stages::new(observer, 2).about(&[subject]);
    subject.sae_notes(saes).into_iter().for_each(|note| stages.warn(note));
    stages.begin("SAE health", tokens, "tokens").await?;
    let mut measuring = Measuring::new(subject, saes);
    for batch in token_batches(corpus, &subject.tokenizer, &asked)? {
        measuring.add(&batch?, &mut stages).await?;
    }
    settings.tokens = measuring.tokens;
    if measuring.tokens == 0 {
        return Err(LabError::refused(
            format!("the corpus {} gives no tokens", settings.corpus),
            "use a larger one",
        ));
    }
    notes(corpus, settings.tokens, tokens).for_each(|note| stages.warn(note));
    let mut all = measuring.finish();
    let features = saes.iter().map(|s| s.sae.config.d_sae).sum();
    stages.begin("decoders", features, "features").await?;
    let mut before = 0;
    for (health, hooked) in all.iter_mut().zip(saes) {
        let mut scan = DecoderScan::new(&hooked.sae).await?;
        while let Some(done) = scan.step().await? {
            stages.step(before + done).await?;
        }
        before += hooked.sae.config.d_sae;
        health.decoder = Some(scan.finish());
    }
    stages.step(features).await?;
    let engine = subject.model.engine().report();
    let row = |(health, hooked): (Health, &HookedSae)| SaeHealth {
        hook: hooked.name(),
        width: hooked.sae.config.d_in,
        flags: health.flags(),
        health,
    };
    Ok(HealthReport {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        engine: engine.engine.to_owned(),
        adapter: engine.name,
        model: subject.name().to_owned(),
        settings,
        saes: all.into_iter().zip(saes).map(row).collect(),
        timings: stages.finish(),
    })
}

/// SAEs being measured batch by batch.
struct Measuring<'a> {
    subject: &'a LabModel,
    saes: &'a [HookedSae],
    sums: Vec<HealthAccumulator>,
    splices: SpliceSums,
    tokens: usize,
}

impl<'a> Measuring<'a> {
    fn new(subject: &'a LabModel, saes: &'a [HookedSae]) -> Self {
        let sums = saes.iter().map(|s| HealthAccumulator::new(&s.sae)).collect();
        Self { subject, saes, sums, splices: SpliceSums::new(saes.len()), tokens: 0 }
    }

    async fn add(&mut self, batch: &TokenBatch, stages: &mut Stages<'_>) -> Result<(), LabError> {
        let splice = Splice::new(self.subject, self.saes, batch).await?;
        for ((sum, hooked), x) in self.sums.iter_mut().zip(self.saes).zip(splice.kept()) {
            sum.add(&hooked.sae, &x).await?;
        }
        let (before, kept, runs) = (self.tokens, batch.kept(), self.saes.len());
        let mut changed = Vec::with_capacity(runs);
        for i in 0..runs {
            changed.push(splice.changed(i)?);
            // A batch through a large model and its SAEs takes long: progress inside it.
            stages.step(before + kept * (i + 1) / (runs + 1)).await?;
        }
        self.splices.add(&splice, &changed).await?;
        self.tokens += kept;
        stages.step(self.tokens).await
    }

    fn finish(self) -> Vec<Health> {
        let spliced: Vec<Option<Spliced>> = self.splices.means();
        let joined = self.sums.iter().zip(spliced);
        joined.map(|(sum, spliced)| Health { spliced, ..sum.health() }).collect()
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
#[path = "health_tests.rs"]
mod tests;
