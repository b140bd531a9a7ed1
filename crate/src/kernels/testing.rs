//! What the kernels' tests share: inputs, and what the tests of tensors share.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};

use super::Sparse;
pub(crate) use crate::gpu::testing::{close, copies, each_engine, engines};
use crate::gpu::{Dtype, Engine, Filling, Tensor};

/// `n` values, uniform in [0, 1).
pub(crate) fn uniform(seed: u64, n: usize) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..n).map(|_| (rng.next_u32() >> 8) as f32 / (1 << 24) as f32).collect()
}

/// `n` values of mean 0 and variance 1 (a sum of twelve uniforms: no tails beyond 6).
pub(crate) fn normal(seed: u64, n: usize) -> Vec<f32> {
    uniform(seed, 12 * n).chunks(12).map(|u| u.iter().sum::<f32>() - 6.0).collect()
}

/// About one value in seven is not zero.
pub(crate) fn mostly_zeros(seed: u64, n: usize) -> Vec<f32> {
    normal(seed, n).iter().map(|&v| if (-3.0..=1.1).contains(&v) { 0.0 } else { v }).collect()
}

/// The entries of a dense matrix that are not zero.
pub(crate) fn sparse(engine: &Engine, dense: &[f32], cols: usize) -> Sparse {
    let (mut indptr, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
    for row in dense.chunks(cols) {
        for (c, &v) in row.iter().enumerate().filter(|(_, v)| **v != 0.0) {
            indices.push(c as u32);
            values.push(v);
        }
        indptr.push(indices.len() as u32);
    }
    Sparse::new(cols, indptr, indices, Tensor::from_f32(engine, &[values.len()], values))
}

/// `values` rounded to a type, as little-endian bytes and as the f32 that these stand for.
pub(crate) fn stored(dtype: Dtype, values: &[f32]) -> (Vec<u8>, Vec<f32>) {
    use half::{bf16, f16};
    let round = |&v: &f32| match dtype {
        Dtype::F16 => (f16::from_f32(v).to_le_bytes().to_vec(), f16::from_f32(v).to_f32()),
        Dtype::BF16 => (bf16::from_f32(v).to_le_bytes().to_vec(), bf16::from_f32(v).to_f32()),
        _ => (v.to_le_bytes().to_vec(), v),
    };
    let (bytes, rounded): (Vec<Vec<u8>>, Vec<f32>) = values.iter().map(round).unzip();
    (bytes.concat(), rounded)
}

/// A matrix of `cols` columns from its stored bytes, cut into parts of so many rows.
pub(crate) fn parts(engine: &Engine, dtype: Dtype, bytes: &[u8], cuts: &[usize], cols: usize) -> Vec<Tensor> {
    let mut bytes = bytes;
    let part = |&rows: &usize| {
        let (these, others) = bytes.split_at(rows * cols * dtype.size());
        bytes = others;
        let mut filling = Filling::new(engine, &[rows, cols], dtype);
        filling.push(these);
        filling.finish()
    };
    cuts.iter().map(part).collect()
}
