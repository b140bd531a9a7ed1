//! Loading what other libraries wrote, and refusing what cannot be loaded.

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::checkpoint::SafeFile;
use crate::gpu::{Engine, Tensor};
use crate::kernels::testing::{close, each_engine};
use crate::sae::ActivationFn;

mod elsewhere;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(name)
}

/// Golden SAE; the library; what it is; a convention that must be told.
const CASES: [(&str, Format, ActivationFn<()>, &str); 22] = {
    use ActivationFn::{Relu, TopK};
    use Format::{DictionaryLearning, LmSaes2024, LmSaes2025, SaeLens, Sparsify};
    const JUMP_RELU: ActivationFn<()> = ActivationFn::JumpRelu { threshold: () };
    const GATED: ActivationFn<()> = ActivationFn::Gated { b_mag: (), r_mag: () };
    [
        ("saelens-old-topk", SaeLens, TopK { k: 5 }, "b_dec is subtracted"),
        ("saelens-old-finetuned", SaeLens, Relu, "multiplied with scaling_factor before decoding"),
        ("saelens-checkpoint-average", SaeLens, Relu, "activations are multiplied with 0.625"),
        ("sparsify-topk/layers.1", Sparsify, TopK { k: 5 }, "b_dec is subtracted from the input (sparsify)"),
        ("sparsify-transcode/layers.1", Sparsify, TopK { k: 6 }, "b_dec is not subtracted from the input"),
        ("dictionary-learning-relu", DictionaryLearning, Relu, "decoder rows are scaled to norm 1"),
        ("dictionary-learning-relu-new", DictionaryLearning, Relu, "b_dec is not subtracted"),
        ("dictionary-learning-topk", DictionaryLearning, TopK { k: 5 }, "the 5 largest of a token stay"),
        ("dictionary-learning-batchtopk", DictionaryLearning, JUMP_RELU, "a feature fires above 0.4"),
        ("dictionary-learning-matryoshka", DictionaryLearning, JUMP_RELU, "only layer 1"),
        ("dictionary-learning-jumprelu", DictionaryLearning, JUMP_RELU, "b_dec is not subtracted"),
        ("dictionary-learning-gated", DictionaryLearning, GATED, "b_dec is subtracted"),
        ("lm-saes-2024-token-wise", LmSaes2024, Relu, "after b_dec is subtracted"),
        ("lm-saes-2024-token-wise-raw-input", LmSaes2024, Relu, "b_dec is not subtracted"),
        ("lm-saes-2024-dataset-wise", LmSaes2024, Relu, "average norm 6.25 to √D"),
        ("lm-saes-2024-none", LmSaes2024, Relu, "multiplied with feature_act_mask"),
        ("lm-saes-2024-jumprelu", LmSaes2024, JUMP_RELU, "the threshold 0.35 holds"),
        ("lm-saes-2025-relu", LmSaes2025, Relu, "each token is scaled to norm √D (token-wise)"),
        ("lm-saes-2025-topk", LmSaes2025, TopK { k: 6 }, "after scaling by decoder norms"),
        ("lm-saes-2025-batchtopk", LmSaes2025, TopK { k: 6 }, "in batches of one token"),
        ("lm-saes-2025-jumprelu", LmSaes2025, JUMP_RELU, "exp(log_jumprelu_threshold)"),
        ("lm-saes-2025-inference", LmSaes2025, JUMP_RELU, "b_dec is not subtracted"),
    ]
};

