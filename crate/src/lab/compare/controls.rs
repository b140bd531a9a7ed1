//! What stands beside the scores: nulls, SAEs that know nothing, fewer tokens, neurons.

use super::correlations::{Cut, Null};
use super::encode::{Source, Variant};
use super::report::BaselineKind;
use super::results::{Bests, Found, Stranger, Subset};
use super::{Run, Which};
use crate::corpus::TokenBatch;
use crate::lab::shared::{LabError, digest};
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

/// Bytes that the sums of products of a block of A's neurons with all of B's may take.
const NEURON_BYTES: usize = 2 << 30;

/// MPPC of A's neurons in B and of B's neurons in A. A block of A's layers is held against all of B's in each pass over the
/// texts, as many as memory allows: all of them for small models, one for the paper's.
pub(super) async fn neurons(run: &mut Run<'_>, found: &mut Found) -> Result<(), LabError> {
    let wanted = run.what.plan.controls.neuron_tokens.min(run.tokens);
    if wanted == 0 {
        return Ok(());
    }
    let blocks = neuron_blocks(run);
    run.stages.begin("neuron baseline", wanted * blocks.len(), "tokens").await?;
    let mut joined = Correlation::default();
    for (nth, block) in blocks.iter().enumerate() {
        let key = neurons_key(run, block, wanted);
        let kept = run.store.pair(&key, neuron_sizes(run, block))?;
        run.tell_damage();
        let both = match kept {
            Some(both) => both,
            None => {
                let both = correlate_neurons(run, block, (wanted, nth * wanted)).await?;
                run.store.put_pair(&key, &both)?;
                both
            }
        };
        join(&mut joined, both);
        run.stages.step((nth + 1) * wanted).await?;
    }
    found.neurons = Some((wanted, joined));
    Ok(())
}

/// A's neuron hooks, in blocks.
pub(super) fn neuron_blocks(run: &Run<'_>) -> Vec<Vec<String>> {
    let (a, b) = (run.what.a, run.what.b);
    let most = NEURON_BYTES / 8 / b.neuron_count(&b.model.neuron_hooks()).max(1);
    let mut blocks: Vec<Vec<String>> = Vec::new();
    for hook in a.model.neuron_hooks() {
        let size = |hooks: &[String]| a.neuron_count(hooks);
        match blocks.last_mut() {
            Some(block) if size(block) + size(std::slice::from_ref(&hook)) <= most => block.push(hook),
            _ => blocks.push(vec![hook]),
        }
    }
    blocks
}

/// Takes in the next block of A's neurons; of equals the lowest stays.
fn join(joined: &mut Correlation, block: Correlation) {
    let before = joined.a_to_b.mppc.len() as i32;
    joined.a_to_b.mppc.extend(block.a_to_b.mppc);
    joined.a_to_b.argmax.extend(block.a_to_b.argmax);
    if before == 0 {
        joined.b_to_a = block.b_to_a;
        return;
    }
    let best = joined.b_to_a.mppc.iter_mut().zip(&mut joined.b_to_a.argmax);
    for ((mppc, argmax), (new, place)) in best.zip(block.b_to_a.mppc.into_iter().zip(block.b_to_a.argmax)) {
        if place >= 0 && (*argmax < 0 || new > *mppc) {
            (*mppc, *argmax) = (new, before + place);
        }
    }
}

/// A name for everything that decides a block of the neuron baseline.
pub(super) fn neurons_key(run: &Run<'_>, block: &[String], tokens: usize) -> String {
    let identity = |which| run.what.basis(which, &run.corpus).model_identity();
    let key = digest(&["neurons 3", &identity(Which::A), &identity(Which::B), &run.corpus, &block.join(",")]);
    format!("neurons-{key}.0-{tokens}")
}

/// How many neurons a block of A's is held against: its own number, and that of B's.
pub(super) fn neuron_sizes(run: &Run<'_>, block: &[String]) -> (usize, usize) {
    (run.what.a.neuron_count(block), run.what.b.neuron_count(&run.what.b.model.neuron_hooks()))
}

/// `before` tokens of the stage are behind us.
async fn correlate_neurons(
    run: &mut Run<'_>,
    block: &[String],
    (wanted, before): (usize, usize),
) -> Result<Correlation, LabError> {
    let (a, b) = (run.what.a, run.what.b);
    let of_b = b.model.neuron_hooks();
    let mut correlator = DenseCorrelator::new(run.what.engine, a.neuron_count(block), b.neuron_count(&of_b));
    let mut done = 0;
    for batch in &run.batches {
        if done >= wanted {
            break;
        }
        let batch = beginning(batch, wanted - done);
        correlator.push(&a.neurons(&batch, block).await?, &b.neurons(&batch, &of_b).await?).await?;
        done += batch.kept();
        run.stages.step(before + done).await?;
    }
    Ok(correlator.finish()?)
}

/// The batch with only its first `tokens` kept tokens kept.
pub(super) fn beginning(batch: &TokenBatch, tokens: usize) -> TokenBatch {
    let mut batch = batch.clone();
    batch.keep.iter_mut().filter(|k| **k).skip(tokens).for_each(|k| *k = false);
    batch
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::universality::Best;

    #[test]
    fn blocks_of_neurons_join() {
        let best = |mppc: &[f32], argmax: &[i32]| Best { mppc: mppc.to_vec(), argmax: argmax.to_vec() };
        let mut joined = Correlation::default();
        join(
            &mut joined,
            Correlation {
                a_to_b: best(&[0.5, 0.2], &[1, 0]),
                b_to_a: best(&[0.2, 0.5, f32::NAN], &[1, 0, -1]),
            },
        );
        join(
            &mut joined,
            Correlation {
                a_to_b: best(&[0.5, f32::NAN], &[1, -1]),
                b_to_a: best(&[0.3, 0.5, f32::NAN], &[0, 0, -1]),
            },
        );
        assert_eq!(
            (&joined.a_to_b.mppc[..3], &joined.a_to_b.argmax[..]),
            (&[0.5, 0.2, 0.5][..], &[1, 0, 1, -1][..])
        );
        // The first of B is nearer to the second block, the second alike to both, the third to none.
        assert_eq!((&joined.b_to_a.mppc[..2], &joined.b_to_a.argmax[..]), (&[0.3, 0.5][..], &[2, 0, -1][..]));
    }
}
