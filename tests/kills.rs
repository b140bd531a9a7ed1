//! Runs that are killed at random moments, and stopped by Ctrl-C and SIGTERM: what comes out in the end has the bits of
//! a run that nobody disturbed. A few moments each; with `MPPC_TEST_FULL=1` a hundred.

#![cfg(unix)]

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use hub::{Faults, Hub};
use serde_json::Value;

const MPPC: &str = env!("CARGO_BIN_EXE_mppc");

/// How a run is ended from outside, and with which status it then says so itself.
#[derive(Debug, Clone, Copy)]
enum Blow {
    Kill,
    Interrupt,
    Terminate,
}

impl Blow {
    fn strike(self, run: &mut Child) {
        let name = match self {
            Self::Kill => return run.kill().unwrap(),
            Self::Interrupt => "INT",
            Self::Terminate => "TERM",
        };
        // A run that has just ended has no process to signal any more.
        Command::new("kill").args(["-s", name, &run.id().to_string()]).output().unwrap();
    }

    /// Whether a run that was struck ended as it should. It may have been too early to be told anything.
    fn check(self, output: &Output) {
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!told.contains("panicked"), "{told}");
        let (signal, code, name) = match self {
            Self::Kill => (9, None, ""),
            Self::Interrupt => (2, Some(130), "stopped by Ctrl-C: "),
            Self::Terminate => (15, Some(143), "stopped by SIGTERM: "),
        };
        if output.status.success() || output.status.signal() == Some(signal) {
            return;
        }
        assert_eq!(output.status.code(), code, "{self:?}: {told}");
        assert!(told.lines().last().unwrap().starts_with(name), "{self:?}: {told}");
    }
}

/// Numbers nobody can foresee, that can be had again.
struct Chance(u64);

