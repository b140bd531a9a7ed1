//! Measures against the golden file and float64, on every engine.

use std::path::Path;

use super::super::CorrelationError;
use super::*;
use crate::gpu::{Engine, Tensor};
use crate::kernels::testing::{each_engine, engines, normal};

/// Activations [n, D].
#[derive(Clone)]
struct Dense {
    width: usize,
    values: Vec<f32>,
}

impl Dense {
    fn new(width: usize, values: Vec<f32>) -> Self {
        Self { width, values }
    }

    fn tensor(&self, engine: &Engine) -> Tensor {
        Tensor::from_f32(engine, &[self.values.len() / self.width, self.width], self.values.clone())
    }

    fn chunks(&self, engine: &Engine, tokens: usize) -> Vec<Chunk> {
        let chunk = |values: &[f32]| {
            let part = Dense::new(self.width, values.to_vec()).tensor(engine);
            pollster::block_on(Chunk::new(&part)).expect("finite values")
        };
        self.values.chunks(tokens * self.width).map(chunk).collect()
    }
}

type Sums = (SelfSums, SelfSums, CrossSums);

fn empty(a: usize, b: usize) -> Sums {
    (SelfSums::new(a), SelfSums::new(b), CrossSums::new(a, b))
}

fn push(sums: &mut Sums, a: &Chunk, b: &Chunk) {
    let all = async {
        sums.0.push(a).await?;
        sums.1.push(b).await?;
        sums.2.push(a, b).await
    };
    pollster::block_on(all).expect("no device fails here");
}

/// All tokens, `chunk` at a time.
fn sums(engine: &Engine, a: &Dense, b: &Dense, chunk: usize) -> Sums {
    let mut sums = empty(a.width, b.width);
    let (a, b) = (a.chunks(engine, chunk), b.chunks(engine, chunk));
    a.iter().zip(&b).for_each(|(a, b)| push(&mut sums, a, b));
    sums
}

/// CKA, debiased CKA, SVCCA, PWCCA by either side.
fn measures((a, b, ab): &Sums) -> [Option<f64>; 5] {
    let weighted = pwcca(a, b, ab);
    [
        linear_cka(a, b, ab),
        linear_cka_debiased(a, b, ab),
        svcca(a, b, ab, 0.99),
        weighted.map(|w| w.by_a),
        weighted.map(|w| w.by_b),
    ]
}

const NAMES: [&str; 5] = ["cka", "cka_debiased", "svcca", "pwcca_by_a", "pwcca_by_b"];

/// Sums of a few hundred f32 products are good to 1e-6 of their diagonal, and CKA is a quotient of such sums. To
/// canonical correlations they pass through the inverse roots of variances, of which the golden cases have none
/// below 1e-2 of the largest, in the mean ones of 1e-1.
const TOLERANCE: f64 = 1e-5;

fn agree(got: &[Option<f64>; 5], want: &[f64; 5], what: &str) {
    for ((got, want), name) in got.iter().zip(want).zip(NAMES) {
        let got = got.unwrap_or_else(|| panic!("{what}: no {name}"));
        assert!((got - want).abs() <= TOLERANCE, "{what}: {name} is {got} instead of {want}");
    }
}

struct Golden(Vec<u8>);

impl Golden {
    fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/likeness.safetensors");
        Self(std::fs::read(path).expect("golden file"))
    }

    fn array<T: bytemuck::Pod>(&self, key: &str) -> (usize, Vec<T>) {
        let file = safetensors::SafeTensors::deserialize(&self.0).expect("golden file");
        let view = file.tensor(key).unwrap_or_else(|error| panic!("{key}: {error}"));
        (*view.shape().last().expect("an axis"), bytemuck::pod_collect_to_vec(view.data()))
    }

    fn dense(&self, key: &str) -> Dense {
        let (width, values) = self.array(key);
        Dense { width, values }
    }

    fn scalar(&self, key: &str) -> f64 {
        f64::from(self.array::<f32>(key).1[0])
    }
}

