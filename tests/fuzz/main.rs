//! Hostile files: every reader of the lab is given thousands of damaged and malicious inputs.
//!
//! A target has good inputs (small folders, from the golden files) and a function that does with an input what the lab
//! does with it. An input is edited at random, in its bytes and in its structure ([`edit`]), and the function must come
//! back: with an answer or with an error, but without a panic, without an abort, within [`PATIENCE`], and within the
//! bytes that [`memory`] states. Each target runs in a process of its own, so that an abort or a hang is a finding,
//! too; proptest then looks for the fewest and simplest edits that still show it.
//!
//! `cargo test -p mppc --test fuzz` tries a few hundred inputs a target, always the same ones. With `MPPC_TEST_FULL=1`
//! it tries over a million, other ones each time, in about half an hour of two cores; `MPPC_FUZZ_CASES` sets the number
//! (1,000 of them are shared out among the targets by their weights). What was found once lies in `seeds/TARGET/`, a
//! folder each, and is tried first.

mod checkpoint;
mod codes;
mod corpus;
mod edit;
mod hub;
mod memory;
mod plan;
mod sae;
mod store;
mod training;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use mppc::checkpoint::{Bytes, Files};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

use edit::Edit;
use tempfile::TempDir;

/// The files of an input, by their paths in its folder.
type Folder = BTreeMap<String, Vec<u8>>;

/// Milliseconds that an input may take. Two hundred are usual for the slowest, on a machine that does nothing else.
const PATIENCE: u32 = 10_000;

/// A reader under fire.
struct Target {
    /// The test's name, and that of its folder of seeds.
    name: &'static str,
    /// Its share of all inputs, in thousandths: cheap readers get more.
    weight: u32,
    /// Good inputs.
    good: fn() -> Vec<Folder>,
    /// What the lab does with an input; whether it took it.
    read: fn(&Folder) -> bool,
}

/// Inputs of all targets together.
fn cases() -> u32 {
    let full = std::env::var_os("MPPC_TEST_FULL").is_some();
    let asked =
        std::env::var("MPPC_FUZZ_CASES").ok().map(|n| n.parse().expect("MPPC_FUZZ_CASES is a number"));
    asked.unwrap_or(if full { 1_050_000 } else { 6_000 })
}

fn full() -> bool {
    std::env::var_os("MPPC_TEST_FULL").is_some()
}

/// Tries a target.
fn fuzz(target: &Target) {
    let good = (target.good)();
    assert!(good.iter().all(|folder| (target.read)(folder)), "{}: a good input is refused", target.name);
    for (name, folder) in findings(target.name) {
        println!("{}: {name}", target.name);
        (target.read)(&folder);
    }
    let cases = (u64::from(cases()) * u64::from(target.weight) / 1_000).max(1) as u32;
    let config = Config {
        cases,
        fork: true,
        timeout: PATIENCE,
        max_shrink_iters: 400,
        failure_persistence: None,
        test_name: Some(target.name),
        source_file: Some(file!()),
        ..Config::default()
    };
    let rng = match full() {
        false => TestRng::deterministic_rng(RngAlgorithm::ChaCha),
        true => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos();
            let mut seed = [0; 32];
            seed[..16].copy_from_slice(&now.to_le_bytes());
            TestRng::from_seed(RngAlgorithm::ChaCha, &seed)
        }
    };
    let edits = vec(any::<Edit>(), 1..4);
    let input = (any::<prop::sample::Index>(), edits);
    memory::limit(if target.name == "corpora" { memory::PARQUET } else { memory::USUAL });
    let tally = scratch_file(target.name);
    let (tried, taken) = (Cell::new(0), Cell::new(0));
    // All of this happens in a process of its own, which leaves its count in a file.
    let result = TestRunner::new_with_rng(config, rng).run(&input, |(which, edits)| {
        taken.set(
            taken.get() + u32::from((target.read)(&edit::edited(&good, which.index(good.len()), &edits))),
        );
        tried.set(tried.get() + 1);
        if tried.get() == cases {
            std::fs::write(&tally, taken.get().to_string()).expect("a file");
        }
        Ok(())
    });
    match result {
        Ok(()) => {
            let taken = std::fs::read_to_string(&tally).expect("the other process leaves its count");
            println!("{}: {cases} inputs, of which {taken} were taken", target.name);
            // Edits that always or never break an input would try nothing.
            let taken: u32 = taken.parse().expect("a number");
            assert!(cases < 100 || (taken > 0 && taken < cases), "{}: {taken} of {cases}", target.name);
        }
        Err(TestError::Fail(why, (which, edits))) => {
            let folder = edit::edited(&good, which.index(good.len()), &edits);
            let place = keep(target.name, &folder);
            panic!("{}: {why}\n{edits:?}\nthe input lies in {}", target.name, place.display());
        }
        Err(e) => panic!("{}: {e}", target.name),
    }
}

