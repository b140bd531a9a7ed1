//! What was found, as a report and tables.

use std::collections::HashSet;
use std::ops::Range;

use serde::Serialize;

use super::contexts::Contexts;
use super::report::{
    Baseline, BaselineKind, Complexity, Converging, Direction, Feature, Halves, Likeness, Matching, Pair,
    Report, Significance,
};
use super::sides::Side;
use super::{Compared, Run};
use crate::corpus::{Context, Tag, TagSet};
use crate::lab::shared::LabError;
use crate::stats::{q_values, spearman};
use crate::universality::{
    Best, Correlation, LayerBest, LayerResult, Layers, TagMatch, above, best_layer, best_tags, depth,
    layer_mean, pooled_p_values, summarize, usual_thresholds,
};

/// How many best pairs a report shows.
const PAIRS: usize = 50;
/// F1 that it takes for a feature to count as telling a tag.
const LEAST_F1: f64 = 0.5;

/// Everything that was computed.
pub(super) struct Found {
    pub(super) real: LayerResult,
    /// Shuffled, and shifted.
    pub(super) nulls: [Vec<Bests>; 2],
    pub(super) strangers: Vec<Stranger>,
    pub(super) subsets: Vec<Subset>,
    /// Over how many tokens, and what.
    pub(super) neurons: Option<(usize, Correlation)>,
    pub(super) likeness: Option<Likeness>,
    pub(super) matching: Option<Matching>,
}

/// Both directions' best partners over all layers, by SAE.
pub(super) struct Bests {
    a: Vec<LayerBest>,
    b: Vec<LayerBest>,
}

/// MPPC with SAEs that know nothing in B's place.
pub(super) struct Stranger {
    pub(super) kind: BaselineKind,
    pub(super) bests: Bests,
    /// The features of these SAEs that the filter keeps.
    pub(super) kept_b: Vec<Vec<bool>>,
}

/// MPPC over some of the tokens.
pub(super) struct Subset {
    pub(super) tokens: Range<usize>,
    pub(super) bests: Bests,
}

impl Bests {
    pub(super) fn of(result: LayerResult) -> Self {
        Self { a: result.a_to_b.best, b: result.b_to_a.best }
    }

    fn direction(&self, forth: bool) -> &[LayerBest] {
        if forth { &self.a } else { &self.b }
    }
}

impl Found {
    pub(super) fn new(real: LayerResult) -> Self {
        Self {
            real,
            nulls: Default::default(),
            strangers: Vec::new(),
            subsets: Vec::new(),
            neurons: None,
            likeness: None,
            matching: None,
        }
    }
}

/// One feature: a row of `features_a.csv` or `features_b.csv`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FeatureRow {
    /// Hook that its SAE reads.
    pub hook: String,
    /// Layer of its SAE.
    pub layer: usize,
    /// Index in its SAE.
    pub index: usize,
    /// Share of tokens it fires on.
    pub density: f64,
    /// Mean activation over all tokens.
    pub mean: f64,
    /// Largest activation.
    pub max: f32,
    /// Whether it is neither dead, rare nor always on.
    pub filtered: bool,
    /// Best correlation with a feature of the other model; empty without variance.
    pub mppc: Option<f32>,
    /// The partner's layer.
    pub partner_layer: Option<usize>,
    /// The partner's index in its SAE.
    pub partner_index: Option<usize>,
    /// Best correlation with the other model's tokens shuffled.
    pub null_mppc: Option<f32>,
    /// Share of null maxima at least as large, its own and those of its neighbours by density.
    pub p: Option<f64>,
    /// Smallest false discovery rate at which it would be found.
    pub q: Option<f64>,
    /// The ground-truth tag that its firing tells best.
    pub tag: Option<Tag>,
    /// How much context that tag takes.
    pub tag_context: Option<Context>,
    /// How well it tells it: F1.
    pub tag_f1: Option<f64>,
}

/// One direction on its way into the report.
struct Towards<'a> {
    /// From A to B, or back.
    forth: bool,
    real: &'a Layers,
    side: &'a Side,
    other: &'a Side,
    found: &'a Found,
    draws: usize,
    tokens: usize,
    /// By SAE and feature; empty without ground truth.
    tags: Vec<Vec<Option<TagMatch>>>,
    /// p-values by SAE and feature; empty without.
    p: Vec<Vec<f64>>,
}