#[test]
fn golden_measures() {
    let golden = Golden::read();
    for case in ["plain", "means", "duplicates", "outlier", "short", "same", "independent"] {
        let (x, y) = (golden.dense(&format!("{case}.x")), golden.dense(&format!("{case}.y")));
        let want = NAMES.map(|name| golden.scalar(&format!("{case}.{name}")));
        each_engine(|engine| {
            for chunk in [1_000, 37, 7] {
                let got = measures(&sums(engine, &x, &y, chunk));
                agree(&got, &want, &format!("{case} by {chunk} on {engine:?}"));
            }
            let got = pollster::block_on(rsa(&x.tensor(engine), &y.tensor(engine))).expect("finite values");
            let (rho, want) = (got.spearman.expect("it varies"), golden.scalar(&format!("{case}.rsa")));
            // Float64 both, but for the file's own f32.
            assert!((rho - want).abs() < 1e-6, "{case}: RSA {rho} instead of {want} on {engine:?}");
            assert_eq!(got.tokens, x.values.len() / x.width);
        });
    }
    // The file is no file of ones and zeros.
    assert!(
        golden.scalar("independent.cka") > 0.25 && golden.scalar("independent.cka_debiased").abs() < 0.05
    );
    assert_eq!(golden.scalar("same.cka_debiased"), 1.0);
}

#[test]
fn ties_of_dissimilarities_share_their_rank() {
    let golden = Golden::read();
    let (x, y, want) = (golden.dense("ties.x"), golden.dense("ties.y"), golden.scalar("ties.rsa"));
    each_engine(|engine| {
        let got = pollster::block_on(rsa(&x.tensor(engine), &y.tensor(engine))).expect("finite values");
        let rho = got.spearman.expect("it varies");
        assert!((rho - want).abs() < 1e-6, "{rho} instead of {want} on {engine:?}");
    });
}

#[test]
fn rsa_leaves_out_tokens_without_a_correlation() {
    let engine = &engines()[0];
    let rsa = |x: &Dense, y: &Dense| pollster::block_on(rsa(&x.tensor(engine), &y.tensor(engine)));
    let (x, y) = (Dense::new(6, normal(1, 60)), Dense::new(5, normal(2, 50)));
    let whole = rsa(&x, &y).expect("finite values");
    let (mut longer_x, mut longer_y) = (x.clone(), y.clone());
    longer_x.values.splice(12..12, [3.0; 6]);
    longer_y.values.splice(10..10, [1.0, 0.0, 0.0, 2.0, 0.0]);
    let got = rsa(&longer_x, &longer_y).expect("finite values");
    assert_eq!((got, got.tokens), (whole, 10));
    let still = Dense::new(5, vec![0.5; 50]);
    assert_eq!(rsa(&x, &still).expect("finite values"), Rsa { spearman: None, tokens: 0 });
    let few = Dense::new(6, normal(1, 12));
    assert_eq!(rsa(&few, &few).expect("finite values"), Rsa { spearman: None, tokens: 2 });
    assert!(matches!(rsa(&x, &few), Err(CorrelationError::Tokens { a: 10, b: 2 })));
    let mut bad = x.clone();
    bad.values[7] = f32::NAN;
    assert!(matches!(rsa(&bad, &y), Err(CorrelationError::NotFinite { feature: 1, token: 1, .. })));
}

/// CKA and debiased CKA in float64 from n × n kernels.
fn reference(x: &Dense, y: &Dense) -> [f64; 2] {
    let kernel = |side: &Dense| -> Vec<Vec<f64>> {
        let n = side.values.len() / side.width;
        let mut rows: Vec<Vec<f64>> =
            side.values.chunks(side.width).map(|row| row.iter().map(|&v| f64::from(v)).collect()).collect();
        for j in 0..side.width {
            let mean = rows.iter().map(|row| row[j]).sum::<f64>() / n as f64;
            rows.iter_mut().for_each(|row| row[j] -= mean);
        }
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        rows.iter().map(|a| rows.iter().map(|b| dot(a, b)).collect()).collect()
    };
    let (k, l) = (kernel(x), kernel(y));
    let n = k.len() as f64;
    let biased = |k: &[Vec<f64>], l: &[Vec<f64>]| -> f64 {
        k.iter().flatten().zip(l.iter().flatten()).map(|(k, l)| k * l).sum()
    };
    let unbiased = |k: &[Vec<f64>], l: &[Vec<f64>]| {
        let without = |k: &[Vec<f64>]| -> Vec<Vec<f64>> {
            let zero = |(i, row): (usize, &Vec<f64>)| {
                row.iter().enumerate().map(|(j, &v)| if i == j { 0.0 } else { v }).collect()
            };
            k.iter().enumerate().map(zero).collect()
        };
        let (k, l) = (without(k), without(l));
        let sums = |k: &[Vec<f64>]| k.iter().map(|row| row.iter().sum::<f64>()).collect::<Vec<_>>();
        let (k_sums, l_sums) = (sums(&k), sums(&l));
        let ends = k_sums.iter().sum::<f64>() * l_sums.iter().sum::<f64>() / ((n - 1.0) * (n - 2.0));
        let middle: f64 = k_sums.iter().zip(&l_sums).map(|(k, l)| k * l).sum();
        biased(&k, &l) + ends - 2.0 / (n - 2.0) * middle
    };
    [biased(&k, &l) / (biased(&k, &k) * biased(&l, &l)).sqrt(), {
        unbiased(&k, &l) / (unbiased(&k, &k) * unbiased(&l, &l)).sqrt()
    }]
}