#[test]
fn agrees_with_the_libraries() {
    for (name, format, activation, convention) in CASES {
        let files = Files::dir(golden(name));
        let read = SaeFile::read(&files).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!((read.format, read.weights.activation.map(|_| ())), (format, activation), "{name}");
        assert!(read.conventions.iter().any(|c| c.contains(convention)), "{name}: {:?}", read.conventions);
        let hook = if read.transcoder { "blocks.1.hook_resid_pre" } else { "blocks.1.hook_resid_post" };
        assert_eq!(read.config.hook_name.as_deref(), Some(hook), "{name}");
        let reference = SafeFile::open(&golden(name).join("reference.safetensors")).expect("a golden file");
        let wide = |tensor| -> Vec<f64> {
            reference.f32s(tensor).expect("a golden tensor").into_iter().map(f64::from).collect()
        };
        let features = wide("features");
        each_engine(|engine| {
            let sae = read.clone().sae(engine);
            let shape = reference.shape("acts").expect("activations");
            let x = Tensor::from_f32(engine, shape, reference.f32s("acts").expect("activations"));
            let codes = pollster::block_on(sae.encode(&x)).expect("encode");
            let mut dense = vec![0.0; features.len()];
            for t in 0..codes.tokens() {
                let (indices, values) = codes.row(t);
                for (&j, &v) in indices.iter().zip(values) {
                    dense[t * codes.n_features + j as usize] = v;
                }
            }
            let fire = |values: &mut dyn Iterator<Item = f64>| -> Vec<usize> {
                values.enumerate().filter(|(_, v)| *v > 0.0).map(|(i, _)| i).collect()
            };
            let fired = fire(&mut dense.iter().map(|&v| f64::from(v)));
            assert_eq!(fired, fire(&mut features.iter().copied()), "{name}: which features fire");
            let got = Tensor::from_f32(engine, &[codes.tokens(), codes.n_features], dense);
            // Weights that conventions are folded into are rounded once more than the library's (6e-8), and sums
            // of 12 and of at most 40 products are f32 against float64: 1e-6 of values of size 1 to 10.
            close(engine, &got, &features, 1e-5);
            close(engine, &sae.decode_dense(&x).expect("decode"), &wide("reconstruction"), 1e-5);
        });
    }
}

/// A golden SAE's files in memory, after a change of one of them.
fn changed(name: &str, file: &str, change: impl FnOnce(&mut Vec<u8>)) -> Files {
    let mut all = in_memory(name);
    let at = all.iter_mut().find(|(n, _)| n == file).expect("a file of that name");
    change(&mut at.1);
    loose(name, all)
}

fn in_memory(name: &str) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    let mut folders = vec![golden(name)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a golden folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let relative = path.strip_prefix(golden(name)).expect("below it").to_str().expect("UTF-8");
                let relative = relative.replace('\\', "/");
                all.push((relative, std::fs::read(&path).expect("a file")));
            }
        }
    }
    all
}

fn loose(name: &str, all: Vec<(String, Vec<u8>)>) -> Files {
    Files::loose(name, all.into_iter().map(|(name, bytes)| (name, bytes.into())))
}

/// Sets a key, at a JSON pointer to what holds it; null takes it out.
fn set(bytes: &mut Vec<u8>, (pointer, key): (&str, &str), value: Value) {
    let mut json: Value = serde_json::from_slice(bytes).expect("JSON");
    let map = json.pointer_mut(pointer).and_then(Value::as_object_mut).expect("an object");
    match value {
        Value::Null => map.remove(key),
        value => map.insert(key.to_owned(), value),
    };
    *bytes = serde_json::to_vec(&json).expect("JSON");
}

/// Renames a tensor to one of the same length.
fn rename(bytes: &mut [u8], from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let at = bytes.windows(from.len()).position(|w| w == from.as_bytes()).expect("in the header");
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
}

