//! Cross-entropy of predicted distributions with the tokens that came.

use super::par;
use crate::gpu::{Dtype, Launch, Shader, Tensor, Word, shader};

static SHADER: Shader = shader!("cross_entropy", "per_group", "reduce", "logarithms");

/// −ln softmax(`logits`[r])[`targets`[r]] in nats for each row of `logits` [.., V], shaped like `targets`
/// [..]. The softmax is over the first `vocab` columns: embeddings are often padded to a round number of rows,
/// and the logits of the padding mean nothing.
///
/// # Panics
/// When the shapes do not fit, `vocab` is above V, or (on the CPU engine; a GPU returns another number) a
/// target is not below `vocab`.
pub fn cross_entropy(logits: &Tensor, targets: &Tensor, vocab: usize) -> Tensor {
    let Some((&cols, leading)) = logits.shape().split_last() else { panic!("cross_entropy of {logits:?}") };
    assert_eq!(targets.shape(), leading, "cross_entropy targets");
    assert!(vocab <= cols, "cross_entropy over {vocab} of {logits:?}");
    assert_eq!(targets.dtype(), Dtype::U32, "cross_entropy targets");
    Launch::per_group(&SHADER, targets.len(), &[cols.word(), vocab.word()], &[logits, targets])
        .run(leading, || twin(logits.f32s(), targets.u32s(), cols, vocab))
}

fn twin(logits: &[f32], targets: &[u32], cols: usize, vocab: usize) -> Vec<f32> {
    let mut loss = vec![0.0; targets.len()];
    par::each(&mut loss, vocab, |r| {
        let row = &logits[r * cols..][..vocab];
        // A NaN that `max` drops comes back in the sum.
        let most = row.iter().copied().fold(f32::MIN, f32::max);
        let sum: f32 = row.iter().map(|x| (x - most).exp()).sum();
        sum.ln() + (most - row[targets[r] as usize])
    });
    loss
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{self, close, each_engine};

    fn reference(logits: &[f32], targets: &[u32], cols: usize, vocab: usize) -> Vec<f64> {
        let row = |(r, &target): (usize, &u32)| {
            let row: Vec<f64> = logits[r * cols..][..vocab].iter().map(|&x| f64::from(x)).collect();
            let most = row.iter().copied().fold(f64::MIN, f64::max);
            row.iter().map(|x| (x - most).exp()).sum::<f64>().ln() + most - row[target as usize]
        };
        targets.iter().enumerate().map(row).collect()
    }

    #[test]
    fn agrees_with_float64() {
        for (rows, cols, vocab) in [(1, 1, 1), (3, 5, 5), (7, 64, 60), (5, 1_000, 999), (0, 4, 4)] {
            let logits: Vec<f32> = testing::normal(1, rows * cols).iter().map(|x| 4.0 * x).collect();
            let targets: Vec<u32> = (0..rows).map(|r| (r * 31 % vocab) as u32).collect();
            let want = reference(&logits, &targets, cols, vocab);
            each_engine(|engine| {
                let logits = Tensor::from_f32(engine, &[rows, cols], logits.clone());
                let targets = Tensor::from_u32(engine, &[rows], targets.clone());
                // A sum of at most 1,000 exponentials, relatively off by √1,000·2⁻²⁴ and by exp's few units
                // for the terms that matter, becomes as much absolutely in the logarithm: 2e-6 on losses
                // of size 1 and more.
                close(engine, &cross_entropy(&logits, &targets, vocab), &want, 3e-6);
            });
        }
    }

    #[test]
    fn huge_logits_overflow_nothing_and_padding_is_ignored() {
        let logits = [
            // Certain and right: the padded column does not count.
            [1e30, -1e30, 0.0, 3e38],
            // Three alike.
            [1e4, 1e4, 1e4, 9e9],
            // An impossible token, two alike.
            [f32::NEG_INFINITY, 0.0, 0.0, f32::NAN],
            // No distribution.
            [0.0, f32::NAN, 0.0, 0.0],
        ]
        .concat();
        let targets = vec![0, 1, 2, 0];
        let want = [0.0, 3f64.ln(), 2f64.ln(), f64::NAN];
        each_engine(|engine| {
            let logits = Tensor::from_f32(engine, &[2, 2, 4], logits.clone());
            let targets = Tensor::from_u32(engine, &[2, 2], targets.clone());
            let loss = cross_entropy(&logits, &targets, 3);
            assert_eq!(loss.shape(), [2, 2]);
            // ln of a small integer: a few units in the last place, WGSL allows 2⁻²¹ absolutely near 1.
            close(engine, &loss, &want, 5e-7);
        });
    }
}
