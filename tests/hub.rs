//! Getting the weights, from a local stand-in for the hub that fails on demand, into a cache of its own.

mod common;

use std::path::{Path, PathBuf};
use std::process::Output;

use common::{golden, last_line, mppc_with};
use hub::{Corrupt, Cut, Entry, Faults, Hub, Status};
use serde_json::Value;
use tempfile::TempDir;

/// A hub of small models and an empty cache.
struct World {
    root: TempDir,
    home: TempDir,
    hub: Hub,
}

impl World {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let hub = Hub::serve(root.path()).unwrap();
        Self { root, home: tempfile::tempdir().unwrap(), hub }
    }

    /// A hub with `o/mamba`, whose weights are 84,168 bytes in one file.
    fn mamba() -> Self {
        let world = Self::new();
        world.put("o/mamba", "mamba-hf", &["config.json", "model.safetensors"]);
        world
    }

    /// Puts files of a golden model into a repository.
    fn put(&self, repo: &str, case: &str, files: &[&str]) {
        let folder = self.root.path().join(repo);
        std::fs::create_dir_all(&folder).unwrap();
        for file in files {
            std::fs::copy(golden(case).join(file), folder.join(file)).unwrap();
        }
    }

    fn mppc(&self, args: &[&str], env: &[(&str, &str)]) -> Output {
        mppc_with(&self.hub, self.home.path(), args, env).output().unwrap()
    }

    fn succeeds(&self, args: &[&str]) -> Value {
        self.succeeds_with(args, &[]).0
    }

    /// Runs a command with `--json` and returns its answer and what it said on standard error.
    fn succeeds_with(&self, args: &[&str], env: &[(&str, &str)]) -> (Value, String) {
        let output = self.mppc(&[args, &["--json"]].concat(), env);
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{args:?}: {told}");
        (serde_json::from_slice(&output.stdout).unwrap(), told)
    }

    fn fails(&self, args: &[&str]) -> String {
        self.fails_with(args, &[])
    }

    /// Runs a command that must fail, and returns the last line it says.
    fn fails_with(&self, args: &[&str], env: &[(&str, &str)]) -> String {
        let output = self.mppc(&[args, &["--json"]].concat(), env);
        last_line(&output)
    }

    /// Requests for a file since the last reset, those answered with a redirect left out.
    fn bodies(&self, file: &str) -> Vec<Entry> {
        self.hub.log().into_iter().filter(|e| e.path.ends_with(file) && e.status < 300).collect()
    }

    /// Every file in the cache that holds bytes of a repository.
    fn blobs(&self, repo: &str) -> Vec<PathBuf> {
        let folder = self.home.path().join("hub").join(format!("models--{}", repo.replace('/', "--")));
        let blobs = std::fs::read_dir(folder.join("blobs")).into_iter().flatten();
        blobs.map(|entry| entry.unwrap().path()).collect()
    }
}

fn path(answer: &Value) -> PathBuf {
    PathBuf::from(answer["path"].as_str().unwrap())
}

fn assert_same(fetched: &Path, case: &str, files: &[&str]) {
    for file in files {
        let (a, b) =
            (std::fs::read(fetched.join(file)).unwrap(), std::fs::read(golden(case).join(file)).unwrap());
        assert!(a == b, "{file} is not as it was sent");
    }
}

fn cut(after: u64, times: u64) -> Faults {
    Faults {
        cut: vec![Cut { path: "model.safetensors".into(), after, times: Some(times) }],
        ..Faults::default()
    }
}

fn corrupt(times: Option<u64>) -> Faults {
    let one = Corrupt { path: "model.safetensors".into(), offset: 40_000, times };
    Faults { corrupt: vec![one], ..Faults::default() }
}

