//! Sparse features of activations: act(x·W + b), of which only the features that stay ever reach the host.
//!
//! Not a kernel of its own on a GPU: a product, a selection and a compaction, block by block. The processor selects
//! from each block of pre-activations while it is in the cache; its blocks are of many tokens and few features,
//! because such a product is 5 to 15 % faster than one of as many results over all 24,576 features (two cores, 768
//! wide).

use pulp::{Arch, Simd, WithSimd};

use super::matmul::matmul_columns;
use super::{
    Activation, Layout, Product, Sparse, embed, indptr, jump_relu, map, matmul, only_dead, par, sparsify,
    topk,
};
use crate::gpu::{GpuError, Tensor};

/// The encoder of a sparse autoencoder.
#[derive(Debug, Clone, Copy)]
pub struct EncoderWeights<'a> {
    /// [D, F] ([`Layout::Nn`]) or [F, D] ([`Layout::Nt`]).
    pub w: &'a Tensor,
    /// Which of the two.
    pub layout: Layout,
    /// [F].
    pub bias: &'a Tensor,
}

/// Which pre-activations stay: always positive ones only.
#[derive(Debug, Clone)]
pub enum Selection {
    /// All of them: ReLU.
    Positive,
    /// The largest of each token; of equal ones those of lower index.
    Largest(usize),
    /// The largest among features whose `age` [F] is at least `limit`.
    LargestOf {
        /// How many of a token.
        k: usize,
        /// [F].
        age: Tensor,
        /// Least age.
        limit: f32,
    },
    /// Those above their feature's threshold, [F].
    Above(Tensor),
}

/// Bytes of pre-activations that a GPU makes at once.
const GPU_BLOCK: usize = 64 << 20;
/// And the processor, which must map larger ones anew each time.
const CPU_BLOCK: usize = 31 << 20;
/// Tokens of which a processor makes them.
const CPU_TOKENS: usize = 2_048;

/// Pre-activations of the tokens `x` [T, D], as each of `selections` leaves them: one sparse matrix [T, F] each.
///
/// # Errors
/// What went wrong on the device.
///
/// # Panics
/// When the shapes do not fit.
pub async fn encode(
    x: &Tensor,
    encoder: &EncoderWeights<'_>,
    selections: &[Selection],
) -> Result<Vec<Sparse>, GpuError> {
    let (tokens, _) = x.rows_cols();
    let features = encoder.bias.len();
    let on_gpu = x.engine().is_gpu();
    let most = if on_gpu { (GPU_BLOCK / 4 / features.max(1)).max(1) } else { CPU_TOKENS };
    let mut found: Vec<Vec<Sparse>> = selections.iter().map(|_| Vec::new()).collect();
    for start in (0..tokens).step_by(most) {
        let block = rows(x, start, (start + most).min(tokens));
        if !on_gpu {
            for (found, kept) in found.iter_mut().zip(twin(&block, encoder, selections)) {
                found.push(kept);
            }
            continue;
        }
        let product = Product { layout: encoder.layout, bias: Some(encoder.bias), ..Product::default() };
        let pre = matmul(&block, encoder.w, &product);
        for (found, selection) in found.iter_mut().zip(selections) {
            found.push(on_device(&pre, selection).await?);
        }
    }
    let joined = |parts: Vec<Sparse>| match parts.is_empty() {
        true => Sparse::empty(x.engine(), features),
        false => Sparse::concat(parts),
    };
    Ok(found.into_iter().map(joined).collect())
}

/// Rows `start` to `end` of a matrix.
fn rows(x: &Tensor, start: usize, end: usize) -> Tensor {
    if (start, end) == (0, x.rows_cols().0) {
        return x.clone();
    }
    let ids = (start as u32..end as u32).collect();
    embed(std::slice::from_ref(x), &Tensor::from_u32(x.engine(), &[end - start], ids))
}

async fn on_device(pre: &Tensor, selection: &Selection) -> Result<Sparse, GpuError> {
    let kept = match selection {
        Selection::Positive => map(pre, Activation::Relu),
        Selection::Largest(k) => topk(pre, *k),
        Selection::LargestOf { k, age, limit } => topk(&only_dead(pre, age, *limit), *k),
        Selection::Above(threshold) => jump_relu(pre, threshold),
    };
    sparsify(&kept).await
}

