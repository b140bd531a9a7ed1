//! The command line as its users meet it: results, and one clear line for everything that can be wrong.

mod common;

use std::path::Path;

use common::{fails, golden, mppc, succeeds, text};
use safetensors::SafeTensors;
use tempfile::TempDir;

/// A copy of a golden model that a test may damage.
fn copy(case: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(golden(case)).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
    }
    dir
}

/// Runs one of the golden models, with an output file that already holds something good, and checks that a
/// failure leaves it alone.
fn run_fails(model: &Path, tokens: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let (ids, out) = (dir.path().join("t.json"), dir.path().join("out.safetensors"));
    std::fs::write(&ids, tokens).unwrap();
    std::fs::write(&out, "good").unwrap();
    let line =
        fails(&["run", text(model), "--tokens", text(&ids), "--hook", "*resid_post", "--save", text(&out)]);
    assert_eq!(std::fs::read(&out).unwrap(), b"good", "a failed run touched its output");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "a failed run left a file behind");
    line
}

#[test]
fn run_saves_hooks_and_logits() {
    let dir = tempfile::tempdir().unwrap();
    let (ids, out) = (dir.path().join("t.json"), dir.path().join("out.safetensors"));
    std::fs::write(&ids, "[[1,2,3],[4,5,6]]").unwrap();
    let model = golden("mamba-hf");
    let args = ["run", text(&model), "--tokens", text(&ids), "--hook", "blocks.*.hook_resid_post", "logits"];
    succeeds(&[&args[..], &["--save", text(&out), "--engine", "cpu"]].concat());
    let bytes = std::fs::read(&out).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut names = file.names();
    names.sort_unstable();
    let posts = ["blocks.0.hook_resid_post", "blocks.1.hook_resid_post", "blocks.2.hook_resid_post"];
    assert_eq!(names, [&posts[..], &["logits"]].concat());
    assert_eq!(file.tensor(posts[0]).unwrap().shape(), [2, 3, 26]);
    assert_eq!(file.tensor("logits").unwrap().shape(), [2, 3, 59]);
}

#[test]
fn run_tells_the_likeliest_tokens() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.safetensors");
    let run = ["run", "tiny-neox", "--text", "Once upon a", "--engine", "cpu"];
    let told =
        succeeds(&[&run[..], &["--top", "3", "--json", "--hook", "logits", "--save", text(&out)]].concat());
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let top = told["top"][0].as_array().unwrap();
    assert_eq!(top.len(), 3);

    let bytes = std::fs::read(&out).unwrap();
    let logits = SafeTensors::deserialize(&bytes).unwrap().tensor("logits").unwrap();
    let last: Vec<f32> = logits.data()[logits.data().len() - 4 * 1024..]
        .as_chunks()
        .0
        .iter()
        .map(|b| f32::from_le_bytes(*b))
        .collect();
    let mut order: Vec<usize> = (0..last.len()).collect();
    order.sort_by(|&i, &j| last[j].total_cmp(&last[i]));
    for (token, id) in top.iter().zip(order) {
        assert_eq!(token["id"], id);
        // A product of one row sums in another order than one of all rows.
        assert!((token["logit"].as_f64().unwrap() - f64::from(last[id])).abs() < 1e-4, "{token}");
        assert!(token["probability"].as_f64().unwrap() > 0.0 && token["token"].is_string(), "{token}");
    }

    let words = succeeds(&[&run[..], &["--top", "1"]].concat());
    assert!(words.contains(&format!("{:?}", top[0]["token"].as_str().unwrap())), "{words}");
    assert_eq!(mppc(&[&run[..], &["--top", "0"]].concat()).output().unwrap().status.code(), Some(2));
    assert_eq!(mppc(&run).output().unwrap().status.code(), Some(2), "nothing asked for");
}

