//! Gradients against central differences, and training on data whose features are known.

use super::*;
use crate::checkpoint::Files;
use crate::kernels::testing::{self, each_engine};
use crate::sae::{HealthAccumulator, Storage};

const D: usize = 3;
const F: usize = 5;
const B: usize = 4;

/// The four arrays in f64, one after the other: w_enc [D, F], b_enc [F], w_dec [F, D], b_dec [D].
struct Flat(Vec<f64>);

impl Flat {
    fn w_enc(&self, c: usize, j: usize) -> f64 {
        self.0[c * F + j]
    }
    fn b_enc(&self, j: usize) -> f64 {
        self.0[D * F + j]
    }
    fn w_dec(&self, j: usize, c: usize) -> f64 {
        self.0[D * F + F + j * D + c]
    }
    fn b_dec(&self, c: usize) -> f64 {
        self.0[2 * D * F + F + c]
    }
    fn encode(&self, x: &[f64]) -> Vec<f64> {
        let pre = |j| (0..D).map(|c| (x[c] - self.b_dec(c)) * self.w_enc(c, j)).sum::<f64>() + self.b_enc(j);
        (0..F).map(pre).collect()
    }
    fn decode(&self, f: &[f64]) -> Vec<f64> {
        (0..D).map(|c| (0..F).map(|j| f[j] * self.w_dec(j, c)).sum::<f64>()).collect()
    }
}

/// All but the k largest positive values become 0.
fn keep(values: &[f64], k: usize) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).filter(|&j| values[j] > 0.0).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
    let mut out = vec![0.0; values.len()];
    order.iter().take(k).for_each(|&j| out[j] = values[j]);
    out
}

/// What the auxiliary loss needs beside the parameters.
struct Aux {
    dead: Vec<bool>,
    /// e of the unchanged parameters, by token.
    residual: Vec<Vec<f64>>,
    k: usize,
}

/// TopK's loss as the module's documentation states it.
fn topk_loss(p: &Flat, x: &[Vec<f64>], k: usize, variance: f64, aux: Option<&Aux>) -> f64 {
    let mut loss = 0.0;
    for (t, x) in x.iter().enumerate() {
        let pre = p.encode(x);
        let recon = p.decode(&keep(&pre, k));
        loss += (0..D).map(|c| (recon[c] + p.b_dec(c) - x[c]).powi(2)).sum::<f64>();
        if let Some(aux) = aux {
            let of_dead: Vec<f64> = (0..F).map(|j| if aux.dead[j] { pre[j] } else { 0.0 }).collect();
            let recon = p.decode(&keep(&of_dead, aux.k));
            loss += (0..D).map(|c| (recon[c] - aux.residual[t][c]).powi(2)).sum::<f64>() / 32.0;
        }
    }
    loss / (B as f64 * variance)
}

/// The paper's loss, in units of the normalised token.
fn relu_loss(p: &Flat, x: &[Vec<f64>], l1: f64) -> f64 {
    let unit: Vec<Vec<f64>> = x
        .iter()
        .map(|x| {
            let s = (D as f64).sqrt() / x.iter().map(|v| v * v).sum::<f64>().sqrt();
            x.iter().map(|v| v * s).collect()
        })
        .collect();
    let mean: Vec<f64> = (0..D).map(|c| unit.iter().map(|u| u[c]).sum::<f64>() / B as f64).collect();
    let mut loss = 0.0;
    for u in &unit {
        let f: Vec<f64> = p.encode(u).iter().map(|v| v.max(0.0)).collect();
        let recon = p.decode(&f);
        let spread = (0..D).map(|c| (u[c] - mean[c]).powi(2)).sum::<f64>().sqrt();
        loss += (0..D).map(|c| (recon[c] + p.b_dec(c) - u[c]).powi(2) / spread).sum::<f64>() / (B * D) as f64;
        for (j, f) in f.iter().enumerate() {
            let norm = (0..D).map(|c| p.w_dec(j, c).powi(2)).sum::<f64>().sqrt();
            loss += l1 * f * norm / B as f64;
        }
    }
    loss
}

/// Central differences of `loss` at `at`.
fn differences(at: &[f64], loss: impl Fn(&Flat) -> f64) -> Vec<f64> {
    const H: f64 = 1e-5;
    let shifted = |i: usize, h: f64| {
        let mut p = at.to_vec();
        p[i] += h;
        loss(&Flat(p))
    };
    (0..at.len()).map(|i| (shifted(i, H) - shifted(i, -H)) / (2.0 * H)).collect()
}