/// What stays of each token of a block, a stretch of features at a time.
fn twin(x: &Tensor, encoder: &EncoderWeights<'_>, selections: &[Selection]) -> Vec<Sparse> {
    let (tokens, features) = (x.rows_cols().0, encoder.bias.len());
    let mut all: Vec<Vec<Row>> = selections.iter().map(|_| vec![Row::default(); tokens]).collect();
    let width = (CPU_BLOCK / 4 / tokens.max(1)).max(1);
    for first in (0..features).step_by(width) {
        let stretch = first..(first + width).min(features);
        let pre = matmul_columns(x, encoder.w, encoder.layout, stretch.clone());
        for (rows, selection) in all.iter_mut().zip(selections) {
            let (k, rule) = match selection {
                Selection::Positive => (features, Rule::Positive),
                Selection::Largest(k) => (*k, Rule::Positive),
                Selection::LargestOf { k, age, limit } => {
                    (*k, Rule::Aged(&age.f32s()[stretch.clone()], *limit))
                }
                Selection::Above(threshold) => (features, Rule::Above(&threshold.f32s()[stretch.clone()])),
            };
            par::each_mut(rows, stretch.len(), |t, row| {
                Arch::new().dispatch(Select {
                    pre: &pre[t * stretch.len()..][..stretch.len()],
                    bias: &encoder.bias.f32s()[stretch.clone()],
                    first,
                    rule,
                    k: (k < features).then_some(k),
                    row,
                });
            });
        }
    }
    let compact = |(mut rows, selection): (Vec<Row>, &Selection)| {
        if let Selection::Largest(k) | Selection::LargestOf { k, .. } = selection {
            par::each_mut(&mut rows, 8 * k, |_, row| row.finish(*k));
        }
        let found = || rows.iter().flat_map(|row| &row.found);
        let indices: Vec<u32> = found().map(|(_, j)| *j).collect();
        let values: Vec<f32> = found().map(|(p, _)| *p).collect();
        let values = Tensor::from_f32(x.engine(), &[values.len()], values);
        Sparse::new(features, indptr(rows.iter().map(|row| row.found.len() as u32)), indices, values)
    };
    all.into_iter().zip(selections).map(compact).collect()
}

/// What of a token was found to stay so far.
#[derive(Clone, Default)]
struct Row {
    /// Pre-activations and their features, in the features' order until some had to go.
    found: Vec<(f32, u32)>,
    /// What a pre-activation must exceed.
    bar: f32,
}

impl Row {
    /// The k largest, in the features' order.
    fn finish(&mut self, k: usize) {
        if self.found.len() > k {
            keep_largest(&mut self.found, k);
        }
        self.found.sort_unstable_by_key(|&(_, j)| j);
    }
}

/// What a value must pass beside being positive.
#[derive(Clone, Copy)]
enum Rule<'a> {
    Positive,
    Aged(&'a [f32], f32),
    Above(&'a [f32]),
}

/// The selection from a stretch of a token's features, of which `first` is the first.
struct Select<'a> {
    pre: &'a [f32],
    bias: &'a [f32],
    first: usize,
    rule: Rule<'a>,
    /// How many of the token may stay, unless all may.
    k: Option<usize>,
    row: &'a mut Row,
}

impl WithSimd for Select<'_> {
    type Output = ();

    /// Features are looked at 32 at a time: their largest value tells, without a branch for each, that none of them
    /// can stay, which is so almost always. `bar` is what the k largest so far all reach.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        const CHUNK: usize = 32;
        let Self { pre, bias, first, rule, k, row: Row { found, bar } } = self;
        if k == Some(0) {
            return;
        }
        for start in (0..pre.len()).step_by(CHUNK) {
            let end = (start + CHUNK).min(pre.len());
            let mut values = [0.0f32; CHUNK];
            for ((v, p), b) in values.iter_mut().zip(&pre[start..end]).zip(&bias[start..end]) {
                *v = p + b;
            }
            match rule {
                Rule::Positive => {}
                Rule::Aged(age, limit) => {
                    for (v, age) in values.iter_mut().zip(&age[start..end]) {
                        *v = if *age >= limit { *v } else { 0.0 };
                    }
                }
                Rule::Above(threshold) => {
                    for (v, threshold) in values.iter_mut().zip(&threshold[start..end]) {
                        *v = if *v > *threshold { *v } else { 0.0 };
                    }
                }
            }
            let mut largest = [0.0f32; 8];
            for (i, v) in values.iter().enumerate() {
                largest[i % 8] = if *v > largest[i % 8] { *v } else { largest[i % 8] };
            }
            if !largest.iter().any(|v| *v > *bar) {
                continue;
            }
            for (i, &v) in values.iter().enumerate() {
                if v > *bar {
                    found.push((v, (first + start + i) as u32));
                }
            }
            // Candidates beyond k wait until a selection among them is worth it.
            if let Some(k) = k
                && found.len() >= 4 * k + 64
            {
                *bar = keep_largest(found, k);
            }
        }
    }
}

