//! What was found, as a report and tables.

use std::collections::HashSet;
use std::ops::Range;

use super::comparing::Comparing;
use super::comparison::Side;
use super::complexity::{TagMatch, best_tags};
use super::contexts::Contexts;
use super::features::{Features, filtered};
use super::found::{Control, Found};
use super::neurons;
use super::report::{
    Baseline, BaselineKind, Complexity, Converging, Direction, Feature, FeatureRow, Halves, Pair, Report,
    Significance,
};
use super::sources::Source;
use super::stage::Stage;
use crate::corpus::{Context, TagSet};
use crate::lab::shared::LabError;
use crate::stats::{q_values, spearman};
use crate::universality::{
    Best, LayerBest, Layers, above, best_layer, depth, layer_mean, pooled_p_values, summarize,
    usual_thresholds,
};

/// How many best pairs a report shows.
const PAIRS: usize = 50;
/// F1 that it takes for a feature to count as telling a tag.
const LEAST_F1: f64 = 0.5;

/// A report and the tables behind it.
#[derive(Debug)]
pub struct Compared {
    /// The report.
    pub report: Report,
    /// Every feature of A.
    pub features_a: Vec<FeatureRow>,
    /// Every feature of B.
    pub features_b: Vec<FeatureRow>,
}

/// What was found of one model's features against the other model's, on its way into the report.
struct OneWay<'a> {
    /// From A to B, or back.
    forth: bool,
    real: &'a Layers,
    features: &'a Features,
    others: &'a Features,
    found: &'a Found,
    draws: usize,
    tokens: usize,
    /// By SAE and feature; empty without ground truth.
    tags: Vec<Vec<Option<TagMatch>>>,
    /// p-values by SAE and feature; empty without.
    p: Vec<Vec<f64>>,
}