/// `mamba-ssm` has 56 rows, but its tokens end at 53; with a tokenizer of fewer entries the padding wins unless it is
/// left out.
#[test]
fn padding_is_never_likeliest() {
    let dir = copy("mamba-ssm");
    let ids = dir.path().join("t.json");
    std::fs::write(&ids, "[[1,2,3],[7,8,9],[11,4,2]]").unwrap();
    let best = |entries: usize| -> Vec<u64> {
        let vocab: serde_json::Map<_, _> = (0..entries).map(|i| (format!("t{i}"), i.into())).collect();
        let tokenizer = serde_json::json!({
            "version": "1.0",
            "model": { "type": "WordLevel", "vocab": vocab, "unk_token": "t0" },
        });
        std::fs::write(dir.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
        let model = text(dir.path());
        let args = ["run", model, "--tokens", text(&ids), "--top", "1", "--json", "--engine", "cpu"];
        let told: serde_json::Value = serde_json::from_str(&succeeds(&args)).unwrap();
        told["top"].as_array().unwrap().iter().map(|t| t[0]["id"].as_u64().unwrap()).collect()
    };
    let all = best(56);
    let highest = *all.iter().max().unwrap();
    assert!(highest > 0);
    let real = best(highest as usize);
    assert!(real.iter().all(|&id| id < highest), "a padding row won: {real:?} of {highest}");
    assert_ne!(real, all);

    std::fs::remove_file(dir.path().join("tokenizer.json")).unwrap();
    let line = fails(&["run", text(dir.path()), "--tokens", text(&ids), "--top", "1", "--engine", "cpu"]);
    assert!(line.contains("tokenizer.json"), "{line}");
}

#[test]
fn damaged_checkpoints_are_named() {
    let dir = copy("neox-parallel");
    let weights = dir.path().join("model.safetensors");
    let whole = std::fs::read(&weights).unwrap();

    std::fs::write(&weights, &whole[..whole.len() - 100]).unwrap();
    let line = run_fails(dir.path(), "[[1]]");
    assert!(line.contains("model.safetensors") && line.contains("not a sound safetensors file"), "{line}");

    // A header that claims other offsets than the file has.
    let header = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let mut lying = whole.clone();
    let text = String::from_utf8(whole[8..8 + header].to_vec()).unwrap();
    let at = text.find("\"data_offsets\":[0,").unwrap() + "\"data_offsets\":[0,".len();
    lying[8 + at] = if whole[8 + at] == b'9' { b'8' } else { whole[8 + at] + 1 };
    std::fs::write(&weights, &lying).unwrap();
    let line = run_fails(dir.path(), "[[1]]");
    assert!(line.contains("not a sound safetensors file"), "{line}");

    // NaN in the first tensor.
    let mut nan = whole.clone();
    nan[8 + header..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&weights, &nan).unwrap();
    let line = run_fails(dir.path(), "[[1]]");
    assert!(line.contains("NaN") && line.contains("weights must be finite"), "{line}");

    std::fs::remove_file(&weights).unwrap();
    assert!(run_fails(dir.path(), "[[1]]").contains("has no model.safetensors"));
    std::fs::write(dir.path().join("pytorch_model.bin"), "x").unwrap();
    assert!(run_fails(dir.path(), "[[1]]").contains("pickle"));
}

#[test]
fn configs_that_do_not_fit_are_named() {
    let change = |case: &str, key: &str, value: Option<serde_json::Value>| {
        let dir = copy(case);
        let path = dir.path().join("config.json");
        let mut map: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        match value {
            Some(value) => map.insert(key.to_owned(), value),
            None => map.remove(key),
        };
        std::fs::write(&path, serde_json::to_vec(&map).unwrap()).unwrap();
        run_fails(dir.path(), "[[1]]")
    };
    assert!(
        change("neox-parallel", "num_attention_heads", None)
            .contains("the key num_attention_heads is missing")
    );
    assert!(change("mamba-hf", "num_hidden_layers", None).contains("num_hidden_layers"));
    assert!(
        change("neox-parallel", "hidden_act", Some("relu".into()))
            .contains("hidden_act \"relu\" is not supported")
    );
    let scaling = serde_json::json!({ "type": "linear", "factor": 2.0 });
    assert!(change("neox-parallel", "rope_scaling", Some(scaling)).contains("rope_scaling"));
    assert!(change("mamba-hf", "hidden_act", Some("gelu".into())).contains("hidden_act"));
    assert!(change("neox-parallel", "model_type", Some("llama".into())).contains("model_type \"llama\""));
    assert!(change("neox-parallel", "hidden_size", Some(33.into())).contains("shape"));
    assert!(change("mamba-ssm", "rms_norm", Some(false.into())).contains("rms_norm"));
}

#[test]
fn long_prompts_are_run_only_when_that_is_asked_for() {
    let (model, dir) = (golden("neox-parallel"), tempfile::tempdir().unwrap());
    let ids = |len: usize| serde_json::json!([vec![7; len], vec![5; len]]).to_string();
    let line = run_fails(&model, &ids(33));
    assert!(line.contains("the prompt has 33 tokens, but the model was made to read 32"), "{line}");
    assert!(line.contains("--past-context"), "{line}");
    let (file, out) = (dir.path().join("t.json"), dir.path().join("out.safetensors"));
    let run = |len: usize, more: &[&str]| {
        std::fs::write(&file, ids(len)).unwrap();
        let mut args =
            vec!["run", text(&model), "--tokens", text(&file), "--hook", "hook_embed", "--save", text(&out)];
        args.extend(more);
        succeeds(&args);
        mppc::checkpoint::SafeFile::open(&out).unwrap().shape("hook_embed").unwrap()[1]
    };
    assert_eq!([run(32, &[]), run(33, &["--past-context"])], [32, 33]);
}

#[test]
fn a_pass_that_is_not_finite_saves_nothing() {
    let dir = copy("neox-parallel");
    let weights = dir.path().join("model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let map: serde_json::Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
    let place = &map["gpt_neox.layers.1.mlp.dense_h_to_4h.bias"]["data_offsets"];
    let [from, to] = [0, 1].map(|i| 8 + header + place[i].as_u64().unwrap() as usize);
    bytes[from..to].chunks_mut(4).for_each(|v| v.copy_from_slice(&3e38f32.to_le_bytes()));
    std::fs::write(&weights, &bytes).unwrap();
    let line = run_fails(dir.path(), "[[1, 2, 3]]");
    assert!(line.contains("the model is not finite: blocks.1.hook_mlp_out holds"), "{line}");
}

#[test]
fn tokens_that_do_not_fit_are_named() {
    let model = golden("neox-parallel");
    assert!(run_fails(&model, "[[1, 61]]").contains("token id 61 (prompt 0, position 1)"));
    assert!(run_fails(&model, "[[1, 2], [3]]").contains("list 1 has 1 ids"));
    assert!(run_fails(&model, "[]").contains("at least one"));
    assert!(run_fails(&model, "{").contains("no JSON list"));
    let line = run_fails(&golden("nowhere"), "[[1]]");
    assert!(line.contains("tiny-neox, tiny-mamba"), "{line}");
}

#[test]
fn corpora_that_do_not_fit_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let report = dir.path().join("report");
    let refused = |name: &str, bytes: &[u8]| {
        let corpus = dir.path().join(name);
        std::fs::write(&corpus, bytes).unwrap();
        let line =
            fails(&["reproduce", "--corpus", text(&corpus), "--save", text(&report), "--engine", "cpu"]);
        assert!(!report.exists(), "a report of nothing");
        line
    };
    assert!(refused("empty.txt", b"").contains("empty"), "empty");
    assert!(refused("latin.txt", b"caf\xe9 au lait").contains("UTF-8"), "not UTF-8");
    assert!(refused("bad.jsonl", b"{\"text\": \"a\"}\n{\"txt\": 1}\n").contains("line 2"), "bad line");
    assert!(refused("corpus.csv", b"a,b").contains(".jsonl"), "unknown kind");
}

#[test]
fn an_sae_of_another_width_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let saes = dir.path().join("saes");
    std::fs::create_dir_all(saes.join("one")).unwrap();
    for name in ["cfg.json", "sae_weights.safetensors"] {
        std::fs::copy(golden("saelens-topk").join(name), saes.join("one").join(name)).unwrap();
    }
    let report = dir.path().join("report");
    let line = fails(&["reproduce", "--a-saes", text(&saes), "--save", text(&report), "--engine", "cpu"]);
    assert!(line.contains("23") || line.contains("hook"), "{line}");
    // Encoding activations of another width.
    let acts = golden("mamba-hf").join("reference.safetensors");
    let sae = golden("saelens-topk");
    let out = dir.path().join("codes.safetensors");
    let line =
        fails(&["sae", "encode", text(&sae), text(&acts), "--key", "hook_embed", "--save", text(&out)]);
    assert!(line.contains("26 wide") && line.contains("23 wide"), "{line}");
    assert!(!out.exists());
    let line = fails(&["sae", "encode", text(&sae), text(&acts), "--key", "nothing", "--save", text(&out)]);
    assert!(line.contains("has no tensor nothing"), "{line}");
}

