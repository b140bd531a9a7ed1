//! Training SAEs from the command line: what a run leaves, and a run that is killed.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const CHECKPOINT: &str = "training.checkpoint.safetensors";

/// Four hooks, three SAEs each, of which one goes through a dense beginning, fine-tuning and pruning.
fn command(save: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mppc"));
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
    let output = command.output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{told}");
    String::from_utf8(output.stdout).unwrap() + &told
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
