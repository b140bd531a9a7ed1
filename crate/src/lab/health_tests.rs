//! Health against an independent float64 implementation (`tools/golden_health.py`, `tests/golden/README.md`).

use std::path::PathBuf;

use super::*;
use crate::checkpoint::{Files, SafeFile};
use crate::corpus::Tokenizer;
use crate::gpu::Engine;
use crate::kernels::testing::each_engine;
use crate::lab::Silent;
use crate::model::Model;

fn golden(case: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(case)
}

/// A tokenizer of so many entries: the golden models have none, and only the number counts.
fn tokenizer(entries: usize) -> Tokenizer {
    let vocab: serde_json::Map<_, _> = (0..entries).map(|i| (format!("t{i}"), i.into())).collect();
    let tokenizer = serde_json::json!({
        "version": "1.0",
        "model": { "type": "WordLevel", "vocab": vocab, "unk_token": "t0" },
    });
    let bytes = tokenizer.to_string().into_bytes();
    let special = br#"{"bos_token_id": 0, "eos_token_id": 0}"#.to_vec();
    let files = [("tokenizer.json".to_owned(), bytes.into()), ("config.json".to_owned(), special.into())];
    Tokenizer::read(&Files::loose("test", files)).expect("a tokenizer")
}

/// The figures of a case's two SAEs, and the reference.
fn measure(engine: &Engine, case: &str, model: &str, entries: usize) -> (Vec<Health>, SafeFile) {
    let reference = SafeFile::open(&golden(case).join("reference.safetensors")).expect("a reference");
    let subject = LabModel {
        model: Model::load(engine, model, &Files::dir(golden(model))).expect("a model"),
        tokenizer: tokenizer(entries),
        saes: Vec::new(),
        notes: Vec::new(),
        read: Vec::new(),
    };
    let saes = subject.find_saes(&Files::dir(golden(case))).expect("SAEs");
    assert_eq!(saes.len(), 2);
    let [batch, len] = *reference.shape("tokens").expect("tokens") else { panic!("tokens are [B, T]") };
    let integers = |name: &str| reference.integers(name).expect("integers");
    let all = TokenBatch {
        batch,
        len,
        ids: integers("tokens").into_iter().map(|t| t as u32).collect(),
        keep: integers("keep").into_iter().map(|k| k != 0).collect(),
        offsets: vec![(0, 0); batch * len],
        documents: vec![0; batch],
    };
    // In two batches, so that sums are joined.
    let rows = |rows: std::ops::Range<usize>| TokenBatch {
        batch: rows.len(),
        len,
        ids: all.ids[rows.start * len..rows.end * len].to_vec(),
        keep: all.keep[rows.start * len..rows.end * len].to_vec(),
        offsets: vec![(0, 0); rows.len() * len],
        documents: vec![0; rows.len()],
    };
    let mut stages = Stages::new(&Silent, 1);
    let mut measuring = Measuring::new(&subject, &saes);
    for part in [rows(0..1), rows(1..batch)] {
        pollster::block_on(measuring.add(&part, &mut stages)).expect("a batch");
    }
    let mut health = measuring.finish();
    for (health, hooked) in health.iter_mut().zip(&saes) {
        let mut scan = pollster::block_on(DecoderScan::new(&hooked.sae)).expect("a decoder");
        while pollster::block_on(scan.step()).expect("a step").is_some() {}
        health.decoder = Some(scan.finish());
    }
    (health, reference)
}

/// Every figure of the reference, of both SAEs.
fn agrees(case: &str, model: &str, entries: usize) {
    each_engine(|engine| {
        let (all, reference) = measure(engine, case, model, entries);
        for (i, h) in all.iter().enumerate() {
            let want = |name: &str| -> Vec<f64> {
                let values = reference.raw_f32s(&format!("{i}.{name}")).expect(name);
                values.into_iter().map(f64::from).collect()
            };
            let s = h.spliced.as_ref().expect("predictions");
            let (norms, cosines) =
                h.decoder.as_ref().map(|d| (&d.norms, &d.nearest_cosine)).expect("a decoder");
            let quantiles = |q: &Option<crate::sae::Quantiles>| {
                let q = q.expect("values");
                vec![q.min, q.p5, q.p25, q.median, q.p75, q.p95, q.max]
            };
            let counts =
                |h: &crate::sae::Histogram| -> Vec<f64> { h.counts.iter().map(|&n| n as f64).collect() };
            let nearest = |name: &str, got: Option<f64>| (name.to_owned(), vec![got.unwrap_or(f64::NAN)]);
            let single = |name: &str, got: f64| (name.to_owned(), vec![got]);
            let figures = [
                single("tokens", h.tokens as f64),
                single("l0", h.l0),
                ("l0_quantiles".to_owned(), quantiles(&h.l0_quantiles)),
                single("explained_variance", h.explained_variance),
                single("fvu", h.fvu),
                single("mse", h.mse),
                single("dead", h.dead),
                single("always_on", h.always_on),
                ("density".to_owned(), counts(&h.density)),
                single("density_zero", h.density.zero as f64),
                ("density_edges".to_owned(), h.density.edges.clone()),
                nearest("norm_mean", norms.mean),
                ("norm_quantiles".to_owned(), quantiles(&norms.quantiles)),
                nearest("cosine_mean", cosines.mean),
                ("cosine_quantiles".to_owned(), quantiles(&cosines.quantiles)),
                ("cosine_histogram".to_owned(), counts(&cosines.histogram)),
                single("ce_clean", s.ce_clean),
                single("ce_spliced", s.ce_spliced),
                single("ce_zero", s.ce_zero),
                nearest("ce_recovered", s.ce_recovered),
                single("kl_spliced", s.kl_spliced),
                single("kl_zero", s.kl_zero),
                nearest("kl_recovered", s.kl_recovered),
            ];
            for (name, got) in figures {
                let want = want(&name);
                assert_eq!(got.len(), want.len(), "{name} of {case}");
                for (got, want) in got.iter().zip(&want) {
                    // f32 through a few layers strays by 7e-7 of the largest activation; a share recovered is a
                    // difference of losses over another, which multiplies that.
                    let close =
                        (got - want).abs() <= 5e-5 * want.abs().max(1.0) || (got.is_nan() && want.is_nan());
                    assert!(close, "{name} of SAE {i} of {case}: {got} instead of {want} on {engine:?}");
                }
            }
        }
    });
}

#[test]
fn a_transformer_agrees_with_float64() {
    agrees("health-neox", "neox-parallel", 61);
}

#[test]
fn a_mamba_with_a_padded_vocabulary_agrees_with_float64() {
    agrees("health-mamba", "mamba-ssm", 53);
}

/// A corpus of one-token rows has nothing to predict, and the figures without predictions remain.
#[test]
fn without_predictions_there_is_no_loss() {
    let sums = SpliceSums::new(2);
    assert_eq!(sums.means(), [None, None]);
}
