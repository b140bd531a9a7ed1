//! What stands beside the scores: nulls, SAEs that know nothing, fewer tokens, neurons.

use super::correlations::{Cut, Null};
use super::encode::{Source, Variant};
use super::inputs::digest;
use super::results::{Bests, Found, Stranger, Subset};
use super::{Run, Which};
use crate::corpus::TokenBatch;
use crate::lab::{BaselineKind, LabError};
use crate::universality::{Correlation, DenseCorrelator, moments};

/// Whole runs without correspondence, each exact.
pub(super) async fn nulls(run: &mut Run<'_>, found: &mut Found) -> Result<(), LabError> {
    let controls = &run.what.plan.controls;
    let pairs = run.a.len() * run.b.len();
    type Kind = (&'static str, usize, fn(u64) -> Null);
    let kinds: [Kind; 2] = [
        ("shuffled-token null", controls.shuffled, Null::Shuffled),
        ("shifted-token null", controls.shifted, Null::Shifted),
    ];
    for (kind, (name, runs, null)) in kinds.into_iter().enumerate() {
        if runs == 0 {
            continue;
        }
        run.stages.begin(name, pairs * runs, "layer pairs").await?;
        for r in 0..runs {
            let null = Some(null(controls.seed + r as u64));
            let cut = Cut { tokens: 0..run.tokens, null };
            let result = run.layers(Variant::Trained, &cut, r * pairs).await?;
            found.nulls[kind].push(Bests::of(result));
        }
    }
    Ok(())
}

/// A's features against B's SAEs where these read turned activations, and against random directions.
pub(super) async fn strangers(run: &mut Run<'_>, whole: &Cut, found: &mut Found) -> Result<(), LabError> {
    let controls = &run.what.plan.controls;
    let kinds = [
        (controls.rotated, BaselineKind::Rotated, Variant::Rotated, "rotated SAEs"),
        (controls.random, BaselineKind::Random, Variant::Random, "random SAEs"),
    ];
    for (wanted, kind, variant, name) in kinds {
        if !wanted {
            continue;
        }
        run.stages.begin(name, run.a.len() * run.b.len(), "layer pairs").await?;
        let bests = Bests::of(run.layers(variant, whole, 0).await?);
        let sources = run.sources(variant);
        let kept = |source: &Source| -> Result<Vec<bool>, LabError> {
            let codes = run.store.codes(&source.key, &run.shards)?;
            Ok(moments(&codes).iter().map(|moment| run.what.plan.filter.keeps(moment)).collect())
        };
        let kept_b = sources.iter().map(kept).collect::<Result<_, _>>()?;
        found.strangers.push(Stranger { kind, bests, kept_b });
    }
    Ok(())
}

/// The same on fewer tokens: the first sixteenth to the first half, and the second half.
pub(super) async fn subsets(run: &mut Run<'_>, found: &mut Found) -> Result<(), LabError> {
    if !run.what.plan.controls.subsets {
        return Ok(());
    }
    let n = run.tokens;
    let ranges: Vec<_> =
        [0..n / 16, 0..n / 8, 0..n / 4, 0..n / 2, n / 2..n].into_iter().filter(|r| r.len() > 1).collect();
    let pairs = run.a.len() * run.b.len();
    run.stages.begin("fewer tokens", pairs * ranges.len(), "layer pairs").await?;
    for (done, tokens) in ranges.into_iter().enumerate() {
        let cut = Cut { tokens: tokens.clone(), null: None };
        let bests = Bests::of(run.layers(Variant::Trained, &cut, done * pairs).await?);
        found.subsets.push(Subset { tokens, bests });
    }
    Ok(())
}

/// MPPC of A's neurons in B and of B's neurons in A.
pub(super) async fn neurons(run: &mut Run<'_>, found: &mut Found) -> Result<(), LabError> {
    let wanted = run.what.plan.controls.neuron_tokens.min(run.tokens);
    if wanted == 0 {
        return Ok(());
    }
    run.stages.begin("neuron baseline", wanted, "tokens").await?;
    let key = neurons_key(run, wanted);
    let both = match run.store.pair(&key)? {
        Some(both) => both,
        None => {
            let both = correlate_neurons(run, wanted).await?;
            run.store.put_pair(&key, &both)?;
            both
        }
    };
    found.neurons = Some((wanted, both));
    Ok(())
}

/// A name for everything that decides the neuron baseline.
pub(super) fn neurons_key(run: &Run<'_>, tokens: usize) -> String {
    let identity = |which| run.what.basis(which, &run.corpus).model_identity();
    let key = digest(&["neurons 1", &identity(Which::A), &identity(Which::B), &run.corpus]);
    format!("neurons-{key}.0-{tokens}")
}

async fn correlate_neurons(run: &mut Run<'_>, wanted: usize) -> Result<Correlation, LabError> {
    let (a, b) = (run.what.a, run.what.b);
    let mut correlator = DenseCorrelator::new(run.what.engine, a.neuron_count(), b.neuron_count());
    let mut done = 0;
    for batch in &run.batches {
        if done >= wanted {
            break;
        }
        let batch = beginning(batch, wanted - done);
        correlator.push(&a.neurons(&batch)?, &b.neurons(&batch)?).await?;
        done += batch.kept();
        run.stages.step(done).await?;
    }
    Ok(correlator.finish()?)
}

/// The batch with only its first `tokens` kept tokens kept.
pub(super) fn beginning(batch: &TokenBatch, tokens: usize) -> TokenBatch {
    let mut batch = batch.clone();
    batch.keep.iter_mut().filter(|k| **k).skip(tokens).for_each(|k| *k = false);
    batch
}