#[test]
fn wrong_configurations_name_the_file_and_the_key() {
    use serde_json::json;
    let sparsify = ("sparsify-topk/layers.1", "cfg.json", "");
    let learnt = ("dictionary-learning-topk", "config.json", "/trainer");
    let summer = ("lm-saes-2024-dataset-wise", "hyperparams.json", "");
    let scope = ("lm-saes-2024-jumprelu", "hyperparams.json", "");
    let year25 = ("lm-saes-2025-topk", "config.json", "");
    for ((name, file, pointer), key, value, told) in [
        (sparsify, "d_in", Value::Null, "the key `d_in` is missing; a sparsify configuration has it"),
        (sparsify, "k", json!(-3), "`k` is -3, but must be a positive integer below 2^31"),
        (sparsify, "k", json!(0), "`k` is 0, but must be a positive integer below 2^31"),
        (sparsify, "k", json!(41), "`k` is 41, but must be at most the number of features, 40"),
        (learnt, "k", json!(4100), "`k` is 4100, but must be at most the number of features, "),
        (year25, "top_k", json!(4100), "`top_k` is 4100, but must be at most the number of features, "),
        (sparsify, "num_latents", json!(1u64 << 40), "`num_latents` is 1099511627776, but must be"),
        (
            sparsify,
            "activation",
            json!("groupmax"),
            "`activation` \"groupmax\" is not supported; supported: \"topk\"",
        ),
        (sparsify, "skip_connection", json!(true), "`skip_connection` true is not supported"),
        (
            sparsify,
            "d_in",
            json!(13),
            "tensor encoder.weight has shape [40, 12], but the config asks for [40, 13]",
        ),
        (
            learnt,
            "dict_class",
            json!("IdentityDict"),
            "`dict_class` \"IdentityDict\" is not supported; supported: Auto",
        ),
        (learnt, "k", json!(1 << 30), "`k` is 1073741824, but must be at most the number of features, "),
        (learnt, "dict_class", Value::Null, "the key `dict_class` is missing; a dictionary_learning"),
        (learnt, "k", json!("5"), "`k` is \"5\", but must be a positive integer"),
        (learnt, "dict_class", json!("GatedAutoEncoder"), "has no tensor gate_bias"),
        (summer, "d_model", Value::Null, "the key `d_model` is missing; a Language-Model-SAEs"),
        (
            summer,
            "norm_activation",
            json!("channel-wise"),
            "`norm_activation` \"channel-wise\" is not supported",
        ),
        (
            summer,
            "dataset_average_activation_norm",
            json!({"in": 0}),
            "is 0, but must be a finite number above 0",
        ),
        (
            summer,
            "dataset_average_activation_norm",
            json!({}),
            "but must be the norms of the input and the output",
        ),
        (summer, "use_glu_encoder", json!(true), "`use_glu_encoder` true is not supported; supported: false"),
        (summer, "act_fn", json!("topk"), "`act_fn` \"topk\" is not supported; supported: \"relu\""),
        (
            scope,
            "jump_relu_threshold",
            json!("high"),
            "`jump_relu_threshold` is \"high\", but must be a finite",
        ),
        (
            scope,
            "jump_relu_threshold",
            Value::Null,
            "has no tensor activation_function.log_jumprelu_threshold",
        ),
        (
            year25,
            "sae_type",
            json!("crosscoder"),
            "`sae_type` \"crosscoder\" is not supported; supported: \"sae\"",
        ),
        (year25, "act_fn", json!("tanh"), "`act_fn` \"tanh\" is not supported; supported: relu, topk"),
        (year25, "top_k", Value::Null, "the key `top_k` is missing"),
        (year25, "d_sae", json!(2.5), "`d_sae` is 2.5, but must be a positive integer"),
        (year25, "hook_point_in", Value::Null, "the key `hook_point_in` is missing"),
    ] {
        // The output's hook stands in for nothing that is asked of the input.
        let files = changed(name, file, |bytes| set(bytes, (pointer, key), value.clone()));
        let error = SaeFile::read(&files).expect_err("a wrong configuration").to_string();
        assert!(error.starts_with(name) && error.contains(told), "{key} {value}: {error}\n  lacks {told}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn wrong_tensors_are_named() {
    for (name, file, from, to, told) in [
        (
            "sparsify-topk/layers.1",
            "sae.safetensors",
            "encoder.bias",
            "encoder.bbbb",
            "has no tensor encoder.bias",
        ),
        (
            "dictionary-learning-relu",
            "ae.safetensors",
            "decoder.weight",
            "decoder.height",
            "no tensor decoder.weight",
        ),
        ("dictionary-learning-gated", "ae.safetensors", "mag_bias", "bag_bias", "has no tensor mag_bias"),
        (
            "lm-saes-2024-none",
            "sae_weights.safetensors",
            "[12,40]",
            "[40,12]",
            "tensor decoder.weight has shape [40",
        ),
        ("lm-saes-2025-relu", "sae_weights.safetensors", "W_E", "W_X", "has no tensor W_E"),
        ("saelens-gated", "sae_weights.safetensors", "b_gate", "b_late", "has no tensor b_gate"),
        ("saelens-jumprelu", "sae_weights.safetensors", "threshold", "threshing", "has no tensor threshold"),
    ] {
        let files = changed(name, file, |bytes| rename(bytes, from, to));
        let error = SaeFile::read(&files).expect_err("a tensor is missing").to_string();
        assert!(
            error.starts_with(&format!("{name}/{file}")) && error.contains(told),
            "{error}\n  lacks {told}"
        );
    }
    let files = changed("lm-saes-2024-none", "sae_weights.safetensors", |bytes| {
        let (size, metadata) = safetensors::SafeTensors::read_metadata(bytes).expect("a header");
        let (start, _) = metadata.info("feature_act_scale").expect("it has a scale").data_offsets;
        bytes[8 + size + start..][..4].copy_from_slice(&(-1.0f32).to_le_bytes());
    });
    assert_eq!(
        SaeFile::read(&files).expect_err("a negative scale").to_string(),
        "lm-saes-2024-none/sae_weights.safetensors: feature_act_scale holds -1 at element 0, but must be 0 or more"
    );
}

#[test]
fn pickles_are_not_opened() {
    let mut all = in_memory("dictionary-learning-topk");
    all.iter_mut().find(|(name, _)| name == "ae.safetensors").expect("weights").0 = "ae.pt".to_owned();
    let error = SaeFile::read(&loose("dir", all)).expect_err("a pickle").to_string();
    assert_eq!(
        error,
        "dir/ae.pt is a pickle, which can run code when it is opened; convert it: \
         python tools/convert_dictionary_learning.py dir"
    );
    let mut all = in_memory("lm-saes-2025-topk");
    all.iter_mut().find(|(name, _)| name.starts_with("sae_weights")).expect("weights").0 =
        "sae_weights.pt".to_owned();
    let error = SaeFile::read(&loose("dir", all)).expect_err("a pickle").to_string();
    assert!(error.starts_with("dir/sae_weights.pt is a pickle"), "{error}");
}

#[test]
fn models_and_empty_folders_are_no_saes() {
    let model = loose("dir", vec![("config.json".to_owned(), br#"{"model_type": "gpt_neox"}"#.to_vec())]);
    assert_eq!(Format::detect(&model).expect("it can be read"), None);
    let error = SaeFile::read(&Files::dir("no/such/dir")).expect_err("missing").to_string();
    assert!(error.starts_with("no/such/dir has no cfg.json"), "{error}");
}

#[test]
fn folders_are_searched() {
    let mut all = Vec::new();
    for (at, name) in [("a/b", "dictionary-learning-topk"), ("layers.1", "sparsify-topk/layers.1")] {
        all.extend(in_memory(name).into_iter().map(|(file, bytes)| (format!("{at}/{file}"), bytes)));
    }
    let place = loose("place", all);
    let found = find(&place).expect("sound folders");
    assert_eq!(found.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(), ["a/b", "layers.1"]);
    let itself = find(&place.folder("layers.1")).expect("a SAE");
    assert_eq!((itself.len(), itself[0].0.as_str()), (1, ""));
}

#[test]
fn what_saelens_cannot_say_is_not_written_in_its_form() {
    let read = SaeFile::read(&Files::dir(golden("lm-saes-2024-token-wise"))).expect("a golden SAE");
    let sae = read.sae(&Engine::cpu());
    let error = pollster::block_on(sae.to_files(crate::sae::Storage::F32)).expect_err("no words").to_string();
    assert_eq!(
        error,
        "blocks.1.hook_resid_post: an SAE whose features are scaled back by each token's norm cannot be written in \
         SAELens's form; use the files it came in"
    );
}

/// A JSON value of any kind.
fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z_-]{0,12}".prop_map(Value::from),
        prop_oneof![Just("relu"), Just("topk"), Just("jumprelu"), Just("gated"), Just("dataset-wise")]
            .prop_map(Value::from),
        Just(serde_json::json!({"in": 1.5, "out": -1, "layer": [1]})),
        Just(serde_json::json!([[]])),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever stands in a configuration, reading it ends in an SAE or in one line.
    #[test]
    fn no_configuration_panics(case in 0..CASES.len(), key in any::<prop::sample::Index>(), value in any_value()) {
        let (name, ..) = CASES[case];
        let mut all = in_memory(name);
        for (file, bytes) in all.iter_mut().filter(|(file, _)| file.ends_with(".json")) {
            let json: Value = serde_json::from_slice(bytes).expect("JSON");
            let nested = file == "config.json" && json.get("trainer").is_some();
            let pointer = if nested { "/trainer" } else { "" };
            let object = json.pointer(pointer).and_then(Value::as_object).expect("an object");
            let keys: Vec<String> = object.keys().cloned().collect();
            let key: &String = key.get(&keys);
            set(bytes, (pointer, key), value.clone());
        }
        if let Err(error) = SaeFile::read(&loose("dir", all)) {
            prop_assert!(!error.to_string().contains('\n'), "{error}");
        }
    }

    /// Nor do cut or changed files.
    #[test]
    fn no_damage_panics(
        case in 0..CASES.len(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<bool>(),
    ) {
        let (name, ..) = CASES[case];
        let mut all = in_memory(name);
        all.retain(|(file, _)| !file.starts_with("reference"));
        for (_, bytes) in &mut all {
            // Mostly the header, where the damage is interesting.
            let at = at.index(bytes.len().min(600));
            if cut { bytes.truncate(at) } else { bytes[at] = byte }
        }
        if let Err(error) = SaeFile::read(&loose("dir", all)) {
            prop_assert!(!error.to_string().contains('\n'), "{error}");
        }
    }
}