/// Writes an SAE of the built-in pair as sparsify would: encoder [F, D], the hook in the folder's name.
fn as_sparsify(sae: &Path, folder: &Path) {
    let bytes = std::fs::read(sae.join("sae_weights.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = |name: &str| file.tensor(name).unwrap();
    let (d, f) = (tensor("W_enc").shape()[0], tensor("W_enc").shape()[1]);
    let width = tensor("W_enc").dtype().bitsize() / 8;
    let encoder = tensor("W_enc").data();
    let turned: Vec<u8> = (0..f * d)
        .flat_map(|i| {
            let (row, column) = (i / d, i % d);
            encoder[(column * f + row) * width..][..width].to_vec()
        })
        .collect();
    let view = |name: &'static str, from: &str, shape: Vec<usize>, data| {
        let dtype = tensor(from).dtype();
        (name, safetensors::tensor::TensorView::new(dtype, shape, data).unwrap())
    };
    let (b_enc, w_dec, b_dec) = (tensor("b_enc"), tensor("W_dec"), tensor("b_dec"));
    let stored = safetensors::serialize(
        [
            view("encoder.weight", "W_enc", vec![f, d], &turned[..]),
            view("encoder.bias", "b_enc", vec![f], b_enc.data()),
            view("W_dec", "W_dec", vec![f, d], w_dec.data()),
            view("b_dec", "b_dec", vec![d], b_dec.data()),
        ],
        None,
    )
    .unwrap();
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("sae.safetensors"), stored).unwrap();
    let config: serde_json::Value =
        serde_json::from_slice(&std::fs::read(sae.join("cfg.json")).unwrap()).unwrap();
    let config = serde_json::json!({"activation": "topk", "d_in": d, "num_latents": f, "k": config["k"]});
    std::fs::write(folder.join("cfg.json"), config.to_string()).unwrap();
}