/// Inputs that once were findings, by their names.
fn findings(target: &str) -> Vec<(String, Folder)> {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/seeds").join(target);
    let mut all = Vec::new();
    for entry in std::fs::read_dir(place).into_iter().flatten() {
        let path = entry.expect("a folder").path();
        all.push((path.display().to_string(), folder(&path)));
    }
    all.sort();
    all
}

/// Writes an input to where a person finds it.
fn keep(target: &str, input: &Folder) -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz").join(target);
    std::fs::remove_dir_all(&place).ok();
    write(input, &place);
    place
}

fn scratch_file(target: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{target}.taken"))
}

/// A folder for an input that must lie on a disk; in memory where the system has such a place, since most readers and
/// writers wait for the disk.
fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    folder.expect("a folder")
}

/// Puts the right checksum into a file that has one: what the lab keeps for itself is not looked at further when that
/// is wrong, and whoever means harm would put it right.
fn resealed(file: &[u8]) -> Option<Vec<u8>> {
    const MARK: &[u8] = b"\"mppc.crc32\":\"";
    let start = file.windows(MARK.len()).take(256).position(|window| window == MARK)? + MARK.len();
    let mut file = file.to_vec();
    file.get_mut(start..start + 8)?.fill(b'0');
    let sum = crc32fast::hash(&file);
    file[start..start + 8].copy_from_slice(format!("{sum:08x}").as_bytes());
    Some(file)
}

/// All files of a folder and of those inside it.
fn folder(path: &Path) -> Folder {
    fn collect(root: &Path, path: &Path, into: &mut Folder) {
        for entry in std::fs::read_dir(path).expect("a folder of golden files") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                collect(root, &path, into);
            } else {
                let name = path.strip_prefix(root).expect("inside").to_string_lossy().into_owned();
                into.insert(name, std::fs::read(&path).expect("a file"));
            }
        }
    }
    let mut files = Folder::new();
    collect(path, path, &mut files);
    files
}

/// Some files of a folder of golden files, or all without names.
fn golden(name: &str, files: &[&str]) -> Folder {
    let mut all = folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(name));
    all.retain(|name, _| files.is_empty() || files.contains(&name.as_str()));
    assert!(!all.is_empty(), "{name} has none of {files:?}");
    all
}

/// Writes a folder to disk.
fn write(input: &Folder, place: &Path) {
    for (name, bytes) in input {
        let path = place.join(name);
        std::fs::create_dir_all(path.parent().expect("inside a folder")).expect("a folder");
        std::fs::write(path, bytes).expect("a file");
    }
}

/// A folder in memory, as the lab takes it.
fn files(input: &Folder) -> Files {
    let bytes = |(name, bytes): (&String, &Vec<u8>)| (name.clone(), Bytes::from(bytes.clone()));
    Files::loose("fuzz", input.iter().map(bytes))
}

macro_rules! targets {
    ($($name:ident: $weight:literal, $good:path, $read:path;)*) => {
        $(#[test]
        fn $name() {
            fuzz(&Target { name: stringify!($name), weight: $weight, good: $good, read: $read });
        })*

        #[test]
        fn weights_are_thousandths() {
            assert_eq!([$($weight),*].iter().sum::<u32>(), 1_000);
        }
    };
}

targets! {
    safetensors: 240, checkpoint::tensor_files, checkpoint::read_tensors;
    models: 60, checkpoint::models, checkpoint::run_model;
    tokenizers: 40, checkpoint::tokenizers, checkpoint::tokenize;
    saes: 150, sae::good, sae::read;
    codes: 160, codes::good, codes::read;
    stores: 90, store::good, store::read;
    trainings: 10, training::good, training::read;
    plans: 120, plan::good, plan::read;
    corpora: 100, corpus::good, corpus::read;
    hub_answers: 30, hub::good, hub::read;
}
