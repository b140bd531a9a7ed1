//! SAEs trained on a corpus.

mod checkpoint;
mod plan;
mod prune;

pub use checkpoint::{Checkpoint, Checkpoints, LeftTraining};
use checkpoint::{Course, Left};
pub use plan::{CurvePoint, Recipe, TrainPlan, TrainWatch, Trained};
use web_time::Instant;

use super::shared::{CorpusPlan, LabError, LabModel, Stages, has_heads, short, token_batches, width_of};
use crate::corpus::{Corpus, TokenBatch};
use crate::failure::Failure;
use crate::gpu::{Engine, Tensor};
use crate::sae::{ShuffleBuffer, TrainConfig, Trainer};
use crate::words::echo;

/// Batches in a shuffle buffer: a batch mixes some hundred documents.
const BUFFERED: usize = 16;

/// Steps between two readings of a training's figures.
const REPORTED: usize = 50;

/// A hook, its activations, and the SAEs that learn from them.
struct HookTraining {
    hook: String,
    width: usize,
    buffer: ShuffleBuffer,
    trainers: Vec<(Recipe, Trainer)>,
}

/// Trains one SAE for each matching hook and each recipe; the model runs once for all of them.
///
/// # Errors
/// A hook that matches nothing, impossible settings, a corpus that ends before there is anything to tell of the
/// training, a checkpoint of another run, a device that fails, an observer that cancels.
pub async fn train(
    subject: &LabModel,
    corpus: &Corpus,
    plan: &TrainPlan,
    watch: &dyn TrainWatch,
    mut checkpoints: Option<Checkpoints<'_>>,
) -> Result<Vec<Trained>, LabError> {
    let steps = steps(plan)?;
    let hooks = begun(subject, plan, steps)?;
    let inputs = checkpoints.as_mut().map(|c| std::mem::take(&mut c.inputs)).unwrap_or_default();
    let (model, corpus_name) = (subject.name(), corpus.name());
    let course =
        Course { model, corpus: corpus_name, inputs: &inputs, plan, done: 0, batches: 0, curve: &[] };
    let mut run = Training::new(hooks);
    if let Some(file) = checkpoints.as_mut().and_then(|c| c.from.take()) {
        let left = Left::read(&file, &course)?;
        restore(subject.model.engine(), &mut run.hooks, &left)?;
        (run.done, run.taken, run.curve) = (left.facts.done, left.facts.batches, left.facts.curve.clone());
        run.reported.1 = run.done;
        run.curve.iter().for_each(|point| watch.point(point));
    }

    let texts = CorpusPlan {
        tokens: plan.tokens.saturating_add(plan.prune),
        context: plan.context,
        seed: plan.seed,
        ..CorpusPlan::default()
    };
    let mut stages = Stages::new(watch, 1 + usize::from(prunes(plan))).about(&[subject]);
    corpus.note().into_iter().for_each(|note| stages.warn(note));
    stages.begin("SAE training", steps * plan.batch, "tokens").await?;
    let mut batches = token_batches(corpus, &subject.tokenizer, &texts)?;
    for _ in 0..run.taken {
        // Not `skip`, which would take a corpus that can no longer be read for one that is used up.
        let batch = batches.next().unwrap_or_else(|| Err(shorter(corpus)))?;
        run.read += batch.kept();
        stages.step(run.done * plan.batch).await?;
    }
    let every = checkpoints.as_ref().map_or(f64::INFINITY, |c| c.every);
    let mut kept_at = Instant::now();
    loop {
        let went = match run.done < steps {
            true => run.step((subject, plan.batch), &mut batches, &mut stages, watch).await,
            false => Ok(false),
        };
        // Before SAEs are pruned there is nothing of them any more that could go on.
        let due = match went {
            Ok(true) => run.done < steps && kept_at.elapsed().as_secs_f64() >= every,
            Ok(false) => run.done > 0 && prunes(plan),
            Err(ref e) => matches!(e, LabError::Cancelled),
        };
        if let Some(checkpoints) = checkpoints.as_mut().filter(|_| due) {
            (checkpoints.write)(&run.keep(&course).await?)?;
            kept_at = Instant::now();
        }
        if !went? {
            break;
        }
    }
    if run.done < steps {
        let (done, read) = (run.done, run.read);
        let ended =
            format!("{}: the training ended after {done} of {steps} steps", short(corpus, read, plan.tokens));
        // Nothing has been learnt by then, and no figure was read.
        if done < REPORTED {
            return Err(LabError::refused(
                ended,
                format!("use a larger corpus, or ask for {read} tokens in smaller steps"),
            ));
        }
        stages.warn(format!("{ended}, before its learning rate had fallen"));
        stages.step(done * plan.batch).await?;
    }
    finish(subject, plan, run.hooks, (&mut stages, &mut batches)).await
}

