//! What the paper's models need: their sizes, against Hugging Face transformers in float64 on weights of random values
//! (`tools/standin`), and their tokenizer. `tests/golden/README.md` says what the golden files hold.
//!
//! The processor runs everything. A software adapter takes minutes for the long prompt, so it does only with
//! `MPPC_TEST_FULL=1`, which `cargo xtask test --full` sets.
#![cfg(not(target_arch = "wasm32"))]

#[path = "tokenizer_golden.rs"]
mod tokenizer_golden;

use std::path::{Path, PathBuf};

use mppc::checkpoint::{Files, SafeFile};
use mppc::gpu::{Engine, Tensor, Tier};
use mppc::model::{Logits, Model, Output, Plan, Prompts, argmax};
use standin::{Kind, Standin};

/// f32 against float64, of a tensor's largest value: through 24 layers of width 768 it strays by some 1e-6.
const TOLERANCE: f64 = 1e-4;

/// Two runs of one engine, which may sum in another order when the batch is another.
const SAME_ENGINE: f64 = 1e-5;

struct Case {
    golden: SafeFile,
    model: Model,
    rows: Vec<usize>,
}

impl Case {
    fn load(kind: Kind, name: &str, engine: &Engine) -> Self {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden");
        let golden = SafeFile::open(&golden.join(format!("fullsize-{name}.safetensors"))).unwrap();
        let weights = weights(kind, golden.note("sha256").expect("the golden file names its weights"));
        let model = Model::load(engine, name, &Files::dir(weights)).unwrap();
        let rows = integers(&golden, "rows");
        Self { golden, model, rows }
    }

    fn prompts(&self, name: &str) -> Prompts {
        let tokens = format!("{name}.tokens");
        let [batch, len] = *self.golden.shape(&tokens).unwrap() else { panic!("tokens are [B, T]") };
        let ids = self.golden.integers(&tokens).unwrap().into_iter().map(|t| t as u32).collect();
        Prompts { batch, len, ids }
    }

    fn hooks(&self, prompts: &str) -> Vec<String> {
        let start = format!("{prompts}.blocks.");
        let names = self.golden.names().into_iter().filter(|n| n.starts_with(&start) && !n.ends_with(".max"));
        names.map(|n| n[prompts.len() + 1..].to_owned()).collect()
    }

    fn run(&self, prompts: &Prompts, keep: Vec<String>) -> Output {
        self.model.run(prompts, Plan { keep, logits: true, ..Plan::default() }).unwrap()
    }

    /// Runs prompts of the golden file and holds hooks, logits and likeliest tokens against it.
    fn agrees(&self, name: &str) {
        let prompts = self.prompts(name);
        let hooks = self.hooks(name);
        assert_eq!(hooks.len(), 3, "first, middle and last layer");
        let output = self.run(&prompts, hooks.clone());
        let positions = integers(&self.golden, &format!("{name}.positions"));
        let width = self.model.d_model();
        let all: Vec<usize> = (0..width).collect();
        for hook in &hooks {
            let got = read(&output.hooks[hook]);
            self.close(&format!("{name}.{hook}"), &pick(&got, &prompts, &positions, &all));
        }
        let logits = logits_at(output.logits.as_ref().unwrap(), &positions);
        let sampled = logits.iter().flat_map(|row| self.rows.iter().map(|&r| row[r]));
        self.close(&format!("{name}.logits"), &sampled.collect::<Vec<_>>());
        let best = self.golden.integers(&format!("{name}.argmax")).unwrap();
        let mut decisive = 0;
        for (row, &want) in logits.iter().zip(&best).filter(|(_, want)| **want >= 0) {
            assert_eq!(argmax(row, REAL_VOCABULARY).map(i64::from), Some(want), "{name}: likeliest token");
            decisive += 1;
        }
        assert!(decisive > best.len() / 2, "the golden file has likeliest tokens");
    }

    /// Holds sampled values against a tensor of the golden file.
    fn close(&self, name: &str, got: &[f32]) {
        let want = self.golden.f32s(name).unwrap();
        assert_eq!(got.len(), want.len(), "{name}: number of values");
        let largest = f64::from(self.golden.f32s(&format!("{name}.max")).unwrap()[0]);
        let error = distance(got, &want) / largest;
        println!("{name}: {error:.1e} of {largest:.2} away");
        assert!(error <= TOLERANCE, "{name} is {error:.1e} of its largest value, {largest}, away");
    }