#[test]
fn a_mean_that_drifts_costs_nothing() {
    // Each chunk has another mean, so what joins the chunks is larger than what is in them.
    let drift = |seed: u64, width: usize| {
        let level = |t: usize, j: usize| [0.0, 30.0, -100.0][(t / 40 + j) % 3];
        let values = normal(seed, 120 * width);
        let moved = values.iter().enumerate().map(|(i, v)| v + level(i / width, i % width));
        Dense::new(width, moved.collect())
    };
    // Heavy tails: the sums of third and fourth order matter.
    let heavy = |seed: u64, width: usize| {
        Dense::new(width, normal(seed, 120 * width).iter().map(|v| v * v * v + 5.0).collect())
    };
    let cases = [
        ("drift", drift(1, 6), drift(2, 5)),
        ("heavy", heavy(3, 40), heavy(4, 30)),
        ("both", drift(5, 7), heavy(6, 50)),
    ];
    each_engine(|engine| {
        for (what, x, y) in &cases {
            let want = reference(x, y);
            for chunk in [120, 40, 33, 1] {
                let (a, b, ab) = sums(engine, x, y, chunk);
                let got = [linear_cka(&a, &b, &ab), linear_cka_debiased(&a, &b, &ab)];
                for (got, want) in got.iter().zip(want) {
                    let got = got.expect("it varies");
                    // As the golden measures.
                    let near = (got - want).abs() < TOLERANCE;
                    assert!(near, "{what} by {chunk}: {got} instead of {want} on {engine:?}");
                }
            }
        }
    });
}

#[test]
fn partial_sums_merge() {
    let (x, y) = (Dense::new(9, normal(1, 9 * 110)), Dense::new(6, normal(2, 6 * 110)));
    each_engine(|engine| {
        let whole = sums(engine, &x, &y, 20);
        let (a, b) = (x.chunks(engine, 20), y.chunks(engine, 20));
        let mut parts = [empty(9, 6), empty(9, 6), empty(9, 6)];
        for (k, (a, b)) in a.iter().zip(&b).enumerate() {
            push(&mut parts[k % 2], a, b);
        }
        let [mut all, odd, nothing] = parts;
        // Measured before: what is kept of a decomposition must go.
        assert_ne!(measures(&all)[2], measures(&whole)[2]);
        for part in [&nothing, &odd, &nothing] {
            all.0.merge(&part.0);
            all.1.merge(&part.1);
            all.2.merge(&part.2);
        }
        assert_eq!((all.0.tokens(), all.2.tokens()), (110, 110));
        for ((got, want), name) in measures(&all).iter().zip(measures(&whole)).zip(NAMES) {
            let (got, want) = (got.expect("it varies"), want.expect("it varies"));
            // The same f32 products, added in float64 in another order.
            assert!((got - want).abs() < 1e-10, "{name}: {got} instead of {want} on {engine:?}");
        }
    });
}

