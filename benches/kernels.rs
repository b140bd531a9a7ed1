//! Kernels on their own. `cargo xtask bench kernels` runs this and keeps the results.
//!
//! The processor always, the preferred adapter with `MPPC_BENCH_GPU=1`. Names are `what/who`, as in the tables of
//! BENCHMARKS.md; throughput is in floating-point operations or bytes.
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use half::f16;
use mppc::gpu::{Dtype, Engine, Tensor, Tier};
use mppc::kernels::{Product, ScanInput, attention, columns, matmul, selective_scan};

/// The engines, and what the tables call them.
fn engines() -> Vec<(Engine, String)> {
    let mut all = vec![(Engine::cpu(), "mppc cpu".to_owned())];
    if std::env::var_os("MPPC_BENCH_GPU").is_some_and(|v| v == "1") {
        let gpu = pollster::block_on(Engine::gpu(Tier::Full)).expect("MPPC_BENCH_GPU=1 wants an adapter");
        let name = format!("mppc gpu ({})", gpu.report().name.replace('/', " "));
        all.push((gpu, name));
    }
    all
}

/// Values of size 1 without a pattern.
fn values(n: usize) -> Vec<f32> {
    let mut x = 1u32;
    let mut next = || {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (x >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

fn tensor(engine: &Engine, shape: &[usize]) -> Tensor {
    Tensor::from_f32(engine, shape, values(shape.iter().product()))
}

/// Waits until a tensor is computed: reads its first element, and so all that was recorded before.
fn wait(t: &Tensor) {
    let first = columns(&t.reshape(&[1, t.len()]), 0, 1);
    black_box(pollster::block_on(first.read_f32()).expect("the device computes"));
}

/// Records the work as often as asked for and waits once: what a kernel costs in the midst of others.
fn time(group: &mut BenchmarkGroup<'_, WallTime>, who: &str, mut work: impl FnMut() -> Tensor) {
    wait(&work());
    group.bench_function(BenchmarkId::from_parameter(who), |b| {
        b.iter_custom(|iterations| {
            let start = Instant::now();
            let mut last = None;
            for _ in 0..iterations {
                last = Some(work());
            }
            last.iter().for_each(wait);
            start.elapsed()
        });
    });
}

fn group<'a>(c: &'a mut Criterion, what: &str, amount: Throughput) -> BenchmarkGroup<'a, WallTime> {
    let mut group = c.benchmark_group(what);
    group.throughput(amount);
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_secs(1));
    group
}

fn products(c: &mut Criterion) {
    // As the command line does.
    mppc::memory::keep_freed();
    for (m, k, n) in [(1024, 1024, 1024), (2048, 768, 3072)] {
        let flop = Throughput::Elements(2 * (m * k * n) as u64);
        for weights in ["f32", "f16"] {
            let mut group = group(c, &format!("matmul {m}×{k}×{n} {weights} weights"), flop.clone());
            for (engine, who) in engines() {
                let a = tensor(&engine, &[m, k]);
                let b = match weights {
                    "f32" => tensor(&engine, &[n, k]),
                    _ => {
                        let bits: Vec<u16> =
                            values(n * k).iter().map(|&v| f16::from_f32(v).to_bits()).collect();
                        Tensor::from_halves(&engine, &[n, k], Dtype::F16, &bits)
                    }
                };
                time(&mut group, &who, || matmul(&a, &b, &Product::default()));
            }
        }
    }
}

/// Channels and states of Mamba-130M.
const CHANNELS: usize = 1536;
const STATES: usize = 16;

/// What a scan must move at least: x, Δ, y once for each channel; B, C once for each state.
fn scan_bytes(steps: usize) -> Throughput {
    Throughput::Bytes(4 * (steps * (3 * CHANNELS + 2 * STATES)) as u64)
}

fn scans(c: &mut Criterion) {
    for steps in [64, 256, 1024, 4096, 8192] {
        let mut group = group(c, &format!("selective scan, {steps} steps"), scan_bytes(steps));
        for (engine, who) in engines() {
            let wide = tensor(&engine, &[1, steps, CHANNELS]);
            let delta: Vec<f32> = values(steps * CHANNELS).iter().map(|v| 0.05 + 0.04 * v).collect();
            let delta = Tensor::from_f32(&engine, &[1, steps, CHANNELS], delta);
            let a = values(CHANNELS * STATES).iter().map(|v| -2.0 + v).collect();
            let a = Tensor::from_f32(&engine, &[CHANNELS, STATES], a);
            let (b, c) = (tensor(&engine, &[1, steps, STATES]), tensor(&engine, &[1, steps, STATES]));
            let input = ScanInput { x: &wide, delta: &delta, a: &a, b: &b, c: &c, h0: None };
            time(&mut group, &who, || selective_scan(&input).y);
            // On an adapter a loop over tokens is a dispatch for each; longer ones take seconds and say nothing more.
            if engine.adapter().is_some() && steps <= 1024 {
                let tokens: Vec<[Tensor; 4]> =
                    (0..steps).map(|t| [&wide, &delta, &b, &c].map(|all| token(all, t))).collect();
                time(&mut group, &format!("token by token ({})", engine.report().name), || {
                    let mut state = None;
                    let mut last = wide.clone();
                    for [x, delta, b, c] in &tokens {
                        let scan = selective_scan(&ScanInput { x, delta, a: &a, b, c, h0: state.as_ref() });
                        (state, last) = (Some(scan.h), scan.y);
                    }
                    last
                });
            }
        }
        let (x, a) = (values(steps * CHANNELS), values(CHANNELS * STATES));
        let (b, c) = (values(steps * STATES), values(steps * STATES));
        group.bench_function(BenchmarkId::from_parameter("token by token (one thread)"), |bench| {
            bench.iter(|| token_by_token(&x, &a, &b, &c));
        });
    }
}

/// Token `t` of x [1, T, width].
fn token(x: &Tensor, t: usize) -> Tensor {
    let width = x.shape()[2];
    columns(&x.reshape(&[1, x.len()]), t * width, width).reshape(&[1, 1, width])
}

/// The recurrence as one writes it down, one thread: what a scan is measured against.
fn token_by_token(x: &[f32], a: &[f32], b: &[f32], c: &[f32]) -> Vec<f32> {
    let mut h = vec![0.0f32; CHANNELS * STATES];
    let mut ys = vec![0.0f32; x.len()];
    for (t, y) in ys.chunks_mut(CHANNELS).enumerate() {
        for e in 0..CHANNELS {
            let x = x[t * CHANNELS + e];
            let delta = 0.05 + 0.04 * x;
            let mut sum = 0.0;
            for n in 0..STATES {
                let i = e * STATES + n;
                h[i] = (delta * (a[i] - 2.0)).exp() * h[i] + delta * b[t * STATES + n] * x;
                sum += c[t * STATES + n] * h[i];
            }
            y[e] = sum;
        }
    }
    ys
}

fn attentions(c: &mut Criterion) {
    let (heads, width) = (12, 64);
    for steps in [512, 2048] {
        // q·k and pattern·v over the lower triangle.
        let flop = Throughput::Elements((2 * heads * width * steps * (steps + 1)) as u64);
        let mut group = group(c, &format!("attention, {steps} steps"), flop);
        for (engine, who) in engines() {
            let [q, k, v] = [(); 3].map(|()| tensor(&engine, &[1, steps, heads, width]));
            time(&mut group, &who, || attention(&q, &k, &v));
        }
    }
}

criterion_group!(benches, products, scans, attentions);
criterion_main!(benches);
