//! Gradients of every kind's loss against central differences in float64.

use super::kinds::{BatchTopK, Gated, JumpRelu, Relu, StandIn, TopK};
use super::state::{self, State};
use super::step::At;
use super::target::BatchTarget;
use super::*;
use crate::gpu::{Engine, Tensor};
use crate::kernels::scalar::{B_MAG, BIAS, R_MAG};
use crate::kernels::testing::{self, each_engine};

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

/// JumpReLU's loss with its thresholds, but for the penalty, which no weight can move by a little.
fn jump_loss(p: &Flat, x: &[Vec<f64>], theta: &[f64]) -> f64 {
    let error = |x: &Vec<f64>| {
        let f: Vec<f64> = p.encode(x).iter().zip(theta).map(|(&v, &t)| if v > t { v } else { 0.0 }).collect();
        let recon = p.decode(&f);
        (0..D).map(|c| (recon[c] + p.b_dec(c) - x[c]).powi(2)).sum::<f64>()
    };
    x.iter().map(error).sum::<f64>() / (B * D) as f64
}

/// The gated loss; `frozen` decodes in the gate's own reconstruction.
fn gated_loss(p: &Flat, frozen: &Flat, x: &[Vec<f64>], (b_mag, r_mag): (&[f64], &[f64]), l1: f64) -> f64 {
    let mut loss = 0.0;
    for x in x {
        let pre = p.encode(x);
        let magnitude = |j: usize| ((pre[j] - p.b_enc(j)) * r_mag[j].exp() + b_mag[j]).max(0.0);
        let f: Vec<f64> = (0..F).map(|j| if pre[j] > 0.0 { magnitude(j) } else { 0.0 }).collect();
        let gate: Vec<f64> = pre.iter().map(|v| v.max(0.0)).collect();
        let (recon, of_gate) = (p.decode(&f), frozen.decode(&gate));
        for c in 0..D {
            loss += (recon[c] + p.b_dec(c) - x[c]).powi(2) / D as f64;
            loss += (of_gate[c] + frozen.b_dec(c) - x[c]).powi(2) / D as f64;
        }
        loss += l1 * gate.iter().sum::<f64>();
    }
    loss / B as f64
}

/// Everything a gradient check starts from.
struct Case {
    kind: SaeKind,
    dead: Vec<usize>,
    flat: Vec<f32>,
    x: Vec<f32>,
    /// b_mag and r_mag, or ln θ and nothing, [F] each.
    own: [Vec<f32>; 2],
}

impl Case {
    fn new(kind: SaeKind, dead: &[usize], seed: u64) -> Self {
        Self {
            kind,
            dead: dead.to_vec(),
            flat: testing::normal(seed, 2 * D * F + F + D).iter().map(|v| 0.7 * v).collect(),
            x: testing::normal(100 + seed, B * D),
            own: [testing::normal(200 + seed, F), testing::normal(300 + seed, F)]
                .map(|v| v.iter().map(|v| 0.5 * v - 0.3).collect()),
        }
    }

    fn config(&self) -> TrainConfig {
        let mut config = TrainConfig::new(D, F, self.kind, 10);
        (config.aux_k, config.dead_after, config.penalty_warm_up) = (2, 10, 0);
        config.bandwidth = 0.8;
        config
    }

    /// A state with these parameters, and what the batch is trained on.
    fn state(&self, engine: &Engine) -> (State, BatchTarget) {
        let config = self.config();
        let batch = Tensor::from_f32(engine, &[B, D], self.x.clone());
        let mut state = pollster::block_on(State::new(&config, &batch)).expect("a first batch");
        let (a, b, c) = (D * F, D * F + F, 2 * D * F + F);
        let flat = &self.flat;
        let w_enc = (0..F * D).map(|i| flat[(i % D) * F + i / D]).collect();
        let scalars = (0..F).flat_map(|j| [flat[a + j], self.own[0][j], self.own[1][j], 0.0]).collect();
        let t = |shape: &[usize], v: Vec<f32>| Tensor::from_f32(engine, shape, v);
        state.params = state::Parameters {
            w_enc: t(&[F, D], w_enc),
            scalars: t(&[F, 4], scalars),
            w_dec: t(&[F, D], flat[b..c].to_vec()),
            b_dec: t(&[D], flat[c..].to_vec()),
        };
        state.scale = 1.0;
        state.constants = state::Constants::new(engine, &config, B, 1.0);
        let ages = (0..F).map(|j| if self.dead.contains(&j) { 10.0 } else { 9.0 }).collect();
        state.age = t(&[F], ages);
        let target = BatchTarget::new(&state, &config, &batch);
        (state, target)
    }