/// A training that is under way.
struct Training {
    hooks: Vec<HookTraining>,
    /// Steps done.
    done: usize,
    /// Batches taken from the corpus.
    taken: usize,
    /// Tokens in them.
    read: usize,
    curve: Vec<CurvePoint>,
    /// When the curve got its last points, and how many steps were done then.
    reported: (Instant, usize),
}

impl Training {
    fn new(hooks: Vec<HookTraining>) -> Self {
        Self { hooks, done: 0, taken: 0, read: 0, curve: Vec::new(), reported: (Instant::now(), 0) }
    }

    /// Makes one step of `batch` tokens; none when the corpus is used up. When it is cancelled, everything is as it is
    /// between two steps, or between two batches of the corpus.
    async fn step(
        &mut self,
        (subject, batch): (&LabModel, usize),
        batches: &mut impl Iterator<Item = Result<TokenBatch, LabError>>,
        stages: &mut Stages<'_>,
        watch: &dyn TrainWatch,
    ) -> Result<bool, LabError> {
        let names: Vec<String> = self.hooks.iter().map(|hooked| hooked.hook.clone()).collect();
        // All buffers are filled alike, so that the model runs once for all SAEs.
        while self.hooks[0].buffer.needs() > 0
            && let Some(tokens) = batches.next()
        {
            let tokens = tokens?;
            let seen = subject.activations(&tokens, &names).await?;
            for (hooked, x) in self.hooks.iter_mut().zip(seen) {
                hooked.buffer.add(&x.read_f32().await?);
            }
            (self.taken, self.read) = (self.taken + 1, self.read + tokens.kept());
            stages.step(self.done * batch).await?;
        }
        if self.hooks[0].buffer.len() < batch {
            return Ok(false);
        }
        for hooked in &mut self.hooks {
            let rows = hooked.buffer.take(batch).expect("the buffer was just measured");
            let x = Tensor::from_f32(subject.model.engine(), &[batch, hooked.width], rows);
            for (_, trainer) in &mut hooked.trainers {
                trainer.step(&x).await?;
            }
        }
        self.done += 1;
        if self.hooks[0].trainers[0].1.stats().step == self.done {
            let (at, before) = std::mem::replace(&mut self.reported, (Instant::now(), self.done));
            let tokens_per_second =
                ((self.done - before) * batch) as f64 / at.elapsed().as_secs_f64().max(1e-9);
            for point in points(&self.hooks, tokens_per_second) {
                watch.point(&point);
                self.curve.push(point);
            }
        }
        stages.step(self.done * batch).await?;
        Ok(true)
    }

    async fn keep(&self, course: &Course<'_>) -> Result<Checkpoint, LabError> {
        let course = Course { done: self.done, batches: self.taken, curve: &self.curve, ..*course };
        let mut snapshots = Vec::new();
        for (_, trainer) in self.hooks.iter().flat_map(|hooked| &hooked.trainers) {
            snapshots.extend(trainer.snapshot().await?);
        }
        let buffers: Vec<(&str, usize, &ShuffleBuffer)> =
            self.hooks.iter().map(|hooked| (&hooked.hook[..], hooked.width, &hooked.buffer)).collect();
        Ok(Checkpoint::new(&course, &buffers, snapshots))
    }
}