#[test]
fn saes_of_another_library_are_as_healthy_as_ours() {
    let dir = tempfile::tempdir().unwrap();
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tiny-neox/saes");
    let (one, theirs) = (dir.path().join("one"), dir.path().join("theirs"));
    let hook = "blocks.1.hook_resid_post";
    std::fs::create_dir_all(one.join(hook)).unwrap();
    for file in ["cfg.json", "sae_weights.safetensors"] {
        std::fs::copy(ours.join(hook).join(file), one.join(hook).join(file)).unwrap();
    }
    as_sparsify(&ours.join(hook), &theirs.join("layers.1"));
    let health = |saes: &Path| {
        let args = ["sae", "health", "tiny-neox", "--saes", text(saes), "--tokens", "500", "--json"];
        let report = succeeds(&[&args[..], &["--engine", "cpu"]].concat());
        // But for the wall times.
        serde_json::from_str::<serde_json::Value>(&report).unwrap()["saes"].clone()
    };
    assert_eq!(health(&theirs), health(&one));
    // One of ours that does not say its hook, in a folder that is named as sparsify names them.
    let unnamed = dir.path().join("unnamed");
    std::fs::create_dir(&unnamed).unwrap();
    std::fs::rename(one.join(hook), unnamed.join("layers.1")).unwrap();
    let config = unnamed.join("layers.1/cfg.json");
    let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(&config).unwrap()).unwrap();
    json["metadata"]["hook_name"] = serde_json::Value::Null;
    std::fs::write(&config, json.to_string()).unwrap();
    assert_eq!(health(&unnamed), health(&theirs));

    let told =
        mppc(&["sae", "health", "tiny-neox", "--saes", text(&theirs), "--tokens", "64", "--engine", "cpu"])
            .output()
            .unwrap();
    let told = String::from_utf8(told.stderr).unwrap();
    assert!(told.contains("b_dec is subtracted from the input (sparsify)"), "{told}");

    let coder = golden("sparsify-transcode");
    let line = fails(&["sae", "health", "tiny-neox", "--saes", text(&coder), "--engine", "cpu"]);
    assert!(line.contains("layers.1 is a transcoder"), "{line}");
    let narrow = golden("sparsify-topk");
    let line = fails(&["sae", "health", "tiny-neox", "--saes", text(&narrow), "--engine", "cpu"]);
    assert!(
        line.contains("cfg.json: `d_in` is 12, but blocks.1.hook_resid_post of tiny-neox is 128 wide"),
        "{line}"
    );
    std::fs::rename(theirs.join("layers.1"), theirs.join("layers.1.attention.query_key_value")).unwrap();
    let line = fails(&["sae", "health", "tiny-neox", "--saes", text(&theirs), "--engine", "cpu"]);
    assert!(
        line.contains(
            "cfg.json: the SAE reads layers.1.attention.query_key_value (the folder's name), which tiny-neox does \
             not have"
        ),
        "{line}"
    );
}