    fn wide(&self) -> (Vec<f64>, Vec<Vec<f64>>, [Vec<f64>; 2]) {
        let wide = |v: &[f32]| v.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
        (wide(&self.flat), self.x.chunks(D).map(wide).collect(), [wide(&self.own[0]), wide(&self.own[1])])
    }

    /// Differences of the loss by the four arrays, and by what else features own, [F, 2].
    fn want(&self) -> (Vec<f64>, Vec<f64>) {
        let (wide, rows, own) = self.wide();
        let none = vec![0.0; 2 * F];
        match self.kind {
            SaeKind::TopK(TopK { k }) => {
                let base = Flat(wide.clone());
                let residual = |x: &Vec<f64>| -> Vec<f64> {
                    let recon = base.decode(&keep(&base.encode(x), k));
                    (0..D).map(|c| x[c] - recon[c] - base.b_dec(c)).collect()
                };
                let aux = (!self.dead.is_empty()).then(|| Aux {
                    dead: (0..F).map(|j| self.dead.contains(&j)).collect(),
                    residual: rows.iter().map(residual).collect(),
                    k: 2.min(self.dead.len()),
                });
                (differences(&wide, |p| topk_loss(p, &rows, k, D as f64, aux.as_ref())), none)
            }
            SaeKind::BatchTopK(BatchTopK { k }) => {
                let base = Flat(wide.clone());
                let mut all: Vec<f64> =
                    rows.iter().flat_map(|x| base.encode(x)).filter(|&v| v > 0.0).collect();
                all.sort_by(|a, b| b.total_cmp(a));
                // The set that is kept does not change with a small step.
                let least = all[(k * B).min(all.len()) - 1] - 1e-3;
                (differences(&wide, |p| jump_loss(p, &rows, &[least; F])), none)
            }
            SaeKind::StandIn(StandIn { threshold }) => {
                (differences(&wide, |p| jump_loss(p, &rows, &[f64::from(threshold); F])), none)
            }
            SaeKind::Relu(Relu { l1 }) => (differences(&wide, |p| relu_loss(p, &rows, l1)), none),
            SaeKind::JumpRelu(JumpRelu { l0 }) => {
                let theta: Vec<f64> = own[0].iter().map(|v| v.exp()).collect();
                let weights = differences(&wide, |p| jump_loss(p, &rows, &theta));
                (weights, self.straight_through(&theta, l0))
            }
            SaeKind::Gated(Gated { l1 }) => {
                let frozen = Flat(wide.clone());
                let loss = |p: &Flat, own: &[f64]| gated_loss(p, &frozen, &rows, (&own[..F], &own[F..]), l1);
                let both = own.concat();
                let by_own = differences(&both, |own| loss(&frozen, &own.0));
                let by_own = (0..F).flat_map(|j| [by_own[j], by_own[F + j]]).collect();
                (differences(&wide, |p| loss(p, &both)), by_own)
            }
        }
    }

    /// Rajamanoharan et al., equations 11 and 12, chained through θ = exp(ln θ).
    fn straight_through(&self, theta: &[f64], l0: f64) -> Vec<f64> {
        let (wide, rows, _) = self.wide();
        let (p, mut out) = (Flat(wide), vec![0.0; 2 * F]);
        for x in &rows {
            let pre = p.encode(x);
            let f: Vec<f64> = (0..F).map(|j| if pre[j] > theta[j] { pre[j] } else { 0.0 }).collect();
            let recon = p.decode(&f);
            let by_recon = |c: usize| 2.0 * (recon[c] + p.b_dec(c) - x[c]) / (B * D) as f64;
            for j in 0..F {
                let by_f: f64 = (0..D).map(|c| by_recon(c) * p.w_dec(j, c)).sum();
                if ((pre[j] - theta[j]) / 0.8).abs() < 0.5 {
                    out[2 * j] -= theta[j] / 0.8 * (theta[j] * by_f + l0 / B as f64);
                }
            }
        }
        out
    }
}

