//! `mppc sae train`: SAEs from a model and a corpus.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use mppc::atomic;
use mppc::checkpoint::SafeFile;
use mppc::failure::Failure;
use mppc::lab::{self, Checkpoint, Checkpoints, LabError, LabModel, Recipe, TrainPlan, Trained};
use mppc::lock::Lock;
use mppc::sae::kinds::{BatchTopK, Gated, JumpRelu, Relu, TopK};
use mppc::sae::{SaeKind, Storage};
use mppc::words::cell;
use serde_json::json;

use crate::args::TrainArgs;
use crate::output::csv;
use crate::session::{Outcome, Session, writable_dir};
use crate::{corpora, interrupt, models};

/// What a run that was stopped leaves in its directory.
const CHECKPOINT: &str = "training.checkpoint.safetensors";
/// What keeps a second run out of it.
const LOCK: &str = "training.lock";
/// The training curves.
const CURVE: &str = "training.csv";

pub(crate) async fn run(session: &Session, args: &TrainArgs) -> Outcome {
    writable_dir(&args.save)?;
    let files = models::files(&args.model, session.out.json)?;
    let subject = LabModel::load(&session.engine, &args.model, &files, None)?;
    let corpus = corpora::open(&args.corpus, args.seed, session.out.json)?;
    let plan = plan(args);
    let failed = |e| format!("{}: {e}", args.save.display());
    std::fs::create_dir_all(&args.save).map_err(failed)?;
    let lock = args.save.join(LOCK);
    let lock = Lock::take_for_now(&lock).map_err(|e| format!("{}: {e}", lock.display()))?;
    let _lock = lock.ok_or_else(|| {
        Failure::new(
            format!("another training is at work in {}", args.save.display()),
            "wait for it, or save to another directory",
        )
    })?;
    atomic::folder(&args.save).map_err(failed)?;
    let left = args.save.join(CHECKPOINT);
    let from = left.is_file().then(|| SafeFile::open(&left)).transpose()?;
    if from.is_some() && !session.out.json {
        eprintln!("going on with {}", left.display());
    }
    let mut write = |checkpoint: &Checkpoint| keep(&left, checkpoint);
    let every = args.checkpoint_every as f64;
    let mut inputs = lab::model_inputs(&subject, &files)?;
    inputs.extend(lab::corpus_inputs(&corpus)?);
    let checkpoints = Checkpoints { from, inputs, every, write: &mut write };
    interrupt::careful();
    let trained = lab::train(&subject, &corpus, &plan, &session.bars, Some(checkpoints)).await?;

    let mut rows = Vec::new();
    let mut lines = Vec::new();
    for one in &trained {
        let dir = directory(args, &plan, one, trained.len());
        one.sae.save(&dir, if args.f16 { Storage::F16 } else { Storage::F32 }).await?;
        let hook = one.sae.config.hook_name.as_deref().unwrap_or_default();
        lines.push(line(hook, one));
        let recipe = one.recipe.to_string();
        rows.push(json!({
            "hook": hook, "recipe": recipe, "saved": dir, "fit": one.stats, "pruned": one.pruned
        }));
    }
    write_curve(session, &args.save.join(CURVE))?;
    // Only now is there nothing left to go on with.
    if left.is_file() {
        std::fs::remove_file(&left).map_err(|e| format!("{}: {e}", left.display()))?;
    }
    lines.push(format!("saved to {}, the curves in {CURVE} there", args.save.display()));
    session.out.say(&lines.join("\n"), &json!(rows))
}

fn write_curve(session: &Session, path: &Path) -> Outcome {
    let names = [
        "hook",
        "recipe",
        "step",
        "tokens",
        "error",
        "penalty",
        "l0",
        "explained_variance",
        "dead",
        "resampled",
        "tokens_per_second",
    ];
    let rows = session.bars.curve().into_iter().map(|point| {
        let s = point.stats;
        let figures = [
            s.step.to_string(),
            s.tokens.to_string(),
            s.error.to_string(),
            s.penalty.to_string(),
            s.l0.to_string(),
            s.explained_variance.to_string(),
            s.dead.to_string(),
            s.resampled.to_string(),
            format!("{:.1}", point.tokens_per_second),
        ];
        let texts = [point.hook, point.recipe].map(|text| cell(&text).into_owned());
        texts.into_iter().chain(figures).collect()
    });
    let table = csv(&names, rows);
    atomic::write(path, |out| out.write_all(&table)).map_err(|e| format!("{}: {e}", path.display()).into())
}

fn plan(args: &TrainArgs) -> TrainPlan {
    let kinds = [
        args.topk.iter().map(|&k| SaeKind::TopK(TopK { k })).collect::<Vec<_>>(),
        args.batchtopk.iter().map(|&k| SaeKind::BatchTopK(BatchTopK { k })).collect(),
        args.jumprelu.iter().map(|&l0| SaeKind::JumpRelu(JumpRelu { l0 })).collect(),
        args.gated.iter().map(|&l1| SaeKind::Gated(Gated { l1 })).collect(),
        args.l1.iter().map(|&l1| SaeKind::Relu(Relu { l1 })).collect(),
    ];
    let seeds = if args.sae_seeds.is_empty() { vec![args.seed] } else { args.sae_seeds.clone() };
    let recipe = |kind: &SaeKind| seeds.iter().map(|&seed| Recipe { kind: *kind, seed }).collect::<Vec<_>>();
    TrainPlan {
        hook: args.hook.clone(),
        recipes: kinds.concat().iter().flat_map(recipe).collect(),
        features: args.features,
        lr: args.lr,
        tokens: args.tokens,
        fine_tune: args.fine_tune,
        prune: args.prune,
        dead_after: args.dead_after,
        revive: !args.no_revive,
        batch: args.batch,
        seed: args.seed,
        context: args.context,
    }
}

/// Puts a checkpoint in the place of the one before.
fn keep(path: &Path, checkpoint: &Checkpoint) -> Result<(), LabError> {
    let failed = |source| LabError::Io { path: path.display().to_string(), source };
    atomic::write(path, |out| checkpoint.write_to(out)).map_err(failed)
}

/// Where an SAE goes: a folder for each recipe where there are several, so that `--saes` can take one of them, and in
/// it one for each hook where there may be several.
fn directory(args: &TrainArgs, plan: &TrainPlan, one: &Trained, trained: usize) -> PathBuf {
    let mut dir = args.save.clone();
    if plan.recipes.len() > 1 {
        dir.push(one.recipe.to_string());
    }
    if trained > plan.recipes.len() || args.hook.contains('*') {
        dir.push(one.sae.config.hook_name.as_deref().unwrap_or_default());
    }
    dir
}

fn line(hook: &str, one: &Trained) -> String {
    let s = &one.stats;
    let mut line = format!(
        "{hook} {}: L0 {:.1}, explained variance {:.3}, dead {:.1} %",
        one.recipe,
        s.l0,
        s.explained_variance,
        s.dead * 100.0
    );
    if s.resampled > 0 {
        let _ = write!(line, ", {} resampled", s.resampled);
    }
    if one.pruned > 0 {
        let _ = write!(line, ", {} pruned", one.pruned);
    }
    line
}
