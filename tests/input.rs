//! What comes in from outside: sizes that nobody has, files that are none, names that a terminal would obey, corpora as
//! other programs write them.

mod common;

use std::path::Path;
use std::process::Command;

use common::{fails, mppc, text, told};

fn succeeds(args: &[&str]) -> (String, String) {
    told(&mut mppc(args))
}

/// Runs a command that must be refused for its arguments, and returns what it says.
fn refused(args: &[&str]) -> String {
    let output = mppc(args).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {told}");
    told
}

#[test]
fn numbers_have_ranges_and_say_them() {
    let train = ["sae", "train", "tiny-neox", "--hook", "hook_embed", "--save", "none"];
    let sizes = ["--tokens", "10", "--features", "8", "--topk", "2"];
    let circuit = ["circuit", "all", "tiny-neox"];
    let cases: &[(&[&str], &[&str])] = &[
        (&[], &["--tokens", "--features", "--topk"]),
        (&sizes, &["--fine-tune", "--prune", "--dead-after", "--checkpoint-every", "--batch", "--context"]),
        (&sizes, &["--seed", "--sae-seeds", "--lr", "--l1", "--jumprelu", "--gated", "--batchtopk"]),
    ];
    let mut all: Vec<(Vec<&str>, &str)> = Vec::new();
    for (sizes, names) in cases {
        all.extend(names.iter().map(|name| ([&train[..], sizes].concat(), *name)));
    }
    all.extend(
        ["--prompts", "--tokens", "--seed", "--layer", "--receiver"].map(|name| (circuit.to_vec(), name)),
    );
    let look = ["--tokens", "--seed", "--groups"];
    all.extend(look.map(|name| (vec!["circuit", "look", "tiny-neox"], name)));
    all.extend(["--prompts", "--seed"].map(|name| (vec!["circuit", "paper"], name)));
    all.extend(["--tokens", "--seed", "--context"].map(|name| (vec!["sae", "health", "tiny-neox"], name)));
    let reproduce = ["--tokens", "--neuron-tokens", "--seed", "--context"];
    all.extend(reproduce.map(|name| (vec!["reproduce"], name)));
    all.extend(["--documents", "--seed"].map(|name| (vec!["corpus"], name)));
    all.extend([
        (vec!["run", "tiny-neox", "--text", "a"], "--top"),
        (vec!["compare", "none.toml"], "--shards"),
    ]);
    for (args, name) in all {
        for value in ["18446744073709551615", "18446744073709551616", "1e400", "-1"] {
            let named = format!("{name}={value}");
            let told = refused(&[&args[..], &[&named]].concat());
            assert!(told.contains(name) && told.contains(" to "), "{named}: {told}");
        }
    }
    for (args, range) in [
        (&["circuit", "all", "tiny-neox", "--prompts", "1000000000"][..], "1 to 1000000"),
        (
            &[&train[..], &["--tokens", "9", "--topk", "1", "--features", "1000000000"]].concat(),
            "1 to 16777216",
        ),
    ] {
        assert!(refused(args).contains(range), "{args:?}");
    }
    // Each in its range, and too much together.
    let line =
        fails(&["circuit", "all", "tiny-neox", "--prompts", "1000000", "--tokens", "512", "--engine", "cpu"]);
    assert!(line.contains("67108864 tokens in all are the most"), "{line}");
}

#[test]
fn plans_have_ranges_and_an_example() {
    let dir = tempfile::tempdir().unwrap();
    let plan = dir.path().join("plan.toml");
    let (example, _) = succeeds(&["compare", "--example"]);
    for (from, to, told) in [
        ("shuffled = 20", "shuffled = 2147483647", "shuffled is 2147483647, but must be 0 to 1000"),
        ("tokens = 100_000\n", "tokens = 9_223_372_036_854_775_807\n", "must be 2 to 1000000000"),
        ("shifted = 20", "shifteed = 20", "did you mean shifted?"),
        ("[filter]", "[filtre]", "did you mean filter?"),
    ] {
        assert!(example.contains(from), "{example}");
        std::fs::write(&plan, example.replace(from, to)).unwrap();
        for also in [&["--dry-run"][..], &[]] {
            let line = fails(&[&["compare", text(&plan), "--engine", "cpu"][..], also].concat());
            assert!(line.contains(told), "{line}");
        }
    }
    let (schema, _) = succeeds(&["compare", "--schema"]);
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    assert_eq!(schema["properties"]["controls"]["properties"]["shuffled"]["maximum"], 1000);
    assert!(refused(&["compare"]).contains("PLAN"));
    // A plan may come from a pipe, but not without an end.
    if cfg!(unix) {
        let line = fails(&["compare", "/dev/zero", "--engine", "cpu"]);
        assert!(line.contains("longer than a plan can be"), "{line}");
    }
}