/// Sums of entries, as matrices: w_enc [D, F], b_enc [F], w_dec [F, D], b_dec [D], and what else features own [F, 2].
fn dense_of(g: &super::sparse::SparseGradients) -> (Vec<f32>, Vec<f32>) {
    let read = |t: &Tensor| pollster::block_on(t.read_f32()).expect("readback");
    let entries = pollster::block_on(g.by.entries.read_u32()).expect("readback");
    let (weights, outputs, inputs, scalars) =
        (read(&g.weights), read(&g.outputs), read(&g.inputs), read(&g.scalars));
    let (mut w_enc, mut w_dec) = (vec![0.0; D * F], vec![0.0; F * D]);
    for (l, &j) in g.by.columns.iter().enumerate() {
        for e in g.by.indptr[l] as usize..g.by.indptr[l + 1] as usize {
            let (row, place, j) = (entries[2 * e] as usize, entries[2 * e + 1] as usize, j as usize);
            for c in 0..D {
                w_dec[j * D + c] += weights[2 * place] * outputs[row * D + c];
                w_enc[c * F + j] += weights[2 * place + 1] * inputs[row * D + c];
            }
        }
    }
    let column = |c: usize| scalars.chunks(4).map(move |own| own[c]);
    let flat = w_enc.into_iter().chain(column(BIAS)).chain(w_dec).chain(read(&g.b_dec)).collect();
    (flat, scalars.chunks(4).flat_map(|own| [own[B_MAG], own[R_MAG]]).collect())
}

fn agree(got: &[f32], want: &[f64], what: &str) {
    assert_eq!(got.len(), want.len());
    for (i, (&got, &want)) in got.iter().zip(want).enumerate() {
        // f32 products of a few values of size 1, and differences of step 1e-5 in f64, good to 1e-9.
        assert!((f64::from(got) - want).abs() < 5e-6, "{what}, parameter {i}: {got} instead of {want}");
    }
}

fn check_gradients(kind: SaeKind, dead: &[usize]) {
    for seed in 0..4 {
        let case = Case::new(kind, dead, seed);
        let (want, want_own) = case.want();
        assert!(want.iter().any(|w| w.abs() > 0.01), "the test must see gradients");
        let at = At { step: 5, dead: dead.len() };
        each_engine(|engine| {
            let what = format!("{kind:?}, seed {seed}, on {engine:?}");
            let (mut state, target) = case.state(engine);
            let gradients =
                pollster::block_on(state.sparse_gradients(&case.config(), &target, at)).expect("pass");
            let (mut got, own) = dense_of(&gradients);
            if let Some(along) = gradients.along {
                // The penalty's part, along the rows.
                let along = pollster::block_on(along.read_f32()).expect("readback");
                for i in 0..F * D {
                    got[D * F + F + i] += along[i / D] * case.flat[D * F + F + i];
                }
            }
            agree(&got, &want, &what);
            if matches!(kind, SaeKind::JumpRelu(_) | SaeKind::Gated(_)) {
                agree(&own, &want_own, &what);
            }
        });
    }
}

#[test]
fn topk_gradients_are_the_loss_s() {
    check_gradients(SaeKind::TopK(TopK { k: 2 }), &[]);
}

#[test]
fn topk_gradients_with_dead_features_are_the_loss_s() {
    check_gradients(SaeKind::TopK(TopK { k: 2 }), &[1, 2, 4]);
    check_gradients(SaeKind::TopK(TopK { k: 1 }), &[3]);
}

#[test]
fn batchtopk_gradients_are_the_loss_s() {
    check_gradients(SaeKind::BatchTopK(BatchTopK { k: 2 }), &[]);
}

#[test]
fn jumprelu_gradients_are_the_loss_s() {
    check_gradients(SaeKind::JumpRelu(JumpRelu { l0: 0.1 }), &[]);
}

#[test]
fn a_new_kind_s_gradients_are_the_loss_s() {
    check_gradients(SaeKind::StandIn(StandIn { threshold: 0.5 }), &[]);
}

#[test]
fn gated_gradients_are_the_loss_s() {
    check_gradients(SaeKind::Gated(Gated { l1: 0.1 }), &[]);
}

#[test]
fn relu_gradients_are_the_loss_s() {
    check_gradients(SaeKind::Relu(Relu { l1: 0.3 }), &[]);
}

#[test]
fn dense_gradients_are_the_loss_s() {
    for seed in 0..4 {
        let case = Case::new(SaeKind::Relu(Relu { l1: 0.3 }), &[], seed);
        let (want, _) = case.want();
        each_engine(|engine| {
            let (state, target) = case.state(engine);
            let at = At { step: 5, dead: 0 };
            let gradients =
                pollster::block_on(state.dense_gradients(&case.config(), &target, at)).expect("pass");
            let read = |t: &Tensor| pollster::block_on(t.read_f32()).expect("readback");
            let g = &gradients.params;
            let (rows, scalars) = (read(&g.w_enc), read(&g.scalars));
            let mut got: Vec<f32> = (0..D * F).map(|i| rows[(i % F) * D + i / F]).collect();
            got.extend(scalars.chunks(4).map(|own| own[BIAS]));
            got.extend(read(&g.w_dec));
            got.extend(read(&g.b_dec));
            agree(&got, &want, &format!("seed {seed} on {engine:?}"));
        });
    }
}
