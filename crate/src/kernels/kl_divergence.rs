//! How far one predicted distribution is from another.

use super::par;
use crate::gpu::{Launch, Shader, Tensor, Word, shader};

static SHADER: Shader = shader!("kl_divergence", "per_group", "reduce", "logarithms");

/// KL(softmax(`p`) ‖ softmax(`q`)) = Σ P (ln P − ln Q) in nats for each row of the logits `p` and `q` [.., V]:
/// [..]. The softmaxes are over the first `vocab` columns, as in [`cross_entropy`](super::cross_entropy).
///
/// # Panics
/// When the shapes differ or `vocab` is above V.
pub fn kl_divergence(p: &Tensor, q: &Tensor, vocab: usize) -> Tensor {
    let Some((&cols, leading)) = p.shape().split_last() else { panic!("kl_divergence of {p:?}") };
    assert_eq!(p.shape(), q.shape(), "kl_divergence");
    assert!(vocab <= cols, "kl_divergence over {vocab} of {p:?}");
    let rows = leading.iter().product();
    Launch::per_group(&SHADER, rows, &[cols.word(), vocab.word()], &[p, q]).run(leading, || {
        let (p, q) = (p.f32s(), q.f32s());
        let mut divergence = vec![0.0; rows];
        par::each(&mut divergence, 2 * vocab, |r| twin(&p[r * cols..][..vocab], &q[r * cols..][..vocab]));
        divergence
    })
}

/// One row. With d the distance from the row's largest logit, Σ P (ln P − ln Q) = Σ e^dp (dp − dq) / Σ e^dp −
/// ln Σ e^dp + ln Σ e^dq.
fn twin(p: &[f32], q: &[f32]) -> f32 {
    // A NaN that `max` drops comes back in the sums.
    let most = |row: &[f32]| row.iter().copied().fold(f32::MIN, f32::max);
    let (most_p, most_q) = (most(p), most(q));
    let [mut sum_p, mut sum_q, mut cross] = [0.0f32; 3];
    for (&p, &q) in p.iter().zip(q) {
        let (dp, dq) = (p - most_p, q - most_q);
        let e = dp.exp();
        sum_p += e;
        sum_q += dq.exp();
        // What P rules out costs nothing, however far it is.
        if e != 0.0 {
            cross += e * (dp - dq);
        }
    }
    cross / sum_p - sum_p.ln() + sum_q.ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{self, close, each_engine};

    fn reference(p: &[f32], q: &[f32]) -> f64 {
        let log_softmax = |row: &[f32]| -> Vec<f64> {
            let row: Vec<f64> = row.iter().map(|&x| f64::from(x)).collect();
            let most = row.iter().copied().fold(f64::MIN, f64::max);
            let sum = row.iter().map(|x| (x - most).exp()).sum::<f64>().ln() + most;
            row.iter().map(|x| x - sum).collect()
        };
        log_softmax(p).iter().zip(log_softmax(q)).map(|(p, q)| p.exp() * (p - q)).sum()
    }

    #[test]
    fn agrees_with_float64() {
        for (rows, cols, vocab) in [(1, 1, 1), (3, 5, 5), (7, 64, 60), (5, 1_000, 999), (0, 4, 4)] {
            let p: Vec<f32> = testing::normal(1, rows * cols).iter().map(|x| 4.0 * x).collect();
            // One row is the same in both, up to a constant that no softmax sees.
            let mut q: Vec<f32> = testing::normal(2, rows * cols).iter().map(|x| 3.0 * x).collect();
            for (q, p) in q.iter_mut().zip(&p).take(cols) {
                *q = p + 0.5;
            }
            let want: Vec<f64> =
                (0..rows).map(|r| reference(&p[r * cols..][..vocab], &q[r * cols..][..vocab])).collect();
            each_engine(|engine| {
                let p = Tensor::from_f32(engine, &[rows, cols], p.clone());
                let q = Tensor::from_f32(engine, &[rows, cols], q.clone());
                // As for the cross-entropy, of two rows; the terms of `cross` are weighted by P and at most 30.
                close(engine, &kl_divergence(&p, &q, vocab), &want, 6e-6);
            });
        }
    }

    #[test]
    fn padding_is_ignored_and_nan_is_not() {
        let p = [[0.0, 0.0, 1e30], [f32::NEG_INFINITY, 0.0, 5.0], [0.0, f32::NAN, 0.0], [0.0, 1.0, 0.0]];
        let q = [[0.0, 0.0, f32::NAN], [7.0, 7.0, 0.0], [0.0, 0.0, 0.0], [f32::NAN, 0.0, 0.0]];
        let want = [0.0, 2f64.ln(), f64::NAN, f64::NAN];
        each_engine(|engine| {
            let p = Tensor::from_f32(engine, &[2, 2, 3], p.concat());
            let q = Tensor::from_f32(engine, &[2, 2, 3], q.concat());
            let got = kl_divergence(&p, &q, 2);
            assert_eq!(got.shape(), [2, 2]);
            close(engine, &got, &want, 5e-7);
        });
    }
}