/// The report and its tables.
pub(super) fn compared(run: Run<'_>, sides: (Side, Side), found: Found) -> Result<Compared, LabError> {
    let tags = token_tags(&run);
    let towards = |forth: bool| -> Result<Towards<'_>, LabError> {
        let (real, side, other) = match forth {
            true => (&found.real.a_to_b, &sides.0, &sides.1),
            false => (&found.real.b_to_a, &sides.1, &sides.0),
        };
        let draws = run.what.plan.controls.draws;
        let sources = if forth { &run.a } else { &run.b };
        let best = |tags: &Vec<TagSet>| -> Result<Vec<_>, LabError> {
            let of =
                |source: &super::Source| Ok(best_tags(&*run.store.codes(&source.key, &run.shards)?, tags));
            sources.iter().map(of).collect()
        };
        let tags = tags.as_ref().map(best).transpose()?.unwrap_or_default();
        let p = if draws > 0 { p_values(&found, real, side, forth, draws) } else { Vec::new() };
        Ok(Towards { forth, real, side, other, found: &found, draws, tokens: run.tokens, tags, p })
    };
    let (forth, back) = (towards(true)?, towards(false)?);
    let pairs = best_pairs(&run, &forth)?;
    let told = run.what.engine.report();
    let report = Report {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        engine: told.engine.to_owned(),
        adapter: told.name,
        plan: run.what.plan.clone(),
        tokens: run.tokens,
        neuron_tokens: found.neurons.as_ref().map_or(0, |(tokens, _)| *tokens),
        inputs: run.what.inputs.all().cloned().collect(),
        a: sides.0.subject.clone(),
        b: sides.1.subject.clone(),
        a_to_b: forth.direction(),
        b_to_a: back.direction(),
        matching: found.matching.clone(),
        likeness: found.likeness.clone(),
        pairs,
        timings: run.stages.finish(),
    };
    Ok(Compared { report, features_a: forth.rows(), features_b: back.rows() })
}

/// The tags of every kept token, where the texts know them and the plan asks.
fn token_tags(run: &Run<'_>) -> Option<Vec<TagSet>> {
    let generator = run.what.corpus.generator().filter(|_| run.what.plan.controls.complexity)?;
    let mut tags = Vec::with_capacity(run.tokens);
    for batch in &run.batches {
        for (row, &document) in batch.documents.iter().enumerate() {
            let places = row * batch.len..(row + 1) * batch.len;
            let all = generator.document(document as u64).token_tags(&batch.offsets[places.clone()]);
            tags.extend(
                all.into_iter().zip(&batch.keep[places]).filter(|(_, keep)| **keep).map(|(tags, _)| tags),
            );
        }
    }
    Some(tags)
}

/// p-values by SAE and feature, from all nulls of either kind.
fn p_values(found: &Found, real: &Layers, side: &Side, forth: bool, draws: usize) -> Vec<Vec<f64>> {
    let nulls: Vec<&[LayerBest]> = found.nulls.iter().flatten().map(|null| null.direction(forth)).collect();
    let of = |(sae, best): (usize, &LayerBest)| {
        let density: Vec<f64> = side.moments[sae].iter().map(|m| m.density).collect();
        let nulls: Vec<Vec<f32>> = nulls.iter().map(|null| null[sae].mppc.clone()).collect();
        pooled_p_values(&best.mppc, &density, &nulls, draws)
    };
    real.best.iter().enumerate().map(of).collect()
}