/// Keeps the k largest, and of equal ones those of lower index; gives the least that is kept.
fn keep_largest(found: &mut Vec<(f32, u32)>, k: usize) -> f32 {
    let order = |a: &(f32, u32), b: &(f32, u32)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
    let (_, &mut (least, _), _) = found.select_nth_unstable_by(k - 1, order);
    found.truncate(k);
    least
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{self, each_engine};

    /// The definition: every pre-activation, sorted.
    fn reference(pre: &[f64], keep: &str, own: &[f32]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..pre.len())
            .filter(|&j| pre[j] > 0.0)
            .filter(|&j| match keep {
                "aged" => own[j] >= 0.5,
                "above" => pre[j] > f64::from(own[j]),
                _ => true,
            })
            .collect();
        if keep == "largest" || keep == "aged" {
            order.sort_by(|&a, &b| pre[b].total_cmp(&pre[a]).then(a.cmp(&b)));
            order.truncate(5);
            order.sort_unstable();
        }
        order
    }

    #[test]
    fn keeps_what_the_definitions_keep() {
        // Small integers: products are exact, and full of ties.
        let whole =
            |seed, n: usize| -> Vec<f32> { testing::normal(seed, n).iter().map(|v| v.round()).collect() };
        for (tokens, d, f) in [(1, 1, 1), (7, 3, 40), (33, 5, 131), (0, 2, 9), (20, 4, 2_000)] {
            let (x, w, bias) = (whole(1, tokens * d), whole(2, d * f), whole(3, f));
            let own = testing::uniform(4, f);
            let pre = |t: usize, j: usize| -> f64 {
                f64::from(bias[j]) + (0..d).map(|c| f64::from(x[t * d + c] * w[c * f + j])).sum::<f64>()
            };
            each_engine(|engine| {
                let t = |shape: &[usize], v: &[f32]| Tensor::from_f32(engine, shape, v.to_vec());
                let (weights, bias, own_tensor) = (t(&[d, f], &w), t(&[f], &bias), t(&[f], &own));
                let encoder = EncoderWeights { w: &weights, layout: Layout::Nn, bias: &bias };
                let selections = [
                    ("positive", Selection::Positive),
                    ("largest", Selection::Largest(5)),
                    ("aged", Selection::LargestOf { k: 5, age: own_tensor.clone(), limit: 0.5 }),
                    ("above", Selection::Above(own_tensor)),
                ];
                let all: Vec<Selection> = selections.iter().map(|(_, one)| one.clone()).collect();
                let got = pollster::block_on(encode(&t(&[tokens, d], &x), &encoder, &all)).expect("encode");
                for ((name, _), got) in selections.iter().zip(got) {
                    assert_eq!((got.rows(), got.cols), (tokens, f));
                    let values = pollster::block_on(got.values.read_f32()).expect("readback");
                    for row in 0..tokens {
                        let pre: Vec<f64> = (0..f).map(|j| pre(row, j)).collect();
                        let want = reference(&pre, name, &own);
                        let columns: Vec<usize> =
                            got.indices[got.row(row)].iter().map(|&j| j as usize).collect();
                        assert_eq!(columns, want, "{name}, token {row}, on {engine:?}");
                        for (e, j) in got.row(row).zip(want) {
                            assert_eq!(f64::from(values[e]), pre[j]);
                        }
                    }
                }
            });
        }
    }

    #[test]
    fn blocks_are_seamless() {
        // A million features: 16 tokens fill a block of a GPU, a quarter of a million features one of the processor.
        let (d, f, tokens) = (2, 1 << 20, 35);
        let engine = crate::gpu::Engine::cpu();
        let t = |shape: &[usize], v: Vec<f32>| Tensor::from_f32(&engine, shape, v);
        let (w, bias) = (t(&[f, d], testing::normal(1, f * d)), Tensor::zeros(&engine, &[f]));
        let encoder = EncoderWeights { w: &w, layout: Layout::Nt, bias: &bias };
        let x = testing::normal(2, tokens * d);
        let run = |x: &[f32]| {
            let x = t(&[x.len() / d, d], x.to_vec());
            pollster::block_on(encode(&x, &encoder, &[Selection::Largest(3)])).expect("encode").remove(0)
        };
        let all = run(&x);
        assert_eq!((all.rows(), all.entries()), (tokens, 3 * tokens));
        for row in [0, 11, 12, 34] {
            assert_eq!(run(&x[row * d..][..d]).indices, all.indices[all.row(row)]);
        }
    }
}
