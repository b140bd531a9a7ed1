//! The baseline without any SAE: MPPC of A's neurons in B and of B's neurons in A.

use super::comparing::{Comparing, beginning};
use super::comparison::Side;
use crate::lab::shared::{LabError, digest};
use crate::model::Neurons;
use crate::universality::{Correlation, DenseCorrelator};

/// Bytes that the sums of products of a block of A's neurons with all of B's may take.
const NEURON_BYTES: usize = 2 << 30;

/// A job: a block of A's layers against all of B's, in one pass over the texts.
pub(super) struct NeuronBlock {
    /// A's neurons, hook after hook.
    pub(super) neurons: Vec<Neurons>,
    /// Tokens that it is over.
    pub(super) tokens: usize,
    /// How many they are, and all of B's.
    pub(super) sizes: (usize, usize),
    /// Names everything that decides the correlation.
    key: String,
}

/// Tokens that the baseline is over.
pub(super) fn tokens(run: &Comparing<'_>) -> usize {
    run.what.plan.controls.neuron_tokens.min(run.tokens)
}

/// The jobs of the baseline: as many layers in a block as memory allows, all of them for small models, one for the
/// paper's.
pub(super) fn blocks(run: &Comparing<'_>) -> Vec<NeuronBlock> {
    let (a, b) = (run.what.a, run.what.b);
    let of_b = b.neuron_count(&b.model.neurons());
    let most = NEURON_BYTES / 8 / of_b.max(1);
    let mut blocks: Vec<Vec<Neurons>> = Vec::new();
    for neurons in a.model.neurons() {
        let size = |some: &[Neurons]| a.neuron_count(some);
        match blocks.last_mut() {
            Some(block) if size(block) + size(std::slice::from_ref(&neurons)) <= most => block.push(neurons),
            _ => blocks.push(vec![neurons]),
        }
    }
    let identity = |side| run.basis(side).model_identity();
    let (identities, tokens) = ((identity(Side::A), identity(Side::B)), tokens(run));
    let block = |neurons: Vec<Neurons>| {
        let hooks: Vec<&str> = neurons.iter().map(|neurons| neurons.hook.as_str()).collect();
        let key = digest(&["neurons 3", &identities.0, &identities.1, run.corpus(), &hooks.join(",")]);
        let sizes = (a.neuron_count(&neurons), of_b);
        NeuronBlock { neurons, tokens, sizes, key: format!("neurons-{key}.0-{tokens}") }
    };
    blocks.into_iter().map(block).collect()
}

impl NeuronBlock {
    /// Whether it is still to be done.
    pub(super) fn missing(&self, run: &Comparing<'_>) -> Result<bool, LabError> {
        Ok(run.store.pair(&self.key, self.sizes)?.is_none())
    }

    /// What its tokens are pushed into.
    pub(super) fn correlator(&self, run: &Comparing<'_>) -> DenseCorrelator {
        DenseCorrelator::new(run.what.engine, self.sizes.0, self.sizes.1)
    }
}

/// Does what the store lacks of all blocks, and joins them.
pub(super) async fn correlate(
    run: &mut Comparing<'_>,
    blocks: &[NeuronBlock],
) -> Result<Correlation, LabError> {
    let mut joined = Correlation::default();
    let mut done = 0;
    for block in blocks {
        let kept = run.store.pair(&block.key, block.sizes)?;
        run.tell_damage();
        let both = match kept {
            Some(both) => both,
            None => {
                let both = correlate_block(run, block, done).await?;
                run.store.put_pair(&block.key, &both)?;
                both
            }
        };
        join(&mut joined, both);
        done += block.tokens;
        run.stages.step(done).await?;
    }
    Ok(joined)
}

/// `done` tokens of the stage are behind us.
async fn correlate_block(
    run: &mut Comparing<'_>,
    block: &NeuronBlock,
    mut done: usize,
) -> Result<Correlation, LabError> {
    let (a, b) = (run.what.a, run.what.b);
    let of_b = b.model.neurons();
    let mut correlator = block.correlator(run);
    for batch in beginning(&run.batches, block.tokens) {
        correlator.push(&a.neurons(&batch, &block.neurons).await?, &b.neurons(&batch, &of_b).await?).await?;
        done += batch.kept();
        run.stages.step(done).await?;
    }
    Ok(correlator.finish()?)
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
