//! What `benches/page` measures in a browser. Behind the feature `bench`: the page does not carry it.

use wasm_bindgen::prelude::*;
use web_time::Instant;

use crate::failure::Failure;
use crate::gpu::{Engine, EngineChoice, Tensor};
use crate::kernels::{Layout, Product, matmul};

/// Times the product A [m, k] · B [k, n] on an engine (`gpu` or `cpu`), read back every time: seconds of each repeat,
/// after a first one that compiles.
///
/// # Errors
/// An unknown engine, a device that failed, a wrong result.
#[wasm_bindgen(js_name = benchMatmul)]
pub async fn bench_matmul(
    engine: String,
    m: usize,
    k: usize,
    n: usize,
    repeats: usize,
) -> Result<Vec<f64>, Failure> {
    let choice: EngineChoice = engine.parse()?;
    let engine = Engine::open(choice).await?;
    let (a, b) = (values(m * k, 7), values(k * n, 11));
    let expected: Vec<f64> = [(0, 0), (m - 1, n - 1)]
        .map(|(i, j)| (0..k).map(|l| f64::from(a[i * k + l]) * f64::from(b[l * n + j])).sum())
        .to_vec();
    let (a, b) = (Tensor::from_f32(&engine, &[m, k], a), Tensor::from_f32(&engine, &[k, n], b));
    let mut seconds = Vec::with_capacity(repeats);
    for i in 0..=repeats {
        let start = Instant::now();
        let c = matmul(&a, &b, &Product { layout: Layout::Nn, ..Product::default() }).read_f32().await?;
        if i > 0 {
            seconds.push(start.elapsed().as_secs_f64());
        }
        for (got, want) in [c[0], c[c.len() - 1]].into_iter().zip(&expected) {
            if (f64::from(got) - want).abs() > 1e-2 {
                return Err(
                    Failure::new(format!("{got} instead of {want}"), "the product is wrong").coded("bench")
                );
            }
        }
    }
    Ok(seconds)
}

/// The same values as `benches/page/bench.mjs`.
fn values(len: usize, step: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * step % 251) as f32 - 125.0) / 128.0).collect()
}