fn shorter(corpus: &Corpus) -> LabError {
    LabError::refused(
        format!("the corpus {} is shorter than when the training began", corpus.name()),
        "bring it back, or save to another directory to begin anew",
    )
}

fn prunes(plan: &TrainPlan) -> bool {
    plan.prune > 0 && plan.recipes.iter().any(|recipe| recipe.kind.shrinks())
}

/// The SAEs; those with an L1 penalty pruned on what the corpus has left.
async fn finish(
    subject: &LabModel,
    plan: &TrainPlan,
    hooks: Vec<HookTraining>,
    (stages, batches): (&mut Stages<'_>, &mut impl Iterator<Item = Result<TokenBatch, LabError>>),
) -> Result<Vec<Trained>, LabError> {
    let mut trained = Vec::new();
    for hooked in hooks {
        for (recipe, trainer) in hooked.trainers {
            let stats = trainer.stats();
            trained.push((
                hooked.hook.clone(),
                Trained { sae: trainer.finish().await?, recipe, stats, pruned: 0 },
            ));
        }
    }
    if prunes(plan) {
        stages.begin("SAE pruning", plan.prune, "tokens").await?;
        let mut found: Vec<_> = trained.iter().map(|(_, one)| prune::Activity::new(&one.sae)).collect();
        let mut done = 0;
        for batch in batches {
            let batch = batch?;
            for ((hook, one), activity) in trained.iter().zip(&mut found) {
                if one.recipe.kind.shrinks() {
                    activity.add(&one.sae, (subject, &batch, hook)).await?;
                }
            }
            done += batch.kept();
            stages.step(done).await?;
        }
        if done < plan.prune {
            stages.warn(format!("only {done} of {} tokens were left to prune on", plan.prune));
            stages.step(done).await?;
        }
        for ((_, one), activity) in trained.iter_mut().zip(found) {
            if one.recipe.kind.shrinks() && done > 0 {
                let kept = activity.kept();
                one.pruned = kept.iter().filter(|kept| !**kept).count();
                one.sae = one.sae.without(&kept).await?;
            }
        }
    }
    Ok(trained.into_iter().map(|(_, one)| one).collect())
}

fn points(hooks: &[HookTraining], tokens_per_second: f64) -> Vec<CurvePoint> {
    let of = |hooked: &HookTraining| -> Vec<CurvePoint> {
        let point = |(recipe, trainer): &(Recipe, Trainer)| CurvePoint {
            hook: hooked.hook.clone(),
            recipe: recipe.to_string(),
            stats: trainer.stats(),
            tokens_per_second,
        };
        hooked.trainers.iter().map(point).collect()
    };
    hooks.iter().flat_map(of).collect()
}

fn restore(engine: &Engine, hooks: &mut [HookTraining], left: &Left<'_>) -> Result<(), LabError> {
    let mut i = 0;
    for hooked in hooks {
        left.fill(&hooked.hook, &mut hooked.buffer)?;
        for (_, trainer) in &mut hooked.trainers {
            if let Some((facts, file, prefix)) = left.trainer(i) {
                *trainer = Trainer::restore(engine, trainer.config().clone(), facts, (file, &prefix))?;
            }
            i += 1;
        }
    }
    Ok(())
}

fn steps(plan: &TrainPlan) -> Result<usize, LabError> {
    plan.check()?;
    let steps = plan.tokens / plan.batch;
    if steps == 0 {
        return Err(LabError::refused(
            format!("{} tokens are less than one step of {}", plan.tokens, plan.batch),
            "train on more tokens or in smaller steps",
        ));
    }
    if plan.recipes.is_empty() {
        return Err(LabError::refused("there is no kind of SAE to train", "name one"));
    }
    Ok(steps)
}

/// Refuses what would not fit into memory, before any of it is asked for.
fn check_memory(plan: &TrainPlan, hooks: &[(String, usize)]) -> Result<(), LabError> {
    let of = |n: usize| n as u128;
    let width: u128 = hooks.iter().map(|(_, width)| of(*width)).sum();
    // Both matrices with Adam's two moments, and what else a feature owns; shuffle buffers.
    let trainers = of(plan.recipes.len()) * of(plan.features) * (6 * width + 20 * of(hooks.len()));
    let bytes = 4 * (trainers + of(BUFFERED) * of(plan.batch) * width);
    let limit = most_memory();
    if bytes <= u128::from(limit) {
        return Ok(());
    }
    let gigabytes = |bytes: f64| bytes / 1e9;
    Err(LabError::refused(
        format!(
            "training {} features on {} hooks ({} SAEs each) in steps of {} tokens would take {:.1} GB of \
             memory, and {:.1} GB are the most here",
            plan.features,
            hooks.len(),
            plan.recipes.len(),
            plan.batch,
            gigabytes(bytes as f64),
            gigabytes(limit as f64)
        ),
        "train fewer or smaller SAEs at a time",
    ))
}

/// The most bytes that a training may take: the machine's memory.
#[cfg(not(target_arch = "wasm32"))]
fn most_memory() -> u64 {
    crate::memory::physical().unwrap_or(64 << 30)
}

/// What WebAssembly can address.
#[cfg(target_arch = "wasm32")]
fn most_memory() -> u64 {
    4 << 30
}

fn begun(subject: &LabModel, plan: &TrainPlan, steps: usize) -> Result<Vec<HookTraining>, LabError> {
    let engine = subject.model.engine();
    let matching = matching(subject, &plan.hook)?;
    check_memory(plan, &matching)?;
    let training = |(hook, width): (String, usize)| {
        let trainer = |recipe: &Recipe| {
            let usual = TrainConfig::new(width, plan.features, recipe.kind, steps);
            let config = TrainConfig {
                lr: plan.lr,
                seed: recipe.seed,
                fine_tune: if recipe.kind.shrinks() { plan.fine_tune / plan.batch } else { 0 },
                dead_after: plan.dead_after,
                aux_k: if plan.revive { usual.aux_k } else { 0 },
                resample_every: if plan.revive { usual.resample_every } else { 0 },
                model_name: Some(subject.name().to_owned()),
                hook_name: Some(hook.clone()),
                // A short run is read at its end, too.
                report_every: steps.min(REPORTED),
                ..usual
            };
            Ok((*recipe, Trainer::new(engine, config)?))
        };
        let trainers = plan.recipes.iter().map(trainer).collect::<Result<_, LabError>>()?;
        let buffer = ShuffleBuffer::new(width, BUFFERED * plan.batch, plan.seed);
        Ok(HookTraining { hook, width, buffer, trainers })
    };
    matching.into_iter().map(training).collect()
}

/// Names and widths of the hooks that match a pattern. Those with heads, all of them side by side, are taken where
/// there are no others: a pattern of everything would not mean them.
fn matching(subject: &LabModel, pattern: &str) -> Result<Vec<(String, usize)>, LabError> {
    let matcher = wildmatch::WildMatch::new(pattern);
    let mut hooks = subject.model.hooks(1, 1);
    // Scores, patterns and states are no activations of a token.
    hooks.retain(|h| width_of(h).is_some());
    let found = |heads: bool| -> Vec<(String, usize)> {
        let matching = hooks.iter().filter(|h| matcher.matches(&h.name) && has_heads(h) == heads);
        matching.filter_map(|h| Some((h.name.clone(), width_of(h)?))).collect()
    };
    let found = Some(found(false)).filter(|found| !found.is_empty()).unwrap_or_else(|| found(true));
    if found.is_empty() {
        let failure = Failure::new(
            format!("no hook of {} with one vector a token matches {}", echo(subject.name()), echo(pattern)),
            "try blocks.*.hook_resid_post",
        );
        return Err(LabError::Refused(failure.advised(&crate::model::meant(pattern, &hooks))));
    }
    Ok(found)
}
