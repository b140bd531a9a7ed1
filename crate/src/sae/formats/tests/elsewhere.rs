//! What the files of an SAE say in other words than usual, or not in its own folder.

use super::*;

/// A sparsify SAE of `layers.1` (or a folder in it) in a run, beside what the run was started with.
fn in_run(folder: &str, run: Value) -> Files {
    let sae = in_memory("sparsify-topk/layers.1").into_iter();
    let mut all: Vec<_> = sae.map(|(name, bytes)| (format!("{folder}/{name}"), bytes)).collect();
    all.push(("config.json".to_owned(), run.to_string().into_bytes()));
    loose("run", all)
}

#[test]
fn a_run_of_transcoders_is_told_one_folder_up() {
    use serde_json::json;
    let run =
        |transcode: bool| json!({"sae": {"k": 5}, "layers": [1], "transcode": transcode, "batch_size": 8});
    let read = |files: &Files| SaeFile::read(files).expect("a sparsify SAE");
    let alone = read(&Files::dir(golden("sparsify-topk/layers.1")));
    let within = json!({"sae": {"transcode": true}, "hookpoints": ["layers.1"]});
    for (folder, config, transcoder) in [
        ("layers.1", run(true), true),
        ("layers.1/seed0", run(true), true),
        ("layers.1", within, true),
        ("layers.1", run(false), false),
        ("layers.1/seed0", run(false), false),
        // Somebody else's file of that name.
        ("layers.1", json!({"model_type": "gpt_neox", "transcode": true}), false),
        ("layers.1", json!([]), false),
        // Two folders up is no run's place, but for seeds.
        ("layers.1/best", run(true), false),
    ] {
        let read = read(&in_run(folder, config).folder(folder));
        assert_eq!(read.transcoder, transcoder, "{folder}");
        let hook = if transcoder { "blocks.1.hook_resid_pre" } else { "blocks.1.hook_resid_post" };
        if folder != "layers.1/best" {
            assert_eq!(read.config.hook_name.as_deref(), Some(hook), "{folder}");
        }
        // Those versions subtracted b_dec from whatever they encoded.
        assert_eq!((read.config.apply_b_dec_to_input, &read.weights), (true, &alone.weights));
    }
    // The same on a disk, from inside the folder's parent and by a path.
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().join("layers.1");
    std::fs::create_dir(&folder).expect("made");
    for (name, bytes) in in_memory("sparsify-topk/layers.1") {
        std::fs::write(folder.join(name), bytes).expect("written");
    }
    assert!(!read(&Files::dir(&folder)).transcoder);
    std::fs::write(dir.path().join("config.json"), run(true).to_string()).expect("written");
    for path in [folder.clone(), folder.join("../layers.1"), folder.join(".")] {
        assert!(read(&Files::dir(path)).transcoder);
    }
    let found = find(&Files::dir(dir.path())).expect("a run");
    assert!(found.len() == 1 && read(&found[0].1).transcoder);
}

#[test]
fn a_run_of_another_arithmetic_is_refused() {
    use serde_json::json;
    let skip = json!({"sae": {"skip_connection": true}, "transcode": true});
    for (run, told) in [
        (
            json!({"sae": {"signed": true}}),
            "run/config.json: `signed` true is not supported; supported: false",
        ),
        (skip, "run/config.json: `skip_connection` true is not supported; supported: false"),
        (
            json!({"sae": {"activation": "groupmax"}}),
            "run/config.json: `activation` \"groupmax\" is not supported",
        ),
        (
            json!({"sae": {}, "transcode": "yes"}),
            "run/config.json: `transcode` is \"yes\", but must be true or false",
        ),
    ] {
        let error =
            SaeFile::read(&in_run("layers.1", run).folder("layers.1")).expect_err("refused").to_string();
        assert!(error.starts_with(told), "{error}");
    }
    // A file of which only the beginning is left; one that is no JSON, as Python writes it, but no run's.
    for (text, refused) in [("{\"sae\": {}, \"transcode\": tr", true), ("{\"limit\": Infinity}", false)] {
        let mut all = in_memory("sparsify-topk/layers.1");
        all.iter_mut().for_each(|(name, _)| name.insert_str(0, "layers.1/"));
        all.push(("config.json".to_owned(), text.as_bytes().to_vec()));
        assert_eq!(SaeFile::read(&loose("run", all).folder("layers.1")).is_err(), refused, "{text}");
    }
}

