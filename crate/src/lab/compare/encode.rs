//! Tokens to residuals to codes: each shard of tokens runs through a model once, for all that is missing of it.

use super::comparing::{Comparing, SHARD};
use super::comparison::Side;
use super::sources::{Source, Variant};
use super::store::Shard;
use crate::corpus::TokenBatch;
use crate::lab::shared::{LabError, LabModel};
use crate::sae::{Codes, Rotation, Sae};

/// The codes that the store lacks of a shard.
pub(super) fn missing<'s>(
    run: &Comparing<'_>,
    sources: &'s [Source],
    shard: Shard,
) -> Result<Vec<&'s Source>, LabError> {
    let mut missing = Vec::new();
    for source in sources {
        if !run.store.has_codes(&source.key, shard)? {
            missing.push(source);
        }
    }
    Ok(missing)
}

/// Encodes what the store lacks of these shards.
pub(super) async fn encode(run: &mut Comparing<'_>, side: Side, shards: &[Shard]) -> Result<(), LabError> {
    let sources = run.encoded(side);
    let (mut done, mut coder) = (0, None::<(Vec<&str>, Coder<'_>)>);
    for &shard in shards {
        let missing = missing(run, &sources, shard)?;
        run.tell_damage();
        if missing.is_empty() {
            done += shard.tokens;
            run.stages.step(done).await?;
            continue;
        }
        // The same is missing of most shards; rotations and random SAEs are made once.
        let keys: Vec<&str> = missing.iter().map(|source| source.key.as_str()).collect();
        if coder.as_ref().is_none_or(|(of, _)| *of != keys) {
            coder = Some((keys, Coder::new(run, side, missing.clone()).await?));
        }
        let (_, coder) = coder.as_ref().expect("just made");
        let mut all: Vec<Codes> = Vec::new();
        for batch in run.batches.iter().skip(shard.number * SHARD).take(SHARD) {
            let codes = coder.encode(batch).await?;
            match all.is_empty() {
                true => all = codes,
                false => all.iter_mut().zip(&codes).for_each(|(all, codes)| all.append(codes)),
            }
            done += batch.kept();
            run.stages.step(done).await?;
        }
        for (source, codes) in missing.iter().zip(all) {
            run.store.put_codes(&source.key, shard, codes)?;
        }
    }
    Ok(())
}

/// What turns a model's batches into codes.
pub(super) struct Coder<'a> {
    model: &'a LabModel,
    center: bool,
    /// Beside each source its rotation or its random SAE.
    sources: Vec<(&'a Source, Option<Substitute>)>,
}

enum Substitute {
    Rotated(Rotation),
    Random(Box<Sae>),
}

impl<'a> Coder<'a> {
    pub(super) async fn new<'m: 'a>(
        run: &Comparing<'m>,
        side: Side,
        sources: Vec<&'a Source>,
    ) -> Result<Self, LabError> {
        let (model, seed) = (run.what.model(side), run.what.plan.controls.seed);
        let center = run.basis(side).side.center_resid;
        let mut ready = Vec::new();
        for source in sources {
            let hooked = &model.saes[source.sae];
            let seed = seed.wrapping_mul(1_000_003).wrapping_add(hooked.layer as u64);
            let control = match source.variant {
                Variant::Trained => None,
                Variant::Rotated => Some(Substitute::Rotated(Rotation::new(&hooked.sae, seed).await?)),
                Variant::Random => Some(Substitute::Random(Box::new(hooked.sae.random_like(seed)))),
            };
            ready.push((source, control));
        }
        Ok(Self { model, center, sources: ready })
    }

    /// Codes of the kept tokens of a batch, of each source.
    pub(super) async fn encode(&self, batch: &TokenBatch) -> Result<Vec<Codes>, LabError> {
        let mut hooks: Vec<String> = Vec::new();
        for (source, _) in &self.sources {
            let hook = &self.model.saes[source.sae].hook;
            if !hooks.contains(hook) {
                hooks.push(hook.clone());
            }
        }
        let all = self.model.centered_activations(batch, &hooks, self.center).await?;
        let mut codes: Vec<Codes> = Vec::with_capacity(self.sources.len());
        for (source, control) in &self.sources {
            let hooked = &self.model.saes[source.sae];
            let at = hooks.iter().position(|hook| *hook == hooked.hook).expect("a hook that was asked for");
            let x = &hooked.reads(&all[at]);
            codes.push(match control {
                None => hooked.sae.encode(x).await?,
                Some(Substitute::Rotated(rotation)) => hooked.sae.encode(&rotation.apply(x)).await?,
                Some(Substitute::Random(random)) => {
                    let trained = |of: &Source| of.sae == source.sae && of.variant == Variant::Trained;
                    let before = self.sources.iter().zip(&codes).find(|((of, _), _)| trained(of));
                    match before {
                        Some((_, like)) => random.encode_like(x, like).await?,
                        None => random.encode_like(x, &hooked.sae.encode(x).await?).await?,
                    }
                }
            });
        }
        Ok(codes)
    }
}