#[test]
fn a_model_is_fetched_once_and_then_found_without_a_request() {
    let world = World::mamba();
    std::fs::write(world.root.path().join("o/mamba/README.md"), "not needed").unwrap();
    let answer = world.succeeds(&["fetch", "o/mamba"]);
    assert_same(&path(&answer), "mamba-hf", &["config.json", "model.safetensors"]);
    assert_eq!(answer["downloaded"], 84_168 + 913);
    assert_eq!(answer["commit"].as_str().unwrap().len(), 40);
    assert!(world.bodies("README.md").is_empty(), "a file that nobody needs was fetched");

    // Fetching again asks which commit is current, and nothing else.
    world.hub.reset();
    let again = world.succeeds(&["fetch", "o/mamba"]);
    assert_eq!((&again["path"], &again["downloaded"]), (&answer["path"], &0.into()));
    assert_eq!(world.hub.log().len(), 1, "{:?}", world.hub.log());

    // Running it asks nobody.
    world.hub.reset();
    run(&world, "o/mamba");
    assert_eq!(world.hub.log(), []);
}

fn run(world: &World, model: &str) {
    let dir = tempfile::tempdir().unwrap();
    let (ids, out) = (dir.path().join("t.json"), dir.path().join("out.safetensors"));
    std::fs::write(&ids, "[[1,2,3]]").unwrap();
    let args = ["run", model, "--tokens", ids.to_str().unwrap(), "--hook", "*resid_post", "--engine", "cpu"];
    world.succeeds(&[&args[..], &["--save", out.to_str().unwrap()]].concat());
    assert!(out.is_file());
}

#[test]
fn a_command_fetches_the_model_it_needs_and_the_hub_may_go_away_then() {
    let world = World::mamba();
    run(&world, "o/mamba");
    assert_eq!(world.bodies("model.safetensors").len(), 1);

    let World { root, home, hub } = world;
    let gone = hub.url();
    drop(hub);
    let world = World { hub: Hub::serve(root.path()).unwrap(), root, home };
    let without = [("HF_ENDPOINT", gone.as_str())];
    let (answer, told) = world.succeeds_with(&["fetch", "o/mamba"], &without);
    assert_eq!(answer["downloaded"], 0);
    assert!(told.contains("cannot be reached") && told.contains("copy in the cache"), "{told}");
    let line = world.fails_with(&["fetch", "o/other"], &without);
    assert!(line.contains("cannot be reached") && line.contains("HF_ENDPOINT"), "{line}");

    let offline = [("HF_HUB_OFFLINE", "1")];
    world.succeeds_with(&["fetch", "o/mamba"], &offline);
    let line = world.fails_with(&["fetch", "o/other"], &offline);
    assert!(line.contains("HF_HUB_OFFLINE"), "{line}");
    assert_eq!(world.hub.log(), [], "HF_HUB_OFFLINE did not keep it from asking");
}

#[test]
fn shards_and_revisions_are_handled() {
    let world = World::new();
    let shards = [
        "model-00001-of-00003.safetensors",
        "model-00002-of-00003.safetensors",
        "model-00003-of-00003.safetensors",
    ];
    let all = [&["config.json", "model.safetensors.index.json"], &shards[..]].concat();
    world.put("o/model", "neox-sequential", &all);
    world.put("o/model@step1000", "neox-parallel", &["config.json", "model.safetensors"]);

    let answer = world.succeeds(&["fetch", "o/model"]);
    assert_same(&path(&answer), "neox-sequential", &all);
    let order: Vec<String> = world.hub.log().into_iter().map(|e| e.path).collect();
    let at = |end: &str| order.iter().position(|p| p.ends_with(end)).unwrap();
    assert!(shards.iter().all(|s| at(s) > at("index.json")), "the index comes first: {order:?}");
    run(&world, "o/model");

    let other = world.succeeds(&["fetch", "o/model@step1000"]);
    assert_same(&path(&other), "neox-parallel", &["config.json", "model.safetensors"]);
    assert_ne!(answer["commit"], other["commit"]);
    // The commit names the same, and needs no request.
    world.hub.reset();
    let pinned = format!("o/model@{}", other["commit"].as_str().unwrap());
    assert_eq!(world.succeeds(&["fetch", &pinned])["path"], other["path"]);
    assert_eq!(world.hub.log(), []);

    let line = world.fails(&["fetch", "o/model@step2000"]);
    assert!(line.contains("no revision step2000") && line.contains("step1000"), "{line}");

    std::fs::remove_file(world.root.path().join("o/model").join(shards[1])).unwrap();
    let line = world.fails(&["fetch", "o/model"]);
    assert!(line.contains(shards[1]) && line.contains("index"), "{line}");
}