impl Towards<'_> {
    fn direction(&self) -> Direction {
        let values = |best: &[LayerBest]| best.iter().map(|b| b.mppc.clone()).collect::<Vec<_>>();
        let real = values(&self.real.best);
        let filtered = |values: &[Vec<f32>]| summarize(self.side.filtered(values));
        let everything = |values: &[Vec<f32>]| summarize(values.iter().flatten().copied());
        let mut baselines = Vec::new();
        for (kind, runs) in [BaselineKind::Shuffled, BaselineKind::Shifted].into_iter().zip(&self.found.nulls)
        {
            if let Some(first) = runs.first() {
                let values = values(first.direction(self.forth));
                let (all, filtered) = (everything(&values), filtered(&values));
                baselines.push(Baseline { kind, runs: runs.len(), all, filtered });
            }
        }
        for stranger in &self.found.strangers {
            let values = values(stranger.bests.direction(self.forth));
            let filtered = match self.forth {
                true => filtered(&values),
                false => {
                    let kept = values.iter().zip(&stranger.kept_b);
                    summarize(kept.flat_map(|(v, k)| v.iter().zip(k).filter(|(_, k)| **k).map(|(v, _)| *v)))
                }
            };
            baselines.push(Baseline { kind: stranger.kind, runs: 1, all: everything(&values), filtered });
        }
        let of_neurons = |best: &Best| summarize(best.mppc.iter().copied());
        let neurons =
            self.found.neurons.as_ref().map(|(_, both)| if self.forth { &both.a_to_b } else { &both.b_to_a });
        let null = baselines.iter().find(|b| b.kind == BaselineKind::Shuffled);
        Direction {
            all: everything(&real),
            filtered: filtered(&real),
            neurons: neurons.map_or_else(|| summarize([]), of_neurons),
            null: null.map_or_else(|| summarize([]), |null| null.filtered.clone()),
            baselines,
            significance: self.significance(),
            above: above(self.side.filtered(&real), &usual_thresholds()),
            layer_mean: layer_mean(self.real, &self.side.kept),
            best_layer: best_layer(self.real, &self.side.kept),
            depth: depth(self.real, &self.side.kept, &self.side.depths, &self.other.depths),
            convergence: self.convergence(),
            halves: self.halves(),
            complexity: self.complexity(),
        }
    }

    fn significance(&self) -> Option<Significance> {
        let p: Vec<f64> = self.p.iter().flatten().copied().filter(|p| !p.is_nan()).collect();
        let share =
            |values: &[f64]| values.iter().filter(|v| **v < 0.05).count() as f64 / values.len().max(1) as f64;
        (!self.p.is_empty()).then(|| Significance {
            draws: self.draws,
            tested: p.len(),
            p_below_5: share(&p),
            q_below_5: share(&q_values(&p)),
        })
    }

    fn subset(&self, tokens: Range<usize>) -> Option<&[LayerBest]> {
        let found = self.found.subsets.iter().find(|subset| subset.tokens == tokens)?;
        Some(found.bests.direction(self.forth))
    }

    fn convergence(&self) -> Vec<Converging> {
        let beginnings = self.found.subsets.iter().filter(|subset| subset.tokens.start == 0);
        let mut all: Vec<_> = beginnings.map(|s| (s.tokens.end, s.bests.direction(self.forth))).collect();
        if !all.is_empty() {
            all.push((self.tokens, &self.real.best));
        }
        let point = |(tokens, best): (usize, &[LayerBest])| {
            let values: Vec<Vec<f32>> = best.iter().map(|b| b.mppc.clone()).collect();
            let s = summarize(self.side.filtered(&values));
            Converging { tokens, count: s.count, mean: s.mean, interval: s.intervals.map(|i| i.mean) }
        };
        all.into_iter().map(point).collect()
    }

    fn halves(&self) -> Option<Halves> {
        let (first, second) = (self.subset(0..self.tokens / 2)?, self.subset(self.tokens / 2..self.tokens)?);
        let (mut x, mut y, mut same) = (Vec::new(), Vec::new(), 0);
        for ((one, two), kept) in first.iter().zip(second).zip(&self.side.kept) {
            for i in (0..kept.len()).filter(|&i| kept[i] && one.layer[i] >= 0 && two.layer[i] >= 0) {
                x.push(f64::from(one.mppc[i]));
                y.push(f64::from(two.mppc[i]));
                same += usize::from((one.layer[i], one.argmax[i]) == (two.layer[i], two.argmax[i]));
            }
        }
        let count = x.len();
        let mean = |sum: f64| (count > 0).then(|| sum / count as f64);
        Some(Halves {
            count,
            means: [mean(x.iter().sum()), mean(y.iter().sum())],
            spearman: spearman(&x, &y),
            difference: mean(x.iter().zip(&y).map(|(x, y)| (x - y).abs()).sum()),
            same_partner: mean(same as f64),
        })
    }

    fn complexity(&self) -> Vec<Complexity> {
        if self.tags.is_empty() {
            return Vec::new();
        }
        let contexts = [Context::Token, Context::Ngram, Context::Phrase, Context::LongRange].map(Some);
        let row = |context: Option<Context>| {
            let told = |tag: &Option<TagMatch>| tag.filter(|t| t.f1 >= LEAST_F1).map(|t| t.context);
            let values = self.tags.iter().zip(&self.side.kept).zip(&self.real.best).flat_map(
                |((tags, kept), best)| {
                    let chosen = tags.iter().zip(kept).zip(&best.mppc);
                    let chosen = chosen.filter(|((tag, kept), _)| **kept && told(tag) == context);
                    chosen.map(|(_, mppc)| *mppc)
                },
            );
            Complexity { context, least_f1: LEAST_F1, summary: summarize(values) }
        };
        contexts.into_iter().chain([None]).map(row).collect()
    }

    fn rows(&self) -> Vec<FeatureRow> {
        let null = self.found.nulls[0].first().map(|null| null.direction(self.forth));
        let value = |v: f32| Some(v).filter(|v| !v.is_nan());
        let flat: Vec<f64> = self.p.iter().flatten().copied().collect();
        let q = q_values(&flat);
        let mut all = Vec::new();
        for (sae, best) in self.real.best.iter().enumerate() {
            let summary = &self.side.subject.saes[sae];
            for index in 0..best.mppc.len() {
                let (moment, nth) = (&self.side.moments[sae][index], all.len());
                let tag = self.tags.get(sae).and_then(|tags| tags[index]);
                let partner = usize::try_from(best.layer[index]).ok();
                all.push(FeatureRow {
                    hook: summary.hook.clone(),
                    layer: summary.layer,
                    index,
                    density: moment.density,
                    mean: moment.mean,
                    max: moment.max,
                    filtered: self.side.kept[sae][index],
                    mppc: value(best.mppc[index]),
                    partner_layer: partner.map(|sae| self.other.subject.saes[sae].layer),
                    partner_index: usize::try_from(best.argmax[index]).ok(),
                    null_mppc: null.and_then(|null| value(null[sae].mppc[index])),
                    p: flat.get(nth).copied().filter(|p| !p.is_nan()),
                    q: q.get(nth).copied().filter(|q| !q.is_nan()),
                    tag: tag.map(|t| t.tag),
                    tag_context: tag.map(|t| t.context),
                    tag_f1: tag.map(|t| t.f1),
                });
            }
        }
        all
    }
}

