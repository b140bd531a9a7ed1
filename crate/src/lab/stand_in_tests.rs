//! A model of an architecture that the lab has never heard of goes through SAEs and a comparison; what it lacks is
//! refused.

use super::*;
use crate::checkpoint::{Files, embedded};
use crate::corpus::Corpus;
use crate::gpu::Engine;
use crate::model::linear;

/// Width of the model, and features of its SAE.
const D: usize = 16;
const FEATURES: usize = 24;

/// A stand-in with the tokenizer of a built-in model, and an SAE of random directions on its layer.
fn stand_in(engine: &Engine, name: &str, seed: u64) -> LabModel {
    let tokenizer = embedded("tiny-neox").expect("a built-in model").read("tokenizer.json");
    let tokenizer = tokenizer.expect("a tokenizer").into_owned();
    let config = serde_json::json!({
        "d_in": D, "d_sae": FEATURES, "architecture": "standard", "apply_b_dec_to_input": true,
        "normalize_activations": "none",
        "metadata": { "hook_name": linear::OUT, "model_name": name },
    });
    let weights: [(&str, &[usize], f32); 4] = [
        ("W_enc", &[D, FEATURES], 1.0),
        ("b_enc", &[FEATURES], 0.1),
        ("W_dec", &[FEATURES, D], 0.25),
        ("b_dec", &[D], 0.1),
    ];
    let mut files = linear::files(1024, D, seed).to_vec();
    files.push(("tokenizer.json".to_owned(), tokenizer.into()));
    files.push(("saes/0/cfg.json".to_owned(), config.to_string().into_bytes().into()));
    let weights = linear::safetensors_of(&weights, 100 * seed);
    files.push(("saes/0/sae_weights.safetensors".to_owned(), weights));
    LabModel::load(engine, name, &Files::loose(name, files), None).expect("a model")
}

fn mppc(a: &LabModel, b: &LabModel) -> Report {
    let mut plan = ComparePlan::reproduce(a.name(), b.name());
    (plan.corpus.tokens, plan.controls.neuron_tokens) = (2_000, 500);
    let corpus = Corpus::builtin(plan.corpus.seed);
    let what =
        Comparison { engine: a.model.engine(), a, b, corpus: &corpus, plan, inputs: Inputs::default() };
    pollster::block_on(what.run(&mut MemoryStore::default(), &Silent)).expect("a report").report
}

#[test]
fn its_sae_is_measured_and_its_features_are_compared() {
    let engine = Engine::cpu();
    let [one, again] = [1, 1].map(|seed| stand_in(&engine, "stand-in", seed));
    let other = stand_in(&engine, "other", 2);
    assert_eq!(one.saes[0].hook, linear::OUT);
    let settings = HealthSettings { tokens: 1_000, context: 64, ..HealthSettings::default() };
    let corpus = Corpus::builtin(settings.seed);
    let report = pollster::block_on(health(&one, &one.saes, &corpus, settings, &Silent)).expect("a report");
    let spliced = report.saes[0].health.spliced.as_ref().expect("predictions");
    assert!(spliced.ce_clean.is_finite() && spliced.ce_zero != spliced.ce_clean);

    // The same model is itself; another one of the same kind is another, and so is one of another architecture.
    let same = mppc(&one, &again);
    assert_eq!((same.a.architecture.as_str(), same.a.layers, same.a.d_model), ("linear", 1, D));
    for summary in [&same.a_to_b.all, &same.a_to_b.neurons] {
        let mean = summary.mean.expect("features");
        assert!((mean - 1.0).abs() < 1e-5, "{mean}");
    }
    let files = embedded("tiny-neox").expect("a built-in model");
    let neox = LabModel::load_layers(&engine, "tiny-neox", &files, None, Some(&[1]));
    for other in [&other, &neox.expect("a built-in model")] {
        let report = mppc(&one, other);
        let mean = report.a_to_b.all.mean.expect("features");
        assert!((0.0..0.9).contains(&mean) && report.a_to_b.all.count == same.a_to_b.all.count, "{mean}");
    }
}

#[test]
fn what_it_lacks_is_refused_in_one_line() {
    let model = stand_in(&Engine::cpu(), "stand-in", 1);
    let settings = CircuitSettings { prompts: 2, tokens: 12, ..CircuitSettings::default() };
    for (experiment, what) in [
        (CircuitName::HeadToLogit, "attention heads"),
        (CircuitName::WritePosition, "a recurrence"),
        (CircuitName::ConvTaps, "a convolution"),
    ] {
        let asked = [CircuitAsk { model: &model, experiment, settings: settings.clone() }];
        let told = pollster::block_on(circuits(&asked, &Silent)).expect_err("lacking").to_string();
        let name = experiment.name();
        assert_eq!(told, format!("{name} takes {what} apart, and stand-in has none; choose another model"));
    }
    let told = CircuitAsk::all(&model, &settings).err().expect("lacking").to_string();
    assert_eq!(told, "there is no experiment on what stand-in has; choose another model");
    let told = pollster::block_on(induction_view(&model, None, &settings, &Silent)).expect_err("lacking");
    assert!(told.to_string().starts_with("stand-in has neither attention heads nor a recurrence"), "{told}");
    let told = pollster::block_on(induction_pair(&[&model], None, &settings, &Silent)).expect_err("lacking");
    assert_eq!(told.to_string(), "none of the models has attention heads (stand-in); choose others");
}

/// What two of them need runs once, and each report has its own wall times.
#[test]
fn experiments_share_what_they_find() {
    let files = embedded("tiny-mamba").expect("a built-in model");
    let mamba = LabModel::load(&Engine::cpu(), "tiny-mamba", &files, None).expect("a built-in model");
    let settings = CircuitSettings { prompts: 2, tokens: 8, ..CircuitSettings::default() };
    let ask = |experiment| CircuitAsk { model: &mamba, experiment, settings: settings.clone() };
    let stages = |asked: &[CircuitAsk<'_>]| {
        let counted = Stages::default();
        let reports = pollster::block_on(circuits(asked, &counted)).expect("reports");
        (reports, counted.0.into_inner())
    };
    let (alone, seen) = stages(&[ask(CircuitName::WritePosition)]);
    assert_eq!((alone.len(), seen.len()), (1, 4));
    let (both, seen) = stages(&[ask(CircuitName::StateToLogit), ask(CircuitName::WritePosition)]);
    assert_eq!((both.len(), seen.len()), (2, 4));
    assert_eq!(seen.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert!(seen.iter().all(|(_, of)| *of == 4));
    assert_eq!(both[1].cells, alone[0].cells);
    assert_eq!(both[1].settings.layer, both[0].strongest().map(|cell| cell.layer));
    let names = |report: &CircuitReport| report.timings.iter().map(|t| t.stage.clone()).collect::<Vec<_>>();
    assert_eq!(names(&both[0]), ["unchanged", "state-to-logit"]);
    assert_eq!(names(&both[1]), ["unchanged", "write-position"]);
}

/// The stages that were begun, and of how many each said to be.
#[derive(Default)]
struct Stages(std::cell::RefCell<Vec<(usize, usize)>>);

impl Observer for Stages {
    fn progress(&self, progress: &Progress) {
        let mut seen = self.0.borrow_mut();
        if seen.last().is_none_or(|(at, _)| *at != progress.stage_index) {
            seen.push((progress.stage_index, progress.stages));
        }
    }
}
