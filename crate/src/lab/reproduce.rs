//! MPPC between two models, with its baselines: the paper's first result (section 3).

use serde::Serialize;

use super::stages::Stages;
use super::tokens::token_batches;
use super::top::Contexts;
use super::{Direction, Feature, LabError, LabModel, Observer, Pair, Report, SaeSummary, Settings, Subject};
use crate::corpus::{Corpus, TokenBatch, Tokenize};
use crate::gpu::Engine;
use crate::sae::{Codes, code_flags};
use crate::universality::{
    Best, DenseCorrelator, DensityFilter, Layers, Moment, best_layer, depth_spearman, layer_mean, moments,
    mppc_layers, shuffle_tokens, summarize,
};

/// How many best pairs a report shows.
const PAIRS: usize = 50;
/// Tokens, two encodings, MPPC, null, neurons.
const STAGES: usize = 6;

/// A report and the tables behind it.
#[derive(Debug)]
pub struct Reproduction {
    /// The report.
    pub report: Report,
    /// Every feature of A.
    pub features_a: Vec<FeatureRow>,
    /// Every feature of B.
    pub features_b: Vec<FeatureRow>,
}

/// One feature: a row of `features_a.csv` or `features_b.csv`.
#[derive(Debug, Clone, Serialize)]
pub struct FeatureRow {
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
}

/// Runs both models over a corpus, encodes every layer, correlates everything with everything, and sets the
/// neuron baseline and the shuffled-token null beside it. SAEs whose codes look unhealthy are named in the progress
/// before anything is correlated, and in the report.
///
/// # Errors
/// The parts do not fit (different tokenizers, no SAEs), the corpus is too short to correlate over, a device
/// fails, or the observer cancels.
pub async fn reproduce(
    engine: &Engine,
    (a, b): (&LabModel, &LabModel),
    corpus: &Corpus,
    mut settings: Settings,
    observer: &dyn Observer,
) -> Result<Reproduction, LabError> {
    for model in [a, b] {
        if model.saes.is_empty() {
            let name = model.name();
            return Err(LabError::Mismatch(format!(
                "{name} has no SAEs; train them with `mppc sae train {name} --hook 'blocks.*.hook_resid_post' …`"
            )));
        }
    }
    let mut stages = Stages::new(observer, STAGES);

    stages.begin("tokens", settings.tokens, "tokens").await?;
    let batches = tokenize((a, b), corpus, &settings)?;
    settings.tokens = batches.iter().map(TokenBatch::kept).sum();
    settings.neuron_tokens = settings.neuron_tokens.min(settings.tokens);

    let codes_a = encode(a, &batches, settings.center_resid, &mut stages).await?;
    let codes_b = encode(b, &batches, false, &mut stages).await?;
    // Before the correlation, which takes longest: who is warned may want to stop it.
    warn(a, &codes_a, &mut stages);
    warn(b, &codes_b, &mut stages);

    let pairs = codes_a.len() * codes_b.len();
    stages.begin("MPPC", pairs, "layer pairs").await?;
    let step = |stages: &mut Stages<'_>, done| match stages.tell(done) {
        Ok(()) => std::ops::ControlFlow::Continue(()),
        Err(_) => std::ops::ControlFlow::Break(()),
    };
    let real = mppc_layers(engine, &codes_a, &codes_b, |done, _| step(&mut stages, done)).await?;

    stages.begin("shuffled-token null", pairs, "layer pairs").await?;
    let shuffled: Vec<Codes> = codes_b.iter().map(|c| shuffle_tokens(c, settings.seed)).collect();
    let null = mppc_layers(engine, &codes_a, &shuffled, |done, _| step(&mut stages, done)).await?;
    drop(shuffled);

    stages.begin("neuron baseline", settings.neuron_tokens, "tokens").await?;
    let neurons = neuron_baseline(engine, (a, b), &batches, &mut stages).await?;

    let filter = DensityFilter { min: settings.min_density, max: settings.max_density };
    let side_a = Side::new(&codes_a, &filter);
    let side_b = Side::new(&codes_b, &filter);
    let a_to_b = direction(&real.a_to_b, &null.a_to_b, &neurons.0, &side_a);
    let b_to_a = direction(&real.b_to_a, &null.b_to_a, &neurons.1, &side_b);
    let contexts = Contexts::new(&batches, &a.tokenizer);
    let pairs = best_pairs(&real.a_to_b, &side_a, &side_b, &contexts);
    let told = engine.report();
    let report = Report {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        engine: told.engine.to_owned(),
        adapter: told.name,
        a: subject(a, &side_a),
        b: subject(b, &side_b),
        settings,
        a_to_b,
        b_to_a,
        pairs,
        timings: stages.finish(),
    };
    Ok(Reproduction {
        report,
        features_a: rows(&real.a_to_b, &null.a_to_b, &side_a),
        features_b: rows(&real.b_to_a, &null.b_to_a, &side_b),
    })
}

