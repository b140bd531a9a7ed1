//! The same model in files that are written differently, and files that cannot be right.

use std::collections::HashMap;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Map, Value, json};

use super::*;
use crate::checkpoint::{CheckpointError, Files};
use crate::gpu::Engine;

/// A model's files, to be changed.
#[derive(Clone)]
struct Changed {
    config: Map<String, Value>,
    tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)>,
    notes: HashMap<String, String>,
}

impl Changed {
    fn golden(case: &str) -> Self {
        let files = Files::dir(format!("{}/../tests/golden/{case}", env!("CARGO_MANIFEST_DIR")));
        let bytes = files.read("model.safetensors").unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap().tensors().into_iter();
        let tensors = tensors.map(|(name, t)| (name, t.dtype(), t.shape().to_vec(), t.data().to_vec()));
        Self { config: files.json("config.json").unwrap(), tensors: tensors.collect(), notes: HashMap::new() }
    }

    fn set(mut self, key: &str, value: Value) -> Self {
        self.config.insert(key.to_owned(), value);
        self
    }

    fn without(mut self, key: &str) -> Self {
        self.config.remove(key);
        self
    }

    /// With other names of tensors; those without a name are left out.
    fn named(mut self, name: impl Fn(&str) -> Option<String>) -> Self {
        self.tensors.retain_mut(|tensor| {
            name(&tensor.0).is_some_and(|new| {
                tensor.0 = new;
                true
            })
        });
        self
    }

    /// Without the tensors of which a name has this in it.
    fn lacking(self, part: &str) -> Self {
        self.named(|name| (!name.contains(part)).then(|| name.to_owned()))
    }

    /// With another value at some elements of an f32 tensor.
    fn with(mut self, name: &str, places: std::ops::Range<usize>, value: f32) -> Self {
        let tensor = self.tensors.iter_mut().find(|t| t.0 == name).unwrap();
        assert_eq!(tensor.1, Dtype::F32);
        places.for_each(|i| tensor.3[4 * i..4 * i + 4].copy_from_slice(&value.to_le_bytes()));
        self
    }

    /// With a tensor under a second name.
    fn copied(mut self, from: &str, to: &str) -> Self {
        let mut copy = self.tensors.iter().find(|t| t.0 == from).unwrap().clone();
        copy.0 = to.to_owned();
        self.tensors.retain(|t| t.0 != to);
        self.tensors.push(copy);
        self
    }

    fn noting(mut self, gone: &str, kept: &str) -> Self {
        self.notes.insert(gone.to_owned(), kept.to_owned());
        self
    }

    fn load(&self) -> Result<Model, CheckpointError> {
        let view = |(name, dtype, shape, data): &(String, Dtype, Vec<usize>, Vec<u8>)| {
            (name.clone(), TensorView::new(*dtype, shape.clone(), data).unwrap().data().to_vec())
        };
        let data: Vec<(String, Vec<u8>)> = self.tensors.iter().map(view).collect();
        let views = data.iter().zip(&self.tensors).map(|((name, data), (_, dtype, shape, _))| {
            (name.clone(), TensorView::new(*dtype, shape.clone(), data).unwrap())
        });
        let weights = safetensors::serialize(views, Some(self.notes.clone())).unwrap();
        let config = serde_json::to_vec(&self.config).unwrap();
        let files = [("config.json", config), ("model.safetensors", weights)];
        let files = files.map(|(name, bytes)| (name.to_owned(), bytes.into()));
        Model::load(&Engine::cpu(), "m", &Files::loose("m", files))
    }

    fn error(&self) -> String {
        self.load().err().expect("a file that cannot be right").to_string()
    }

    fn logits(&self) -> Vec<f32> {
        logits(&self.load().unwrap())
    }
}

fn prompts() -> Prompts {
    Prompts { batch: 2, len: 5, ids: vec![0, 3, 1, 4, 1, 5, 9, 2, 6, 5] }
}

fn logits(model: &Model) -> Vec<f32> {
    let output = model.run(&prompts(), Plan { logits: true, ..Plan::default() }).unwrap();
    pollster::block_on(output.logits.unwrap().read()).unwrap()
}

const CASES: [(&str, &str, &str, &str); 2] = [
    ("neox-parallel", "gpt_neox.", "gpt_neox.embed_in.weight", "embed_out.weight"),
    ("mamba-hf", "backbone.", "backbone.embeddings.weight", "lm_head.weight"),
];