#[test]
fn info_shows_one_sae_or_many() {
    let info: serde_json::Value =
        serde_json::from_str(&succeeds(&["sae", "info", text(&golden("sparsify-topk")), "--json"])).unwrap();
    let [row] = &info.as_array().unwrap()[..] else { panic!("{info}") };
    assert_eq!((&row["format"], &row["k"]), (&"sparsify".into(), &5.into()));
    assert_eq!(row["hook"], "blocks.1.hook_resid_post");
    assert_eq!(row["tensors"][0]["name"], "W_dec");
    assert_eq!(row["tensors"][0]["shape"], serde_json::json!([40, 12]));
    let shown = succeeds(&["sae", "info", text(&golden("lm-saes-2024-token-wise"))]);
    for part in ["Language-Model-SAEs (2024)", "D 12, F 40", "features are multiplied with feature_act_scale"]
    {
        assert!(shown.contains(part), "{shown}");
    }
    let pair = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tiny-neox/saes");
    let all: serde_json::Value =
        serde_json::from_str(&succeeds(&["sae", "info", text(&pair), "--json"])).unwrap();
    assert_eq!(all.as_array().unwrap().len(), std::fs::read_dir(&pair).unwrap().count());
    assert!(fails(&["sae", "info", text(&golden("tokenizer-neox.json"))]).contains("is no directory"));
    assert!(fails(&["sae", "info", text(&golden("mamba-hf"))]).contains("give the folder of an SAE"));
}

#[test]
fn a_converted_sae_encodes_the_same() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["dictionary-learning-gated", "lm-saes-2025-jumprelu", "sparsify-topk/layers.1"] {
        let (sae, converted) = (golden(name), dir.path().join("converted"));
        succeeds(&["sae", "convert", text(&sae), "--save", text(&converted)]);
        let acts = sae.join("reference.safetensors");
        let codes = |sae: &Path, out: &str| {
            let out = dir.path().join(out);
            let args = ["sae", "encode", text(sae), text(&acts), "--key", "acts", "--save", text(&out)];
            succeeds(&[&args[..], &["--engine", "cpu"]].concat());
            std::fs::read(out).unwrap()
        };
        assert_eq!(codes(&converted, "b.safetensors"), codes(&sae, "a.safetensors"), "{name}");
    }
    let line = fails(&[
        "sae",
        "convert",
        text(&golden("lm-saes-2024-token-wise")),
        "--save",
        text(&dir.path().join("none")),
    ]);
    assert!(line.contains("cannot be written in SAELens's form"), "{line}");
    assert!(!dir.path().join("none").exists());
}

