//! Corpora on the hub: from a local stand-in, into a cache of its own.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::{last_line, mppc_with, text};
use hub::{Corrupt, Cut, Entry, Faults, Hub};
use serde_json::Value;
use tempfile::TempDir;

/// The three files of `o/web`, in order, as golden files.
const SHARDS: [&str; 3] = ["plain", "snappy-dictionary-groups", "gzip-large"];
/// Texts in each of them.
const TEXTS: usize = 70;

/// A hub of data sets and an empty cache.
struct World {
    root: TempDir,
    home: TempDir,
    hub: Hub,
}

impl World {
    /// A hub with `o/web`, converted in part, as OpenWebText is.
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let hub = Hub::serve(root.path()).unwrap();
        let world = Self { root, home: tempfile::tempdir().unwrap(), hub };
        world.put("o/web", "web.py", None);
        for (i, shard) in SHARDS.iter().enumerate() {
            world.put(CONVERTED, &format!("plain_text/partial-train/000{i}.parquet"), Some(shard));
        }
        world
    }

    /// Puts a golden file, or one without use, into a data set.
    fn put(&self, repo: &str, path: &str, shard: Option<&str>) {
        let place = self.root.path().join("datasets").join(repo).join(path);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        match shard {
            Some(shard) => drop(std::fs::copy(golden(shard), place).unwrap()),
            None => std::fs::write(place, "not needed").unwrap(),
        }
    }

    fn mppc(&self, args: &[&str], env: &[(&str, &str)]) -> Output {
        self.command(args, env).output().unwrap()
    }

    fn command(&self, args: &[&str], env: &[(&str, &str)]) -> Command {
        mppc_with(&self.hub, self.home.path(), args, env)
    }

    /// The first documents of a corpus, and what was said on standard error.
    fn documents(&self, corpus: &str, count: usize, env: &[(&str, &str)]) -> (Vec<String>, String) {
        let output = self.mppc(&["corpus", corpus, "--documents", &count.to_string()], env);
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{corpus}: {told}");
        let text = String::from_utf8(output.stdout).unwrap();
        let line =
            |line: &str| serde_json::from_str::<Value>(line).unwrap()["text"].as_str().unwrap().to_owned();
        (text.lines().map(line).collect(), told)
    }

    /// Asks for documents that cannot be had, and returns the last line that is said.
    fn fails(&self, corpus: &str, count: usize, env: &[(&str, &str)]) -> String {
        let output = self.mppc(&["corpus", corpus, "--documents", &count.to_string()], env);
        last_line(&output)
    }

    /// Requests since the last reset for Parquet files, those answered with a redirect left out.
    fn bodies(&self) -> Vec<Entry> {
        self.hub.log().into_iter().filter(|e| e.path.ends_with(".parquet") && e.status < 300).collect()
    }

    fn cache(&self) -> PathBuf {
        self.home.path().join("hub/datasets--o--web")
    }

    fn commit(&self) -> String {
        std::fs::read_to_string(self.cache().join("refs/refs/convert/parquet")).unwrap()
    }
}

/// Where the stand-in has what the hub has converted.
const CONVERTED: &str = "o/web@refs%2Fconvert%2Fparquet";
const OFFLINE: [(&str, &str); 1] = [("HF_HUB_OFFLINE", "1")];

fn golden(shard: &str) -> PathBuf {
    common::golden(&format!("corpora/{shard}.parquet"))
}

/// The texts of golden files, one after the other, by their own list.
fn texts(shards: &[&str]) -> Vec<String> {
    let json = std::fs::read(golden("plain").with_file_name("texts.json")).unwrap();
    let held: Value = serde_json::from_slice(&json).unwrap();
    let of = |shard: &&str| held[format!("{shard}.parquet")]["texts"].as_array().unwrap().clone();
    shards.iter().flat_map(of).map(|text| text.as_str().unwrap().to_owned()).collect()
}