#[test]
fn what_is_not_there_or_not_allowed_is_named() {
    let world = World::mamba();
    let line = world.fails(&["fetch", "o/none"]);
    assert!(line.contains("no repository o/none") && line.contains("HF_TOKEN"), "{line}");
    let line = world.fails(&["fetch", "none"]);
    assert!(line.contains("owner/name"), "{line}");
    let line = world.fails(&["run", "none", "--text", "x", "--hook", "logits", "--save", "x"]);
    assert!(line.contains("mppc models"), "{line}");
    let line = world.fails(&["fetch", "o/mamba@../../x"]);
    assert!(line.contains("owner/name@revision"), "{line}");

    // A model without weights, whose weights are elsewhere.
    world.put("o/empty", "mamba-hf", &["config.json"]);
    world.put("o/empty@step7", "mamba-hf", &["config.json"]);
    let line = world.fails(&["fetch", "o/empty"]);
    assert!(line.contains("no weights") && line.contains("step7"), "{line}");

    let locked = |gated: bool| {
        let key = [("o/mamba".to_owned(), "hf_key".to_owned())].into();
        match gated {
            true => Faults { gated: key, ..Faults::default() },
            false => Faults { private: key, ..Faults::default() },
        }
    };
    world.hub.faults(locked(true));
    let line = world.fails(&["fetch", "o/mamba"]);
    assert!(line.contains("accept") && line.contains("HF_TOKEN"), "{line}");
    world.hub.faults(locked(false));
    assert!(world.fails(&["fetch", "o/mamba"]).contains("private"));
    assert!(world.fails_with(&["fetch", "o/mamba"], &[("HF_TOKEN", "hf_wrong")]).contains("private"));
    world.succeeds_with(&["fetch", "o/mamba"], &[("HF_TOKEN", "hf_key")]);
    let strangers: Vec<Entry> =
        world.hub.log().into_iter().filter(|e| e.path.starts_with("/_cdn") && e.authorized).collect();
    assert_eq!(strangers, [], "the token was sent to another host");

    // The file that `hf auth login` writes does as well.
    let file = world.home.path().join("token");
    std::fs::write(&file, "hf_key\n").unwrap();
    std::fs::remove_dir_all(world.home.path().join("hub")).unwrap();
    world.succeeds(&["fetch", "o/mamba"]);
}

#[test]
fn pickles_are_refused_before_anything_is_downloaded() {
    let world = World::new();
    world.put("o/pickle", "mamba-hf", &["config.json"]);
    std::fs::write(world.root.path().join("o/pickle/pytorch_model.bin"), vec![0; 1000]).unwrap();
    for args in [&["fetch", "o/pickle"][..], &["fetch", "o/pickle", "--include", "*.bin"]] {
        let line = world.fails(args);
        assert!(line.contains("pytorch_model.bin") && line.contains("pickle"), "{line}");
        assert!(line.contains("hf download o/pickle") && line.contains("save_file"), "{line}");
    }
    assert!(world.hub.log().iter().all(|e| e.path.starts_with("/api/")), "{:?}", world.hub.log());
    assert!(!world.home.path().join("hub").exists(), "a refused repository left something behind");
}

#[test]
fn a_download_cut_three_times_goes_on_where_it_was() {
    let world = World::mamba();
    world.hub.faults(cut(20_000, 3));
    let answer = world.succeeds(&["fetch", "o/mamba"]);
    assert_same(&path(&answer), "mamba-hf", &["model.safetensors"]);
    let bodies = world.bodies("model.safetensors");
    assert_eq!(bodies.len(), 4, "{bodies:?}");
    assert_eq!(bodies[0].range, None);
    // What had arrived is not asked for again: each request begins where the last one ended.
    let mut have = bodies[0].bytes;
    for body in &bodies[1..] {
        assert_eq!(body.range, Some(format!("bytes={have}-")));
        have += body.bytes;
    }
    assert_eq!(have, 84_168);
}

