//! The same models with two ids exchanged, BOS and another: in the tokenizer, in the embedding and in the head. It is
//! the same function of texts, so every figure is the same.

use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use serde_json::Value;

use super::*;
use crate::checkpoint::{Bytes, Files, embedded};
use crate::corpus::Corpus;
use crate::gpu::Engine;

/// BOS, and an ordinary token.
const EXCHANGED: [u64; 2] = [0, 1023];

fn exchanged(id: u64) -> u64 {
    match id {
        id if id == EXCHANGED[0] => EXCHANGED[1],
        id if id == EXCHANGED[1] => EXCHANGED[0],
        id => id,
    }
}

/// Every file of a built-in model with the two ids exchanged.
fn files(name: &str) -> Files {
    let files = embedded(name).expect("a built-in model");
    let mut all = files.content();
    let mut put = |name: &str, bytes: Vec<u8>| all.insert(name.to_owned(), Bytes::from(bytes));

    let mut tokenizer = files.json("tokenizer.json").expect("a tokenizer");
    assert_eq!(tokenizer["added_tokens"].as_array().expect("added tokens").len(), 1);
    let ids = tokenizer["model"]["vocab"].as_object_mut().expect("entries").values_mut();
    ids.for_each(|id| *id = exchanged(id.as_u64().expect("an id")).into());
    let token = &mut tokenizer["added_tokens"][0]["id"];
    *token = exchanged(token.as_u64().expect("an id")).into();
    put("tokenizer.json", serde_json::to_vec(&tokenizer).expect("JSON"));

    let mut config = files.json("config.json").expect("a config");
    for role in ["bos_token_id", "eos_token_id", "pad_token_id"] {
        if let Some(id) = config.get_mut(role).filter(|id| !id.is_null()) {
            *id = exchanged(id.as_u64().expect("an id")).into();
        }
    }
    put("config.json", serde_json::to_vec(&Value::Object(config)).expect("JSON"));

    let weights = files.read("model.safetensors").expect("weights");
    let weights = SafeTensors::deserialize(&weights).expect("safetensors");
    let tensors: Vec<_> =
        weights.tensors().into_iter().map(|(name, t)| (name, rows_exchanged(&t), t)).collect();
    let views = tensors.iter().map(|(name, data, t)| {
        (name.as_str(), TensorView::new(t.dtype(), t.shape().to_vec(), data).expect("a tensor"))
    });
    put("model.safetensors", safetensors::serialize(views, None).expect("safetensors"));
    Files::loose(format!("{name}, exchanged"), all)
}

/// A tensor with two rows exchanged, if it is as tall as the vocabulary.
fn rows_exchanged(tensor: &TensorView<'_>) -> Vec<u8> {
    let mut data = tensor.data().to_vec();
    if let [1024, width] = *tensor.shape() {
        let bytes = width * tensor.dtype().bitsize() / 8;
        let [from, to] = EXCHANGED.map(|id| id as usize * bytes);
        for i in 0..bytes {
            data.swap(from + i, to + i);
        }
    }
    data
}

fn load(engine: &Engine, name: &str, files: &Files) -> LabModel {
    LabModel::load(engine, name, files, None).expect("a model")
}

fn both(engine: &Engine, name: &str) -> [LabModel; 2] {
    let pair =
        [load(engine, name, &embedded(name).expect("a built-in model")), load(engine, name, &files(name))];
    assert_eq!(pair.each_ref().map(|model| model.tokenizer.special().bos), [Some(0), Some(1023)]);
    assert!(pair.iter().all(|model| model.notes.is_empty()), "{:?}", pair[1].notes);
    pair
}

