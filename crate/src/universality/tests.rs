//! Correlations against float64, on every engine.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::gpu::{Engine, Tensor};
use crate::kernels::testing::{each_engine, engines, normal, uniform};
use crate::sae::Codes;

/// What the lab promises (see the module documentation).
const TOLERANCE: f64 = 1e-5;
/// Two candidates closer than this may change places: f32 cannot tell them apart.
const NEAR: f64 = 1e-6;

/// Dense features [T, F] to correlate.
#[derive(Debug, Clone)]
struct Dense {
    features: usize,
    values: Vec<f32>,
}

impl Dense {
    /// From columns of equal length.
    fn of(columns: &[Vec<f32>]) -> Self {
        let tokens = columns.first().map_or(0, Vec::len);
        let values = (0..tokens).flat_map(|t| columns.iter().map(move |c| c[t])).collect();
        Self { features: columns.len(), values }
    }

    fn codes(&self) -> Codes {
        from_dense(self.features, &self.values)
    }

    /// Each column standardised to length 1 in float64; none where all values are equal.
    fn unit(&self) -> Vec<Option<Vec<f64>>> {
        let unit = |j: usize| {
            let x: Vec<f64> = self.values[j..].iter().step_by(self.features).map(|&v| f64::from(v)).collect();
            let mean = x.iter().sum::<f64>() / x.len() as f64;
            let d: Vec<f64> = x.iter().map(|v| v - mean).collect();
            let norm = d.iter().map(|v| v * v).sum::<f64>().sqrt();
            let varies = x.iter().any(|v| *v != x[0]);
            varies.then(|| d.iter().map(|v| v / norm).collect())
        };
        (0..self.features).map(|j| if self.values.is_empty() { None } else { unit(j) }).collect()
    }
}

/// ρ [fa][fb] in float64, NaN where a side has no variance.
fn reference(a: &Dense, b: &Dense) -> Vec<Vec<f64>> {
    let (a, b) = (a.unit(), b.unit());
    let rho = |x: &Option<Vec<f64>>, y: &Option<Vec<f64>>| match (x, y) {
        (Some(x), Some(y)) => x.iter().zip(y).map(|(x, y)| x * y).sum(),
        _ => f64::NAN,
    };
    a.iter().map(|x| b.iter().map(|y| rho(x, y)).collect()).collect()
}

fn transposed(rho: &[Vec<f64>], len: usize) -> Vec<Vec<f64>> {
    (0..len).map(|j| rho.iter().map(|row| row[j]).collect()).collect()
}

fn check_best(best: &Best, rho: &[Vec<f64>], what: &str) {
    assert_eq!((best.mppc.len(), best.argmax.len()), (rho.len(), rho.len()), "{what}: features");
    for (i, row) in rho.iter().enumerate() {
        let most = row.iter().copied().filter(|v| !v.is_nan()).fold(f64::NEG_INFINITY, f64::max);
        let (mppc, argmax) = (best.mppc[i], best.argmax[i]);
        if most == f64::NEG_INFINITY {
            assert!(mppc.is_nan() && argmax == -1, "{what}: feature {i} has no correlation but got {mppc}");
            continue;
        }
        let error = (f64::from(mppc) - most).abs();
        assert!(error <= TOLERANCE, "{what}: feature {i}: {mppc} instead of {most}");
        assert!((-1.0..=1.0).contains(&mppc), "{what}: feature {i}: {mppc}");
        let chosen = row[argmax as usize];
        assert!(chosen >= most - NEAR, "{what}: feature {i}: chose {chosen} ({argmax}) instead of {most}");
    }
}

fn check(got: &Correlation, a: &Dense, b: &Dense, what: &str) {
    let rho = reference(a, b);
    check_best(&got.a_to_b, &rho, &format!("{what}, A to B"));
    check_best(&got.b_to_a, &transposed(&rho, b.features), &format!("{what}, B to A"));
}

fn sparse(engine: &Engine, a: &Dense, b: &Dense) -> Correlation {
    pollster::block_on(correlate(engine, &a.codes(), &b.codes())).expect("codes are good")
}

/// The dense way in chunks of `chunk` tokens.
fn streamed(engine: &Engine, a: &Dense, b: &Dense, chunk: usize) -> Correlation {
    let mut correlator = DenseCorrelator::new(engine, a.features, b.features);
    for (x, y) in a.values.chunks(chunk * a.features).zip(b.values.chunks(chunk * b.features)) {
        let x = Tensor::from_f32(engine, &[x.len() / a.features, a.features], x.to_vec());
        let y = Tensor::from_f32(engine, &[y.len() / b.features, b.features], y.to_vec());
        pollster::block_on(correlator.push(&x, &y)).expect("no device fails here");
    }
    correlator.finish().expect("values are finite")
}