fn check_gradients(kind: SaeKind, dead: &[usize]) {
    for seed in 0..4 {
        let flat: Vec<f32> = testing::normal(seed, 2 * D * F + F + D).iter().map(|v| 0.7 * v).collect();
        let x = testing::normal(100 + seed, B * D);
        let wide: Vec<f64> = flat.iter().map(|&v| f64::from(v)).collect();
        let rows: Vec<Vec<f64>> = x.chunks(D).map(|r| r.iter().map(|&v| f64::from(v)).collect()).collect();
        let is_dead: Vec<bool> = (0..F).map(|j| dead.contains(&j)).collect();
        let aux_k = 2;
        let want = match kind {
            SaeKind::TopK { k } => {
                let base = Flat(wide.clone());
                let residual: Vec<Vec<f64>> = rows
                    .iter()
                    .map(|x| {
                        let recon = base.decode(&keep(&base.encode(x), k));
                        (0..D).map(|c| x[c] - recon[c] - base.b_dec(c)).collect()
                    })
                    .collect();
                let aux = (!dead.is_empty()).then(|| Aux {
                    dead: is_dead.clone(),
                    residual,
                    k: aux_k.min(dead.len()),
                });
                differences(&wide, |p| topk_loss(p, &rows, k, 1.5, aux.as_ref()))
            }
            SaeKind::Relu { l1 } => differences(&wide, |p| relu_loss(p, &rows, l1)),
        };
        each_engine(|engine| {
            let mut config = TrainConfig::new(D, F, kind, 10);
            (config.aux_k, config.dead_after, config.l1_warm_up) = (aux_k, 10, 0);
            let batch = Tensor::from_f32(engine, &[B, D], x.clone());
            let mut state = pollster::block_on(State::new(&config, &batch)).expect("a first batch");
            let part = |range: std::ops::Range<usize>, shape: &[usize]| {
                Tensor::from_f32(engine, shape, flat[range].to_vec())
            };
            let (a, b, c) = (D * F, D * F + F, 2 * D * F + F);
            state.params = Parameters {
                w_enc: part(0..a, &[D, F]),
                b_enc: part(a..b, &[F]),
                w_dec: part(b..c, &[F, D]),
                b_dec: part(c..c + D, &[D]),
            };
            state.spread = Tensor::from_f32(engine, &[B], vec![1.5; B]);
            let ages = is_dead.iter().map(|&dead| if dead { 10.0 } else { 9.0 }).collect();
            state.age = Tensor::from_f32(engine, &[F], ages);
            let grads = state.gradients(&config, &batch, 5, dead.len()).grads;
            let mut got = Vec::new();
            for tensor in [&grads.w_enc, &grads.b_enc, &grads.w_dec, &grads.b_dec] {
                got.extend(pollster::block_on(tensor.read_f32()).expect("readback"));
            }
            assert!(want.iter().any(|w| w.abs() > 0.01), "the test must see gradients");
            for (i, (&got, &want)) in got.iter().zip(&want).enumerate() {
                // f32 products of a few values of size 1, and differences of step 1e-5 in f64, good to 1e-9.
                let gap = (f64::from(got) - want).abs();
                assert!(
                    gap < 5e-6,
                    "{kind:?}, seed {seed}, parameter {i}: {got} instead of {want} on {engine:?}"
                );
            }
        });
    }
}

#[test]
fn topk_gradients_are_the_loss_s() {
    check_gradients(SaeKind::TopK { k: 2 }, &[]);
}

#[test]
fn topk_gradients_with_dead_features_are_the_loss_s() {
    check_gradients(SaeKind::TopK { k: 2 }, &[1, 2, 4]);
    check_gradients(SaeKind::TopK { k: 1 }, &[3]);
}

#[test]
fn relu_gradients_are_the_loss_s() {
    check_gradients(SaeKind::Relu { l1: 0.3 }, &[]);
}

const ATOMS: usize = 32;
const WIDTH: usize = 16;

/// Unit vectors [ATOMS, WIDTH].
fn atoms() -> Vec<f32> {
    let mut atoms = testing::normal(7, ATOMS * WIDTH);
    for atom in atoms.chunks_mut(WIDTH) {
        let norm = atom.iter().map(|v| v * v).sum::<f32>().sqrt();
        atom.iter_mut().for_each(|v| *v /= norm);
    }
    atoms
}