/// A corpus in which both tokens stand.
fn corpus(model: &LabModel) -> Corpus {
    let word = model.tokenizer.decode(&[1023]);
    let text = format!("{word}{word} and{word} then <|endoftext|>\n{word} is the end.\n");
    let mut texts: Vec<String> =
        (0..40).map(|i| format!("{text}{i}{word} {}", "the sea and the land ".repeat(i))).collect();
    texts.push("Once upon a time there was a king who had three daughters.".to_owned());
    let rows: String =
        texts.iter().map(|text| serde_json::json!({ "text": text }).to_string() + "\n").collect();
    Corpus::from_bytes("texts.jsonl", rows.as_bytes()).expect("a corpus")
}

fn mppc([a, b]: [&LabModel; 2], corpus: &Corpus) -> Report {
    let mut plan = ComparePlan::reproduce(a.name(), b.name());
    (plan.corpus.tokens, plan.controls.neuron_tokens) = (3_000, 1_000);
    let what = Comparison { engine: a.model.engine(), a, b, corpus, plan, inputs: Inputs::default() };
    pollster::block_on(what.run(&mut MemoryStore::default(), &Silent)).expect("a report").report
}

#[test]
fn exchanged_ids_change_no_figure() {
    let engine = Engine::cpu();
    let ([neox, other_neox], [mamba, other_mamba]) =
        (both(&engine, "tiny-neox"), both(&engine, "tiny-mamba"));
    let corpus = corpus(&neox);

    let (plain, other) = (mppc([&neox, &mamba], &corpus), mppc([&other_neox, &other_mamba], &corpus));
    assert_eq!(plain.tokens, other.tokens);
    for (x, y) in [(&plain.a_to_b, &other.a_to_b), (&plain.b_to_a, &other.b_to_a)] {
        assert_eq!((x.all.count, x.all.mean, x.all.median), (y.all.count, y.all.mean, y.all.median));
        assert_eq!(x.neurons.mean, y.neurons.mean);
    }

    for (plain, other) in [(&neox, &other_neox), (&mamba, &other_mamba)] {
        let settings = HealthSettings { tokens: 1_500, context: 64, ..HealthSettings::default() };
        let measured = |model: &LabModel| {
            let saes = &model.saes[1..3];
            pollster::block_on(health(model, saes, &corpus, settings.clone(), &Silent)).expect("a report")
        };
        let (x, y) = (measured(plain), measured(other));
        assert_eq!(x.settings.tokens, y.settings.tokens);
        for (x, y) in x.saes.iter().zip(&y.saes) {
            assert_eq!((x.health.l0, x.health.fvu), (y.health.l0, y.health.fvu));
            let (x, y) = (
                x.health.spliced.as_ref().expect("predictions"),
                y.health.spliced.as_ref().expect("predictions"),
            );
            // The sum over the vocabulary has another order.
            let near = |x: f64, y: f64| assert!((x - y).abs() < 1e-5 * x.abs().max(1.0), "{x} and {y}");
            near(x.ce_clean, y.ce_clean);
            near(x.ce_spliced, y.ce_spliced);
            near(x.ce_zero, y.ce_zero);
            near(x.kl_spliced, y.kl_spliced);
        }
    }
}

#[test]
fn circuit_prompts_have_no_special_token() {
    let [plain, other] = both(&Engine::cpu(), "tiny-neox");
    for model in [&plain, &other] {
        let special = model.tokenizer.special().bos.expect("BOS");
        let drawable = model.tokenizer.drawable(model.model.vocab());
        assert!(!drawable.contains(&special) && drawable.len() == 1023);
        let settings = CircuitSettings { prompts: 4, tokens: 12, ..CircuitSettings::default() };
        let asked = [CircuitAsk { model, experiment: CircuitName::HeadToLogit, settings }];
        let reports = pollster::block_on(circuits(&asked, &Silent)).expect("a report");
        assert!(reports[0].clean.logit.mean.is_finite());
        for seed in 0..3 {
            let settings = CircuitSettings { tokens: 100, seed, ..CircuitSettings::default() };
            let view = pollster::block_on(induction_view(model, None, &settings, &Silent)).expect("a view");
            assert!(view.tokens.iter().all(|token| token.id != special));
        }
    }
}