/// A feature that fires on about `density` of the tokens.
fn firing(seed: u64, tokens: usize, density: f32) -> Vec<f32> {
    let gate = uniform(seed, tokens);
    let size = uniform(seed + 1_000, tokens);
    gate.iter().zip(size).map(|(&g, s)| if g < density { 0.1 + s } else { 0.0 }).collect()
}

/// Features that break a careless correlation.
fn adversarial(seed: u64, tokens: usize) -> Dense {
    let base = normal(seed, tokens);
    let sparse = firing(seed, tokens, 0.05);
    let map = |x: &[f32], f: &dyn Fn(f32) -> f32| x.iter().map(|&v| f(v)).collect::<Vec<f32>>();
    let one = |at: usize, value: f32| {
        let mut x = vec![0.0; tokens];
        x[at % tokens] = value;
        x
    };
    let mut nearly = vec![5.0; tokens];
    nearly[tokens / 3] = 4.75;
    Dense::of(&[
        sparse.clone(),
        vec![0.0; tokens],              // dead
        vec![0.3; tokens],              // constant
        map(&base, &|v| 100.0 + v),     // mean 100, spread 1
        map(&base, &|v| -100.0 - v),    // the same upside down
        one(seed as usize, 2.0),        // fires once
        one(seed as usize + 1, 1e-3),   // fires once elsewhere
        nearly,                         // silent but for one token, from above
        map(&sparse, &|v| 3.0 * v),     // a duplicate of the first but for its scale
        sparse.clone(),                 // a duplicate of the first
        base.clone(),                   // fires everywhere, mean 0
        map(&base, &|v| 1e6 + 8.0 * v), // a tenth of its spread is one step of f32
        map(&sparse, &|v| v * 1e-30),
        map(&sparse, &|v| v * 1e30),
        firing(seed + 7, tokens, 0.5),
        firing(seed + 8, tokens, 0.95),
        map(&firing(seed + 9, tokens, 0.3), &|v| -v),
        map(&sparse, &|v| -v),
    ])
}

#[test]
fn adversarial_features_agree_with_float64() {
    for tokens in [2, 3, 130, 1_000] {
        let (a, b) = (adversarial(1, tokens), adversarial(3, tokens));
        each_engine(|engine| {
            check(&sparse(engine, &a, &b), &a, &b, &format!("{tokens} tokens on {engine:?}"));
            check(&sparse(engine, &a, &a), &a, &a, &format!("itself, {tokens} tokens on {engine:?}"));
        });
    }
}

#[test]
fn nothing_to_correlate() {
    each_engine(|engine| {
        for (tokens, fa, fb) in [(0, 3, 2), (1, 2, 3), (5, 0, 2), (5, 2, 0), (0, 0, 0)] {
            let empty = |features| Codes { indptr: vec![0; tokens + 1], ..Codes::new(features) };
            let got = pollster::block_on(correlate(engine, &empty(fa), &empty(fb))).expect("empty is fine");
            assert_eq!(got.a_to_b.argmax, vec![-1; fa]);
            assert_eq!(got.b_to_a.argmax, vec![-1; fb]);
            assert!(got.a_to_b.mppc.iter().chain(&got.b_to_a.mppc).all(|v| v.is_nan()));
        }
    });
}

#[test]
fn equals_go_to_the_lowest_index() {
    let x = firing(1, 400, 0.1);
    let other = firing(2, 400, 0.1);
    let a = Dense::of(&[other.clone(), x.clone(), x.clone()]);
    let b = Dense::of(&[other.clone(), x.clone(), other, x]);
    each_engine(|engine| {
        let got = sparse(engine, &a, &b);
        assert_eq!(got.a_to_b.argmax, [0, 1, 1], "{engine:?}");
        assert_eq!(got.b_to_a.argmax, [0, 1, 0, 1], "{engine:?}");
    });
}

#[test]
fn features_that_never_meet_are_candidates() {
    // Each fires on its own tokens: every correlation is negative, and the best is the nearest to 0.
    let at = |tokens: std::ops::Range<usize>| (0..60).map(|t| f32::from(tokens.contains(&t))).collect();
    let a = Dense::of(&[at(0..10), at(10..12), at(12..30)]);
    let b = Dense::of(&[at(30..50), at(50..51), at(52..60)]);
    each_engine(|engine| {
        let got = sparse(engine, &a, &b);
        check(&got, &a, &b, &format!("{engine:?}"));
        assert_eq!(got.a_to_b.argmax, [1, 1, 1]);
        assert!(got.a_to_b.mppc.iter().all(|v| *v < 0.0));
    });
}

