//! `mppc compare` as researchers use it: killed and taken up again, shared among machines, extended by a layer. What
//! comes out must be the same to the bit.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use common::{mppc_in, one_line, told};
use serde_json::Value;
use tempfile::TempDir;

/// Some 1,000 tokens a shard, two layers a side, every control.
const PLAN: &str = r#"
[a]
model = "tiny-neox"
layers = [1, 3]

[b]
model = "tiny-mamba"
layers = [2, 6]

[corpus]
tokens = 3_500
context = 32
batch = 4

[controls]
neuron_tokens = 500
shuffled = 2
shifted = 2
likeness_tokens = 600
"#;

/// A folder with the plan in it.
struct Bench {
    dir: TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { dir: tempfile::tempdir().unwrap() };
        bench.plan("plan.toml", PLAN);
        bench
    }

    fn plan(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        mppc_in(self.dir.path(), args)
    }

    fn output(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn succeeds(&self, args: &[&str]) -> String {
        told(&mut self.command(args)).0
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.succeeds(&[args, &["--json"]].concat())).unwrap()
    }

    /// The one line of a command that must fail.
    fn fails(&self, args: &[&str]) -> String {
        one_line(&self.output(args))
    }

    /// Runs the plan into a report, with a store.
    fn run(&self, plan: &str, store: &str, report: &str) {
        self.succeeds(&["compare", plan, "--store", store, "--save", report]);
    }

    /// What is still to be done, by stage.
    fn bill(&self, plan: &str, store: &str) -> Vec<(String, u64)> {
        let bill = self.json(&["compare", plan, "--store", store, "--dry-run"]);
        let charges = bill["charges"].as_array().unwrap().iter();
        charges.map(|c| (c["stage"].as_str().unwrap().to_owned(), c["units"].as_u64().unwrap())).collect()
    }
}

/// Everything in a report but how long it took.
fn content(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let content = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let bytes = std::fs::read(path).unwrap();
        match name.as_str() {
            "report.json" => {
                let mut report: Value = serde_json::from_slice(&bytes).unwrap();
                assert!(report.as_object_mut().unwrap().remove("timings").is_some());
                (name, report.to_string().into_bytes())
            }
            "report.html" => (name, Vec::new()), // has the times in it
            _ => (name, bytes),
        }
    };
    files.iter().map(content).collect()
}

fn same(bench: &Bench, report: &str, as_report: &str) {
    let (got, wanted) = (content(&bench.path(report)), content(&bench.path(as_report)));
    let names = |files: &[(String, Vec<u8>)]| files.iter().map(|f| f.0.clone()).collect::<Vec<_>>();
    assert_eq!(names(&got), names(&wanted));
    assert!(names(&got).contains(&"features_a.parquet".to_owned()));
    for ((name, got), (_, wanted)) in got.iter().zip(&wanted) {
        assert!(got == wanted, "{name} of {report} and of {as_report} differ");
    }
}

#[test]
fn killed_anywhere_it_ends_the_same() {
    let bench = Bench::new();
    bench.run("plan.toml", "whole", "wanted");
    let (mut kills, mut wait) = (0, 100);
    loop {
        let mut child = bench
            .command(&["compare", "plan.toml", "--store", "store", "--save", "got"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(wait));
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success());
            break;
        }
        // SIGKILL: nothing of the run gets to tidy up.
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        wait = wait * 3 / 2;
        assert!(kills < 40, "it never gets done");
    }
    assert!(kills >= 2, "it was too fast to be killed");
    same(&bench, "got", "wanted");
}