#[test]
fn a_terminal_is_told_and_not_commanded() {
    let dir = tempfile::tempdir().unwrap();
    let attack = "x\u{1b}]0;title\u{7}\u{1b}[2J\u{9b}31m\u{202e}";
    let long = format!("{attack}{}", "é".repeat(20_000));
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        text(&path).to_owned()
    };
    let plan = |content: String| file("plan.toml", content.as_bytes());
    let pair = "[a]\nmodel = \"tiny-neox\"\n[b]\nmodel = \"tiny-mamba\"\n";
    let escaped = long.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect::<String>();
    let keyed = plan(format!("{pair}[corpus]\n\"{escaped}\" = 3\n"));
    let none = dir.path().join("none");
    let cases = [
        vec!["run", &long, "--text", "a", "--top", "1"],
        vec!["run", "tiny-neox", "--text", "a", "--hook", &long, "--save", "none.safetensors"],
        vec!["fetch", &long],
        vec!["corpus", &long],
        vec!["sae", "info", &long],
        vec!["compare", &keyed],
        vec![
            "sae",
            "train",
            "tiny-neox",
            "--hook",
            &long,
            "--tokens",
            "9",
            "--batch",
            "3",
            "--features",
            "4",
            "--topk",
            "1",
            "--save",
            text(&none),
        ],
    ];
    for args in cases {
        let line = fails(&[&args[..], &["--engine", "cpu"]].concat());
        assert!(!line.contains(|c: char| c.is_control() || c == '\u{202e}'), "{line:?}");
        assert!(line.chars().count() < 1_000, "{} characters: {line}", line.chars().count());
    }
    for args in [vec!["devices", "--engine", &long], vec![&*long], vec!["run", "m", "--top", &long]] {
        let told = refused(&args);
        assert!(!told.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'), "{told:?}");
        assert!(told.chars().count() < 2_000, "{told}");
    }
    // Names in a file, printed as a result.
    let sae = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/saelens-topk");
    let config = std::fs::read(sae.join("cfg.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    config["metadata"]["hook_name"] = attack.into();
    config["hook_name"] = attack.into();
    let named = dir.path().join("sae");
    std::fs::create_dir(&named).unwrap();
    std::fs::copy(sae.join("sae_weights.safetensors"), named.join("sae_weights.safetensors")).unwrap();
    std::fs::write(named.join("cfg.json"), config.to_string()).unwrap();
    for json in [&[][..], &["--json"]] {
        let (told, _) = succeeds(&[&["sae", "info", text(&named)][..], json].concat());
        assert!(told.contains("title"), "{told}");
        assert!(!told.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'), "{told:?}");
    }
}

#[test]
fn near_misses_are_named() {
    let run = |model: &str| fails(&["run", model, "--text", "a", "--top", "1", "--engine", "cpu"]);
    assert!(run("tiny-nox").ends_with("did you mean tiny-neox?"), "{}", run("tiny-nox"));
    assert!(run("pythia160m").ends_with("did you mean pythia-160m?"));
    assert!(!run("qqqq").contains("did you mean"));
    assert!(fails(&["fetch", "mamba-130"]).ends_with("did you mean mamba-130m?"));
    assert!(fails(&["corpus", "built-in"]).ends_with("did you mean builtin?"));
    let hooks =
        ["run", "tiny-neox", "--text", "a", "--save", "none.safetensors", "--engine", "cpu", "--hook"];
    let line = fails(&[&hooks[..], &["blocks.*.hook_resid_pst"]].concat());
    assert!(line.ends_with("did you mean blocks.*.hook_resid_post?"), "{line}");
    assert!(refused(&["reproducee"]).contains("'reproduce'"));
}

/// The same texts, however they are written.
#[test]
fn corpora_are_read_as_others_write_them() {
    let dir = tempfile::tempdir().unwrap();
    let corpus = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        succeeds(&["corpus", text(&path), "--documents", "10"])
    };
    let plain = "{\"text\": \"one\"}\n{\"text\": \"two é\"}\n";
    let (wanted, _) = corpus("plain.jsonl", plain.as_bytes());
    assert_eq!(wanted.lines().count(), 2);
    let marked = format!("\u{feff}{plain}");
    let nulls = format!("{{\"text\": null}}\n{plain}{{\"text\": null, \"n\": 1e999}}\n");
    for (name, text) in [("marked.jsonl", marked), ("nulls.jsonl", nulls)] {
        assert_eq!(corpus(name, text.as_bytes()).0, wanted, "{name}");
    }
    assert_eq!(corpus("marked.txt", "\u{feff}one\n\u{c}\ntwo é".as_bytes()).0, wanted);
    let (lone, told) = corpus("lone.jsonl", br#"{"text": "a\ud800b\udc00"}"#);
    assert_eq!(lone.trim_end(), "{\"text\":\"a\u{fffd}b\u{fffd}\"}");
    assert_eq!(told.matches("2 lone surrogates").count(), 1, "{told}");
    let line = fails(&[
        "corpus",
        text(&{
            let path = dir.path().join("empty.jsonl");
            std::fs::write(&path, "{\"text\": null}\n").unwrap();
            path
        }),
    ]);
    assert!(line.contains("is empty"), "{line}");
}

/// A byte order mark in front of any JSON changes nothing.
#[test]
fn json_may_begin_with_a_mark() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden");
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    let marked =
        |name: &str, json: &[u8]| std::fs::write(file(name), [b"\xef\xbb\xbf", json].concat()).unwrap();
    let run = |model: &Path, ids: &str| {
        let ids = file(ids);
        let args = ["run", text(model), "--tokens", text(&ids), "--hook", "logits", "--engine", "cpu"];
        succeeds(&[&args[..], &["--save", text(&file("out.safetensors"))]].concat());
        std::fs::read(file("out.safetensors")).unwrap()
    };
    let model = golden.join("mamba-hf");
    std::fs::write(file("plain.json"), "[[1,2,3]]").unwrap();
    let wanted = run(&model, "plain.json");
    let weights = std::fs::read(model.join("model.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&weights).unwrap();
    let map: serde_json::Map<_, _> =
        tensors.names().into_iter().map(|name| (name.to_owned(), "model-1.safetensors".into())).collect();
    std::fs::write(file("model-1.safetensors"), &weights).unwrap();
    marked("model.safetensors.index.json", serde_json::json!({ "weight_map": map }).to_string().as_bytes());
    marked("config.json", &std::fs::read(model.join("config.json")).unwrap());
    marked("marked.json", b"[[1,2,3]]");
    // But for the model's name in the notes of the file.
    let logits = |file: &[u8]| {
        let file = safetensors::SafeTensors::deserialize(file).unwrap();
        file.tensor("logits").unwrap().data().to_vec()
    };
    assert_eq!(logits(&run(dir.path(), "marked.json")), logits(&wanted));
}

#[cfg(unix)]
#[test]
fn corpora_are_regular_files() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("folder")).unwrap();
    for name in ["pipe.txt", "pipe.jsonl", "pipe.parquet"] {
        let pipe = dir.path().join(name);
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let line = fails(&["corpus", text(&pipe)]);
        assert!(line.contains("it is no regular file"), "{line}");
        let zero = dir.path().join(format!("zero-{name}"));
        std::os::unix::fs::symlink("/dev/zero", &zero).unwrap();
        let line = fails(&["corpus", text(&zero)]);
        assert!(line.contains("it is no regular file"), "{line}");
    }
    let sparse = dir.path().join("sparse.txt");
    std::fs::File::create(&sparse).unwrap().set_len(1 << 40).unwrap();
    let line = fails(&["corpus", text(&sparse)]);
    assert!(line.contains("1099511627776 bytes") && line.contains("8589934592"), "{line}");
}

#[test]
fn a_corpus_that_ends_early_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let short = dir.path().join("short.txt");
    std::fs::write(&short, "The old man went to the river and saw a fish. ".repeat(40)).unwrap();
    let save = dir.path().join("saes");
    let fixed = [
        "sae",
        "train",
        "tiny-neox",
        "--hook",
        "blocks.0.hook_resid_post",
        "--features",
        "16",
        "--topk",
        "2",
    ];
    let train = [&fixed[..], &["--corpus", text(&short), "--save", text(&save), "--engine", "cpu"]].concat();
    // Nothing that could be told of: an error.
    let line = fails(&[&train[..], &["--tokens", "1000000", "--batch", "128"]].concat());
    assert!(
        line.contains("of the 1000000 tokens asked for") && line.contains("steps; use a larger"),
        "{line}"
    );
    assert!(!save.join("cfg.json").exists());
    // Enough to tell, and less than was asked for: told.
    let (_, told) = succeeds(&[&train[..], &["--tokens", "2000", "--batch", "4"]].concat());
    assert!(told.contains("warning: the corpus") && told.contains("of 500 steps"), "{told}");
    let health =
        ["sae", "health", "tiny-neox", "--corpus", text(&short), "--engine", "cpu", "--tokens", "5000"];
    let (_, told) = succeeds(&health);
    assert!(told.contains("of the 5000 tokens asked for"), "{told}");
    let (_, told) = succeeds(&["corpus", text(&short), "--documents", "5"]);
    assert!(told.contains("these are all 1 documents"), "{told}");
}