#[test]
fn what_is_not_defined_is_none() {
    each_engine(|engine| {
        let none = |x: &Dense, y: &Dense| measures(&sums(engine, x, y, 50));
        let x = Dense::new(3, normal(1, 60));
        // A mean that no f32 holds; all equal all the same.
        let still = Dense::new(2, [0.1, 1e6 / 3.0].repeat(20));
        assert_eq!(none(&x, &still), [None; 5]);
        assert_eq!(none(&still, &x), [None; 5]);
        assert_eq!(measures(&empty(3, 2)), [None; 5]);
        assert_eq!(measures(&empty(0, 0)), [None; 5]);
        let first = |n: usize| Dense::new(3, x.values[..3 * n].to_vec());
        assert_eq!(none(&first(1), &first(1)), [None; 5]);
        for n in [2, 3] {
            let [cka, debiased, others @ ..] = none(&first(n), &first(n));
            assert_eq!(debiased, None, "{n} tokens");
            for value in others.into_iter().chain([cka]) {
                assert!((value.expect("they vary") - 1.0).abs() < TOLERANCE, "{n} tokens: {value:?}");
            }
        }
        // One token differs from the others: K̃ is 0 after centring.
        let mut one = vec![0.5; 20];
        one[7] = 2.0;
        let got = none(&Dense::new(1, one), &x);
        assert_eq!(got[1], None);
        assert!(got.iter().enumerate().all(|(i, v)| i == 1 || v.is_some_and(|v| (0.0..=1.0).contains(&v))));
    });
}

#[test]
fn bad_activations_are_refused() {
    each_engine(|engine| {
        let refused = |values: Vec<f32>| {
            let x = Dense::new(2, values).tensor(engine);
            pollster::block_on(Chunk::new(&x)).err().expect("refused")
        };
        let not_finite = refused(vec![0.0, 1.0, 2.0, f32::INFINITY]);
        assert!(matches!(not_finite, CorrelationError::NotFinite { feature: 1, token: 1, .. }));
        assert!(matches!(refused(vec![0.0, 1e20, 2.0, -1e20]), CorrelationError::Overflow { feature: 1 }));
        // Large, but not too large; the sums of fourth order leave f32's range.
        let scaled = |seed, by: f32| Dense::new(4, normal(seed, 200).iter().map(|v| v * by).collect());
        let plain = measures(&sums(engine, &scaled(1, 1.0), &scaled(2, 1.0), 20));
        let large = measures(&sums(engine, &scaled(1, 1e16), &scaled(2, 1e-14), 20));
        for (plain, large) in plain.iter().zip(large) {
            assert!((plain.expect("it varies") - large.expect("it varies")).abs() < TOLERANCE);
        }
    });
}

#[test]
fn golden_assignment() {
    let golden = Golden::read();
    let (_, counts) = golden.array::<i32>("assignment.counts");
    let (_, indices) = golden.array::<i32>("assignment.indices");
    let (_, weights) = golden.array::<f32>("assignment.weights");
    let mut candidates = Candidates::new(golden.array::<i32>("assignment.others").1[0] as usize);
    let mut entries = indices.iter().map(|&j| j as u32).zip(weights);
    for count in counts {
        let row: Vec<_> = entries.by_ref().take(count as usize).collect();
        candidates.push(&row).expect("good candidates");
    }
    let got = assignment(&candidates);
    let partner: Vec<i32> = got.partner.iter().map(|j| j.map_or(-1, |j| j as i32)).collect();
    assert_eq!(partner, golden.array::<i32>("assignment.partner").1);
    // The file has the total in f32.
    let want = golden.scalar("assignment.total");
    assert!((got.total - want).abs() < 1e-7 * want, "{} instead of {want}", got.total);
}

#[test]
fn golden_decoders() {
    let golden = Golden::read();
    let (a, b) = (golden.dense("decoder.a"), golden.dense("decoder.b"));
    each_engine(|engine| {
        let (a, b) = (a.tensor(engine), b.tensor(engine));
        let got = pollster::block_on(decoder_cosines(&a, &b, 4)).expect("equal widths");
        for (side, best) in [("a_to_b", &got.a_to_b), ("b_to_a", &got.b_to_a)] {
            assert_eq!(best.argmax, golden.array::<i32>(&format!("decoder.{side}.argmax")).1, "{side}");
            let (_, cosines) = golden.array::<f32>(&format!("decoder.{side}.cosine"));
            for (got, want) in best.mppc.iter().zip(cosines) {
                // Ten products of numbers below 1 in f32.
                let near = (got - want).abs() < 1e-6 || (got.is_nan() && want.is_nan());
                assert!(near, "{side}: {got} instead of {want} on {engine:?}");
            }
        }
        assert_eq!(got.candidates.len(), 40);
        for i in 0..40 {
            let row: Vec<(usize, f64)> = got.candidates.row(i).collect();
            assert_eq!(row.len(), if i == 3 { 0 } else { 4 }, "candidates of {i}");
            let most = row.iter().fold((0, 0.0), |most, &one| if one.1 > most.1 { one } else { most });
            let best = (got.a_to_b.argmax[i], f64::from(got.a_to_b.mppc[i]));
            assert!(i == 3 || (most.0 as i32, most.1) == best, "best candidate of {i} on {engine:?}");
        }
        // Row 5 of B is row 7 of A but for its length.
        assert_eq!(got.a_to_b.argmax[7], 5);
    });
}