/// A feature of A, its partner, and their correlation.
struct Matched {
    mppc: f32,
    /// SAE and index.
    a: (usize, usize),
    b: (usize, usize),
}

/// The best filtered pairs, each feature of B at most once, so that one popular partner does not fill the table.
fn best_pairs(run: &Run<'_>, forth: &Towards<'_>) -> Result<Vec<Pair>, LabError> {
    let mut all: Vec<Matched> = Vec::new();
    for (sae, best) in forth.real.best.iter().enumerate() {
        for (index, &mppc) in best.mppc.iter().enumerate() {
            if let (Ok(to), Ok(partner)) =
                (usize::try_from(best.layer[index]), usize::try_from(best.argmax[index]))
                && forth.side.kept[sae][index]
                && forth.other.kept[to][partner]
            {
                all.push(Matched { mppc, a: (sae, index), b: (to, partner) });
            }
        }
    }
    all.sort_by(|x, y| y.mppc.total_cmp(&x.mppc).then(x.a.cmp(&y.a)));
    let mut taken = HashSet::new();
    all.retain(|pair| taken.insert(pair.b));
    all.truncate(PAIRS);
    let contexts = Contexts::new(&run.batches, &run.what.a.tokenizer);
    let a = features(run, &contexts, (&run.a, forth.side), all.iter().map(|pair| pair.a))?;
    let b = features(run, &contexts, (&run.b, forth.other), all.iter().map(|pair| pair.b))?;
    let pair = |((pair, a), b): ((&Matched, Feature), Feature)| Pair { a, b, mppc: pair.mppc.into() };
    Ok(all.iter().zip(a).zip(b).map(pair).collect())
}

/// Features with their strongest tokens; each SAE's codes are read once.
fn features(
    run: &Run<'_>,
    contexts: &Contexts<'_>,
    (sources, side): (&[super::Source], &Side),
    wanted: impl Iterator<Item = (usize, usize)>,
) -> Result<Vec<Feature>, LabError> {
    let wanted: Vec<(usize, usize)> = wanted.collect();
    let mut found: Vec<Option<Feature>> = vec![None; wanted.len()];
    for (sae, source) in sources.iter().enumerate() {
        if !wanted.iter().any(|(of, _)| *of == sae) {
            continue;
        }
        let codes = run.store.codes(&source.key, &run.shards)?;
        for (slot, &(_, index)) in found.iter_mut().zip(&wanted).filter(|(_, (of, _))| *of == sae) {
            *slot = Some(Feature {
                layer: side.subject.saes[sae].layer,
                index,
                density: side.moments[sae][index].density,
                top: contexts.top(&codes, index),
            });
        }
    }
    Ok(found.into_iter().flatten().collect())
}
