//! Training on data whose features are known; settings, snapshots and what a saved SAE encodes.

use super::kinds::{BatchTopK, Gated, JumpRelu, Relu, StandIn, TopK};
use super::step::At;
use super::target::BatchTarget;
use super::*;
use crate::checkpoint::Files;
use crate::gpu::{Engine, Tensor, Tier};
use crate::kernels::scalar::BIAS;
use crate::kernels::testing::{self, each_engine};
use crate::sae::{HealthAccumulator, Sae, Storage};

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
    let mut config = TrainConfig::new(WIDTH, 64, SaeKind::TopK(TopK { k: 3 }), 1_000);
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
    let mut config = TrainConfig::new(WIDTH, 64, SaeKind::Relu(Relu { l1: 0.03 }), 1_000);
    config.lr = 3e-3;
    let (sae, _) = train(&Engine::cpu(), config, 256, 0.0);
    let health = health(&sae, 0.0);
    // Measured: 32 atoms of 32, 79.2% of the variance with 7.4 features a token (L1 shrinks what it keeps).
    assert!(recovered(&sae) >= 28, "{} atoms", recovered(&sae));
    assert!(health.explained_variance > 0.7 && health.l0 < 10.0, "{health:?}");
}

const KINDS: [SaeKind; 5] = [
    SaeKind::TopK(TopK { k: 3 }),
    SaeKind::BatchTopK(BatchTopK { k: 3 }),
    SaeKind::JumpRelu(JumpRelu { l0: 0.01 }),
    SaeKind::Gated(Gated { l1: 0.01 }),
    SaeKind::Relu(Relu { l1: 0.01 }),
];

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

/// A trained SAE, and what its trainer's own forward pass makes of a batch, in the SAE's units.
fn features_and_sae(engine: &Engine, kind: SaeKind) -> (Tensor, Vec<f32>, Sae) {
    const FEATURES: usize = 24;
    let mut trainer = Trainer::new(engine, TrainConfig::new(WIDTH, FEATURES, kind, 40)).expect("settings");
    for number in 0..40 {
        let batch = Tensor::from_f32(engine, &[64, WIDTH], synthetic(number, 64, 1.0));
        pollster::block_on(trainer.step(&batch)).expect("a step");
    }
    let x = Tensor::from_f32(engine, &[64, WIDTH], synthetic(99, 64, 1.0));
    let config = trainer.config.clone();
    let state = trainer.state.as_mut().expect("trained");
    let target = BatchTarget::new(state, &config, &x);
    let unit = 1.0 / state.scale;
    let gradients =
        pollster::block_on(state.sparse_gradients(&config, &target, At { step: 39, dead: 0 })).expect("pass");
    let read = |t: &Tensor| pollster::block_on(t.read_f32()).expect("readback");
    let (weights, entries) =
        (read(&gradients.weights), pollster::block_on(gradients.by.entries.read_u32()).expect("readback"));
    let norms: Vec<f32> = match kind {
        SaeKind::Relu(_) => read(&crate::kernels::row_norms(&state.params.w_dec)),
        _ => vec![unit; FEATURES],
    };
    let mut features = vec![0.0; 64 * FEATURES];
    for (l, &j) in gradients.by.columns.iter().enumerate() {
        for e in gradients.by.indptr[l] as usize..gradients.by.indptr[l + 1] as usize {
            let (row, place) = (entries[2 * e] as usize, entries[2 * e + 1] as usize);
            features[row * FEATURES + j as usize] = weights[2 * place] * norms[j as usize];
        }
    }
    (x, features, pollster::block_on(trainer.finish()).expect("a SAE"))
}