    /// A batch gives what its prompts give alone.
    fn alone_or_together(&self) {
        let prompts = self.prompts("short");
        let hook = self.hooks("short").pop().unwrap();
        let last = [prompts.len - 1];
        let read_both = |output: Output| {
            let logits = logits_at(output.logits.as_ref().unwrap(), &last);
            [read(&output.hooks[&hook]), logits.concat()]
        };
        let together = read_both(self.run(&prompts, vec![hook.clone()]));
        for b in 0..prompts.batch {
            let ids = prompts.ids[b * prompts.len..][..prompts.len].to_vec();
            let one = Prompts { batch: 1, len: prompts.len, ids };
            let alone = read_both(self.run(&one, vec![hook.clone()]));
            for (alone, together) in alone.iter().zip(&together) {
                let same = &together[b * alone.len()..][..alone.len()];
                let largest = same.iter().fold(0.0f64, |m, v| m.max(f64::from(v.abs())));
                let error = distance(alone, same) / largest;
                assert!(error <= SAME_ENGINE, "prompt {b} alone is {error:.1e} away");
            }
        }
    }
}

/// Ids of text are below this, in both models.
const REAL_VOCABULARY: usize = 50277;

/// The stand-in that the golden file was made with.
fn weights(kind: Kind, sha256: &str) -> PathBuf {
    let dir = Standin::new(kind).cached(Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap();
    let sums = std::fs::read_to_string(dir.join("SHA256SUMS")).unwrap();
    assert!(sums.starts_with(sha256), "the golden file was made with other weights than {}", dir.display());
    dir
}

fn integers(file: &SafeFile, name: &str) -> Vec<usize> {
    file.integers(name).unwrap().into_iter().map(|i| i as usize).collect()
}

fn read(tensor: &Tensor) -> Vec<f32> {
    pollster::block_on(tensor.read_f32()).unwrap()
}

/// Logits at some positions of every prompt.
fn logits_at(logits: &Logits, positions: &[usize]) -> Vec<Vec<f32>> {
    let [batch, len, _] = logits.shape();
    let flat = (0..batch).flat_map(|b| positions.iter().map(move |p| b * len + p));
    flat.map(|i| read(&logits.at(i..i + 1))).collect()
}

/// Some positions and channels of values [B, T, …].
fn pick(values: &[f32], prompts: &Prompts, positions: &[usize], channels: &[usize]) -> Vec<f32> {
    let width = values.len() / (prompts.batch * prompts.len);
    let mut picked = Vec::new();
    for b in 0..prompts.batch {
        for p in positions {
            let row = &values[(b * prompts.len + p) * width..][..width];
            picked.extend(channels.iter().map(|&c| row[c]));
        }
    }
    picked
}

/// The largest difference.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).fold(0.0, |m, (&a, &b)| {
        let d = (f64::from(a) - f64::from(b)).abs();
        if d.is_nan() { f64::INFINITY } else { d.max(m) }
    })
}

fn on_the_processor(kind: Kind, name: &str) {
    let case = Case::load(kind, name, &Engine::cpu());
    case.agrees("short");
    case.alone_or_together();
    case.agrees("long");
}

/// With a browser's default limits: the embedding and the head are larger than one binding may be.
fn on_the_adapter(kind: Kind, name: &str) {
    let engine = pollster::block_on(Engine::gpu(Tier::Floor))
        .expect("the tests need a Vulkan, Metal or DX12 driver; `cargo xtask test` sets one up");
    let case = Case::load(kind, name, &engine);
    case.agrees("short");
    case.alone_or_together();
    let real = engine.adapter().is_some_and(|a| !a.software);
    if real || std::env::var_os("MPPC_TEST_FULL").is_some_and(|v| v == "1") {
        case.agrees("long");
    }
}

#[test]
fn pythia_on_the_processor() {
    on_the_processor(Kind::Pythia160m, "pythia-160m");
}

#[test]
fn mamba_on_the_processor() {
    on_the_processor(Kind::Mamba130m, "mamba-130m");
}

#[test]
fn pythia_on_the_adapter() {
    on_the_adapter(Kind::Pythia160m, "pythia-160m");
}

#[test]
fn mamba_on_the_adapter() {
    on_the_adapter(Kind::Mamba130m, "mamba-130m");
}

#[test]
fn the_built_in_tokenizer_agrees_with_pythons() {
    let (tokenizer, golden) = tokenizer_golden::BUILTIN;
    tokenizer_golden::agrees(tokenizer.into(), golden);
}

/// The paper's tokenizer is not in the repository: `MPPC_NEOX_TOKENIZER` names the file.
#[test]
fn the_papers_tokenizer_agrees_with_pythons() {
    match std::env::var_os("MPPC_NEOX_TOKENIZER") {
        Some(path) => {
            let tokenizer = std::fs::read(&path).unwrap_or_else(|e| panic!("{path:?}: {e}"));
            tokenizer_golden::agrees(tokenizer.into(), tokenizer_golden::NEOX);
        }
        None => println!("skipped: MPPC_NEOX_TOKENIZER names no tokenizer.json of GPT-NeoX-20B"),
    }
}
