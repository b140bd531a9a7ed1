//! Tensor files, models and tokenizers.

use mppc::checkpoint::{Bytes, SafeFile};
use mppc::corpus::{Tokenize, Tokenizer};
use mppc::gpu::Engine;
use mppc::model::{Model, Plan, Prompts};

use crate::{Folder, files, golden};

/// Some files of each library that writes safetensors.
pub(crate) fn tensor_files() -> Vec<Folder> {
    let one = |folder: &str, file: &str| golden(folder, &[file]);
    vec![
        one("sparsify-topk/layers.1", "sae.safetensors"),
        one("mamba-ssm", "model.safetensors"),
        one("", "correlation-constant.safetensors"),
        one("saelens-standard-expected-average", "sae_weights.safetensors"),
    ]
}

/// Reads every tensor as floats, as raw floats and as integers.
pub(crate) fn read_tensors(input: &Folder) -> bool {
    let read = |bytes: &Vec<u8>| {
        let Ok(file) = SafeFile::parse("fuzz", Bytes::from(bytes.clone())) else { return false };
        for name in file.names() {
            let _ = (file.shape(&name), file.dtype(&name), file.note(&name));
            let _ = (file.f32s(&name), file.raw_f32s(&name), file.integers(&name));
            let _ = (file.tensor(&name, &[2, 3]), file.rows(&name, &[3, 2], |_, _| Ok(())));
        }
        true
    };
    !input.is_empty() && input.values().all(read)
}

/// Both architectures, in one file and in shards.
pub(crate) fn models() -> Vec<Folder> {
    let mut all = Vec::new();
    for name in ["neox-parallel", "neox-sequential", "mamba-hf", "mamba-ssm"] {
        let mut folder = golden(name, &[]);
        folder.retain(|name, _| name == "config.json" || name.starts_with("model"));
        all.push(folder);
    }
    all
}

/// Loads a model and runs it on three tokens with every hook.
pub(crate) fn run_model(input: &Folder) -> bool {
    let engine = Engine::cpu();
    let Ok(model) = Model::load(&engine, "fuzz", &files(input)) else { return false };
    let hooks = model.hooks(1, 3);
    let keep = hooks.into_iter().map(|hook| hook.name).collect();
    let plan = Plan { keep, logits: true, ..Plan::default() };
    let prompts = Prompts { batch: 1, len: 3, ids: vec![0, 1, 2] };
    let Ok(output) = model.run(&prompts, plan) else { return false };
    for tensor in output.hooks.values() {
        let _ = pollster::block_on(tensor.read_f32());
    }
    true
}

/// The built-in tokenizer, and one with everything that a tokenizer can have.
pub(crate) fn tokenizers() -> Vec<Folder> {
    let model = crate::folder(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tiny-neox"));
    let keep = |name: &str| name.starts_with("tokenizer");
    let builtin: Folder = model.into_iter().filter(|(name, _)| keep(name)).collect();
    vec![builtin, [("tokenizer.json".to_owned(), RICH.into())].into()]
}

/// With normalizer, template, truncation, padding and added tokens.
const RICH: &str = r#"{
    "version": "1.0",
    "truncation": {"direction": "Right", "max_length": 6, "strategy": "LongestFirst", "stride": 0},
    "padding": {"strategy": {"Fixed": 8}, "direction": "Left", "pad_to_multiple_of": null, "pad_id": 0,
                "pad_type_id": 0, "pad_token": "<pad>"},
    "added_tokens": [
        {"id": 0, "content": "<pad>", "single_word": false, "lstrip": false, "rstrip": false,
         "normalized": false, "special": true},
        {"id": 6, "content": "<new>", "single_word": true, "lstrip": true, "rstrip": true,
         "normalized": true, "special": false}],
    "normalizer": {"type": "Sequence", "normalizers": [
        {"type": "NFC"}, {"type": "Lowercase"},
        {"type": "Replace", "pattern": {"Regex": " +"}, "content": " "}]},
    "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": "\\s+|\\w+"}, "behavior": "Isolated", "invert": false},
        {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true}]},
    "post_processor": {"type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<pad>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<pad>": {"id": "<pad>", "ids": [0], "tokens": ["<pad>"]}}},
    "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
    "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
        "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
        "vocab": {"<pad>": 0, "a": 1, "b": 2, "c": 3, "ab": 4, "abc": 5}, "merges": [["a", "b"], ["ab", "c"]]}
}"#;

/// Reads a tokenizer, encodes a text, and decodes what comes out and what does not.
pub(crate) fn tokenize(input: &Folder) -> bool {
    let Ok(tokenizer) = Tokenizer::read(&files(input)) else { return false };
    let _ = (tokenizer.len(), tokenizer.real_vocabulary(1_024), tokenizer.id("<|endoftext|>"));
    let Ok(encoding) = tokenizer.encode("Abc  ab\u{0}\u{1f600} <|endoftext|><new> \u{e9}e\u{301}") else {
        return false;
    };
    let _ = (tokenizer.decode(&encoding.ids), tokenizer.decode(&[0, 7, 1_000_000, u32::MAX]));
    true
}