#[test]
fn split_in_three_it_ends_the_same() {
    let bench = Bench::new();
    bench.run("plan.toml", "whole", "wanted");
    for (machine, shards) in ["0..1", "1..2", "2..99"].iter().enumerate() {
        let store = format!("machine-{machine}");
        let done = bench.json(&["compare", "plan.toml", "--store", &store, "--shards", shards]);
        assert_eq!(done["tokens"], 3_500);
        let shards = done["shards"].as_u64().unwrap();
        assert!(shards >= 3, "{shards} shards are not enough to share");
    }
    let merged = bench.json(&["merge", "machine-0", "machine-1", "machine-2", "--into", "all"]);
    // Of every shard the codes of two SAEs of A, and of two of B in three ways.
    assert_eq!(merged["copied"].as_u64().unwrap() % 8, 0);
    let bill = bench.bill("plan.toml", "all");
    assert_eq!(bill[..2], [("tiny-neox features".to_owned(), 0), ("tiny-mamba features".to_owned(), 0)]);
    assert_eq!(bill[2], ("MPPC".to_owned(), 4));
    bench.run("plan.toml", "all", "got");
    same(&bench, "got", "wanted");
}

/// The other way to share: each machine has some layers.
#[test]
fn split_by_layers_it_ends_the_same() {
    let bench = Bench::new();
    bench.run("plan.toml", "whole", "wanted");
    for (machine, layers) in ["[1]", "[3]"].iter().enumerate() {
        let name = format!("machine-{machine}.toml");
        bench.plan(&name, &PLAN.replace("[1, 3]", layers));
        bench.succeeds(&["compare", &name, "--save", &format!("part-{machine}")]);
    }
    let merged = bench.json(&["merge", "machine-0.store", "machine-1.store", "--into", "all"]);
    assert!(merged["same"].as_u64().unwrap() > 0, "both machines encoded B");
    let bill = bench.bill("plan.toml", "all");
    let (correlations, rest) = bill.split_at(8);
    assert!(correlations.iter().all(|(_, units)| *units == 0), "{bill:?}");
    // What is over all layers at once is not shared.
    assert_eq!(rest, [("activations".to_owned(), 600)]);
    bench.run("plan.toml", "all", "got");
    same(&bench, "got", "wanted");
}

#[test]
fn a_layer_more_is_all_that_is_computed() {
    let bench = Bench::new();
    bench.plan("less.toml", &PLAN.replace("[2, 6]", "[2]"));
    bench.run("less.toml", "store", "less");
    let bill = bench.bill("plan.toml", "store");
    let units = |stage: &str| bill.iter().find(|(s, _)| s == stage).unwrap_or_else(|| panic!("{bill:?}")).1;
    assert_eq!((units("tiny-neox features"), units("tiny-mamba features")), (0, 3_500));
    assert_eq!((units("MPPC"), units("shuffled-token nulls"), units("fewer tokens")), (2, 4, 10));
    // More tokens: whole shards are not encoded again.
    bench.plan("more.toml", &PLAN.replace("[2, 6]", "[2]").replace("3_500", "4_500"));
    let bill = bench.bill("more.toml", "store");
    assert!(bill[0].1 > 1_000 && bill[0].1 < 2_500, "{bill:?}");
}

