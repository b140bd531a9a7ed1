//! MPPC over all pairs of layers, with what a store has of them.

use std::ops::Range;
use std::rc::Rc;

use super::encode::Source;
use super::store::{Shard, Store};
use crate::gpu::Engine;
use crate::lab::shared::LabError;
use crate::lab::shared::Stages;
use crate::sae::Codes;
use crate::universality::{LayerResult, Prepared, shift_tokens, shuffle_tokens};

/// What keeps tokens from corresponding. It happens to A's side, which takes less work and comes to the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Null {
    Shuffled(u64),
    Shifted(u64),
}

/// Which tokens, and in which order on A's side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) tokens: Range<usize>,
    pub(super) null: Option<Null>,
}

impl Cut {
    /// A name for everything that decides the correlation.
    pub(super) fn key(&self, a: &Source, b: &Source) -> String {
        let null = match self.null {
            None => String::new(),
            Some(Null::Shuffled(seed)) => format!(".shuffled-{seed}"),
            Some(Null::Shifted(seed)) => format!(".shifted-{seed}"),
        };
        format!("{}-{}.{}-{}{null}", a.digest, b.digest, self.tokens.start, self.tokens.end)
    }

    fn plain(&self, codes: Rc<Codes>) -> Rc<Codes> {
        if self.tokens == (0..codes.tokens()) { codes } else { Rc::new(codes.slice(self.tokens.clone())) }
    }

    fn ordered(&self, codes: Rc<Codes>) -> Rc<Codes> {
        let codes = self.plain(codes);
        match self.null {
            None => codes,
            Some(Null::Shuffled(seed)) => Rc::new(shuffle_tokens(&codes, seed)),
            Some(Null::Shifted(seed)) => Rc::new(shift_tokens(&codes, seed)),
        }
    }
}

/// Correlates all layers of A with all layers of B. Two layers' codes are in memory at a time. `done` pairs of the
/// stage are behind us.
pub(super) async fn correlate_layers<'s>(
    engine: &Engine,
    (a, b): (&[Source], &[Source]),
    cut: &Cut,
    (store, shards): (&mut (dyn Store + 's), &[Shard]),
    (stages, done): (&mut Stages<'_>, usize),
) -> Result<LayerResult, LabError> {
    let mut rows = Vec::new();
    for (i, a) in a.iter().enumerate() {
        let mut prepared: Option<Prepared> = None;
        let mut row = Vec::new();
        for (j, source) in b.iter().enumerate() {
            let key = cut.key(a, source);
            let kept = store.pair(&key, (a.features, source.features))?;
            store.damaged().into_iter().for_each(|line| stages.warn(line));
            let pair = match kept {
                Some(pair) => pair,
                None => {
                    let ready = match prepared.take() {
                        Some(ready) => ready,
                        None => Prepared::new(&cut.ordered(store.codes(&a.key, shards)?))?,
                    };
                    let other = cut.plain(store.codes(&source.key, shards)?);
                    let pair = ready.correlate(engine, &other).await?;
                    prepared = Some(ready);
                    store.put_pair(&key, &pair)?;
                    pair
                }
            };
            row.push(pair);
            stages.step(done + i * b.len() + j + 1).await?;
        }
        rows.push(row);
    }
    Ok(LayerResult::new(rows))
}
