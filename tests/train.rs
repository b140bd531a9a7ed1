//! Training SAEs from the command line: what a run leaves, and a run that is killed.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{last_line, mppc, told};

const CHECKPOINT: &str = "training.checkpoint.safetensors";

/// Four hooks, three SAEs each, of which one goes through a dense beginning, fine-tuning and pruning.
fn command(save: &Path, more: &[&str]) -> Command {
    let mut command = mppc(&[]);
    command.args(["sae", "train", "tiny-neox", "--hook", "blocks.*.hook_resid_post", "--features", "256"]);
    command.args([
        "--engine",
        "cpu",
        "--topk",
        "8",
        "--batchtopk",
        "8",
        "--l1",
        "0.01",
        "--dead-after",
        "4000",
    ]);
    command.args(["--tokens", "24576", "--batch", "512", "--fine-tune", "4096", "--prune", "2000"]);
    command.arg("--save").arg(save).args(more);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn succeeds(mut command: Command) -> String {
    let (out, told) = told(&mut command);
    out + &told
}

/// Every file below a folder; of the curves all but the speed, which no run repeats.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            all.extend(files(&path).into_iter().map(|(inner, bytes)| (format!("{name}/{inner}"), bytes)));
        } else if name == "training.csv" {
            let text = std::fs::read_to_string(&path).unwrap();
            let without = text.lines().map(|line| line.rsplit_once(',').unwrap().0).collect::<Vec<_>>();
            all.insert(name, without.join("\n").into_bytes());
        } else {
            all.insert(name, std::fs::read(&path).unwrap());
        }
    }
    all
}

/// Waits until a run has kept a checkpoint newer than `before`; the run must not be over by then.
fn wait_for_checkpoint(run: &mut Child, path: &Path, before: Option<std::time::SystemTime>) {
    let began = Instant::now();
    loop {
        let kept = std::fs::metadata(path).and_then(|m| m.modified()).ok();
        if kept.is_some() && kept != before {
            return;
        }
        assert!(run.try_wait().unwrap().is_none(), "the run was over before it could be killed");
        assert!(began.elapsed() < Duration::from_secs(120), "no checkpoint came");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_killed_run_goes_on_to_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, killed) = (dir.path().join("whole"), dir.path().join("killed"));
    let told = succeeds(command(&whole, &[]));
    assert!(told.contains("blocks.1.hook_resid_post topk-8-seed1: L0 8.0"), "{told}");
    let want = files(&whole);
    assert_eq!(want.len(), 1 + 3 * 4 * 2, "{:?}", want.keys());
    assert!(want.contains_key("l1-0.01-seed1/blocks.0.hook_resid_post/sae_weights.safetensors"));

    let left = killed.join(CHECKPOINT);
    let (mut kept, mut kills) = (None, 0);
    for pause in [0, 30, 110, 210] {
        let mut run = command(&killed, &["--checkpoint-every", "0"]).spawn().unwrap();
        wait_for_checkpoint(&mut run, &left, kept);
        // At different moments: also while a checkpoint is being written.
        std::thread::sleep(Duration::from_millis(pause));
        run.kill().unwrap();
        run.wait().unwrap();
        if !left.is_file() {
            break; // it finished in the pause
        }
        kept = Some(std::fs::metadata(&left).unwrap().modified().unwrap());
        kills += 1;
    }
    assert!(kills > 0, "no run was killed half-way");
    let told = succeeds(command(&killed, &[]));
    assert!(told.contains("going on with"), "{told}");
    // Nothing is left of a checkpoint that was only half written.
    let got = files(&killed);
    assert_eq!(got.keys().collect::<Vec<_>>(), want.keys().collect::<Vec<_>>());
    for (name, bytes) in &want {
        assert!(got[name] == *bytes, "{name} differs after {kills} kills");
    }
}

#[test]
fn a_checkpoint_of_another_run_is_refused_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let save = dir.path().join("saes");
    let mut run = command(&save, &["--checkpoint-every", "0"]).spawn().unwrap();
    let left = save.join(CHECKPOINT);
    wait_for_checkpoint(&mut run, &left, None);
    run.kill().unwrap();
    run.wait().unwrap();
    let before = std::fs::read(&left).unwrap();
    let refused = |more: &[&str], what: &str| {
        let output = command(&save, more).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{told}");
        let line = told.lines().last().unwrap();
        assert!(line.starts_with("error: ") && line.contains(CHECKPOINT) && line.contains(what), "{told}");
        assert!(std::fs::read(&left).unwrap() == before, "the checkpoint was touched");
    };
    refused(&["--lr", "0.01"], "of a training with other settings");
    let corpus = dir.path().join("corpus.txt");
    std::fs::write(&corpus, "All happy families are alike. ".repeat(9_000)).unwrap();
    refused(&["--corpus", corpus.to_str().unwrap()], "of a training on the corpus builtin");
    std::fs::write(&left, "nonsense").unwrap();
    let output = command(&save, &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(std::fs::read(&left).unwrap(), b"nonsense");
}

/// A model in a folder, its weights in a folder inside, and a text to train on.
fn world(dir: &Path) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tiny-neox");
    std::fs::create_dir_all(dir.join("m/parts")).unwrap();
    for (name, place) in [
        ("config.json", "config.json"),
        ("tokenizer.json", "tokenizer.json"),
        ("tokenizer_config.json", "tokenizer_config.json"),
        ("model.safetensors", "parts/1.safetensors"),
    ] {
        std::fs::copy(from.join(name), dir.join("m").join(place)).unwrap();
    }
    let bytes = std::fs::read(from.join("model.safetensors")).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let map: serde_json::Map<_, _> =
        header.offset_keys().into_iter().map(|name| (name, "parts/1.safetensors".into())).collect();
    let index = serde_json::json!({ "weight_map": map });
    std::fs::write(dir.join("m/model.safetensors.index.json"), index.to_string()).unwrap();
    std::fs::write(dir.join("t.txt"), "All happy families are alike. ".repeat(25_000)).unwrap();
}