#[test]
fn the_report_holds_together() {
    let bench = Bench::new();
    let report = bench.json(&["compare", "plan.toml", "--save", "r"]);
    assert_eq!((&report["tokens"], &report["neuron_tokens"]), (&3_500.into(), &500.into()));
    assert_eq!(report["a"]["saes"][1]["layer"], 3);
    // Whatever was read of the model, and two files of each SAE.
    let inputs: Vec<&str> =
        report["inputs"].as_array().unwrap().iter().map(|input| input["name"].as_str().unwrap()).collect();
    for model in ["tiny-neox", "tiny-mamba"] {
        for file in ["config.json", "model.safetensors", "tokenizer.json"] {
            assert!(inputs.contains(&&*format!("{model}/{file}")), "{inputs:?}");
        }
        let saes = inputs.iter().filter(|name| name.starts_with(&format!("{model}/saes/"))).count();
        assert_eq!(saes, 2 * 2, "{inputs:?}");
    }
    assert!(report["inputs"][0]["sha256"].as_str().unwrap().len() == 64);
    for (direction, saes) in [("a_to_b", "a"), ("b_to_a", "b")] {
        let d = &report[direction];
        let number =
            |path: &str| d.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path}: {d}"));
        let kinds: Vec<_> =
            d["baselines"].as_array().unwrap().iter().map(|b| (&b["kind"], &b["runs"])).collect();
        let wanted = [("shuffled", 2), ("shifted", 2), ("rotated", 1), ("random", 1)];
        assert_eq!(
            format!("{kinds:?}"),
            format!("{:?}", wanted.map(|(k, n)| (Value::from(k), Value::from(n))))
        );
        // Trained SAEs find more than random ones, and these more than chance.
        let (real, random, null) =
            (number("/filtered/mean"), number("/baselines/3/filtered/mean"), number("/null/mean"));
        assert!(real > random && random > null, "{real} {random} {null}");
        assert!(
            number("/filtered/intervals/mean/low") < real && real < number("/filtered/intervals/mean/high")
        );
        let points = d["convergence"].as_array().unwrap();
        assert_eq!(
            points.iter().map(|p| p["tokens"].as_u64().unwrap()).collect::<Vec<_>>(),
            [218, 437, 875, 1750, 3500]
        );
        assert_eq!(points[4]["mean"], d["filtered"]["mean"]);
        assert!(number("/halves/spearman") > 0.5 && number("/halves/count") > 100.0);
        assert!(number("/significance/q_below_5") > 0.5);
        let told: u64 =
            d["complexity"].as_array().unwrap().iter().map(|c| c["summary"]["count"].as_u64().unwrap()).sum();
        assert_eq!(told, d["filtered"]["count"].as_u64().unwrap());
        let kept: u64 =
            report[saes]["saes"].as_array().unwrap().iter().map(|s| s["kept"].as_u64().unwrap()).sum();
        assert_eq!(kept, told);
    }
    let mutual = report["matching"]["mutual"]["count"].as_u64().unwrap();
    let one_to_one = report["matching"]["one_to_one"]["count"].as_u64().unwrap();
    assert!(mutual > 100 && one_to_one >= mutual);
    assert_eq!(report["matching"]["decoders"].as_array().unwrap().len(), 2);
    for measure in ["cka", "cka_debiased", "svcca", "pwcca", "rsa"] {
        let values =
            report["likeness"][measure].as_array().unwrap().iter().flat_map(|row| row.as_array().unwrap());
        let values: Vec<f64> = values.map(|v| v.as_f64().unwrap()).collect();
        assert!(
            values.len() == 4 && values.iter().all(|v| (-0.1..=1.0).contains(v)),
            "{measure}: {values:?}"
        );
    }
    let table = std::fs::read_to_string(bench.path("r/features_a.csv")).unwrap();
    assert_eq!(table.lines().count(), 1 + 2 * 1_024);
    assert!(table.starts_with(
        "hook,layer,index,density,mean,max,filtered,mppc,partner_layer,partner_index,null_mppc,p,q,tag,"
    ));
}

#[test]
fn texts_of_ones_own_and_the_beginning_of_documents() {
    let bench = Bench::new();
    let words: String = (0..4_000)
        .map(|i| format!("{} ", ["the", "river", "was", "cold", "and", "dark"][i * i % 6]))
        .collect();
    std::fs::write(bench.path("t.txt"), words).unwrap();
    let plan = |bos: &str| {
        format!(
            "[a]\nmodel = \"tiny-neox\"\nlayers = [1]\n[b]\nmodel = \"tiny-neox\"\nlayers = [1]\ncenter_resid = true\n\
             [corpus]\nsource = \"t.txt\"\ntokens = 500\ncontext = 16\nbatch = 2\nbos = \"{bos}\"\n\
             [controls]\nneuron_tokens = 0\nshuffled = 0\nshifted = 0\ndraws = 0\nrotated = false\nrandom = false\n\
             subsets = false\nlikeness_tokens = 0\nmatching = false\n"
        )
    };
    let mut stores = Vec::new();
    for bos in ["drop", "keep", "none"] {
        bench.plan(bos, &plan(bos));
        let report = bench.json(&["compare", bos, "--store", "s", "--save", "r"]);
        assert_eq!(report["inputs"].as_array().unwrap().iter().filter(|i| i["name"] == "t.txt").count(), 1);
        assert!(
            report["a_to_b"]["complexity"].as_array().unwrap().is_empty(),
            "nobody knows the tags of t.txt"
        );
        assert_eq!(report["a_to_b"]["neurons"]["count"], 0);
        assert!(report["matching"].is_null() && report["likeness"].is_null());
        stores.push(std::fs::read_dir(bench.path("s/codes")).unwrap().count());
    }
    // Each way of beginning, and with the mean and without, are codes of their own.
    assert_eq!(stores, [2, 4, 6]);
}