#[test]
fn a_saved_sae_encodes_what_was_trained() {
    // BatchTopK is missing: what it keeps of a batch is not what its threshold keeps of a token.
    let kinds = KINDS.into_iter().filter(|kind| !matches!(kind, SaeKind::BatchTopK(_)));
    for kind in kinds.chain([SaeKind::StandIn(StandIn { threshold: 1.0 })]) {
        each_engine(|engine| {
            let (x, want, sae) = features_and_sae(engine, kind);
            let folder = tempfile::tempdir().expect("temporary folder");
            pollster::block_on(sae.save(folder.path(), Storage::F32)).expect("save");
            let sae = Sae::load(engine, &Files::dir(folder.path())).expect("load");
            let want: Vec<f64> = want.iter().map(|&v| f64::from(v)).collect();
            // The same products; folding the scale or the norms rounds each weight once more. A TopK whose k-th
            // and next value are closer than that would show; none is.
            testing::close(engine, &sae.features(&x).0, &want, 1e-5);
        });
    }
}

#[test]
fn batchtopk_s_threshold_keeps_k_a_token() {
    let mut config = TrainConfig::new(WIDTH, 64, SaeKind::BatchTopK(BatchTopK { k: 3 }), 1_000);
    (config.lr, config.dead_after) = (3e-3, 5_000);
    let (sae, stats) = train(&Engine::cpu(), config, 256, 3.0);
    let health = health(&sae, 3.0);
    // Measured: 29 atoms of 32, 89.5% of the variance with 2.96 features a token: the threshold is a running mean.
    assert!((stats.l0 - 3.0).abs() < 0.01, "{stats:?}");
    assert!(recovered(&sae) >= 26, "{} atoms", recovered(&sae));
    assert!((2.6..3.4).contains(&health.l0) && health.explained_variance > 0.86, "{health:?}");
}

#[test]
fn thresholds_and_gates_find_the_features_of_synthetic_data() {
    // Measured: 31 atoms of 32 and 90.2% of the variance with 2.7 features a token; 29, 83.4% and 2.6.
    for (kind, lr, share) in [
        (SaeKind::JumpRelu(JumpRelu { l0: 0.05 }), 1e-2, 0.87),
        (SaeKind::Gated(Gated { l1: 0.2 }), 3e-3, 0.8),
    ] {
        let mut config = TrainConfig::new(WIDTH, 64, kind, 1_000);
        (config.lr, config.dead_after) = (lr, 5_000);
        let (sae, _) = train(&Engine::cpu(), config, 256, 3.0);
        let health = health(&sae, 3.0);
        assert!(recovered(&sae) >= 26, "{kind:?}: {} atoms", recovered(&sae));
        assert!(health.explained_variance > share && health.l0 < 4.0, "{kind:?}: {health:?}");
    }
}

/// Kills every other feature after the first step, and tells how many are dead in the end, and the statistics.
fn with_killed(mut config: TrainConfig) -> (usize, TrainStats) {
    let engine = Engine::cpu();
    (config.lr, config.dead_after) = (3e-3, 5_000);
    let mut trainer = Trainer::new(&engine, config).expect("settings");
    for number in 0..400 {
        let batch = Tensor::from_f32(&engine, &[256, WIDTH], synthetic(number, 256, 0.0));
        pollster::block_on(trainer.step(&batch)).expect("a step");
        if number == 0 {
            let scalars = &mut trainer.state.as_mut().expect("begun").params.scalars;
            scalars.f32s_mut().chunks_mut(8).for_each(|two| two[BIAS] = -5.0);
        }
    }
    let ages = trainer.state.as_ref().expect("begun").age.f32s().to_vec();
    (ages.iter().filter(|&&age| age >= 5_000.0).count(), trainer.stats())
}

#[test]
fn dead_features_are_resampled() {
    for kind in KINDS.into_iter().filter(|kind| kind.rules().k().is_none()) {
        let of = |resample_every| {
            with_killed(TrainConfig { resample_every, ..TrainConfig::new(WIDTH, 64, kind, 400) })
        };
        let ((dead, without), (left, with)) = (of(0), of(50));
        assert!(dead >= 30 && left + 10 <= dead, "{kind:?}: {dead} dead without help, {left} with");
        assert!(without.resampled == 0 && with.resampled >= 32, "{kind:?}: {without:?} {with:?}");
    }
}