/// A golden SAELens SAE in which these keys of the metadata are others.
fn with_metadata(name: &str, changes: Value) -> Files {
    changed(name, "cfg.json", |bytes| {
        for (key, value) in changes.as_object().expect("an object") {
            set(bytes, ("/metadata", key), value.clone());
        }
    })
}

#[test]
fn modules_that_saelens_hooked_are_hooks() {
    use serde_json::json;
    for (module, hook) in [
        ("gpt_neox.layers.2", "blocks.2.hook_resid_post"),
        ("backbone.layers.3", "blocks.3.hook_resid_post"),
        ("gpt_neox.layers.2.mlp", "blocks.2.hook_mlp_out"),
        ("blocks.0.hook_resid_post", "blocks.0.hook_resid_post"),
        // Of which no hook is: named as it is, so that whoever uses it says so.
        ("gpt_neox.layers.2.attention.query_key_value", "gpt_neox.layers.2.attention.query_key_value"),
    ] {
        let changes = json!({"hook_name": module, "model_class_name": "AutoModelForCausalLM"});
        let read = SaeFile::read(&with_metadata("saelens-topk", changes)).expect("a SAE");
        assert_eq!(read.config.hook_name.as_deref(), Some(hook));
        let told = format!("the module {module} is the hook {hook} (hook_name)");
        assert_eq!(read.conventions.contains(&told), module != hook, "{:?}", read.conventions);
    }
}

#[test]
fn changes_of_the_model_are_told() {
    use serde_json::json;
    let notes = |kwargs: Value| {
        let changes = json!({"model_from_pretrained_kwargs": kwargs});
        SaeFile::read(&with_metadata("saelens-topk", changes)).expect("a SAE").notes
    };
    for (kwargs, told) in [
        (
            json!({"center_writing_weights": true}),
            "center_writing_weights: true, which takes the mean over d_model",
        ),
        (json!({"fold_ln": true, "device": "cuda"}), "fold_ln: true, which moves the weights of norms"),
        (json!({"center_unembed": true}), "center_unembed: true"),
        (json!({"fold_value_biases": true}), "fold_value_biases: true"),
        (json!({"revision": "step1000"}), "revision: \"step1000\", which is another checkpoint"),
        (json!({"dtype": "bfloat16", "n_devices": 2}), "dtype: \"bfloat16\""),
    ] {
        let notes = notes(kwargs);
        assert!(notes.len() == 1 && notes[0].contains(told), "{notes:?}\n  lacks {told}");
    }
    for quiet in
        [json!({"center_writing_weights": false}), json!({"dtype": "torch.float32"}), json!({}), json!(null)]
    {
        assert_eq!(notes(quiet.clone()), Vec::<String>::new(), "{quiet}");
    }
    assert_eq!(notes(json!({"fold_ln": true, "center_writing_weights": true})).len(), 2);
    // Before version 6 it stood at the top.
    let old = changed("saelens-old-topk", "cfg.json", |bytes| {
        set(bytes, ("", "model_from_pretrained_kwargs"), json!({"center_writing_weights": true}));
    });
    assert_eq!(SaeFile::read(&old).expect("a SAE").notes.len(), 1);
}

#[test]
fn logarithms_of_thresholds_are_thresholds() {
    let want = SaeFile::read(&Files::dir(golden("saelens-jumprelu"))).expect("a golden SAE");
    let logarithms = changed("saelens-jumprelu", "sae_weights.safetensors", |bytes| {
        let file = safetensors::SafeTensors::deserialize(bytes).expect("a golden file");
        let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
        for (name, view) in file.tensors() {
            let (mut name, mut data) = (name, view.data().to_vec());
            if name == "threshold" {
                name = "log_threshold".to_owned();
                let ln = |b: &[u8; 4]| f32::from_le_bytes(*b).ln().to_le_bytes();
                data = data.as_chunks().0.iter().flat_map(ln).collect();
            }
            tensors.push((name, view.shape().to_vec(), data));
        }
        let views = tensors.iter().map(|(name, shape, data)| {
            let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), data);
            (name, view.expect("a view"))
        });
        *bytes = safetensors::serialize(views, None).expect("a file");
    });
    let read = SaeFile::read(&logarithms).expect("a SAE");
    let thresholds = |file: SaeFile| match file.weights.activation {
        ActivationFn::JumpRelu { threshold } => threshold,
        other => panic!("no thresholds: {other:?}"),
    };
    let (got, want) = (thresholds(read), thresholds(want));
    assert!(got.iter().zip(&want).all(|(got, want)| (got / want - 1.0).abs() < 1e-6), "{got:?} {want:?}");
}