#[test]
fn mistakes_are_named_before_anything_runs() {
    let bench = Bench::new();
    let with = |from: &str, to: &str| {
        bench.plan("bad.toml", &PLAN.replace(from, to));
        bench.fails(&["compare", "bad.toml", "--store", "s"])
    };
    for (line, wanted) in [
        (with("layers = [1, 3]", "layers = [9]"), "no SAE of layer 9 of tiny-neox, which has layers 0 to 3"),
        (with("tokens = 3_500", "tokens = many"), "bad.toml, line 11: "),
        (with("shuffled", "shufled"), "bad.toml, line 17: unknown field `shufled`"),
        (with("tiny-neox", "tiny-neo"), "tiny-neo"),
        (with("context = 32", "context = 1"), "a context of 1 tokens has no room beside BOS"),
        (with("context = 32", "source = \"no.txt\""), "no.txt"),
    ] {
        assert!(line.contains(wanted), "{line}\n  lacks {wanted}");
    }
    assert!(bench.fails(&["compare", "none.toml"]).contains("none.toml cannot be read"));
    assert!(bench.fails(&["compare", "plan.toml", "--save", "no/such/place"]).contains("does not exist"));
    assert!(bench.fails(&["compare", "plan.toml", "--save", "plan.toml"]).contains("plan.toml is a file"));
    let line = bench.fails(&["compare", "plan.toml", "--store", "s", "--shards", "50..60"]);
    assert!(line.contains("the plan has 4 shards, 0 to 3"), "{line}");
    assert_eq!(bench.output(&["compare", "plan.toml", "--shards", "4..1"]).status.code(), Some(2));
    std::fs::create_dir(bench.path("mine")).unwrap();
    std::fs::write(bench.path("mine/thesis.tex"), "good").unwrap();
    assert!(bench.fails(&["compare", "plan.toml", "--store", "mine"]).contains("holds thesis.tex"));
    assert!(bench.fails(&["merge", "nowhere", "--into", "all"]).contains("nowhere is no folder"));
    assert!(!bench.path("report").exists(), "a refused run wrote a report");
}