#[test]
fn a_restored_trainer_goes_on_bit_by_bit() {
    for kind in KINDS {
        each_engine(|engine| {
            let config = || TrainConfig {
                dead_after: 100,
                report_every: 3,
                resample_every: 5,
                ..TrainConfig::new(WIDTH, 24, kind, 20)
            };
            let step = |trainer: &mut Trainer, number: u64| {
                let batch = Tensor::from_f32(engine, &[50, WIDTH], synthetic(number, 50, 1.0));
                pollster::block_on(trainer.step(&batch)).expect("a step");
            };
            let mut whole = Trainer::new(engine, config()).expect("settings");
            let mut half = None;
            for number in 0..20 {
                if number == 9 {
                    let snapshot = pollster::block_on(whole.snapshot()).expect("readback").expect("a state");
                    let file = snapshot_file(&snapshot);
                    let facts = serde_json::from_str(&serde_json::to_string(&snapshot.facts).expect("facts"));
                    let facts = facts.expect("the same facts");
                    let restored = Trainer::restore(engine, config(), &facts, (&file, "x/"));
                    half = Some(restored.expect("the same settings"));
                    let other = TrainConfig { lr: 2e-3, ..config() };
                    assert!(Trainer::restore(engine, other, &facts, (&file, "x/")).is_err());
                }
                step(&mut whole, number);
                if let Some(half) = &mut half {
                    step(half, number);
                }
            }
            let half = half.expect("restored");
            assert_eq!(half.stats(), whole.stats());
            let weights = |trainer: Trainer| {
                let sae = pollster::block_on(trainer.finish()).expect("a SAE");
                pollster::block_on(sae.weights()).expect("readback")
            };
            assert_eq!(weights(half), weights(whole), "{kind:?} on {engine:?}");
        });
    }
}

fn snapshot_file(snapshot: &Snapshot) -> crate::checkpoint::SafeFile {
    use safetensors::tensor::{Dtype, TensorView};
    let bytes: Vec<Vec<u8>> = snapshot
        .arrays
        .iter()
        .map(|(_, _, values)| values.iter().flat_map(|v| v.to_bits().to_le_bytes()).collect())
        .collect();
    let views = snapshot.arrays.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        (format!("x/{name}"), TensorView::new(Dtype::F32, shape.clone(), bytes).expect("an array"))
    });
    let file = safetensors::serialize(views, None).expect("a file");
    crate::checkpoint::SafeFile::parse("snapshot", file.into()).expect("a file")
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
    let top = SaeKind::TopK(TopK { k: 5 });
    assert_eq!(new(top, |_| ()), error("k is 5, but must be between 1 and the number of features, 4"));
    let relu = SaeKind::Relu(Relu { l1: -1.0 });
    assert_eq!(new(relu, |_| ()), error("the coefficient of l1 is -1, but must be 0 or more"));
    let top = SaeKind::TopK(TopK { k: 1 });
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

#[test]
fn a_step_reads_back_what_the_next_one_needs() {
    let engine = pollster::block_on(Engine::gpu(Tier::Full)).expect("an adapter");
    for kind in KINDS {
        // Nothing is dead, nothing reported, nothing resampled.
        let config =
            TrainConfig { report_every: 1_000, resample_every: 0, ..TrainConfig::new(WIDTH, 512, kind, 100) };
        let mut trainer = Trainer::new(&engine, config).expect("settings");
        for number in 0..3 {
            let batch = Tensor::from_f32(&engine, &[50, WIDTH], synthetic(number, 50, 1.0));
            let (done, copied) = testing::copies(&engine, || pollster::block_on(trainer.step(&batch)));
            done.expect("a step");
            // How many features each token has, which they are, and the errors that the next step's loss is divided by.
            let wanted = match kind {
                // The largest of a batch are found on the host.
                SaeKind::BatchTopK(_) => [11, 4],
                SaeKind::JumpRelu(_) => [8, 3],
                // Half of its features are active, so the step is dense: which they are is not asked.
                SaeKind::Relu(_) => [8, 2],
                _ => [8, 3],
            };
            if number > 0 {
                assert_eq!(copied, wanted, "uploads and readbacks, {kind:?}");
            }
        }
    }
}
