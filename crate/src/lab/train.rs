//! SAEs trained on a corpus, and how healthy they are.

use super::stages::Stages;
use super::subject::LabModel;
use super::tokens::token_batches;
use super::{LabError, Observer, Settings};
use crate::corpus::{Corpus, TokenBatch};
use crate::gpu::Tensor;
use crate::kernels::{columns, cross_entropy};
use crate::model::{Plan, Prompts, Replacement};
use crate::sae::{Health, HealthAccumulator, Sae, SaeKind, ShuffleBuffer, TrainConfig, TrainStats, Trainer};

/// What to train.
#[derive(Debug, Clone)]
pub struct TrainPlan {
    /// Hook, or pattern of hooks: one SAE for each match, all in one pass over the model.
    pub hook: String,
    /// Tokens to train on.
    pub tokens: usize,
    /// Number of features.
    pub features: usize,
    /// What makes them sparse.
    pub kind: SaeKind,
    /// Learning rate.
    pub lr: f64,
    /// Tokens in a step.
    pub batch: usize,
    /// Seed of the weights and of the shuffling.
    pub seed: u64,
    /// Documents are cut to this many tokens.
    pub context: usize,
}

/// Batches in a shuffle buffer: a batch mixes some hundred documents.
const BUFFERED: usize = 16;

/// Trains one SAE for each matching hook.
///
/// # Errors
/// A hook that matches nothing, impossible settings, a corpus with too few tokens for one step, a device that
/// fails, an observer that cancels.
pub async fn train(
    subject: &LabModel,
    corpus: &Corpus,
    plan: &TrainPlan,
    observer: &dyn Observer,
) -> Result<Vec<(Sae, TrainStats)>, LabError> {
    let hooks = matching(subject, &plan.hook)?;
    let steps = plan.tokens / plan.batch.max(1);
    if plan.batch == 0 || steps == 0 {
        return Err(LabError::Mismatch(format!(
            "{} tokens are less than one step of {}; train on more tokens or in smaller steps",
            plan.tokens, plan.batch
        )));
    }
    let engine = subject.model.engine();
    let mut trainees = Vec::new();
    for (hook, width) in &hooks {
        let config = TrainConfig {
            lr: plan.lr,
            seed: plan.seed,
            model_name: Some(subject.name().to_owned()),
            hook_name: Some(hook.clone()),
            // A short run is read at its end, too.
            report_every: steps.min(50),
            ..TrainConfig::new(*width, plan.features, plan.kind, steps)
        };
        let buffer = ShuffleBuffer::new(*width, BUFFERED * plan.batch, plan.seed);
        trainees.push((Trainer::new(engine, config)?, buffer));
    }
    let settings =
        Settings { tokens: plan.tokens, context: plan.context, seed: plan.seed, ..Settings::default() };
    let names: Vec<String> = hooks.iter().map(|(hook, _)| hook.clone()).collect();
    let mut stages = Stages::new(observer, 1);
    stages.begin("SAE training", steps * plan.batch, "tokens").await?;
    let mut batches = token_batches(corpus, &subject.tokenizer, &settings)?;
    let mut done = 0;
    while done < steps {
        // All buffers are filled alike, so that the model runs once for all SAEs.
        while trainees[0].1.needs() > 0
            && let Some(batch) = batches.next()
        {
            for ((_, buffer), x) in trainees.iter_mut().zip(subject.activations(&batch?, &names)?) {
                buffer.add(&x.read_f32().await?);
            }
        }
        if trainees[0].1.len() < plan.batch {
            break; // the corpus is used up
        }
        for ((trainer, buffer), (_, width)) in trainees.iter_mut().zip(&hooks) {
            let rows = buffer.take(plan.batch).expect("the buffer was just measured");
            trainer.step(&Tensor::from_f32(engine, &[plan.batch, *width], rows)).await?;
        }
        done += 1;
        stages.step(done * plan.batch).await?;
    }
    if done == 0 {
        return Err(LabError::Mismatch(format!(
            "the corpus has fewer tokens than one step of {}; use a larger corpus or smaller steps",
            plan.batch
        )));
    }
    let mut trained = Vec::new();
    for (trainer, _) in trainees {
        let stats = trainer.stats();
        trained.push((trainer.finish().await?, stats));
    }
    Ok(trained)
}

/// Names and widths of the hooks that match a pattern.
fn matching(subject: &LabModel, pattern: &str) -> Result<Vec<(String, usize)>, LabError> {
    let matcher = wildmatch::WildMatch::new(pattern);
    let hooks = subject.model.hooks(1, 1);
    // Scores, patterns and states are no activations of a token.
    let fits = |h: &&crate::model::HookPoint| h.position_axis == Some(1) && h.shape.len() == 3;
    let found: Vec<(String, usize)> = hooks
        .iter()
        .filter(fits)
        .filter(|h| matcher.matches(&h.name))
        .map(|h| (h.name.clone(), h.shape[2]))
        .collect();
    if found.is_empty() {
        return Err(LabError::Mismatch(format!(
            "no hook of {} with one vector a token matches {pattern:?}; try blocks.*.hook_resid_post",
            subject.name()
        )));
    }
    Ok(found)
}

