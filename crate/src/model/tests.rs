//! Both engines against Hugging Face transformers in float64, hook by hook (`tests/golden/README.md`).

use std::path::PathBuf;

use super::*;
use crate::checkpoint::{Files, SafeFile};
use crate::gpu::{Engine, Tensor};
use crate::kernels::testing::{close, each_engine};

fn golden(case: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(case)
}

fn open(case: &str, file: &str) -> SafeFile {
    SafeFile::open(&golden(case).join(file)).unwrap()
}

fn prompts(reference: &SafeFile) -> Prompts {
    let [batch, len] = *reference.shape("tokens").unwrap() else { panic!("tokens are [B, T]") };
    let ids = reference.integers("tokens").unwrap().into_iter().map(|t| t as u32).collect();
    Prompts { batch, len, ids }
}

/// Values of a reference tensor; scores hold −inf, which [`SafeFile::f32s`] refuses in weights.
fn values(file: &SafeFile, name: &str) -> Vec<f64> {
    file.raw_f32s(name).unwrap().into_iter().map(f64::from).collect()
}

/// The files are exact to 6e-8, activations are of order one and f32 through these depths strays by 7e-7; the
/// rest of 1e-4 of the largest value is room for another order of summation and a GPU's exponentials.
const TOLERANCE: f64 = 1e-4;

/// Logits of all positions.
fn all(logits: &Logits) -> Tensor {
    let [batch, len, _] = logits.shape();
    logits.at(0..batch * len)
}

/// Compares every hook in the reference that the model has, and reports how many.
fn agrees(case: &str) -> usize {
    let reference = open(case, "reference.safetensors");
    let prompts = prompts(&reference);
    let mut compared = 0;
    each_engine(|engine| {
        let model = Model::load(engine, case, &Files::dir(golden(case))).unwrap();
        let plan = Plan { keep: vec!["*".into()], logits: true, ..Plan::default() };
        let output = model.run(&prompts, plan).unwrap();
        close(engine, &all(output.logits.as_ref().unwrap()), &values(&reference, "logits"), TOLERANCE);
        compared = 0;
        for hook in model.hooks(prompts.batch, prompts.len) {
            let kept = &output.hooks[&hook.name];
            assert_eq!(kept.shape(), hook.shape, "{}", hook.name);
            assert_eq!(Some(kept.shape()), reference.shape(&hook.name), "{}", hook.name);
            close(engine, kept, &values(&reference, &hook.name), TOLERANCE);
            compared += 1;
        }
        // Without looking at anything inside, fused kernels take other ways to the same logits.
        let fused = model.run(&prompts, Plan { logits: true, ..Plan::default() }).unwrap();
        close(engine, &all(&fused.logits.unwrap()), &values(&reference, "logits"), TOLERANCE);
    });
    compared
}

#[test]
fn neox_parallel_residual() {
    assert_eq!(agrees("neox-parallel"), 2 + 3 * 16);
}

#[test]
fn neox_sequential_residual_bf16_shards() {
    assert_eq!(agrees("neox-sequential"), 2 + 2 * 17);
}

#[test]
fn mamba_hf_layout() {
    assert_eq!(agrees("mamba-hf"), 2 + 3 * (18 + 13));
}

#[test]
fn mamba_original_layout_f16() {
    assert_eq!(agrees("mamba-ssm"), 2 + 2 * (18 + 9));
}

#[test]
fn a_pass_ends_after_the_last_hook_it_needs() {
    let engine = Engine::cpu();
    let model = Model::load(&engine, "m", &Files::dir(golden("mamba-hf"))).unwrap();
    let prompts = Prompts { batch: 1, len: 3, ids: vec![1, 2, 3] };
    let keep = vec!["blocks.0.hook_resid_post".to_owned()];
    let output = model.run(&prompts, Plan { keep, ..Plan::default() }).unwrap();
    assert_eq!(output.hooks.keys().collect::<Vec<_>>(), ["blocks.0.hook_resid_post"]);
    assert!(output.logits.is_none());
}

#[test]
fn bad_plans_are_refused_by_name() {
    let engine = Engine::cpu();
    let model = Model::load(&engine, "m", &Files::dir(golden("neox-parallel"))).unwrap();
    let prompts = Prompts { batch: 1, len: 3, ids: vec![1, 2, 3] };
    let refused = |plan: Plan| model.run(&prompts, plan).unwrap_err().to_string();
    assert!(refused(Plan { keep: vec!["blocks.9.*".into()], ..Plan::default() }).contains("blocks.9.*"));
    let edit = Edit { hook: "blocks.9.hook_resid_pre".into(), change: std::rc::Rc::new(Tensor::clone) };
    let missing = refused(Plan { edits: vec![edit], ..Plan::default() });
    assert!(missing.starts_with("no hook matches blocks.9.hook_resid_pre; this model"), "{missing}");
    assert!(model.run(&Prompts { batch: 0, len: 3, ids: vec![] }, Plan::default()).is_err());
    let beyond = Prompts { batch: 1, len: 2, ids: vec![0, 61] };
    let beyond = model.run(&beyond, Plan::default()).unwrap_err().to_string();
    assert_eq!(beyond, "token id 61 (prompt 0, position 1) is beyond the vocabulary of 61 entries");
}