#[test]
fn names_without_their_prefix_are_the_same_model() {
    for (case, prefix, embed, head) in CASES {
        let golden = Changed::golden(case);
        let bare = |name: &str| Some(name.strip_prefix(prefix).unwrap_or(name).to_owned());
        let model = golden.clone().named(bare).load().unwrap();
        assert_eq!(logits(&model), golden.logits(), "{case}");
        assert!(model.notes().is_empty(), "{:?}", model.notes());
        // Saved without the head: nothing is missing where the two are tied.
        let tied = golden.set("tie_word_embeddings", json!(true)).lacking(head);
        assert_eq!(tied.clone().named(bare).logits(), tied.logits(), "{case}");
        let untied = tied.set("tie_word_embeddings", json!(false)).named(bare).error();
        assert!(untied.contains(&format!("no tensor {head}")), "{untied}");
        assert!(embed.starts_with(prefix));
    }
}

#[test]
fn a_head_of_its_own_is_used_and_one_of_two_shared_names_is_enough() {
    for (case, _, embed, head) in CASES {
        let golden = Changed::golden(case);
        let tie = |changed: Changed, tied: bool| changed.set("tie_word_embeddings", json!(tied));
        let own = golden.logits();
        assert_eq!(tie(golden.clone(), true).logits(), own, "{case}: the file's own head");
        let tied = tie(golden.clone().lacking(head), true).logits();
        assert_ne!(tied, own);
        // Only the head's name: the embedding's values under it.
        let only = golden.clone().lacking(head).copied(embed, head).lacking(embed);
        assert_eq!(tie(only.clone(), true).logits(), tied, "{case}");
        // The file itself says that the two are one, whatever the config says.
        for said in [true, false] {
            assert_eq!(tie(only.clone().noting(embed, head), said).logits(), tied, "{case}");
            let other = golden.clone().lacking(head).noting(head, embed);
            assert_eq!(tie(other, said).logits(), tied, "{case}");
        }
        let missing = tie(only, false).error();
        assert!(missing.contains(&format!("no tensor {embed}")), "{missing}");
    }
}

/// What transformers 5.24 makes of these configs: base and share (`GPTNeoXConfig(**keys).rope_parameters`).
#[test]
fn rotary_keys_are_read_as_transformers_reads_them() {
    let bare = Changed::golden("neox-parallel").without("rotary_emb_base").without("rotary_pct");
    let plain = |base: f64, share: f64| {
        bare.clone().set("rotary_emb_base", json!(base)).set("rotary_pct", json!(share)).logits()
    };
    let old = json!({ "rotary_emb_base": 700, "rotary_pct": 0.8 });
    let both = |a: &Value, b: Value| {
        let mut all = a.as_object().unwrap().clone();
        all.extend(b.as_object().unwrap().clone());
        Value::Object(all)
    };
    let cases = [
        (both(&old, json!({ "rope_theta": 500, "partial_rotary_factor": 0.4 })), 700.0, 0.8),
        (both(&old, json!({ "rope_parameters": { "rope_type": "default" } })), 700.0, 0.8),
        (
            both(&old, json!({ "rope_parameters": { "rope_theta": 500, "partial_rotary_factor": 0.4 } })),
            500.0,
            0.4,
        ),
        (both(&old, json!({ "rope_scaling": { "rope_type": "default" } })), 700.0, 0.8),
        (both(&old, json!({ "rope_scaling": { "type": "default", "factor": 2.0 } })), 700.0, 0.8),
        (both(&old, json!({ "rope_scaling": null })), 700.0, 0.8),
        (both(&old, json!({ "rope_scaling": {} })), 700.0, 0.8),
        (
            both(
                &old,
                json!({ "rope_scaling": { "rope_theta": 300 }, "rope_parameters": { "rope_theta": 500 } }),
            ),
            300.0,
            0.8,
        ),
        (json!({ "rope_parameters": { "rope_theta": 500, "rope_type": "default" } }), 500.0, 0.25),
        (json!({ "rotary_pct": 0.4 }), 10_000.0, 0.4),
    ];
    for (keys, base, share) in cases {
        let mut changed = bare.clone();
        changed.config.extend(keys.as_object().unwrap().clone());
        // 0.25 of a head of 10 would be an odd number of dimensions.
        if share == 0.25 {
            changed = changed.set("rotary_pct", json!(0.4));
        }
        let share = if share == 0.25 { 0.4 } else { share };
        assert_eq!(changed.logits(), plain(base, share), "{keys}");
    }
    assert_ne!(plain(700.0, 0.8), plain(500.0, 0.8));
    assert_ne!(plain(700.0, 0.8), plain(700.0, 0.4));
    let notes = |keys: Value| {
        let mut changed = bare.clone().set("rotary_pct", json!(0.4));
        changed.config.extend(keys.as_object().unwrap().clone());
        changed.load().unwrap().notes().to_vec()
    };
    let disagree = notes(json!({ "rotary_emb_base": 700, "rope_theta": 500 }));
    assert_eq!(disagree, ["rotary_emb_base 700 is taken, as in transformers, and rope_theta 500 is not"]);
    assert!(notes(json!({ "rope_theta": 500 }))[0].starts_with("rope_theta 500 is taken"));
    assert!(notes(json!({ "rotary_emb_base": 700, "rope_theta": 700 })).is_empty());
    for kind in ["linear", "dynamic", "yarn"] {
        let scaled = bare.clone().set("rope_scaling", json!({ "rope_type": kind, "factor": 2.0 })).error();
        assert!(scaled.contains(&format!("rope_scaling: rope_type {kind:?} is not supported")), "{scaled}");
    }
}