/// Health of every SAE of a model on `tokens` tokens of a corpus, in contexts of `context`: reconstruction, and
/// what is left of the model's prediction when the reconstruction stands in for the activations.
///
/// # Errors
/// As [`super::reproduce`].
pub async fn health(
    subject: &LabModel,
    corpus: &Corpus,
    (tokens, context): (usize, usize),
    observer: &dyn Observer,
) -> Result<Vec<(String, Health)>, LabError> {
    if subject.saes.is_empty() {
        return Err(LabError::Mismatch(format!(
            "{} has no SAEs; give a directory with --saes",
            subject.name()
        )));
    }
    let settings = Settings { tokens, context, ..Settings::default() };
    let mut stages = Stages::new(observer, 1);
    stages.begin("SAE health", tokens, "tokens").await?;
    let hooks: Vec<String> = subject.saes.iter().map(|s| s.hook.clone()).collect();
    let mut sums: Vec<HealthAccumulator> =
        subject.saes.iter().map(|s| HealthAccumulator::new(&s.sae)).collect();
    // Σ loss: clean, then spliced and zero-ablated for each SAE; over this many predictions.
    let (mut clean, mut changed, mut predictions) = (0.0, vec![(0.0, 0.0); hooks.len()], 0);
    let mut done = 0;
    for batch in token_batches(corpus, &subject.tokenizer, &settings)? {
        let batch = batch?;
        for ((sum, hooked), x) in sums.iter_mut().zip(&subject.saes).zip(subject.activations(&batch, &hooks)?)
        {
            sum.add(&hooked.sae, &x).await?;
        }
        let losses = Losses::new(subject, &batch);
        if batch.len > 1 {
            clean += losses.sum(None).await?;
            predictions += losses.predictions();
            for (hooked, (spliced, zero)) in subject.saes.iter().zip(&mut changed) {
                let (with_sae, with_zeros) = losses.stand_ins(&hooked.hook, &hooked.sae)?;
                *spliced += losses.sum(Some(with_sae)).await?;
                *zero += losses.sum(Some(with_zeros)).await?;
            }
        }
        done += batch.kept();
        stages.step(done).await?;
    }
    let mean = |sum: f64| sum / predictions as f64;
    let report = |((sum, hook), (spliced, zero)): ((HealthAccumulator, String), (f64, f64))| {
        let health = sum.health();
        let with = health.with_losses(mean(clean), mean(spliced), mean(zero));
        (hook, if predictions > 0 { with } else { sum.health() })
    };
    Ok(sums.into_iter().zip(hooks).zip(changed).map(report).collect())
}

/// Next-token losses of a batch, as it is or with a hook replaced. A prediction counts when the token it
/// predicts is kept, whatever it is made from: the first token after BOS is predicted, padding is not.
struct Losses<'a> {
    subject: &'a LabModel,
    batch: &'a TokenBatch,
}

impl<'a> Losses<'a> {
    fn new(subject: &'a LabModel, batch: &'a TokenBatch) -> Self {
        Self { subject, batch }
    }

    /// Position of each counted prediction in [B, T].
    fn counted(&self) -> impl Iterator<Item = usize> {
        let len = self.batch.len;
        (0..self.batch.ids.len()).filter(move |i| i % len + 1 < len && self.batch.keep[i + 1])
    }

    fn predictions(&self) -> usize {
        self.counted().count()
    }

    async fn sum(&self, replacement: Option<Replacement>) -> Result<f64, LabError> {
        let TokenBatch { batch, len, ids, .. } = self.batch;
        let model = &self.subject.model;
        let prompts = Prompts { batch: *batch, len: *len, ids: ids.clone() };
        let plan = Plan { replace: replacement.into_iter().collect(), logits: true, ..Plan::default() };
        let logits = model.run(&prompts, plan)?.logits.expect("logits were asked for"); // [B, T, V]
        // The last position of a row predicts nothing; any target does there.
        let targets: Vec<u32> = ids.iter().skip(1).chain([&0]).copied().collect();
        let vocab = self.subject.tokenizer.real_vocabulary(model.vocab());
        let mut losses = Vec::with_capacity(ids.len()); // [B, T]
        for positions in logits.stretches() {
            let next = targets[positions.clone()].to_vec();
            let next = Tensor::from_u32(model.engine(), &[next.len()], next);
            losses.extend(cross_entropy(&logits.at(positions), &next, vocab).read_f32().await?);
        }
        Ok(self.counted().map(|i| f64::from(losses[i])).sum())
    }

    /// The SAE's reconstruction, and zeros, in place of the activations after BOS, which SAEs never see.
    fn stand_ins(&self, hook: &str, sae: &Sae) -> Result<(Replacement, Replacement), LabError> {
        let TokenBatch { batch, len, ids, .. } = self.batch;
        let prompts = Prompts { batch: *batch, len: *len, ids: ids.clone() };
        let plan = Plan { keep: vec![hook.to_owned()], ..Plan::default() };
        let mut output = self.subject.model.run(&prompts, plan)?;
        let x = output.hooks.remove(hook).expect("the hook was asked for"); // [B, T, D]
        let width = x.shape()[2];
        let after = columns(&x.reshape(&[*batch, len * width]), width, (len - 1) * width);
        let shape = [*batch, len - 1, width];
        let decoded = sae.decode_dense(&after.reshape(&[batch * (len - 1), width]))?.reshape(&shape);
        let put = |value: Tensor| Replacement {
            hook: hook.to_owned(),
            positions: Some((1..*len).collect()),
            value,
        };
        Ok((put(decoded), put(Tensor::zeros(x.engine(), &shape))))
    }
}