#[test]
fn only_the_files_that_are_read_are_downloaded_and_only_once() {
    let world = World::new();
    assert_eq!([texts(&SHARDS[..1]).len(), texts(&SHARDS[1..2]).len()], [TEXTS, TEXTS]);
    let (some, told) = world.documents("hub:o/web", 5, &[]);
    assert_eq!(some, texts(&SHARDS)[..5]);
    assert!(told.contains("downloading hub:o/web: 1 file, 7.4 kB"), "{told}");
    let asked: Vec<String> = world.hub.log().into_iter().map(|e| e.path).collect();
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert_eq!(asked[0], "/api/datasets/o/web/revision/refs%2Fconvert%2Fparquet?blobs=true");
    let file = "plain_text/partial-train/0000.parquet";
    assert_eq!(asked[1], format!("/datasets/o/web/resolve/{}/{file}", world.commit()));

    // The standard cache holds what Python would have put there.
    let snapshot = world.cache().join("snapshots").join(world.commit());
    assert!(std::fs::read(snapshot.join(file)).unwrap() == std::fs::read(golden(SHARDS[0])).unwrap());
    let tree = std::fs::read(world.cache().join("trees").join(format!("{}.json", world.commit()))).unwrap();
    let tree: Value = serde_json::from_slice(&tree).unwrap();
    assert_eq!(tree["files"].as_object().unwrap().len(), 3);
    assert_eq!(tree["files"][file]["size"], 7366);

    // Again, and offline: no request. More: the next file only.
    world.hub.reset();
    assert_eq!(world.documents("hub:o/web/plain_text/train:text", TEXTS, &[]).0, texts(&SHARDS[..1]));
    assert_eq!(world.documents("hub:o/web", TEXTS, &OFFLINE).0, texts(&SHARDS[..1]));
    assert_eq!(world.hub.log(), []);
    let line = world.fails("hub:o/web", TEXTS + 1, &OFFLINE);
    assert!(line.contains("not complete") && line.contains("HF_HUB_OFFLINE"), "{line}");
    assert_eq!(world.documents("hub:o/web", TEXTS + 1, &[]).0, texts(&SHARDS)[..TEXTS + 1]);
    assert_eq!(world.bodies().len(), 1, "{:?}", world.hub.log());
    assert!(world.hub.log().iter().all(|e| !e.path.starts_with("/api/")));

    // All of it. That there is no more than the hub has converted is said.
    let (all, told) = world.documents("hub:o/web", 1000, &[]);
    assert_eq!(all, texts(&SHARDS));
    assert!(told.contains("all that the hub has converted"), "{told}");
    world.hub.reset();
    assert_eq!(world.documents("hub:o/web", 1000, &OFFLINE).0, all);
    // Its commit names the same.
    let pinned = format!("hub:o/web@{}/plain_text", world.commit());
    assert_eq!(world.documents(&pinned, 1000, &[]).0, all);
    assert_eq!(world.hub.log(), []);
}

#[test]
fn a_download_that_is_cut_goes_on_and_a_damaged_one_begins_again() {
    let world = World::new();
    let cut = |after, times| Cut { path: "0000.parquet".into(), after, times };
    world.hub.faults(Faults { cut: vec![cut(3000, Some(1)), cut(0, None)], ..Faults::default() });
    let line = world.fails("hub:o/web", 1, &[]);
    assert!(line.contains("5 times in a row") && line.contains("3.0 kB of 7.4 kB are kept"), "{line}");
    world.hub.reset();
    world.hub.faults(Faults { cut: vec![cut(2000, Some(1))], ..Faults::default() });
    assert_eq!(world.documents("hub:o/web", 3, &[]).0, texts(&SHARDS)[..3]);
    let ranges: Vec<_> = world.bodies().into_iter().map(|e| e.range.unwrap()).collect();
    assert_eq!(ranges, ["bytes=3000-", "bytes=5000-"]);

    let damage = |times| {
        let one = Corrupt { path: "0001.parquet".into(), offset: 100, times };
        Faults { corrupt: vec![one], ..Faults::default() }
    };
    world.hub.faults(damage(None));
    let line = world.fails("hub:o/web", TEXTS + 1, &[]);
    assert!(line.contains("0001.parquet of the data set o/web arrived damaged twice"), "{line}");
    world.hub.faults(damage(Some(1)));
    let (all, told) = world.documents("hub:o/web", TEXTS + 1, &[]);
    assert_eq!(all, texts(&SHARDS)[..TEXTS + 1]);
    assert!(told.contains("damaged"), "{told}");
}