/// 0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))), as transformers writes `gelu_new`.
fn gelu_new(x: f32) -> f64 {
    let x = f64::from(x);
    0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
}

#[test]
fn gelus_by_their_names() {
    // Pre-activations of order 3, where the two differ most.
    let golden = Changed::golden("neox-parallel");
    let golden = golden.with("gpt_neox.layers.0.mlp.dense_h_to_4h.bias", 0..26, 2.7);
    let exact = golden.logits();
    assert_eq!(golden.clone().set("hidden_act", json!("gelu_python")).logits(), exact);
    let mut before: Option<Vec<f32>> = None;
    for name in ["gelu_new", "gelu_fast", "gelu_pytorch_tanh", "gelu_python_tanh", "gelu_accurate"] {
        let model = golden.clone().set("hidden_act", json!(name)).load().unwrap();
        let keep = ["pre", "post"].map(|hook| format!("blocks.0.mlp.hook_{hook}"));
        let output = model.run(&prompts(), Plan { keep: keep.to_vec(), ..Plan::default() }).unwrap();
        let [pre, post] =
            keep.clone().map(|name| pollster::block_on(output.hooks[&name].read_f32()).unwrap());
        for (x, y) in pre.iter().zip(&post) {
            assert!((f64::from(*y) - gelu_new(*x)).abs() < 1e-6, "{name}({x}) = {y}");
        }
        // What is fused says the same as what is taken apart.
        let (fused, all) = (logits(&model), Plan { keep: keep.to_vec(), logits: true, ..Plan::default() });
        let apart = model.run(&prompts(), all).unwrap().logits.unwrap();
        let apart = pollster::block_on(apart.read()).unwrap();
        assert!(fused.iter().zip(&apart).all(|(x, y)| (x - y).abs() < 1e-4));
        assert!(fused.iter().zip(&exact).any(|(x, y)| (x - y).abs() > 1e-5), "{name} is not the exact one");
        assert_eq!(*before.get_or_insert_with(|| fused.clone()), fused, "{name}");
    }
    let other = golden.set("hidden_act", json!("relu")).error();
    assert!(
        other.contains("hidden_act \"relu\" is not supported; only gelu or gelu_python or gelu_new or"),
        "{other}"
    );
}

#[test]
fn tensors_that_are_not_part_of_the_model_are_named() {
    for (case, prefix, embed, _) in CASES {
        let golden = Changed::golden(case);
        assert!(golden.load().unwrap().notes().is_empty());
        // What older versions of transformers left in every file.
        let mut left = golden.clone();
        for name in ["attention.bias", "attention.masked_bias", "attention.rotary_emb.inv_freq"] {
            left = left.copied(embed, &format!("{prefix}layers.0.{name}"));
        }
        assert!(left.load().unwrap().notes().is_empty());
        let one = golden.clone().set("num_hidden_layers", json!(1)).load().unwrap();
        let [note] = one.notes() else { panic!("{:?}", one.notes()) };
        let rest = golden.tensors.iter().filter(|t| t.0.contains("layers.1.") || t.0.contains("layers.2."));
        let count =
            rest.filter(|t| !t.0.ends_with("attention.bias") && !t.0.ends_with("masked_bias")).count();
        assert!(note.starts_with(&format!("{count} of the tensors are not part of the model")), "{note}");
        assert!(
            note.contains(&format!("{prefix}layers.1."))
                && note.ends_with(&format!("and {} more", count - 4))
        );
        let stray = golden.copied(embed, "score.weight").load().unwrap();
        assert!(stray.notes()[0].ends_with("left out: score.weight"), "{:?}", stray.notes());
    }
}