/// The report and its tables.
pub(super) fn compared(run: Comparing<'_>, found: &Found) -> Result<Compared, LabError> {
    let tags = token_tags(&run);
    let one_way = |side: Side| -> Result<OneWay<'_>, LabError> {
        let (real, features, others) = match side {
            Side::A => (&found.real.a_to_b, &found.features[0], &found.features[1]),
            Side::B => (&found.real.b_to_a, &found.features[1], &found.features[0]),
        };
        let best = |tags: &Vec<TagSet>| -> Result<Vec<_>, LabError> {
            let codes = run.trained(side).iter().map(|source| run.store.codes(&source.key, &run.shards));
            codes.map(|codes| Ok(best_tags(&*codes?, tags))).collect()
        };
        let tags = tags.as_ref().map(best).transpose()?.unwrap_or_default();
        let draws = run.what.plan.controls.draws;
        let forth = side == Side::A;
        let p = if draws > 0 { p_values(found, real, features, forth, draws) } else { Vec::new() };
        Ok(OneWay { forth, real, features, others, found, draws, tokens: run.tokens, tags, p })
    };
    let (forth, back) = (one_way(Side::A)?, one_way(Side::B)?);
    let pairs = best_pairs(&run, &forth)?;
    let told = run.what.engine.report();
    let report = Report {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        engine: told.engine.to_owned(),
        adapter: told.name,
        plan: run.what.plan.clone(),
        tokens: run.tokens,
        neuron_tokens: found.neurons.as_ref().map_or(0, |_| neurons::tokens(&run)),
        inputs: run.what.inputs.all().cloned().collect(),
        a: found.features[0].subject.clone(),
        b: found.features[1].subject.clone(),
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
fn token_tags(run: &Comparing<'_>) -> Option<Vec<TagSet>> {
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
fn p_values(found: &Found, real: &Layers, features: &Features, forth: bool, draws: usize) -> Vec<Vec<f64>> {
    let nulls = BaselineKind::ALL.into_iter().filter(|kind| kind.is_null());
    let nulls: Vec<&[LayerBest]> =
        nulls.flat_map(|kind| found.of(Stage::Baseline(kind))).map(|null| null.direction(forth)).collect();
    let of = |(sae, best): (usize, &LayerBest)| {
        let density: Vec<f64> = features.moments[sae].iter().map(|m| m.density).collect();
        let nulls: Vec<Vec<f32>> = nulls.iter().map(|null| null[sae].mppc.clone()).collect();
        pooled_p_values(&best.mppc, &density, &nulls, draws)
    };
    real.best.iter().enumerate().map(of).collect()
}

/// MPPC by SAE and feature.
fn mppc(best: &[LayerBest]) -> Vec<Vec<f32>> {
    best.iter().map(|best| best.mppc.clone()).collect()
}

impl OneWay<'_> {
    fn direction(&self) -> Direction {
        let (real, kept) = (mppc(&self.real.best), &self.features.kept);
        let of_neurons = |best: &Best| summarize(best.mppc.iter().copied());
        let neurons =
            self.found.neurons.as_ref().map(|both| if self.forth { &both.a_to_b } else { &both.b_to_a });
        let baselines: Vec<Baseline> =
            BaselineKind::ALL.into_iter().filter_map(|kind| self.baseline(kind)).collect();
        let null = baselines.iter().find(|b| b.kind == BaselineKind::Shuffled);
        Direction {
            all: summarize(real.iter().flatten().copied()),
            filtered: summarize(filtered(&real, kept)),
            neurons: neurons.map_or_else(|| summarize([]), of_neurons),
            null: null.map_or_else(|| summarize([]), |null| null.filtered.clone()),
            baselines,
            significance: self.significance(),
            above: above(filtered(&real, kept), &usual_thresholds()),
            layer_mean: layer_mean(self.real, kept),
            best_layer: best_layer(self.real, kept),
            depth: depth(self.real, kept, &self.features.depths, &self.others.depths),
            convergence: self.convergence(),
            halves: self.halves(),
            complexity: self.complexity(),
        }
    }

    /// The first run of a baseline, if there is any.
    fn baseline(&self, kind: BaselineKind) -> Option<Baseline> {
        let mut runs = self.found.of(Stage::Baseline(kind));
        let first = runs.next()?;
        let values = mppc(first.direction(self.forth));
        let kept = match (&first.kept_b, self.forth) {
            (Some(kept), false) => kept,
            _ => &self.features.kept,
        };
        let (all, filtered) =
            (summarize(values.iter().flatten().copied()), summarize(filtered(&values, kept)));
        Some(Baseline { kind, runs: 1 + runs.count(), all, filtered })
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
        let found = self.found.of(Stage::Subsets).find(|subset| subset.tokens == tokens)?;
        Some(found.direction(self.forth))
    }

    fn convergence(&self) -> Vec<Converging> {
        let beginnings = self.found.of(Stage::Subsets).filter(|subset| subset.tokens.start == 0);
        let of = |subset: &Control| (subset.tokens.end, mppc(subset.direction(self.forth)));
        let mut all: Vec<(usize, Vec<Vec<f32>>)> = beginnings.map(of).collect();
        if !all.is_empty() {
            all.push((self.tokens, mppc(&self.real.best)));
        }
        let point = |(tokens, values): (usize, Vec<Vec<f32>>)| {
            let s = summarize(filtered(&values, &self.features.kept));
            Converging { tokens, count: s.count, mean: s.mean, interval: s.intervals.map(|i| i.mean) }
        };
        all.into_iter().map(point).collect()
    }

    fn halves(&self) -> Option<Halves> {
        let (first, second) = (self.subset(0..self.tokens / 2)?, self.subset(self.tokens / 2..self.tokens)?);
        let (mut x, mut y, mut same) = (Vec::new(), Vec::new(), 0);
        for ((one, two), kept) in first.iter().zip(second).zip(&self.features.kept) {
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
            let values = self.tags.iter().zip(&self.features.kept).zip(&self.real.best).flat_map(
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
        let null = self.found.of(Stage::Baseline(BaselineKind::Shuffled)).next();
        let null = null.map(|null| null.direction(self.forth));
        let value = |v: f32| Some(v).filter(|v| !v.is_nan());
        let flat: Vec<f64> = self.p.iter().flatten().copied().collect();
        let q = q_values(&flat);
        let mut all = Vec::new();
        for (sae, best) in self.real.best.iter().enumerate() {
            let summary = &self.features.subject.saes[sae];
            for index in 0..best.mppc.len() {
                let (moment, nth) = (&self.features.moments[sae][index], all.len());
                let tag = self.tags.get(sae).and_then(|tags| tags[index]);
                let partner = usize::try_from(best.layer[index]).ok();
                all.push(FeatureRow {
                    hook: summary.hook.clone(),
                    layer: summary.layer,
                    index,
                    density: moment.density,
                    mean: moment.mean,
                    max: moment.max,
                    filtered: self.features.kept[sae][index],
                    mppc: value(best.mppc[index]),
                    partner_layer: partner.map(|sae| self.others.subject.saes[sae].layer),
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
fn best_pairs(run: &Comparing<'_>, forth: &OneWay<'_>) -> Result<Vec<Pair>, LabError> {
    let mut all: Vec<Matched> = Vec::new();
    for (sae, best) in forth.real.best.iter().enumerate() {
        for (index, &mppc) in best.mppc.iter().enumerate() {
            if let (Ok(to), Ok(partner)) =
                (usize::try_from(best.layer[index]), usize::try_from(best.argmax[index]))
                && forth.features.kept[sae][index]
                && forth.others.kept[to][partner]
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
    let a = features(run, &contexts, (&run.a, forth.features), all.iter().map(|pair| pair.a))?;
    let b = features(run, &contexts, (run.trained(Side::B), forth.others), all.iter().map(|pair| pair.b))?;
    let pair = |((pair, a), b): ((&Matched, Feature), Feature)| Pair { a, b, mppc: pair.mppc.into() };
    Ok(all.iter().zip(a).zip(b).map(pair).collect())
}

/// Features with their strongest tokens; each SAE's codes are read once.
fn features(
    run: &Comparing<'_>,
    contexts: &Contexts<'_>,
    (sources, of): (&[Source], &Features),
    wanted: impl Iterator<Item = (usize, usize)>,
) -> Result<Vec<Feature>, LabError> {
    let wanted: Vec<(usize, usize)> = wanted.collect();
    let mut found: Vec<Option<Feature>> = vec![None; wanted.len()];
    for (sae, source) in sources.iter().enumerate() {
        if !wanted.iter().any(|(at, _)| *at == sae) {
            continue;
        }
        let codes = run.store.codes(&source.key, &run.shards)?;
        for (slot, &(_, index)) in found.iter_mut().zip(&wanted).filter(|(_, (at, _))| *at == sae) {
            *slot = Some(Feature {
                layer: of.subject.saes[sae].layer,
                index,
                density: of.moments[sae][index].density,
                top: contexts.top(&codes, index),
            });
        }
    }
    Ok(found.into_iter().flatten().collect())
}
