//! MPPC over all pairs of layers, with what a store has of them.

use std::ops::Range;
use std::rc::Rc;

use super::comparing::Comparing;
use super::sources::{Source, Variant};
use crate::lab::shared::LabError;
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
    fn key(&self, a: &Source, b: &Source) -> String {
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

/// A whole run of MPPC: all layers of A against all layers of B, or of what stands in for B's SAEs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AllPairs {
    pub(super) variant: Variant,
    pub(super) cut: Cut,
}

/// A job: MPPC of an SAE of A and one of B, by their numbers.
#[derive(Debug)]
pub(super) struct LayerPair {
    pub(super) a: usize,
    pub(super) b: usize,
    /// Features of either.
    pub(super) sizes: (usize, usize),
    /// Names everything that decides the correlation.
    key: String,
}

impl AllPairs {
    /// Its jobs, by A's layer and then by B's.
    pub(super) fn pairs(&self, run: &Comparing<'_>) -> Vec<LayerPair> {
        let others = run.sources(self.variant);
        let pair = |(a, x): (usize, &Source), (b, y): (usize, &Source)| LayerPair {
            a,
            b,
            sizes: (x.features, y.features),
            key: self.cut.key(x, y),
        };
        run.a.iter().enumerate().flat_map(|x| others.iter().enumerate().map(move |y| pair(x, y))).collect()
    }
}

impl LayerPair {
    /// Whether it is still to be done.
    pub(super) fn missing(&self, run: &Comparing<'_>) -> Result<bool, LabError> {
        Ok(run.store.pair(&self.key, self.sizes)?.is_none())
    }
}

/// Does what the store lacks of a run. Two layers' codes are in memory at a time. `done` pairs of the stage are behind
/// us.
pub(super) async fn correlate(
    run: &mut Comparing<'_>,
    all: &AllPairs,
    mut done: usize,
) -> Result<LayerResult, LabError> {
    let codes = |run: &Comparing<'_>, source: &Source| run.store.codes(&source.key, &run.shards);
    let mut rows = Vec::new();
    for pairs in all.pairs(run).chunk_by(|x, y| x.a == y.a) {
        let mut prepared: Option<Prepared> = None;
        let mut row = Vec::new();
        for pair in pairs {
            let kept = run.store.pair(&pair.key, pair.sizes)?;
            run.tell_damage();
            row.push(match kept {
                Some(correlation) => correlation,
                None => {
                    let ready = match prepared.take() {
                        Some(ready) => ready,
                        None => Prepared::new(&all.cut.ordered(codes(run, &run.a[pair.a])?))?,
                    };
                    let other = all.cut.plain(codes(run, &run.sources(all.variant)[pair.b])?);
                    let correlation = ready.correlate(run.what.engine, &other).await?;
                    prepared = Some(ready);
                    run.store.put_pair(&pair.key, &correlation)?;
                    correlation
                }
            });
            done += 1;
            run.stages.step(done).await?;
        }
        rows.push(row);
    }
    Ok(LayerResult::new(rows))
}