#[test]
fn decoders_are_compared_in_blocks_that_fit() {
    // 17,000 rows of B make blocks of 986 rows of A.
    let (rows, cols, width) = (2_100, 17_000, 3);
    let (mut a, b) = (normal(3, rows * width), normal(4, cols * width));
    a[width * 1_500..width * 1_501].fill(0.0);
    let engine = &engines()[0];
    let tensor = |values: &[f32]| Dense::new(width, values.to_vec()).tensor(engine);
    let got = pollster::block_on(decoder_cosines(&tensor(&a), &tensor(&b), 2)).expect("equal widths");
    let unit = |values: &[f32]| -> Vec<[f64; 3]> {
        let unit = |row: &[f32]| {
            let length = row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
            [0, 1, 2].map(|k| f64::from(row[k]) / length)
        };
        values.chunks(width).map(unit).collect()
    };
    let (unit_a, unit_b) = (unit(&a), unit(&b));
    let dot = |a: &[f64; 3], b: &[f64; 3]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let most = |row: &[f64; 3], others: &[[f64; 3]]| {
        others.iter().map(|other| dot(row, other)).filter(|v| !v.is_nan()).fold(f64::MIN, f64::max)
    };
    for (best, own, others) in [(&got.a_to_b, &unit_a, &unit_b), (&got.b_to_a, &unit_b, &unit_a)] {
        // Every 61st is enough: 61 shares no factor with a block.
        for i in (0..own.len()).step_by(61) {
            let (cosine, want) = (f64::from(best.mppc[i]), most(&own[i], others));
            assert!((cosine - want).abs() < 1e-6, "row {i}: {cosine} instead of {want}");
            let chosen = dot(&own[i], &others[best.argmax[i] as usize]);
            assert!((chosen - want).abs() < 1e-6, "row {i}: chose {chosen} instead of {want}");
        }
    }
    assert_eq!((got.a_to_b.argmax[1_500], got.candidates.row(1_500).count()), (-1, 0));
    assert_eq!(got.candidates.len(), rows);
    for i in [0, 985, 986, 1_499, 1_501, 2_099] {
        let row: Vec<usize> = got.candidates.row(i).map(|(j, _)| j).collect();
        assert!(row.len() == 2 && row.contains(&(got.a_to_b.argmax[i] as usize)), "candidates of {i}");
    }
}

#[test]
fn decoders_without_directions_or_of_other_widths() {
    each_engine(|engine| {
        let cosines = |a: &Dense, b: &Dense| {
            pollster::block_on(decoder_cosines(&a.tensor(engine), &b.tensor(engine), 3))
        };
        let zeros = Dense::new(2, vec![0.0; 6]);
        let got = cosines(&zeros, &Dense::new(2, vec![1.0, 0.0])).expect("equal widths");
        assert_eq!((got.a_to_b.argmax, got.b_to_a.argmax), (vec![-1; 3], vec![-1]));
        assert!(got.a_to_b.mppc.iter().all(|v| v.is_nan()));
        assert_eq!(got.candidates.len(), 3);
        // Opposite directions are each other's best, and nothing to match.
        let got = cosines(&Dense::new(2, vec![0.0, 3.0]), &Dense::new(2, vec![0.0, -1.0]));
        let got = got.expect("equal widths");
        assert_eq!((got.a_to_b.mppc, got.a_to_b.argmax), (vec![-1.0], vec![0]));
        assert_eq!(got.candidates.row(0).count(), 0);
        let error = cosines(&zeros, &Dense::new(3, vec![1.0; 3])).expect_err("refused").to_string();
        assert!(error.contains("have 2 values and those of B's 3"), "{error}");
    });
}