/// The corpus as batches, after making sure that both models read the same tokens.
fn tokenize(
    (a, b): (&LabModel, &LabModel),
    corpus: &Corpus,
    settings: &Settings,
) -> Result<Vec<TokenBatch>, LabError> {
    let all: Vec<TokenBatch> = token_batches(corpus, &a.tokenizer, settings)?.collect::<Result<_, _>>()?;
    let sample = all.first().map(|batch| a.tokenizer.decode(&batch.ids)).unwrap_or_default();
    let ids = |m: &LabModel| {
        m.tokenizer.encode(&sample).map(|e| e.ids).map_err(|e| LabError::Mismatch(e.to_string()))
    };
    if ids(a)? != ids(b)? {
        return Err(LabError::Mismatch(format!(
            "{} and {} have different tokenizers; features can only be correlated over the same tokens",
            a.name(),
            b.name()
        )));
    }
    let tokens: usize = all.iter().map(TokenBatch::kept).sum();
    if tokens < 2 {
        return Err(LabError::Mismatch(format!(
            "the corpus gives {tokens} tokens; a correlation needs at least 2, and means something from about 10,000"
        )));
    }
    Ok(all)
}

async fn encode(
    model: &LabModel,
    batches: &[TokenBatch],
    center: bool,
    stages: &mut Stages<'_>,
) -> Result<Vec<Codes>, LabError> {
    let total = batches.iter().map(TokenBatch::kept).sum();
    stages.begin(&format!("{} features", model.name()), total, "tokens").await?;
    let mut all: Vec<Codes> = model.saes.iter().map(|s| Codes::new(s.sae.config.d_sae)).collect();
    for batch in batches {
        for (all, codes) in all.iter_mut().zip(model.codes(batch, center).await?) {
            all.append(&codes);
        }
        stages.step(all[0].tokens()).await?;
    }
    Ok(all)
}

/// Says what the codes have that a healthy SAE's don't.
fn warn(model: &LabModel, codes: &[Codes], stages: &mut Stages<'_>) {
    for (hooked, codes) in model.saes.iter().zip(codes) {
        for flag in code_flags(codes) {
            stages.warn(format!(
                "the SAE of {}, {}, is not healthy: {}",
                model.name(),
                hooked.hook,
                flag.reason
            ));
        }
    }
}

/// MPPC of A's neurons in B and of B's neurons in A.
async fn neuron_baseline(
    engine: &Engine,
    (a, b): (&LabModel, &LabModel),
    batches: &[TokenBatch],
    stages: &mut Stages<'_>,
) -> Result<(Best, Best), LabError> {
    let mut correlator = DenseCorrelator::new(engine, a.neuron_count(), b.neuron_count());
    let mut done = 0;
    let wanted = stages.total();
    for batch in batches {
        if done >= wanted {
            break;
        }
        let batch = beginning(batch, wanted - done);
        correlator.push(&a.neurons(&batch)?, &b.neurons(&batch)?).await?;
        done += batch.kept();
        stages.step(done).await?;
    }
    let both = correlator.finish()?;
    Ok((both.a_to_b, both.b_to_a))
}

/// The batch with only its first `tokens` kept tokens kept.
fn beginning(batch: &TokenBatch, tokens: usize) -> TokenBatch {
    let mut batch = batch.clone();
    batch.keep.iter_mut().filter(|k| **k).skip(tokens).for_each(|k| *k = false);
    batch
}

/// One model's codes with what is derived from them.
struct Side<'a> {
    codes: &'a [Codes],
    moments: Vec<Vec<Moment>>,
    /// Features that the filter keeps.
    kept: Vec<Vec<bool>>,
}