#[test]
fn a_million_tokens_of_one_value() {
    let tokens = 1_000_000;
    let mut nearly = vec![5.0; tokens];
    nearly[777_777] = 4.0;
    let even: Vec<f32> = (0..tokens).map(|t| f32::from(t % 2 == 0)).collect();
    let third: Vec<f32> = (0..tokens).map(|t| if t % 3 == 0 { 0.7 } else { 0.0 }).collect();
    let mut once = vec![0.0; tokens];
    once[777_777] = 1e-4;
    let a = Dense::of(&[vec![5.0; tokens], nearly, even.clone()]);
    let b = Dense::of(&[third, once, vec![-1.0; tokens], even.iter().map(|v| 100.0 + v).collect()]);
    each_engine(|engine| {
        let got = sparse(engine, &a, &b);
        check(&got, &a, &b, &format!("{engine:?}"));
    });
}

#[test]
fn more_features_than_a_dispatch_takes() {
    // On a GPU 1,500 features of B are two tiles, and 9,000 of A are two groups; on the CPU engine 1,500 of
    // each are pieces of several bands.
    let dense = |seed: u64, features: usize, tokens: usize| {
        Dense::of(&(0..features).map(|j| firing(seed + 7 * j as u64, tokens, 0.1)).collect::<Vec<_>>())
    };
    let square = (dense(1, 1_500, 40), dense(2, 1_500, 40));
    let tall = (dense(1, 9_000, 25), dense(2, 4, 25));
    each_engine(|engine| {
        for (a, b) in [&square, &tall] {
            check(&sparse(engine, a, b), a, b, &format!("{engine:?}"));
            check(&sparse(engine, b, a), b, a, &format!("{engine:?}"));
        }
    });
}

#[test]
fn dense_features_agree_with_float64() {
    for tokens in [2, 5, 130, 1_000] {
        let (mut a, mut b) = (adversarial(1, tokens), adversarial(3, tokens));
        for dense in [&mut a, &mut b] {
            // Squares of 1e±30 leave f32's range, which DenseCorrelator says.
            dense.values.iter_mut().for_each(|v| *v = if v.abs() > 1e20 { *v * 1e-29 } else { *v });
            dense.values.iter_mut().filter(|v| v.abs() < 1e-20).for_each(|v| *v *= 1e29);
        }
        each_engine(|engine| {
            for chunk in [1_000, 37, 1].into_iter().filter(|chunk| tokens / chunk < 200) {
                let what = format!("{tokens} tokens by {chunk} on {engine:?}");
                check(&streamed(engine, &a, &b, chunk), &a, &b, &what);
            }
        });
    }
}

#[test]
fn a_mean_that_drifts_costs_the_dense_way_nothing() {
    // The first chunk says nothing about the others: 0, then 100 ± 1, then −1,000 ± 1.
    let drift = |seed: u64| -> Vec<f32> {
        let level = |t: usize| [0.0, 100.0, -1_000.0][t / 200];
        normal(seed, 600).iter().enumerate().map(|(t, v)| level(t) + if t < 200 { 0.0 } else { *v }).collect()
    };
    let still: Vec<f32> = normal(9, 600).iter().map(|v| 100.0 + v).collect();
    let a = Dense::of(&[drift(1), still.clone()]);
    let b = Dense::of(&[drift(2), still.iter().map(|v| -v).collect(), vec![1.0; 600]]);
    each_engine(|engine| check(&streamed(engine, &a, &b, 200), &a, &b, &format!("{engine:?}")));
}

#[test]
fn dense_input_goes_either_way() {
    let engine = &engines()[0];
    let sparse = Dense::of(&(0..40).map(|j| firing(j, 500, 0.02)).collect::<Vec<_>>());
    let full = Dense::of(&(0..30).map(|j| normal(50 + j, 500)).collect::<Vec<_>>());
    for (a, b) in [(&sparse, &full), (&full, &full), (&sparse, &sparse)] {
        let got = correlate_dense(engine, (&a.values, a.features), (&b.values, b.features));
        check(&pollster::block_on(got).expect("good input"), a, b, "either way");
    }
}

#[test]
fn layers_are_the_best_of_their_pairs() {
    let layer = |seed: u64, features: u64| {
        Dense::of(&(0..features).map(|j| firing(seed + 13 * j, 300, 0.1)).collect::<Vec<_>>())
    };
    let a = [layer(1, 5), layer(2, 6)];
    // A's second layer is in B's third, and B's first again: equals go to the lowest layer.
    let b = [a[1].clone(), layer(4, 3), a[1].clone()];
    let codes = |layers: &[Dense]| layers.iter().map(Dense::codes).collect::<Vec<_>>();
    each_engine(|engine| {
        let row = |a: &Codes| {
            let a = Prepared::new(a).expect("good");
            let pair = |b| pollster::block_on(a.correlate(engine, b)).expect("good");
            codes(&b).iter().map(pair).collect()
        };
        let result = LayerResult::new(codes(&a).iter().map(row).collect());
        for (i, x) in a.iter().enumerate() {
            for (j, y) in b.iter().enumerate() {
                let rho = reference(x, y);
                check_best(&result.a_to_b.pairs[i][j], &rho, "pair");
                check_best(&result.b_to_a.pairs[j][i], &transposed(&rho, y.features), "pair");
            }
        }
        let best = &result.a_to_b.best[1];
        assert_eq!((&best.layer, &best.argmax), (&vec![0; 6], &vec![0, 1, 2, 3, 4, 5]));
        assert!(best.mppc.iter().all(|v| *v > 1.0 - 1e-6));
        assert_eq!(result.b_to_a.best[2].layer, [1; 6]);
    });
}

