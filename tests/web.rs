//! The engine in a browser: in a dedicated worker, as on the page.
#![cfg(target_arch = "wasm32")]

#[path = "tokenizer_golden.rs"]
mod tokenizer_golden;

use mppc::gpu::{Engine, EngineChoice, Tensor, Tier};
use mppc::kernels::layer_norm;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_dedicated_worker);

#[wasm_bindgen_test]
async fn the_processor_opens() {
    let engine = Engine::open(EngineChoice::Cpu).await.expect("the processor is always there");
    assert_eq!(engine.report().engine, "cpu");
}

#[wasm_bindgen_test]
async fn the_browsers_adapter_opens() {
    for tier in [Tier::Full, Tier::Floor] {
        let engine = Engine::gpu(tier).await.expect("Chromium with WebGPU switched on has an adapter");
        assert_eq!(engine.report().engine, "gpu");
        assert!(engine.adapter().is_some());
    }
}

#[wasm_bindgen_test]
async fn auto_says_why() {
    let report = Engine::open(EngineChoice::Auto).await.expect("auto never fails").report();
    assert!(!report.why.is_empty());
}

#[wasm_bindgen_test]
async fn a_kernel_agrees_with_the_processor() {
    let (rows, cols) = (37, 129);
    // Values of size 1 without a pattern: fractions of multiples of the golden ratio.
    let values = |n: usize, k: f32| (0..n).map(|i| (i as f32 * 0.618_034 * k).fract() * 2.0 - 1.0).collect();
    let run = |engine: &Engine| {
        let tensor = |shape: &[usize], k| Tensor::from_f32(engine, shape, values(shape.iter().product(), k));
        layer_norm(&tensor(&[rows, cols], 1.0), &tensor(&[cols], 1.7), &tensor(&[cols], 2.3), 1e-5)
    };
    let want = run(&Engine::cpu()).read_f32().await.expect("the processor reads back");
    let gpu = Engine::gpu(Tier::Full).await.expect("Chromium with WebGPU switched on has an adapter");
    let got = run(&gpu).read_f32().await.expect("the adapter reads back");
    assert_eq!(got.len(), want.len());
    for (i, (g, w)) in got.iter().zip(&want).enumerate() {
        // The tolerance of the kernel's native test, for the reason given there.
        assert!((g - w).abs() <= 2e-5, "element {i}: {g} on the adapter, {w} on the processor");
    }
}

#[wasm_bindgen_test]
fn the_built_in_tokenizer_agrees_with_pythons() {
    let (tokenizer, golden) = tokenizer_golden::BUILTIN;
    tokenizer_golden::agrees(tokenizer.into(), golden);
}

/// The paper's tokenizer is not in the repository; `cargo xtask test` switches this on where `MPPC_NEOX_TOKENIZER`
/// names the file.
#[cfg(feature = "neox-tokenizer")]
#[wasm_bindgen_test]
fn the_papers_tokenizer_agrees_with_pythons() {
    let tokenizer: &[u8] = include_bytes!(env!("MPPC_NEOX_TOKENIZER"));
    tokenizer_golden::agrees(tokenizer.into(), tokenizer_golden::NEOX);
}
