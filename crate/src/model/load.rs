//! Weights onto an engine.

use super::hooks::Linear;
use crate::checkpoint::{CheckpointError, Stored, Weights};
use crate::gpu::{Dtype, Engine, Filling, Tensor};

/// Takes tensors of a checkpoint to an engine: matrices as they are stored, 16-bit ones too, everything else as
/// f32. A matrix goes there a few megabytes at a time.
pub(super) struct Loader<'a> {
    pub(super) engine: &'a Engine,
    pub(super) weights: &'a Weights,
}

impl Loader<'_> {
    /// A tensor of this shape as f32.
    pub(super) fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor, CheckpointError> {
        Ok(Tensor::from_f32(self.engine, shape, self.weights.tensor(name, shape)?))
    }

    /// A matrix [rows, cols], its rows dealt out in turn: lengths\[0\] rows to the first part, lengths\[1\] to
    /// the second, and around again until there are none left.
    pub(super) fn deal(
        &self,
        name: &str,
        [rows, cols]: [usize; 2],
        lengths: &[usize],
    ) -> Result<Vec<Tensor>, CheckpointError> {
        let dtype = match self.weights.stored(name, &[rows, cols])? {
            Stored::F32 => Dtype::F32,
            Stored::F16 => Dtype::F16,
            Stored::BF16 => Dtype::BF16,
        };
        let round: usize = lengths.iter().sum();
        assert!(round > 0 && rows.is_multiple_of(round), "{rows} rows cannot be dealt in {lengths:?}");
        let part = |n: &usize| Filling::new(self.engine, &[n * rows / round, cols], dtype);
        let mut parts: Vec<Filling> = lengths.iter().map(part).collect();
        // Whose turn it is, and the rows still to come in this turn.
        let (mut turn, mut left) = (0, lengths[0]);
        self.weights.rows(name, &[rows, cols], |_, mut bytes| {
            while !bytes.is_empty() {
                if left == 0 {
                    turn = (turn + 1) % lengths.len();
                    left = lengths[turn];
                    continue;
                }
                let width = cols * dtype.size();
                let now = left.min(bytes.len() / width);
                let (these, others) = bytes.split_at(now * width);
                parts[turn].push(these);
                (bytes, left) = (others, left - now);
            }
            Ok(())
        })?;
        Ok(parts.into_iter().map(Filling::finish).collect())
    }

    /// A matrix [rows, cols] in parts that the engine can take.
    pub(super) fn table(&self, name: &str, [rows, cols]: [usize; 2]) -> Result<Vec<Tensor>, CheckpointError> {
        let element = self.weights.stored(name, &[rows, cols])?.size();
        let most = (self.engine.largest_tensor() / (cols * element)).max(1);
        let whole = vec![most; rows / most];
        let rest = Some(rows % most).filter(|&rest| rest > 0);
        self.deal(name, [rows, cols], &whole.into_iter().chain(rest).collect::<Vec<_>>())
    }

    /// `name.weight` [n, k] and, if there is one, `name.bias` [n].
    pub(super) fn linear(
        &self,
        name: &str,
        n: usize,
        k: usize,
        bias: bool,
    ) -> Result<Linear, CheckpointError> {
        Ok(Linear {
            weight: self.deal(&format!("{name}.weight"), [n, k], &[n])?.remove(0),
            bias: bias.then(|| self.tensor(&format!("{name}.bias"), &[n])).transpose()?,
        })
    }
}