#[test]
fn numbers_that_cannot_be_right_are_refused_by_name() {
    let of = |case: &str, key: &str, values: &[Value]| {
        for value in values {
            let error = Changed::golden(case).set(key, value.clone()).error();
            let quoted = value.to_string();
            assert!(error.starts_with("m/config.json: "), "{key} {value}: {error}");
            assert!(
                error.contains(key) && error.contains(quoted.trim_matches('"')),
                "{key} {value}: {error}"
            );
        }
    };
    let positive =
        [json!(0), json!(-1), json!(-1e-5), json!("NaN"), json!("Infinity"), json!(1e-60), json!(1e60)];
    let sizes = [
        json!(0),
        json!(-4),
        json!(1.5),
        json!("8"),
        json!(i32::MAX),
        json!(u64::MAX),
        json!(1 << 25),
        json!([]),
    ];
    for key in ["layer_norm_eps", "rotary_emb_base"] {
        of("neox-parallel", key, &positive);
    }
    of("neox-parallel", "rotary_pct", &positive[..6]);
    for key in ["hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size"]
    {
        of("neox-parallel", key, &sizes);
    }
    of("neox-parallel", "max_position_embeddings", &sizes);
    for key in ["layer_norm_epsilon", "expand"] {
        of("mamba-hf", key, &positive[..6]);
    }
    for key in
        ["hidden_size", "num_hidden_layers", "vocab_size", "state_size", "conv_kernel", "intermediate_size"]
    {
        of("mamba-hf", key, &sizes);
    }
    of("mamba-hf", "time_step_rank", &[&sizes[..3], &sizes[4..]].concat());
    for key in ["d_model", "n_layer", "vocab_size", "pad_vocab_size_multiple"] {
        of("mamba-ssm", key, &sizes);
    }
    for (key, value, wanted) in [
        ("rotary_pct", json!(1.5), "a rotary share of 1.5 is more than the whole head"),
        ("rotary_pct", json!(0.01), "a rotary share of 0.01 gives 0 of 10 dimensions"),
        ("rotary_pct", json!(0.3), "a rotary share of 0.3 gives 3 of 10 dimensions"),
        ("num_attention_heads", json!(4), "hidden_size 30 is not a multiple of num_attention_heads 4"),
        ("head_dim", json!(8), "head_dim 8 contradicts hidden_size / num_attention_heads, which is 10"),
        (
            "num_hidden_layers",
            json!(4),
            "num_hidden_layers is 4, but the weights have no tensor gpt_neox.layers.3.",
        ),
        ("num_hidden_layers", json!(1 << 24), "but the weights have no tensor gpt_neox.layers.3."),
        ("rope_scaling", json!("linear"), "rope_scaling is \"linear\", which is no object"),
    ] {
        let error = Changed::golden("neox-parallel").set(key, value).error();
        assert!(error.contains(wanted), "{error}\n  lacks {wanted}");
    }
    let error = Changed::golden("mamba-ssm").set("ssm_cfg", json!({ "expand": 1 << 24 })).error();
    assert!(error.contains("expand 16777216 × width 18 gives 301989888 channels"), "{error}");
    let error = Changed::golden("mamba-hf").set("num_hidden_layers", json!(1 << 24)).error();
    assert!(error.contains("no tensor backbone.layers.3."), "{error}");
}