#[test]
fn what_is_damaged_is_named_and_computed_again() {
    let bench = Bench::new();
    bench.run("plan.toml", "s", "wanted");
    // Nothing is left to be done: what is read says what was written.
    bench.run("plan.toml", "s", "again");
    same(&bench, "again", "wanted");

    let files = |folder: &str| -> Vec<PathBuf> {
        let entries = walkdir::WalkDir::new(bench.path(folder)).sort_by_file_name();
        entries.into_iter().map(|e| e.unwrap().into_path()).filter(|path| path.is_file()).collect()
    };
    let neurons = |path: &&PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("neurons-");
    let pairs = files("s/pairs");
    // Of each kind one: in its header, in its values, cut, and something else altogether.
    type Change = fn(&mut Vec<u8>);
    let damage: [(&PathBuf, Change); 5] = [
        (&files("s/codes")[0], |bytes| bytes[150] ^= 1),
        (&files("s/codes")[9], |bytes| *bytes.last_mut().unwrap() ^= 0x40),
        (pairs.iter().find(neurons).unwrap(), |bytes| bytes.truncate(bytes.len() / 2)),
        (pairs.iter().find(|path| !neurons(path)).unwrap(), |bytes| *bytes = b"not a file".to_vec()),
        (&files("s/notes")[0], |bytes| {
            let at = bytes.len() / 2;
            bytes[at] ^= 1;
        }),
    ];
    for (path, change) in &damage {
        let mut bytes = std::fs::read(path).unwrap();
        change(&mut bytes);
        std::fs::write(path, bytes).unwrap();
    }
    let named = |output: &Output, what: &str| {
        let told = String::from_utf8_lossy(&output.stderr);
        let about = told.lines().filter(|line| line.contains("damaged")).count();
        assert!(output.status.success() && about == damage.len(), "{told}");
        for (path, _) in &damage {
            let name = path.file_name().unwrap().to_string_lossy();
            assert!(told.lines().any(|line| line.contains(&*name) && line.contains(what)), "{name}: {told}");
        }
    };
    // Who unites stores takes none of it …
    let merged = bench.output(&["merge", "s", "--into", "all", "--json"]);
    named(&merged, "it was left out");
    let told: Value = serde_json::from_slice(&merged.stdout).unwrap();
    assert_eq!(told["damaged"].as_array().unwrap().len(), damage.len());
    // … and the run makes it again, and that alone.
    named(&bench.output(&["compare", "plan.toml", "--store", "s", "--save", "got"]), "it counts as missing");
    same(&bench, "got", "wanted");
    bench.succeeds(&["merge", "s", "--into", "all"]);
    let bill = bench.bill("plan.toml", "all");
    assert!(bill.iter().all(|(_, units)| *units == 0), "{bill:?}");
}

/// A model whose index names a shard in a folder of its own.
fn sharded(bench: &Bench, name: &str) -> PathBuf {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models").join(name);
    let to = bench.path(name);
    for entry in walkdir::WalkDir::new(&from) {
        let entry = entry.unwrap();
        let place = to.join(entry.path().strip_prefix(&from).unwrap());
        match entry.file_type().is_dir() {
            true => std::fs::create_dir(place).unwrap(),
            false => drop(std::fs::copy(entry.path(), place).unwrap()),
        }
    }
    let shard = to.join("parts/1.safetensors");
    std::fs::create_dir(to.join("parts")).unwrap();
    std::fs::rename(to.join("model.safetensors"), &shard).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&std::fs::read(&shard).unwrap()).unwrap();
    let place = |tensor: String| (tensor, Value::from("parts/1.safetensors"));
    let map: serde_json::Map<_, _> = header.offset_keys().into_iter().map(place).collect();
    let index = serde_json::json!({ "weight_map": map });
    std::fs::write(to.join("model.safetensors.index.json"), index.to_string()).unwrap();
    shard
}

/// Inverts the signs of a 16-bit tensor, the first whose name has this in it.
fn negate(file: &Path, name: &str) {
    let mut bytes = std::fs::read(file).unwrap();
    let (header, tensors) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let tensor = tensors.offset_keys().into_iter().find(|key| key.contains(name)).unwrap();
    let (start, end) = tensors.info(&tensor).unwrap().data_offsets;
    bytes[8 + header..][start..end].iter_mut().skip(1).step_by(2).for_each(|byte| *byte ^= 0x80);
    std::fs::write(file, bytes).unwrap();
}

