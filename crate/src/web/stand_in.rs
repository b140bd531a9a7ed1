//! Stands in for the lab until it is there: the same names and signatures, a report with invented figures.
//! To be deleted when `lab::reproduce` joins.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::gpu::Engine;
use crate::lab::{Direction, Observer, Progress, Report, SaeSummary, Settings, Subject, Summary, Timing};

#[derive(Debug, Error)]
pub(super) enum LabError {
    #[error("{0}")]
    Corpus(String),
    #[error("cancelled")]
    Cancelled,
}

pub(super) struct LabModel {
    name: String,
}

impl LabModel {
    pub(super) fn from_files(_: &Engine, name: &str, _: BTreeMap<String, Vec<u8>>) -> Result<Self, LabError> {
        Ok(Self { name: name.to_owned() })
    }
}

pub(super) struct Corpus;

impl Corpus {
    pub(super) fn builtin(_seed: u64) -> Self {
        Self
    }

    pub(super) fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self, LabError> {
        if bytes.is_empty() {
            return Err(LabError::Corpus(format!("{name} is empty; give a text with some sentences")));
        }
        Ok(Self)
    }
}

pub(super) fn default_settings() -> Settings {
    Settings {
        corpus: "builtin".to_owned(),
        seed: 2,
        tokens: 20_000,
        neuron_tokens: 20_000,
        context: 256,
        batch: 8,
        center_resid: false,
        min_density: 1e-4,
        max_density: 0.5,
    }
}

pub(super) async fn reproduce(
    engine: &Engine,
    (a, b): (&LabModel, &LabModel),
    _: &Corpus,
    settings: Settings,
    observer: &dyn Observer,
) -> Result<Report, LabError> {
    const STAGES: [&str; 3] = ["activations", "MPPC", "null"];
    for (i, stage) in STAGES.iter().enumerate() {
        let total = settings.tokens;
        for done in (0..=total).step_by(100) {
            observer.progress(&Progress {
                stage: (*stage).to_owned(),
                stage_index: i + 1,
                stages: STAGES.len(),
                done,
                total,
                unit: "tokens".to_owned(),
            });
            // About 5 ms of work.
            std::hint::black_box((0..2_000_000).fold(0.0f32, |sum, i| sum + std::hint::black_box(i as f32)));
            observer.breathe().await;
            if observer.cancelled() {
                return Err(LabError::Cancelled);
            }
        }
    }
    let told = engine.report();
    Ok(Report {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        engine: told.engine.to_owned(),
        adapter: told.name,
        a: subject(&a.name, "gpt_neox", 4),
        b: subject(&b.name, "mamba", 6),
        a_to_b: direction(4, 6),
        b_to_a: direction(6, 4),
        pairs: Vec::new(),
        timings: STAGES.map(|stage| Timing { stage: stage.to_owned(), seconds: 1.0 }).into(),
        settings,
    })
}

fn subject(name: &str, architecture: &str, layers: usize) -> Subject {
    let saes = (0..layers).map(|l| SaeSummary {
        hook: format!("blocks.{l}.hook_resid_post"),
        features: 1_024,
        l0: 20.0,
        dead: 10,
        kept: 900,
    });
    let (name, architecture) = (name.to_owned(), architecture.to_owned());
    Subject { name, architecture, layers, d_model: 128, saes: saes.collect() }
}

fn direction(layers: usize, others: usize) -> Direction {
    let summary = |mean: f64, count: usize| {
        let mut histogram = vec![0; 50];
        histogram[(mean * 50.0) as usize] = count;
        let half = if mean > 0.5 { 1.0 } else { 0.0 };
        Summary { count, mean: Some(mean), median: Some(mean), above_half: Some(half), histogram }
    };
    Direction {
        all: summary(0.6, layers * 1_014),
        filtered: summary(0.7, layers * 900),
        neurons: summary(0.3, layers * 512),
        null: summary(0.1, layers * 900),
        layer_mean: vec![vec![Some(0.5); others]; layers],
        best_layer: vec![vec![150; others]; layers],
        depth_spearman: Some(0.5),
    }
}