#[test]
fn what_a_stopped_run_has_left_is_used_by_the_next() {
    let world = World::mamba();
    let one = |after, times| Cut { path: "model.safetensors".into(), after, times };
    world.hub.faults(Faults { cut: vec![one(50_000, Some(1)), one(0, None)], ..Faults::default() });
    let line = world.fails(&["fetch", "o/mamba"]);
    assert!(line.contains("5 times in a row") && line.contains("50.0 kB of 84.2 kB are kept"), "{line}");
    world.hub.reset();
    let answer = world.succeeds(&["fetch", "o/mamba"]);
    assert_same(&path(&answer), "mamba-hf", &["model.safetensors"]);
    assert_eq!(answer["downloaded"], 84_168 - 50_000);
    let bodies = world.bodies("model.safetensors");
    assert_eq!(bodies.len(), 1);
    assert_eq!((bodies[0].range.as_deref(), bodies[0].bytes), (Some("bytes=50000-"), 34_168));
}

#[test]
fn a_server_without_ranges_and_a_busy_one_are_borne_with() {
    let world = World::mamba();
    let status = Status { path: "model.safetensors".into(), code: 503, times: Some(2) };
    world.hub.faults(Faults { no_range: true, status: vec![status], ..cut(20_000, 2) });
    let answer = world.succeeds(&["fetch", "o/mamba"]);
    assert_same(&path(&answer), "mamba-hf", &["model.safetensors"]);
    let last = world.bodies("model.safetensors").pop().unwrap();
    assert_eq!((last.status, last.bytes), (200, 84_168));

    world.hub.faults(Faults {
        status: vec![Status { path: "revision/main".into(), code: 503, times: None }],
        ..Faults::default()
    });
    assert!(world.fails(&["fetch", "o/mamba"]).contains("answers 503"));
}

#[test]
fn a_damaged_file_is_fetched_again_and_given_up_when_it_is_damaged_again() {
    let world = World::mamba();
    world.hub.faults(corrupt(Some(1)));
    let (answer, told) = world.succeeds_with(&["fetch", "o/mamba"], &[]);
    assert_same(&path(&answer), "mamba-hf", &["model.safetensors"]);
    assert!(told.contains("damaged") && told.contains("again"), "{told}");
    assert_eq!(world.bodies("model.safetensors").len(), 2);

    let world = World::mamba();
    world.hub.faults(corrupt(None));
    let line = world.fails(&["fetch", "o/mamba"]);
    assert!(line.contains("model.safetensors") && line.contains("damaged twice"), "{line}");
    assert!(line.contains("2e6ae7f1ded77d3da93265c6fb5df8d878bdee2a12fbcd213ae031352f6ee145"), "{line}");
    assert_eq!(
        world.blobs("o/mamba").len(),
        1,
        "only config.json may be there: {:?}",
        world.blobs("o/mamba")
    );
    assert!(!path(&answer_without(&world)).join("model.safetensors").exists());

    // Small files have another kind of hash.
    let world = World::mamba();
    let one = Corrupt { path: "config.json".into(), offset: 10, times: Some(1) };
    world.hub.faults(Faults { corrupt: vec![one], ..Faults::default() });
    let answer = world.succeeds(&["fetch", "o/mamba"]);
    assert_same(&path(&answer), "mamba-hf", &["config.json"]);
    assert_eq!(world.bodies("config.json").len(), 2);
}

/// The snapshot of a repository that is not complete, as `mppc models` tells it.
fn answer_without(world: &World) -> Value {
    let models = world.succeeds(&["models"]);
    let one = models["models"].as_array().unwrap().iter().find(|m| m["repo"] == "o/mamba").unwrap();
    assert_eq!(one["cached"][0]["complete"], false);
    one["cached"][0].clone()
}