impl<'a> Side<'a> {
    fn new(codes: &'a [Codes], filter: &DensityFilter) -> Self {
        let moments: Vec<Vec<Moment>> = codes.iter().map(moments).collect();
        let kept = moments.iter().map(|m| m.iter().map(|m| filter.keeps(m)).collect()).collect();
        Self { codes, moments, kept }
    }
}

fn direction(real: &Layers, null: &Layers, neurons: &Best, side: &Side<'_>) -> Direction {
    let kept = |layers: &Layers| {
        let values = layers.best.iter().zip(&side.kept).flat_map(|(best, kept)| {
            best.mppc.iter().zip(kept).filter(|(_, kept)| **kept).map(|(v, _)| *v).collect::<Vec<f32>>()
        });
        summarize(values)
    };
    Direction {
        all: summarize(real.best.iter().flat_map(|b| b.mppc.iter().copied())),
        filtered: kept(real),
        neurons: summarize(neurons.mppc.iter().copied()),
        null: kept(null),
        layer_mean: layer_mean(real, &side.kept),
        best_layer: best_layer(real, &side.kept),
        depth_spearman: depth_spearman(real, &side.kept),
    }
}

fn subject(model: &LabModel, side: &Side<'_>) -> Subject {
    let summary = |i: usize| {
        let codes = &side.codes[i];
        SaeSummary {
            hook: model.saes[i].hook.clone(),
            features: codes.n_features,
            l0: codes.indices.len() as f64 / codes.tokens() as f64,
            dead: side.moments[i].iter().filter(|m| m.density == 0.0).count(),
            kept: side.kept[i].iter().filter(|k| **k).count(),
            flags: code_flags(codes),
        }
    };
    Subject {
        name: model.name().to_owned(),
        architecture: model.model.architecture().to_owned(),
        layers: model.model.layers(),
        d_model: model.model.d_model(),
        saes: (0..model.saes.len()).map(summary).collect(),
    }
}

fn rows(real: &Layers, null: &Layers, side: &Side<'_>) -> Vec<FeatureRow> {
    let mut all = Vec::new();
    for (layer, (best, null)) in real.best.iter().zip(&null.best).enumerate() {
        for index in 0..best.mppc.len() {
            let moment = &side.moments[layer][index];
            all.push(FeatureRow {
                layer,
                index,
                density: moment.density,
                mean: moment.mean,
                max: moment.max,
                filtered: side.kept[layer][index],
                mppc: Some(best.mppc[index]).filter(|v| !v.is_nan()),
                partner_layer: usize::try_from(best.layer[index]).ok(),
                partner_index: usize::try_from(best.argmax[index]).ok(),
                null_mppc: Some(null.mppc[index]).filter(|v| !v.is_nan()),
            });
        }
    }
    all
}

/// The best filtered pairs, each feature of B at most once, so that one popular partner does not fill the table.
fn best_pairs(real: &Layers, a: &Side<'_>, b: &Side<'_>, contexts: &Contexts<'_>) -> Vec<Pair> {
    let mut all: Vec<(f32, usize, usize, usize, usize)> = Vec::new();
    for (layer, best) in real.best.iter().enumerate() {
        for (index, &mppc) in best.mppc.iter().enumerate() {
            if let (Ok(to), Ok(partner)) =
                (usize::try_from(best.layer[index]), usize::try_from(best.argmax[index]))
                && a.kept[layer][index]
                && b.kept[to][partner]
            {
                all.push((mppc, layer, index, to, partner));
            }
        }
    }
    all.sort_by(|x, y| y.0.total_cmp(&x.0).then(x.1.cmp(&y.1)).then(x.2.cmp(&y.2)));
    let mut taken = std::collections::HashSet::new();
    all.retain(|&(.., to, partner)| taken.insert((to, partner)));
    all.truncate(PAIRS);
    let feature = |side: &Side<'_>, layer: usize, index: usize| Feature {
        layer,
        index,
        density: side.moments[layer][index].density,
        top: contexts.top(&side.codes[layer], index),
    };
    all.into_iter()
        .map(|(mppc, layer, index, to, partner)| Pair {
            a: feature(a, layer, index),
            b: feature(b, to, partner),
            mppc: mppc.into(),
        })
        .collect()
}