/// Batch `number`: each token is the sum of two or three atoms of strength 1 to 2, around a mean of `shift`.
fn synthetic(number: u64, tokens: usize, shift: f32) -> Vec<f32> {
    let atoms = atoms();
    let draws = testing::uniform(1_000 + number, tokens * 6);
    let mut x = vec![shift; tokens * WIDTH];
    for (x, draws) in x.chunks_mut(WIDTH).zip(draws.chunks(6)) {
        for pair in draws.chunks(2) {
            let atom = (pair[0] * ATOMS as f32) as usize;
            x.iter_mut().zip(&atoms[atom * WIDTH..]).for_each(|(x, a)| *x += (1.0 + pair[1]) * a);
        }
    }
    x
}

fn train(engine: &Engine, config: TrainConfig, tokens: usize, shift: f32) -> (Sae, TrainStats) {
    let steps = config.steps;
    let mut trainer = Trainer::new(engine, config).expect("settings");
    for number in 0..steps as u64 {
        let batch = Tensor::from_f32(engine, &[tokens, WIDTH], synthetic(number, tokens, shift));
        pollster::block_on(trainer.step(&batch)).expect("a step");
    }
    let stats = trainer.stats();
    (pollster::block_on(trainer.finish()).expect("a SAE"), stats)
}

/// Number of atoms whose best decoder row has a cosine of at least 0.9.
fn recovered(sae: &Sae) -> usize {
    let weights = pollster::block_on(sae.weights()).expect("readback");
    let atoms = atoms();
    let found = atoms.chunks(WIDTH).filter(|atom| {
        weights.w_dec.chunks(WIDTH).any(|row| {
            let norm = row.iter().map(|v| v * v).sum::<f32>().sqrt();
            atom.iter().zip(row).map(|(a, w)| a * w).sum::<f32>() >= 0.9 * norm && norm > 0.0
        })
    });
    found.count()
}

fn health(sae: &Sae, shift: f32) -> crate::sae::Health {
    let mut health = HealthAccumulator::new(sae);
    for number in 0..2 {
        let x = Tensor::from_f32(sae.w_enc.engine(), &[500, WIDTH], synthetic(90_000 + number, 500, shift));
        pollster::block_on(health.add(sae, &x)).expect("health");
    }
    health.health()
}

#[test]
fn topk_finds_the_features_of_synthetic_data() {
    let mut config = TrainConfig::new(WIDTH, 64, SaeKind::TopK { k: 3 }, 1_000);
    (config.lr, config.dead_after) = (3e-3, 5_000);
    let (sae, stats) = train(&Engine::cpu(), config, 256, 3.0);
    assert_eq!((stats.step, stats.tokens), (1_000, 256_000));
    let health = health(&sae, 3.0);
    // Measured: 31 atoms of 32, 91.7% of the variance.
    assert!(recovered(&sae) >= 28, "{} atoms", recovered(&sae));
    assert!(health.explained_variance > 0.88 && health.l0 <= 3.0, "{health:?}");
}

#[test]
fn relu_finds_the_features_of_synthetic_data() {
    let mut config = TrainConfig::new(WIDTH, 64, SaeKind::Relu { l1: 0.03 }, 1_000);
    config.lr = 3e-3;
    let (sae, _) = train(&Engine::cpu(), config, 256, 0.0);
    let health = health(&sae, 0.0);
    // Measured: 32 atoms of 32, 79.2% of the variance with 7.4 features a token (L1 shrinks what it keeps).
    assert!(recovered(&sae) >= 28, "{} atoms", recovered(&sae));
    assert!(health.explained_variance > 0.7 && health.l0 < 10.0, "{health:?}");
}

const KINDS: [SaeKind; 2] = [SaeKind::TopK { k: 3 }, SaeKind::Relu { l1: 0.01 }];

#[test]
fn a_seed_gives_the_same_sae_and_engines_agree() {
    for kind in KINDS {
        let run = |engine: &Engine, seed| {
            let mut config = TrainConfig::new(WIDTH, 24, kind, 12);
            (config.seed, config.dead_after, config.report_every) = (seed, 100, 2);
            pollster::block_on(train(engine, config, 50, 1.0).0.weights()).expect("weights")
        };
        let cpu = run(&Engine::cpu(), 1);
        assert_ne!(cpu, run(&Engine::cpu(), 2));
        let wide = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        each_engine(|engine| {
            let got = run(engine, 1);
            assert_eq!(got, run(engine, 1), "{kind:?} on {engine:?}");
            // Twelve steps of at most 1e-3. A gradient that is all rounding still makes a step, so single
            // weights may differ by a part of that.
            for (got, want) in [(&got.w_enc, &cpu.w_enc), (&got.b_enc, &cpu.b_enc), (&got.w_dec, &cpu.w_dec)]
            {
                let got = Tensor::from_f32(engine, &[got.len()], got.clone());
                testing::close(engine, &got, &wide(want), 1e-3);
            }
        });
    }
}