/// A process that may write no more than 40 kB a file has what a disk without space comes to.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_named_and_nothing_is_left() {
    let world = World::mamba();
    let blobs = world.home.path().join("hub/models--o--mamba/blobs");
    let sha256 = "2e6ae7f1ded77d3da93265c6fb5df8d878bdee2a12fbcd213ae031352f6ee145";
    let part = blobs.join(format!("{sha256}.incomplete"));
    let mut command = world.hub.client("bash", world.home.path());
    let limited = "trap '' XFSZ; ulimit -f 40; exec \"$0\" fetch o/mamba";
    let output = command.args(["-c", limited, env!("CARGO_BIN_EXE_mppc")]).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    let line = told.lines().last().unwrap();
    assert!(line.contains("no space is left") && line.contains("free 84.2 kB"), "{line}");
    assert!(std::fs::symlink_metadata(&part).is_err(), "a part was left behind");
    assert!(!blobs.join(sha256).exists());
    world.succeeds(&["fetch", "o/mamba"]);
}

#[cfg(unix)]
#[test]
fn a_planted_link_is_not_downloaded_into() {
    let world = World::mamba();
    let blobs = world.home.path().join("hub/models--o--mamba/blobs");
    std::fs::create_dir_all(&blobs).unwrap();
    let thesis = world.home.path().join("thesis");
    std::fs::write(&thesis, "years of work").unwrap();
    let sha256 = "2e6ae7f1ded77d3da93265c6fb5df8d878bdee2a12fbcd213ae031352f6ee145";
    std::os::unix::fs::symlink(&thesis, blobs.join(format!("{sha256}.incomplete"))).unwrap();
    let answer = world.succeeds(&["fetch", "o/mamba"]);
    assert_same(&path(&answer), "mamba-hf", &["config.json", "model.safetensors"]);
    assert_eq!(std::fs::read(&thesis).unwrap(), b"years of work");
}

#[test]
fn files_that_match_are_fetched_for_saes() {
    let world = World::new();
    for layer in ["layers.1", "layers.10", "layers.2"] {
        world.put(&format!("o/saes/{layer}"), "saelens-topk", &["cfg.json", "sae_weights.safetensors"]);
    }
    let line = world.fails(&["fetch", "o/saes"]);
    assert!(line.contains("--include 'layers.1/*'"), "{line}");
    let line = world.fails(&["fetch", "o/saes", "--include", "nothing*"]);
    assert!(line.contains("nothing*") && line.contains("layers.2/cfg.json"), "{line}");
    let answer = world.succeeds(&["fetch", "o/saes", "--include", "layers.1/*"]);
    assert_same(&path(&answer).join("layers.1"), "saelens-topk", &["cfg.json", "sae_weights.safetensors"]);
    assert!(!path(&answer).join("layers.2").exists() && !path(&answer).join("layers.10").exists());
}

#[test]
fn models_lists_what_is_known_and_what_is_cached() {
    let world = World::mamba();
    let find = |answer: &Value, repo: &str| {
        answer["models"].as_array().unwrap().iter().find(|m| m["repo"] == repo).cloned()
    };
    let before = world.succeeds(&["models"]);
    assert!(find(&before, "o/mamba").is_none());
    let known = before["models"].as_array().unwrap();
    assert!(known.iter().all(|m| m["cached"] == Value::Array(Vec::new())));
    let aliases: Vec<&str> = known.iter().map(|m| m["alias"].as_str().unwrap()).collect();
    assert!(["pythia-160m", "pythia-160m-seed9", "mamba-130m"].iter().all(|a| aliases.contains(a)));

    world.succeeds(&["fetch", "o/mamba"]);
    let row = find(&world.succeeds(&["models"]), "o/mamba").unwrap();
    assert_eq!((&row["kind"], &row["cached"][0]["bytes"]), (&"mamba".into(), &(84_168 + 913).into()));
    assert_eq!(row["cached"][0]["complete"], true);

    // A known model that is cached, by its alias; the hub here has it under the same name.
    let known = known.iter().find(|m| m["alias"] == "mamba-130m").unwrap();
    let repo = known["repo"].as_str().unwrap();
    world.put(repo, "mamba-hf", &["config.json", "model.safetensors"]);
    world.succeeds(&["fetch", "mamba-130m"]);
    let row = find(&world.succeeds(&["models"]), repo).unwrap();
    assert_eq!(row["cached"][0]["bytes"], 84_168 + 913);
    let text = String::from_utf8(world.mppc(&["models"], &[]).stdout).unwrap();
    assert!(text.contains("85.1 kB") && text.contains("o/mamba"), "{text}");
}
