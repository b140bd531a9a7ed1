//! SAEs trained on a corpus.

use super::stages::Stages;
use super::subject::LabModel;
use super::tokens::token_batches;
use super::{LabError, Observer, Settings};
use crate::corpus::Corpus;
use crate::gpu::Tensor;
use crate::sae::{Sae, SaeKind, ShuffleBuffer, TrainConfig, TrainStats, Trainer};

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