impl Chance {
    fn new() -> Self {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
        let seed = std::env::var("MPPC_TEST_SEED").ok().map_or(now, |seed| seed.parse().unwrap());
        eprintln!("MPPC_TEST_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

fn blows() -> usize {
    if std::env::var_os("MPPC_TEST_FULL").is_some_and(|v| v == "1") { 100 } else { 5 }
}

/// Strikes runs of `command` at random moments of the time that an undisturbed one takes, until they are `blows`.
/// Whenever one gets through, `whole` looks at what it has made and clears it away.
fn disturb(blows: usize, mut command: impl FnMut(Blow) -> Command, mut whole: impl FnMut()) {
    let spawn = |mut command: Command| command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let began = Instant::now();
    assert!(spawn(command(Blow::Kill)).wait().unwrap().success());
    let takes = began.elapsed();
    whole();
    let mut chance = Chance::new();
    let (mut struck, mut ended, mut stopped) = (0, 0, 0);
    while struck < blows {
        let blow = [Blow::Kill, Blow::Kill, Blow::Interrupt, Blow::Terminate][chance.below(4) as usize];
        let mut run = spawn(command(blow));
        std::thread::sleep(Duration::from_micros(chance.below(takes.as_micros() as u64)));
        struck += usize::from(run.try_wait().unwrap().is_none());
        blow.strike(&mut run);
        let output = run.wait_with_output().unwrap();
        blow.check(&output);
        stopped += usize::from(output.status.code().is_some_and(|code| code > 1));
        if output.status.success() {
            ended += 1;
            whole();
        }
    }
    let output = spawn(command(Blow::Kill)).wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    whole();
    eprintln!("{struck} blows, {stopped} of them answered; {ended} runs got through before the last");
}

/// Every file below a folder.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let paths = walkdir::WalkDir::new(folder).into_iter().map(|entry| entry.unwrap().into_path());
    let content = |path: PathBuf| {
        let bytes = std::fs::read(&path).unwrap();
        (path.strip_prefix(folder).unwrap().to_owned(), bytes)
    };
    paths.filter(|path| path.is_file()).map(content).collect()
}

/// The same of a result, less what is about time.
fn result(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let timeless = |(path, bytes): (PathBuf, Vec<u8>)| {
        let path = path.display().to_string();
        let bytes = match &*path {
            "report.html" => Vec::new(),
            "report.json" => {
                let mut report: Value = serde_json::from_slice(&bytes).unwrap();
                assert!(report.as_object_mut().unwrap().remove("timings").is_some());
                report.to_string().into_bytes()
            }
            // Its last column is the speed.
            "training.csv" => {
                let text = String::from_utf8(bytes).unwrap();
                text.lines().flat_map(|line| line.rsplit_once(',').unwrap().0.bytes()).collect()
            }
            _ => bytes,
        };
        (path, bytes)
    };
    files(folder).into_iter().map(timeless).collect()
}

fn same(got: &BTreeMap<String, Vec<u8>>, wanted: &BTreeMap<String, Vec<u8>>) {
    assert_eq!(got.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
    for (name, bytes) in wanted {
        assert!(got[name] == *bytes, "{name} has other bits");
    }
}

/// Holds each result against the first one, and removes it.
fn against_the_first(folders: Vec<PathBuf>, result_in: PathBuf) -> impl FnMut() {
    let mut wanted: Option<BTreeMap<String, Vec<u8>>> = None;
    move || {
        let got = result(&result_in);
        same(&got, wanted.get_or_insert_with(|| got.clone()));
        folders.iter().for_each(|folder| std::fs::remove_dir_all(folder).unwrap());
    }
}

#[test]
fn a_comparison_ends_with_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let plan = "[a]\nmodel = \"tiny-neox\"\nlayers = [1, 2]\n[b]\nmodel = \"tiny-mamba\"\nlayers = [3]\n\
                [corpus]\ntokens = 1_200\ncontext = 32\nbatch = 4\n\
                [controls]\nneuron_tokens = 300\nshuffled = 1\nshifted = 1\nlikeness_tokens = 300\n";
    std::fs::write(path("plan.toml"), plan).unwrap();
    let command = |_| {
        let mut command = Command::new(MPPC);
        command.args(["compare", "plan.toml", "--store", "store", "--save", "report", "--engine", "cpu"]);
        command.current_dir(dir.path());
        command
    };
    disturb(blows(), command, against_the_first(vec![path("report"), path("store")], path("report")));
}

#[test]
fn a_training_ends_with_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let save = dir.path().join("saes");
    let command = |blow| {
        let mut command = Command::new(MPPC);
        command.args(["sae", "train", "tiny-neox", "--engine", "cpu"]);
        command.args([
            "--hook",
            "blocks.1.hook_resid_post",
            "--features",
            "128",
            "--topk",
            "8",
            "--l1",
            "0.01",
        ]);
        command.args(["--tokens", "8192", "--batch", "256", "--fine-tune", "2048", "--prune", "1000"]);
        // Who is asked to stop leaves a checkpoint of its own accord.
        command.args(["--checkpoint-every", if matches!(blow, Blow::Kill) { "0" } else { "300" }]);
        command.arg("--save").arg(&save);
        command
    };
    disturb(blows(), command, against_the_first(vec![save.clone()], save.clone()));
}

#[test]
fn a_download_ends_with_the_same_bits() {
    let root = tempfile::tempdir().unwrap();
    let home = tempfile::tempdir().unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/mamba-hf");
    std::fs::create_dir_all(root.path().join("o/mamba")).unwrap();
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(golden.join(name), root.path().join("o/mamba").join(name)).unwrap();
    }
    let hub = Hub::serve(root.path()).unwrap();
    hub.faults(Faults { rate: Some(100_000), ..Faults::default() });
    let command = |_| {
        let mut command = hub.client(MPPC, home.path());
        command.args(["fetch", "o/mamba"]);
        command
    };
    disturb(blows(), command, || {
        let cache = home.path().join("hub");
        let found = files(&cache);
        for name in ["config.json", "model.safetensors"] {
            let wanted = std::fs::read(golden.join(name)).unwrap();
            let mut copies = found.iter().filter(|(path, _)| path.ends_with(name));
            assert!(copies.next().is_some_and(|(_, bytes)| *bytes == wanted), "{name}");
        }
        assert!(!found.keys().any(|path| path.extension().is_some_and(|end| end == "incomplete")));
        std::fs::remove_dir_all(cache).unwrap();
    });
}