/// A short training of that model, in that folder.
fn short(dir: &Path, every: &str) -> Command {
    let mut command = mppc(&[]);
    command.args(["sae", "train", "m", "--corpus", "t.txt", "--hook", "blocks.1.hook_resid_post"]);
    command.args([
        "--features",
        "64",
        "--topk",
        "4",
        "--tokens",
        "24576",
        "--batch",
        "256",
        "--engine",
        "cpu",
    ]);
    command.args(["--checkpoint-every", every, "--save", "saes"]).current_dir(dir);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Leaves a checkpoint of a training that was killed.
fn leave(dir: &Path) -> std::path::PathBuf {
    let left = dir.join("saes").join(CHECKPOINT);
    let mut run = short(dir, "0").spawn().unwrap();
    wait_for_checkpoint(&mut run, &left, None);
    run.kill().unwrap();
    run.wait().unwrap();
    left
}

/// The one line that a command is refused with.
fn refusal(mut command: Command) -> String {
    last_line(&command.output().unwrap())
}

#[test]
fn nothing_goes_on_with_other_contents_at_the_same_path() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    world(dir);
    let left = leave(dir);
    let before = std::fs::read(&left).unwrap();
    // A bit of each file that is read, in a place where it is as good as before.
    type Change = fn(&mut Vec<u8>);
    let space: Change = |bytes| bytes.push(b' ');
    let files: [(&str, Change); 5] = [
        ("m/config.json", space),
        ("m/tokenizer.json", space),
        ("m/model.safetensors.index.json", space),
        ("m/parts/1.safetensors", |bytes| *bytes.last_mut().unwrap() ^= 1),
        ("t.txt", |bytes| bytes[0] = b'B'),
    ];
    for (name, change) in files {
        let sound = std::fs::read(dir.join(name)).unwrap();
        let mut changed = sound.clone();
        change(&mut changed);
        std::fs::write(dir.join(name), changed).unwrap();
        let line = refusal(short(dir, "300"));
        assert!(line.contains(CHECKPOINT) && line.contains(&format!("({name} was another)")), "{line}");
        std::fs::write(dir.join(name), sound).unwrap();
    }
    assert!(std::fs::read(&left).unwrap() == before, "the checkpoint was touched");
    let told = succeeds(short(dir, "300"));
    assert!(told.contains("going on with"), "{told}");
}

#[test]
fn a_damaged_checkpoint_is_named_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    world(dir);
    let left = leave(dir);
    let sound = std::fs::read(&left).unwrap();
    for at in [0, 9, 45, 300, sound.len() / 2, sound.len() - 1] {
        let mut damaged = sound.clone();
        damaged[at] ^= 1;
        std::fs::write(&left, &damaged).unwrap();
        let line = refusal(short(dir, "300"));
        assert!(line.contains(CHECKPOINT), "byte {at}: {line}");
        assert!(std::fs::read(&left).unwrap() == damaged, "the checkpoint was touched");
    }
    std::fs::write(&left, sound).unwrap();
    succeeds(short(dir, "300"));
}

#[test]
fn a_second_training_keeps_out() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    world(dir);
    let mut first = short(dir, "0").spawn().unwrap();
    wait_for_checkpoint(&mut first, &dir.join("saes").join(CHECKPOINT), None);
    let line = refusal(short(dir, "0"));
    assert!(line.contains("another training is at work in saes"), "{line}");
    assert!(first.try_wait().unwrap().is_none_or(|status| status.success()));
    first.kill().unwrap();
    first.wait().unwrap();
    // What the killed one held is free, and nothing of a lock stays behind.
    succeeds(short(dir, "0"));
    let names = files(&dir.join("saes"));
    assert_eq!(names.keys().collect::<Vec<_>>(), ["cfg.json", "sae_weights.safetensors", "training.csv"]);
}

#[cfg(unix)]
#[test]
fn who_is_stopped_leaves_a_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    world(dir);
    succeeds(short(dir, "300"));
    let want = files(&dir.join("saes"));
    std::fs::remove_dir_all(dir.join("saes")).unwrap();
    let left = dir.join("saes").join(CHECKPOINT);
    let mut kept = None;
    for (signal, code, name) in [("INT", 130, "Ctrl-C"), ("TERM", 143, "SIGTERM")] {
        // It may be stopped before it has made a step; nothing is there to be kept then.
        for pause in (0..).map(|again| Duration::from_millis(100 << again)) {
            let mut run = short(dir, "300").spawn().unwrap();
            std::thread::sleep(pause);
            assert!(run.try_wait().unwrap().is_none(), "it was over before it could be stopped");
            Command::new("kill").args(["-s", signal, &run.id().to_string()]).status().unwrap();
            let output = run.wait_with_output().unwrap();
            let told = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(code), "{told}");
            let line = format!("stopped by {name}: the same command goes on from the checkpoint in saes");
            assert!(told.lines().last().unwrap().starts_with(&line), "{told}");
            let now = std::fs::read(&left).ok();
            if kept != now {
                kept = now;
                break;
            }
        }
    }
    succeeds(short(dir, "300"));
    assert!(files(&dir.join("saes")) == want, "the bits differ");
}