#[test]
fn encode_and_correlate_speak_the_documented_files() {
    let dir = tempfile::tempdir().unwrap();
    let (codes, out) = (dir.path().join("codes.safetensors"), dir.path().join("out.safetensors"));
    let sae = golden("saelens-topk");
    let acts = sae.join("reference.safetensors");
    succeeds(&[
        "sae",
        "encode",
        text(&sae),
        text(&acts),
        "--key",
        "acts",
        "--save",
        text(&codes),
        "--engine",
        "cpu",
    ]);
    let bytes = std::fs::read(&codes).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(metadata.metadata().as_ref().unwrap()["n_features"], "61");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.tensor("indptr").unwrap().dtype(), safetensors::Dtype::I64);
    assert_eq!(file.tensor("indptr").unwrap().shape(), [18]);
    assert_eq!(file.tensor("indices").unwrap().dtype(), safetensors::Dtype::U16);
    assert_eq!(file.tensor("values").unwrap().dtype(), safetensors::Dtype::F32);

    let told = succeeds(&[
        "correlate",
        text(&codes),
        text(&codes),
        "--save",
        text(&out),
        "--engine",
        "cpu",
        "--published",
    ]);
    assert!(told.contains("by the paper's script: mean MPPC "), "{told}");
    let bytes = std::fs::read(&out).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mppc: Vec<f32> = file
        .tensor("a_to_b.mppc")
        .unwrap()
        .data()
        .as_chunks()
        .0
        .iter()
        .map(|b| f32::from_le_bytes(*b))
        .collect();
    let argmax: Vec<i32> = file
        .tensor("a_to_b.argmax")
        .unwrap()
        .data()
        .as_chunks()
        .0
        .iter()
        .map(|b| i32::from_le_bytes(*b))
        .collect();
    // A feature that fires is its own best partner (or an equal's), one that does not has none.
    for (value, partner) in mppc.iter().zip(&argmax) {
        assert!((value.is_nan() && *partner == -1) || ((value - 1.0).abs() < 1e-5 && *partner >= 0));
    }
    assert!(mppc.iter().any(|v| !v.is_nan()));

    // bf16 keeps 8 bits of a code.
    let script = file.tensor("published.a_to_b.mppc").unwrap();
    let script = script.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b));
    assert!(mppc.iter().zip(script).all(|(exact, script)| exact.is_nan() || (exact - script).abs() < 1e-2));
    let dense = dir.path().join("acts.safetensors");
    std::fs::copy(&acts, &dense).unwrap();
    let refused = fails(&["correlate", text(&dense), text(&codes), "--save", text(&out), "--published"]);
    assert!(refused.contains("give codes on both sides"), "{refused}");

    let other = golden("correlation.safetensors");
    assert!(
        fails(&["correlate", text(&codes), text(&other), "--save", text(&out)])
            .contains("neither acts nor indptr")
    );
}

#[test]
fn usage_errors_exit_with_2() {
    for args in
        [&["run"][..], &["nonsense"], &["devices", "--engine", "abacus"], &["sae", "train", "tiny-neox"]]
    {
        assert_eq!(mppc(args).output().unwrap().status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn the_built_in_corpus_is_jsonl() {
    let lines = succeeds(&["corpus", "--documents", "3", "--seed", "7"]);
    assert_eq!(lines.lines().count(), 3);
    for line in lines.lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(value["text"].as_str().unwrap().len() > 50);
    }
}

/// Both engines from the same tokens, through the whole job.
#[test]
fn both_engines_report_the_same_figures() {
    let dir = tempfile::tempdir().unwrap();
    let report = |engine: &str| -> serde_json::Value {
        let save = dir.path().join(engine);
        let args = ["reproduce", "--tokens", "1500", "--neuron-tokens", "600", "--engine", engine, "--json"];
        let told = succeeds(&[&args[..], &["--save", text(&save)]].concat());
        for name in ["report.json", "report.html", "features_a.csv", "features_b.csv"] {
            assert!(save.join(name).is_file(), "{name}");
        }
        serde_json::from_str(&told).unwrap()
    };
    let (cpu, gpu) = (report("cpu"), report("gpu"));
    assert_eq!((&cpu["engine"], &gpu["engine"]), (&"cpu".into(), &"gpu".into()));
    for direction in ["a_to_b", "b_to_a"] {
        for kind in ["all", "filtered", "neurons", "null"] {
            let value = |r: &serde_json::Value| r[direction][kind]["mean"].as_f64().unwrap();
            let (c, g) = (value(&cpu), value(&gpu));
            // f32 on both, summed in other orders: a feature at its threshold may fire on one engine alone, and
            // moves the mean over hundreds of features by far less than this.
            assert!((c - g).abs() < 1e-4, "{direction} {kind}: {c} on the processor, {g} on the adapter");
        }
    }
}

#[cfg(unix)]
#[test]
fn a_reader_who_has_seen_enough_is_no_error() {
    use std::process::Stdio;
    for args in [&["corpus", "--documents", "2000"][..], &["devices", "--engine", "cpu"]] {
        let mut child = mppc(&[]).args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
