//! What tests on tensors share: the engines they run on, and the comparison with float64.

use std::sync::OnceLock;
use std::sync::atomic::Ordering::Relaxed;

use super::engine::Backend;
use super::{Engine, Tensor, Tier};

/// The processor, the machine's adapter, and the adapter with a browser's default limits.
pub(crate) fn engines() -> &'static [Engine] {
    static ENGINES: OnceLock<Vec<Engine>> = OnceLock::new();
    ENGINES.get_or_init(|| {
        let gpu = |tier| {
            pollster::block_on(Engine::gpu(tier))
                .expect("the tests need a Vulkan, Metal or DX12 driver; `cargo xtask test` sets one up")
        };
        vec![Engine::cpu(), gpu(Tier::Full), gpu(Tier::Floor)]
    })
}

/// Runs `f` on every engine.
pub(crate) fn each_engine(mut f: impl FnMut(&Engine)) {
    engines().iter().for_each(&mut f);
}

/// Uploads to a device and readbacks from it while `work` ran. The device must be nobody else's meanwhile, so the
/// shared ones of [`engines`] will not do.
pub(crate) fn copies<T>(engine: &Engine, work: impl FnOnce() -> T) -> (T, [usize; 2]) {
    let so_far = || match engine.backend() {
        Backend::Cpu => [0; 2],
        Backend::Gpu(gpu) => [&gpu.traffic.uploads, &gpu.traffic.readbacks].map(|n| n.load(Relaxed)),
    };
    let before = so_far();
    let done = work();
    let after = so_far();
    (done, [after[0] - before[0], after[1] - before[1]])
}

/// Asserts that `got` is within `tolerance` × (the largest |want|, at least 1) of `want` everywhere.
pub(crate) fn close(engine: &Engine, got: &Tensor, want: &[f64], tolerance: f64) {
    let got = pollster::block_on(got.read_f32()).expect("readback");
    assert_eq!(got.len(), want.len(), "number of values");
    let scale = want.iter().filter(|w| w.is_finite()).fold(1.0f64, |m, w| m.max(w.abs()));
    for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
        let g = f64::from(g);
        let equal = g == w || (g.is_nan() && w.is_nan());
        assert!(
            equal || (g - w).abs() <= tolerance * scale,
            "element {i}: {g} instead of {w} (tolerance {tolerance} × {scale}) on {engine:?}",
        );
    }
}
