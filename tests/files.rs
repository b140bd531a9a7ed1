//! Things in a file system that are no files, links, modes: nothing is destroyed, and nothing hangs.

#![cfg(unix)]

mod common;

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

fn mppc(dir: &Path, args: &[&str]) -> Command {
    let mut command = common::mppc_in(dir, args);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a command that may not take long.
fn output(mut command: Command) -> Output {
    let mut run = command.spawn().unwrap();
    let began = Instant::now();
    while run.try_wait().unwrap().is_none() {
        if began.elapsed() > Duration::from_secs(60) {
            run.kill().unwrap();
            panic!("{command:?} hangs");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    run.wait_with_output().unwrap()
}

fn succeeds(command: Command) -> Output {
    let output = output(command);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// The one line that a command is refused with.
fn refusal(command: Command) -> String {
    common::one_line(&output(command))
}

fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

const RUN: [&str; 6] = ["run", "tiny-neox", "--text", "Once upon a time", "--hook", "*resid_pre"];

fn run(dir: &Path, save: &str) -> Command {
    mppc(dir, &[&RUN[..], &["--save", save]].concat())
}

#[test]
fn what_is_no_file_is_written_into() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    succeeds(run(dir.path(), "file"));
    let wanted = fs::read(path("file")).unwrap();

    pipe(&path("pipe"));
    let reader = std::thread::spawn({
        let pipe = path("pipe");
        move || {
            let mut all = Vec::new();
            fs::File::open(pipe).unwrap().read_to_end(&mut all).unwrap();
            all
        }
    });
    succeeds(run(dir.path(), "pipe"));
    assert!(reader.join().unwrap() == wanted);
    assert!(fs::symlink_metadata(path("pipe")).unwrap().file_type().is_fifo());

    // What is saved has standard output for itself.
    let piped = succeeds(run(dir.path(), "/dev/stdout"));
    assert!(piped.stdout == wanted, "{} bytes instead of {}", piped.stdout.len(), wanted.len());
    assert!(String::from_utf8_lossy(&piped.stderr).contains("saved to /dev/stdout"));
    let mut to_file = run(dir.path(), "/dev/stdout");
    fs::write(path("log"), "before").unwrap();
    to_file.stdout(fs::OpenOptions::new().append(true).open(path("log")).unwrap());
    succeeds(to_file);
    assert!(fs::read(path("log")).unwrap() == [b"before", &wanted[..]].concat());
}

#[test]
fn links_and_modes_stay() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::create_dir(path("far")).unwrap();
    fs::write(path("far/file"), "old").unwrap();
    fs::set_permissions(path("far/file"), fs::Permissions::from_mode(0o600)).unwrap();
    symlink("far/file", path("link")).unwrap();
    succeeds(run(dir.path(), "link"));
    assert_eq!(fs::read_link(path("link")).unwrap(), Path::new("far/file"));
    assert_eq!(fs::metadata(path("far/file")).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(fs::metadata(path("far/file")).unwrap().len() > 1_000);
    assert!(refusal(run(dir.path(), "far")).contains("far is a directory"));
}

/// A copy of a small model whose weights an index names.
struct Model {
    dir: TempDir,
}

impl Model {
    fn new() -> Self {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/mamba-hf");
        let model = Self { dir: tempfile::tempdir().unwrap() };
        fs::create_dir(model.path("m")).unwrap();
        fs::copy(golden.join("config.json"), model.path("m/config.json")).unwrap();
        fs::copy(golden.join("model.safetensors"), model.path("m/part.safetensors")).unwrap();
        fs::copy(golden.join("model.safetensors"), model.path("outside.safetensors")).unwrap();
        fs::write(model.path("ids.json"), "[[1,2,3]]").unwrap();
        model
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs the model with this shard in its index.
    fn run(&self, shard: &str) -> Command {
        let bytes = fs::read(self.path("outside.safetensors")).unwrap();
        let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        let map: serde_json::Map<_, _> =
            header.offset_keys().into_iter().map(|name| (name, shard.into())).collect();
        let index = serde_json::json!({ "weight_map": map });
        fs::write(self.path("m/model.safetensors.index.json"), index.to_string()).unwrap();
        let args = ["run", "m", "--tokens", "ids.json", "--hook", "*resid_pre", "--save", "o"];
        mppc(self.dir.path(), &args)
    }
}

#[test]
fn an_index_names_files_of_its_folder() {
    let model = Model::new();
    succeeds(model.run("part.safetensors"));
    fs::create_dir(model.path("m/sub")).unwrap();
    fs::rename(model.path("m/part.safetensors"), model.path("m/sub/part.safetensors")).unwrap();
    succeeds(model.run("sub/part.safetensors"));
    symlink("sub/part.safetensors", model.path("m/inner.safetensors")).unwrap();
    succeeds(model.run("inner.safetensors"));

    symlink("../outside.safetensors", model.path("m/link.safetensors")).unwrap();
    symlink("..", model.path("m/up")).unwrap();
    let absolute = model.path("outside.safetensors").display().to_string();
    for shard in [
        &*absolute,
        "../outside.safetensors",
        "sub/../../outside.safetensors",
        "link.safetensors",
        "up/outside.safetensors",
        "",
    ] {
        let line = refusal(model.run(shard));
        assert!(
            line.contains("does not lie in m") && line.contains(&format!("{shard:?}")),
            "{shard}: {line}"
        );
    }
}

#[test]
fn a_snapshot_of_the_hub_leads_to_its_blobs() {
    let model = Model::new();
    let snapshot = model.path("models--o--m/snapshots/0123456789012345678901234567890123456789");
    fs::create_dir_all(&snapshot).unwrap();
    fs::create_dir_all(model.path("models--o--m/blobs")).unwrap();
    model.run("part.safetensors");
    for (name, blob) in
        [("config.json", "a"), ("model.safetensors.index.json", "b"), ("part.safetensors", "c")]
    {
        fs::rename(model.path("m").join(name), model.path("models--o--m/blobs").join(blob)).unwrap();
        symlink(Path::new("../../blobs").join(blob), snapshot.join(name)).unwrap();
    }
    fs::remove_dir(model.path("m")).unwrap();
    symlink(&snapshot, model.path("m")).unwrap();
    let args = ["run", "m", "--tokens", "ids.json", "--hook", "*resid_pre", "--save", "o"];
    succeeds(mppc(model.dir.path(), &args));
}

#[test]
fn pipes_in_the_place_of_files_do_not_hang() {
    for name in
        ["m/config.json", "m/part.safetensors", "m/model.safetensors.index.json", "m/model.safetensors"]
    {
        let model = Model::new();
        let command = model.run("part.safetensors");
        let _ = fs::remove_file(model.path(name));
        pipe(&model.path(name));
        let seen = output(command);
        // Where the index is whole, a pipe beside it is nothing that is looked at.
        assert!(name == "m/model.safetensors" || seen.status.code() == Some(1), "{name}");
        let told = String::from_utf8_lossy(&seen.stderr);
        assert!(
            seen.status.success() || told.contains(name) || told.contains("has no model.safetensors"),
            "{told}"
        );
    }
    // Where others' programs keep their things.
    let home = tempfile::tempdir().unwrap();
    let repo = home.path().join("hub/models--o--m");
    fs::create_dir_all(repo.join("refs")).unwrap();
    fs::create_dir_all(repo.join("snapshots/0123456789012345678901234567890123456789/sub")).unwrap();
    pipe(&repo.join("refs/main"));
    symlink("..", repo.join("snapshots/0123456789012345678901234567890123456789/sub/up")).unwrap();
    symlink("/", repo.join("snapshots/0123456789012345678901234567890123456789/root")).unwrap();
    let mut command = mppc(home.path(), &["models"]);
    command.env("HF_HOME", home.path()).env_remove("HF_HUB_CACHE").env_remove("HUGGINGFACE_HUB_CACHE");
    succeeds(command);
}