#[test]
fn everything_that_is_read_decides_what_is_used_again() {
    let bench = Bench::new();
    let shard = sharded(&bench, "tiny-neox");
    let texts = |name: &str| std::fs::write(bench.path(name), "The river was cold. ".repeat(400)).unwrap();
    texts("t.txt");
    let plan = "[a]\nmodel = \"./tiny-neox\"\nlayers = [1]\n[b]\nmodel = \"tiny-neox\"\nlayers = [3]\n\
                [corpus]\nsource = \"t.txt\"\ntokens = 400\ncontext = 32\nbatch = 4\n\
                [controls]\nneuron_tokens = 100\nshuffled = 0\nshifted = 0\ndraws = 0\nrotated = false\n\
                random = false\nsubsets = false\nlikeness_tokens = 100\nmatching = false\n";
    bench.plan("p.toml", plan);
    let changes: [(&str, &dyn Fn()); 4] = [
        ("the shard", &|| negate(&shard, "layers.0.")),
        ("the SAE", &|| {
            negate(&bench.path("tiny-neox/saes/blocks.1.hook_resid_post/sae_weights.safetensors"), "W_enc");
        }),
        ("the configuration", &|| {
            let file = bench.path("tiny-neox/config.json");
            let text = std::fs::read_to_string(&file).unwrap();
            assert!(text.contains("\"use_parallel_residual\""), "{text}");
            let other = match text.contains("\"use_parallel_residual\": true") {
                true => text.replace("\"use_parallel_residual\": true", "\"use_parallel_residual\": false"),
                false => text.replace("\"use_parallel_residual\": false", "\"use_parallel_residual\": true"),
            };
            std::fs::write(file, other).unwrap();
        }),
        ("the texts", &|| std::fs::write(bench.path("t.txt"), "A cold river it was. ".repeat(400)).unwrap()),
    ];
    bench.run("p.toml", "store", "r0");
    let mut before = "r0".to_owned();
    for (i, (what, change)) in changes.iter().enumerate() {
        change();
        let (got, fresh) = (format!("got{i}"), format!("fresh{i}"));
        bench.run("p.toml", "store", &got);
        bench.run("p.toml", &format!("store{i}"), &fresh);
        same(&bench, &got, &fresh);
        assert!(content(&bench.path(&before)) != content(&bench.path(&got)), "{what} changes nothing");
        before = got;
    }
    // The same bytes read in another way.
    let jsonl: String =
        (0..200).map(|i| format!("{{\"text\": \"The cold river {i} was deep.\"}}\n")).collect();
    for name in ["u.txt", "u.jsonl"] {
        std::fs::write(bench.path(name), &jsonl).unwrap();
        bench.plan(&format!("{name}.toml"), &plan.replace("t.txt", name));
        bench.run(&format!("{name}.toml"), "store", &format!("r-{name}"));
    }
    let tables =
        ["r-u.txt", "r-u.jsonl"].map(|r| std::fs::read(bench.path(r).join("features_a.csv")).unwrap());
    assert!(tables[0] != tables[1], "a .jsonl was read as a .txt");
}

#[cfg(unix)]
#[test]
fn who_is_stopped_goes_on() {
    let bench = Bench::new();
    bench.run("plan.toml", "whole", "wanted");
    for (signal, code, name) in [("INT", 130, "Ctrl-C"), ("TERM", 143, "SIGTERM")] {
        let mut command = bench.command(&["compare", "plan.toml", "--store", "store", "--save", "got"]);
        let mut run = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let before = files_of(&bench.path("store"));
        while files_of(&bench.path("store")) <= before + 3 {
            assert!(run.try_wait().unwrap().is_none(), "it was over before it could be stopped");
            std::thread::sleep(Duration::from_millis(5));
        }
        Command::new("kill").args(["-s", signal, &run.id().to_string()]).status().unwrap();
        let output = run.wait_with_output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{told}");
        let wanted = format!("stopped by {name}: the same command goes on from what is in store");
        assert_eq!(told.lines().last(), Some(&*wanted));
        assert!(!bench.path("got/report.json").exists());
        let half = walkdir::WalkDir::new(bench.path("store")).into_iter().map(|e| e.unwrap().into_path());
        assert_eq!(half.filter(|path| path.extension().is_some_and(|end| end == "part")).count(), 0);
    }
    bench.run("plan.toml", "store", "got");
    same(&bench, "got", "wanted");
}

fn files_of(folder: &Path) -> usize {
    walkdir::WalkDir::new(folder).into_iter().flatten().filter(|e| e.file_type().is_file()).count()
}