#[test]
fn python_s_infinity_is_no_reason_to_misread_a_config() {
    let config = br#"{"model_type": "mamba2", "time_step_limit": [0.0, Infinity], "hidden_size": 8}"#;
    let files = Files::loose("m", [("config.json".to_owned(), config.to_vec().into())]);
    let error = Model::load(&Engine::cpu(), "m", &files).err().unwrap().to_string();
    assert_eq!(error, "m/config.json: model_type \"mamba2\" is not supported; gpt_neox and mamba are");
    let golden = Changed::golden("neox-parallel");
    let mut text = serde_json::to_string(&golden.config).unwrap();
    text.insert_str(1, "\"whatever\": -Infinity, ");
    let files = golden_files(text.into_bytes());
    assert_eq!(logits(&Model::load(&Engine::cpu(), "m", &files).unwrap()), golden.logits());
    let mut text = serde_json::to_string(&golden.without("layer_norm_eps").config).unwrap();
    text.insert_str(1, "\"layer_norm_eps\": NaN, ");
    let error = Model::load(&Engine::cpu(), "m", &golden_files(text.into_bytes())).err().unwrap().to_string();
    assert_eq!(error, "m/config.json: layer_norm_eps is \"NaN\", which is no number");
}

/// The weights of `neox-parallel` with another config.
fn golden_files(config: Vec<u8>) -> Files {
    let files = Files::dir(format!("{}/../tests/golden/neox-parallel", env!("CARGO_MANIFEST_DIR")));
    let weights = files.open("model.safetensors").unwrap();
    Files::loose("m", [("config.json".to_owned(), config.into()), ("model.safetensors".to_owned(), weights)])
}

#[test]
fn what_is_not_finite_is_found_where_it_begins() {
    let found = |model: Model| {
        let keep = vec!["blocks.2.hook_resid_post".to_owned()];
        let output = model.run(&prompts(), Plan { keep, logits: true, ..Plan::default() }).unwrap();
        let values = pollster::block_on(output.logits.unwrap().read()).unwrap();
        let seen = pollster::block_on(finite(output.hooks.values())).unwrap();
        assert!(!seen && values.iter().any(|v| !v.is_finite()));
        match pollster::block_on(model.check_finite(&prompts(), "logits", &values)) {
            Err(ModelError::NotFinite { hook, prompt, position, .. }) => (hook, prompt, position),
            other => panic!("{other:?}"),
        }
    };
    let neox = Changed::golden("neox-parallel");
    let sound = neox.load().unwrap();
    let all = Plan { keep: vec!["blocks.*.hook_resid_post".to_owned()], ..Plan::default() };
    let output = sound.run(&prompts(), all).unwrap();
    assert!(pollster::block_on(finite(output.hooks.values())).unwrap());
    // Large weights that are finite by themselves.
    let name = |rest: &str| format!("gpt_neox.layers.1.{rest}");
    let at = |place: &str| (place.to_owned(), 0, Some(0));
    let large = neox.clone().with(&name("mlp.dense_4h_to_h.bias"), 0..30, 3e38);
    let large = large.with(&name("attention.dense.bias"), 0..30, 3e38);
    assert_eq!(found(large.load().unwrap()), at("blocks.1.hook_resid_post"));
    let large = neox.clone().with(&name("mlp.dense_h_to_4h.bias"), 0..52, 3e38);
    assert_eq!(found(large.load().unwrap()), at("blocks.1.hook_mlp_out"));
    let large = neox.clone().with(&name("input_layernorm.weight"), 0..30, 3e38);
    assert!(found(large.load().unwrap()).0.starts_with("blocks.1.attn.hook_"));
    // One token of one prompt: the embedding of token 6, which stands at position 3 of prompt 1.
    let large = neox.with("gpt_neox.embed_in.weight", 6 * 30..7 * 30, 3e38);
    let (hook, prompt, position) = found(large.load().unwrap());
    assert!(
        hook.starts_with("blocks.0.") && (prompt, position) == (1, Some(3)),
        "{hook} {prompt} {position:?}"
    );
    let mamba = Changed::golden("mamba-hf");
    let large = mamba.with("backbone.layers.1.mixer.dt_proj.bias", 0..52, 3e38);
    let (hook, ..) = found(large.load().unwrap());
    assert!(hook.starts_with("blocks.1."), "{hook}");
}

#[test]
fn prompts_past_the_context_are_refused_with_their_cost() {
    for (case, context) in [("neox-parallel", 32), ("mamba-hf", 2048)] {
        let model = Changed::golden(case).load().unwrap();
        assert_eq!(model.context(), context);
        assert!(model.check_length(context, "").is_ok());
        let error = model.check_length(1_000_000, "or allow it").unwrap_err().to_string();
        let begins = format!(
            "the prompt has 1000000 tokens, but the model was made to read {context}; such a run would"
        );
        assert!(error.starts_with(&begins) && error.ends_with("give a shorter one, or allow it"), "{error}");
    }
}