#[test]
fn what_python_has_downloaded_is_found_without_a_list() {
    let world = World::new();
    world.documents("hub:o/web", TEXTS + 1, &[]);
    std::fs::remove_dir_all(world.cache().join("trees")).unwrap();
    world.hub.reset();
    assert_eq!(world.documents("hub:o/web", 2 * TEXTS, &OFFLINE).0.len(), 2 * TEXTS);
    let line = world.fails("hub:o/web", 2 * TEXTS + 1, &OFFLINE);
    assert!(line.contains("used up") && line.contains("HF_HUB_OFFLINE"), "{line}");
    let gone = [("HF_ENDPOINT", "http://127.0.0.1:9")];
    let (some, told) = world.documents("hub:o/web", 3, &gone);
    assert_eq!(some.len(), 3);
    assert!(told.contains("copy in the cache"), "{told}");
    assert_eq!(world.hub.log(), []);
    // A file that is missing in between is not passed over.
    let snapshot = world.cache().join("snapshots").join(world.commit());
    std::fs::remove_file(snapshot.join("plain_text/partial-train/0000.parquet")).unwrap();
    assert!(world.fails("hub:o/web", 1, &OFFLINE).contains("not complete"));
}

#[test]
fn what_is_not_there_or_not_allowed_is_named() {
    let world = World::new();
    let fails = |corpus: &str| world.fails(corpus, 1, &[]);
    let line = fails("hub:o/none");
    assert!(line.contains("no repository datasets/o/none") && line.contains("HF_TOKEN"), "{line}");
    assert!(fails("hub:none").contains("hub:OWNER/NAME[@REVISION][/CONFIG[/SPLIT]]"));
    let line = fails("hub:o/web/other");
    assert!(line.contains("no config other; its configs are plain_text"), "{line}");
    let line = fails("hub:o/web/plain_text/test");
    assert!(line.contains("no split test") && line.contains("its splits are train"), "{line}");
    let line = fails("hub:o/web@step1");
    assert!(line.contains("no revision step1") && line.contains("main"), "{line}");
    let line = fails("hub:o/web@main");
    assert!(line.contains("no .parquet files at main"), "{line}");
    assert!(!world.home.path().join("hub").exists(), "an error left something behind");
    let line = fails("hub:o/web:body");
    assert!(line.contains("0000.parquet has no column body") && line.contains("text (string)"), "{line}");

    // Not converted, but with files of its own.
    world.put("o/own", "data/train-00000-of-00001.parquet", Some("two-columns"));
    let line = fails("hub:o/own");
    assert!(line.contains("not converted") && line.contains("use hub:o/own@main"), "{line}");
    let line = fails("hub:o/own@main");
    assert!(line.contains("several of other names") && line.contains(":title"), "{line}");
    assert_eq!(world.documents("hub:o/own@main:body", 99, &[]).0, texts(&["two-columns"]));

    let locked = |gated: bool| {
        let key = [("datasets/o/web".to_owned(), "hf_key".to_owned())].into();
        match gated {
            true => Faults { gated: key, ..Faults::default() },
            false => Faults { private: key, ..Faults::default() },
        }
    };
    let world = World::new();
    world.hub.faults(locked(true));
    let line = world.fails("hub:o/web", 1, &[]);
    assert!(
        line.contains("accept") && line.contains(&format!("{}/datasets/o/web", world.hub.url())),
        "{line}"
    );
    world.hub.faults(locked(false));
    assert!(world.fails("hub:o/web", 1, &[]).contains("private"));
    assert_eq!(world.documents("hub:o/web", 1, &[("HF_TOKEN", "hf_key")]).0.len(), 1);
    let strangers = world.hub.log().into_iter().filter(|e| e.path.starts_with("/_cdn") && e.authorized);
    assert_eq!(strangers.count(), 0, "the token was sent to another host");
}