#[test]
fn bad_input_is_refused() {
    let engine = &engines()[0];
    let good = Dense::of(&[vec![1.0, 0.0, 2.0], vec![0.0, 3.0, 1.0]]).codes();
    let refused = |bad: Codes| {
        let got = pollster::block_on(correlate(engine, &good, &bad));
        got.expect_err("refused").to_string()
    };
    let with = |change: fn(&mut Codes)| {
        let mut codes = good.clone();
        change(&mut codes);
        refused(codes)
    };
    assert!(with(|c| c.values[1] = f32::NAN).contains("feature 1 is NaN at token 1"));
    assert!(with(|c| c.indices[0] = 2).contains("feature 2 at token 0"));
    assert!(with(|c| c.indices.swap(2, 3)).contains("token 2 do not ascend"));
    assert!(with(|c| c.indptr[1] = 3).contains("indptr falls at token 1"));
    assert!(with(|c| c.indptr[3] = 9).contains("indptr does not run"));
    assert!(with(|c| c.values.truncate(3)).contains("4 indices but 3 values"));
    assert!(refused(Codes::new(2)).contains("A has 3 tokens and B has 0"));
    let dense = |values: &[f32]| {
        let got = correlate_dense(engine, (values, 2), (&[1.0, 2.0], 1));
        pollster::block_on(got).expect_err("refused").to_string()
    };
    assert!(dense(&[1.0, f32::INFINITY, 0.0, 1.0]).contains("feature 1 is inf at token 0"));
    assert!(dense(&[1.0, 2.0, 3.0]).contains("3 values of A are no rows of 2"));
}

#[test]
fn golden_files() {
    for name in ["correlation", "correlation-disjoint", "correlation-constant"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../tests/golden/{name}.safetensors"));
        let bytes = std::fs::read(path).expect("golden file");
        let file = safetensors::SafeTensors::deserialize(&bytes).expect("golden file");
        let dense = |key: &str| {
            let view = file.tensor(key).expect("golden tensor");
            Dense { features: view.shape()[1], values: bytemuck::pod_collect_to_vec(view.data()) }
        };
        let (a, b) = (dense("a"), dense("b"));
        each_engine(|engine| {
            let both = [sparse(engine, &a, &b), streamed(engine, &a, &b, 100)];
            for (got, way) in both.iter().zip(["sparse", "dense"]) {
                for (best, side) in [(&got.a_to_b, "a_to_b"), (&got.b_to_a, "b_to_a")] {
                    let mppc = file.tensor(&format!("{side}.mppc")).expect("golden tensor");
                    let argmax = file.tensor(&format!("{side}.argmax")).expect("golden tensor");
                    let mppc: Vec<f32> = bytemuck::pod_collect_to_vec(mppc.data());
                    let argmax: Vec<i32> = bytemuck::pod_collect_to_vec(argmax.data());
                    assert_eq!(best.argmax, argmax, "{name} {side} {way} on {engine:?}");
                    for (&got, &want) in best.mppc.iter().zip(&mppc) {
                        let equal = got.is_nan() && want.is_nan();
                        let error = f64::from(got - want).abs();
                        assert!(equal || error <= TOLERANCE, "{name} {side} {way}: {got}, {want}");
                    }
                }
            }
        });
    }
}

/// A small matrix of codes, silent as often as not.
fn some_codes(tokens: usize) -> impl Strategy<Value = Dense> {
    (1usize..7).prop_flat_map(move |features| {
        let value = prop_oneof![3 => Just(0.0f32), 2 => 0.01f32..4.0, 1 => Just(1.0)];
        let values = prop::collection::vec(value, tokens * features);
        values.prop_map(move |values| Dense { features, values })
    })
}

proptest! {
    #[test]
    fn small_codes_agree_with_float64(
        (a, b) in (1usize..40).prop_flat_map(|tokens| (some_codes(tokens), some_codes(tokens)))
    ) {
        let engine = &engines()[0];
        check(&sparse(engine, &a, &b), &a, &b, "sparse");
        check(&streamed(engine, &a, &b, 16), &a, &b, "dense");
    }
}