/// What the trainer's own forward pass makes of a batch, in the finished SAE's units, and the SAE.
fn features_and_sae(engine: &Engine, kind: SaeKind) -> (Tensor, Vec<f32>, Sae) {
    let mut trainer = Trainer::new(engine, TrainConfig::new(WIDTH, 24, kind, 40)).expect("settings");
    for number in 0..40 {
        let batch = Tensor::from_f32(engine, &[64, WIDTH], synthetic(number, 64, 1.0));
        pollster::block_on(trainer.step(&batch)).expect("a step");
    }
    let x = Tensor::from_f32(engine, &[64, WIDTH], synthetic(99, 64, 1.0));
    let state = trainer.state.as_ref().expect("trained");
    let pass = state.gradients(&trainer.config, &x, 40, 0);
    let mut features = pollster::block_on(pass.features.read_f32()).expect("features");
    if matches!(kind, SaeKind::Relu { .. }) {
        let norms = pollster::block_on(pass.norms.read_f32()).expect("norms");
        features.iter_mut().enumerate().for_each(|(i, f)| *f *= norms[i % 24]);
    }
    (x, features, pollster::block_on(trainer.finish()).expect("a SAE"))
}

#[test]
fn a_saved_sae_encodes_what_was_trained() {
    for kind in KINDS {
        each_engine(|engine| {
            let (x, want, sae) = features_and_sae(engine, kind);
            let folder = tempfile::tempdir().expect("temporary folder");
            pollster::block_on(sae.save(folder.path(), Storage::F32)).expect("save");
            let sae = Sae::load(engine, &Files::dir(folder.path())).expect("load");
            let want: Vec<f64> = want.iter().map(|&v| f64::from(v)).collect();
            // The same products; folding the norms rounds each weight once more. A TopK whose k-th and next
            // value are closer than that would show; none is.
            testing::close(engine, &sae.features(&x).0, &want, 1e-5);
        });
    }
}

#[test]
fn impossible_settings_and_batches_are_refused() {
    let engine = Engine::cpu();
    let new = |kind, change: fn(&mut TrainConfig)| {
        let mut config = TrainConfig::new(2, 4, kind, 10);
        change(&mut config);
        Trainer::new(&engine, config).map(|_| ()).map_err(|e| e.to_string())
    };
    let error = |text: &str| Err(format!("SAE training: {text}"));
    let top = SaeKind::TopK { k: 5 };
    assert_eq!(new(top, |_| ()), error("k is 5, but must be between 1 and the number of features, 4"));
    let relu = SaeKind::Relu { l1: -1.0 };
    assert_eq!(new(relu, |_| ()), error("the L1 coefficient is -1, but must be 0 or more"));
    let top = SaeKind::TopK { k: 1 };
    assert_eq!(new(top, |c| c.lr = 0.0), error("the learning rate is 0, but must be positive"));
    assert_eq!(new(top, |c| c.d_in = 0), error("width and number of features must be positive"));

    let mut trainer = Trainer::new(&engine, TrainConfig::new(2, 4, top, 10)).expect("settings");
    let mut step = |shape: &[usize], value: f32| {
        let batch = Tensor::from_f32(&engine, shape, vec![value; shape.iter().product()]);
        pollster::block_on(trainer.step(&batch)).map_err(|e| e.to_string())
    };
    assert_eq!(step(&[3, 3], 0.0), error("a batch has the shape [3, 3], but must have tokens of width 2"));
    assert_eq!(step(&[0, 2], 0.0), error("a batch has the shape [0, 2], but must have tokens of width 2"));
    assert_eq!(step(&[3, 2], f32::NAN), error("the activations of the first batch are not finite"));
    // A batch of equal tokens has no variance; training goes on.
    assert_eq!(step(&[3, 2], 1.0), Ok(()));
    assert_eq!(
        step(&[4, 2], 1.0),
        error("a batch has 4 tokens, but the first had 3; drop the rest that does not fill a batch")
    );
    assert!(pollster::block_on(trainer.finish()).is_ok());
    let trainer = Trainer::new(&engine, TrainConfig::new(2, 4, top, 10)).expect("settings");
    let none = pollster::block_on(trainer.finish()).expect_err("no batch").to_string();
    assert_eq!(none, "SAE training: there was no batch to train on");
}