/// Runs a command with `--json` on the processor, with a corpus.
fn succeeds(world: &World, args: &[&str], corpus: &str) -> Value {
    let output = world.mppc(&[args, &["--corpus", corpus, "--engine", "cpu", "--json"]].concat(), &[]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{args:?}: {told}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn every_command_takes_every_corpus() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let report = dir.path().join("report");
    let answer = succeeds(&world, &["sae", "health", "tiny-neox", "--tokens", "500"], "hub:o/web");
    let pinned = format!("hub:o/web@{}/plain_text/train", world.commit());
    assert_eq!(answer["settings"]["corpus"], pinned);
    assert_eq!(answer["settings"]["tokens"], 500);
    let args = ["reproduce", "--tokens", "600", "--save", text(&report)];
    let file = golden("plain");
    let answer = succeeds(&world, &args, text(&file));
    assert_eq!(answer["plan"]["corpus"]["source"], text(&file));

    let save = dir.path().join("saes");
    let train = ["sae", "train", "tiny-neox", "--hook", "blocks.1.hook_resid_post", "--features", "64"];
    let train =
        [&train[..], &["--topk", "4", "--tokens", "2048", "--batch", "256", "--save", text(&save)]].concat();
    succeeds(&world, &train, "hub:o/web");
    assert!(save.join("sae_weights.safetensors").is_file());
}

#[test]
fn a_training_stops_where_its_corpus_does() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let damage = Corrupt { path: "0001.parquet".into(), offset: 100, times: None };
    world.hub.faults(Faults { corrupt: vec![damage], ..Faults::default() });
    let save = dir.path().join("saes");
    let output = world.mppc(&training("hub:o/web", &save, &[]), &[]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.lines().last().unwrap().contains("0001.parquet of the data set o/web arrived damaged"),
        "{told}"
    );
    assert!(!save.join("sae_weights.safetensors").exists(), "half a training was taken for a whole one");
}

/// A training on a corpus into a folder; `more` comes last.
fn training<'a>(corpus: &'a str, save: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let args = [
        "sae",
        "train",
        "tiny-neox",
        "--hook",
        "blocks.1.hook_resid_post",
        "--features",
        "64",
        "--topk",
        "4",
    ];
    let sizes =
        ["--tokens", "8000", "--batch", "64", "--engine", "cpu", "--corpus", corpus, "--save", text(save)];
    [&args[..], &sizes, more].concat()
}

/// Starts a training and kills it when it has kept a checkpoint.
fn kill(world: &World, corpus: &str, save: &Path) {
    let args = training(corpus, save, &["--checkpoint-every", "0"]);
    let mut run = world.command(&args, &[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    while !save.join("training.checkpoint.safetensors").is_file() {
        assert!(run.try_wait().unwrap().is_none(), "the run was over before it could be killed");
        assert!(began.elapsed() < Duration::from_secs(120), "no checkpoint came");
        std::thread::sleep(Duration::from_millis(1));
    }
    run.kill().unwrap();
    run.wait().unwrap();
    assert!(save.join("training.checkpoint.safetensors").is_file(), "it finished all the same");
}

#[test]
fn a_killed_training_goes_on_with_the_same_texts_and_no_others() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let (whole, killed) = (dir.path().join("whole"), dir.path().join("killed"));
    kill(&world, "hub:o/web", &killed);
    let output = world.mppc(&training("hub:o/web", &whole, &[]), &[]);
    assert!(output.status.success(), "{output:?}");
    let output = world.mppc(&training("hub:o/web", &killed, &[]), &OFFLINE);
    assert!(String::from_utf8_lossy(&output.stderr).contains("going on with"), "{output:?}");
    let weights = |save: &Path| std::fs::read(save.join("sae_weights.safetensors")).unwrap();
    assert!(weights(&whole) == weights(&killed), "the resumed run ends elsewhere");

    // Other texts in the same place, or fewer, are no corpus that is used up.
    let (folder, save) = (dir.path().join("texts"), dir.path().join("saes"));
    std::fs::create_dir(&folder).unwrap();
    for shard in SHARDS {
        std::fs::copy(golden(shard), folder.join(shard).with_extension("parquet")).unwrap();
    }
    kill(&world, text(&folder), &save);
    let refused = |what: &str| {
        let output = world.mppc(&training(text(&folder), &save, &[]), &[]);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.lines().last().unwrap().contains(what), "{told}");
        assert!(save.join("training.checkpoint.safetensors").is_file() && !save.join("cfg.json").exists());
    };
    std::fs::copy(golden("not-utf8"), folder.join("gzip-large.parquet")).unwrap();
    refused("is of a training on other files (");
    for shard in SHARDS {
        std::fs::remove_file(folder.join(shard).with_extension("parquet")).unwrap();
    }
    std::fs::copy(golden("required"), folder.join("required.parquet")).unwrap();
    refused("is of a training on other files (");
}
