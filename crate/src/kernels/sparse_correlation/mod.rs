//! Correlations of all pairs of sparse features, of which only the best of each feature is kept.
//!
//! Side A is sorted by feature, side B by token. A feature of A owns one accumulator for each feature of B and
//! walks its own tokens; the cost is Σ_t k_A(t)·k_B(t) products, whatever the number of features, and S = ZaᵀZb
//! is never stored. Values come standardised, so that ρ_ij = S_ij − offset_i·offset_j is a difference of
//! numbers of size 1; pairs that never fire together (S = 0) are candidates like all others.
//!
//! Exactness: the twin sums in float64; the GPU in 64-bit fixed point, see the shader. With values rounded to
//! f32 either is within 1e-6 of the correlation of the given numbers, up to some 10⁷ tokens.
//!
//! Not supported: on a GPU, a feature that fires on more tokens than one binding holds (16 million entries in a
//! browser); it is refused with [`GpuError::TooLarge`]. Token ranges cannot be merged after the maximum.

mod compressed;
mod on_gpu;
mod twin;

pub(crate) use compressed::Compressed;

use super::best::{Best, Running};
use crate::gpu::{Backend, Engine, GpuError};

/// Best correlation of each feature of `a` (by feature) among those of `b` (by token), and the reverse.
///
/// # Errors
/// What goes wrong on the device.
///
/// # Panics
/// When an index of `a` is no token of `b`, or an index of `b` no feature of it.
pub(crate) async fn sparse_correlation(
    engine: &Engine,
    a: &Compressed,
    b: &Compressed,
) -> Result<(Best, Best), GpuError> {
    let (fa, fb) = (a.offsets.len(), b.offsets.len());
    if fa == 0 || fb == 0 {
        return Ok((Running::new(fa).finish(), Running::new(fb).finish()));
    }
    match engine.backend() {
        Backend::Cpu => Ok(twin::twin(a, b)),
        Backend::Gpu(_) => on_gpu::on_gpu(engine, a, b).await,
    }
}

#[cfg(test)]
mod tests {
    use super::compressed::cut;
    use super::*;
    use crate::kernels::testing::{each_engine, normal, uniform};

    #[test]
    fn cuts_cover_everything_within_their_bounds() {
        let costs = [3, 0, 9, 1, 1, 1, 20, 0, 0, 0, 2];
        let ranges = cut(&costs, 4, 10);
        assert_eq!(ranges, [0..2, 2..4, 4..6, 6..7, 7..11]);
        assert!(cut(&[], 4, 10).is_empty());
        assert_eq!(cut(&[5, 5], 4, 0), [0..1, 1..2]);
    }

    /// Random lines over `other` indices, of which each line has about one in five.
    fn compressed(seed: u64, lines: usize, other: usize) -> Compressed {
        let gate = uniform(seed, lines * other);
        let z = normal(seed + 1, lines * other);
        let mut compressed = Compressed { indptr: vec![0], ..Compressed::default() };
        for line in 0..lines {
            for i in (0..other).filter(|i| gate[line * other + i] < 0.2) {
                compressed.indices.push(i as u32);
                // Σz² ≤ 2 along either axis for these sizes.
                compressed.values.push(z[line * other + i] / 20.0);
            }
            compressed.indptr.push(compressed.indices.len());
        }
        compressed
    }

    #[test]
    fn agrees_with_float64() {
        // The last side B has more features than 16 bits number.
        let sizes =
            [(1, 1, 1), (1, 200, 5), (7, 200, 1), (130, 133, 129), (3, 0, 2), (0, 4, 2), (2, 9, 70_000)];
        for (fa, tokens, fb) in sizes {
            let offsets = |seed, n| normal(seed, n).iter().map(|&v| f64::from(v) / 10.0).collect::<Vec<_>>();
            let mut a = Compressed { offsets: offsets(1, fa), ..compressed(2, fa, tokens) };
            let mut b = Compressed { offsets: offsets(3, fb), ..compressed(4, tokens, fb) };
            for side in [&mut a, &mut b] {
                side.offsets.iter_mut().skip(4).step_by(9).for_each(|o| *o = f64::NAN);
            }
            let rho = reference(&a, &b);
            each_engine(|engine| {
                let got =
                    pollster::block_on(sparse_correlation(engine, &a, &b)).expect("no device fails here");
                let transposed: Vec<Vec<f64>> =
                    (0..fb).map(|j| rho.iter().map(|row| row[j]).collect()).collect();
                for (best, rho) in [(&got.0, &rho), (&got.1, &transposed)] {
                    assert_eq!(best.mppc.len(), rho.len());
                    for ((&mppc, &argmax), row) in best.mppc.iter().zip(&best.argmax).zip(rho) {
                        let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                        if most == f64::NEG_INFINITY {
                            assert!(mppc.is_nan() && argmax == -1);
                            continue;
                        }
                        // Each product is rounded once to f32 and Σ|za·zb| ≤ 2; offsets and ρ once more.
                        assert!((f64::from(mppc) - most).abs() < 4e-7, "{mppc}, {most} on {engine:?}");
                        assert!(row[argmax as usize] > most - 4e-7, "{engine:?}");
                    }
                }
            });
        }
    }

    /// ρ [fa][fb] in float64; NaN, which `max` passes over, without variance.
    fn reference(a: &Compressed, b: &Compressed) -> Vec<Vec<f64>> {
        let row = |i: usize| {
            let mut sums = vec![0.0; b.offsets.len()];
            for (&t, &za) in a.line(i).0.iter().zip(a.line(i).1) {
                for (&j, &zb) in b.line(t as usize).0.iter().zip(b.line(t as usize).1) {
                    sums[j as usize] += f64::from(za) * f64::from(zb);
                }
            }
            sums.iter().zip(&b.offsets).map(|(sum, other)| sum - a.offsets[i] * other).collect()
        };
        (0..a.offsets.len()).map(row).collect()
    }
}
