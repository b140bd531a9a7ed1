//! Weights onto an engine.

use super::config::Config;
use super::hooks::Linear;
use crate::checkpoint::{CheckpointError, Files, Stored, Weights};
use crate::failure::Failure;
use crate::gpu::{Dtype, Engine, Filling, Tensor};

/// A checkpoint that is about to be loaded.
pub(super) struct Source<'a> {
    pub(super) engine: &'a Engine,
    pub(super) config: &'a Config,
    pub(super) files: &'a Files,
}

impl Source<'_> {
    /// Opens the weights, and refuses more layers than they have tensors of; `key` is the config's word for their
    /// number,
    /// `usual` what the names begin with in a model that was saved with its head.
    pub(super) fn weights(&self, key: &str, layers: usize, usual: &str) -> Result<Weights, CheckpointError> {
        let weights = Weights::open(self.files)?;
        check_layers(self.config, (key, layers), &weights, prefix(&weights, usual))?;
        Ok(weights)
    }
}

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

    /// Embedding and unembedding, [vocab, width] each. As in transformers, a head of its own in the file counts even
    /// where the config ties the two, and where a tied file has one of them, it is both.
    pub(super) fn embeddings(
        &self,
        [embed, head]: [&str; 2],
        shape: [usize; 2],
        tied: bool,
    ) -> Result<[Vec<Tensor>; 2], CheckpointError> {
        let has = |name| self.weights.has(name);
        let one = match (has(embed), has(head)) {
            (true, true) => self.weights.same(embed, head).then_some(embed),
            (true, false) => tied.then_some(embed),
            (false, _) => tied.then_some(head).filter(|name| has(name)),
        };
        Ok(match one {
            Some(name) => {
                let table = self.table(name, shape)?;
                [table.clone(), table]
            }
            None => [self.table(embed, shape)?, self.table(head, shape)?],
        })
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

/// What stands before the names of a model's tensors: `prefix`, or nothing where the model was saved without its
/// head, and so no name has it.
pub(super) fn prefix<'p>(weights: &Weights, prefix: &'p str) -> &'p str {
    if !weights.any_below(prefix) && weights.any_below("layers.") { "" } else { prefix }
}

/// Refuses more layers than the files have tensors of; `prefix` is what their names begin with, `key` the config's
/// word for the number.
fn check_layers(
    config: &Config,
    (key, layers): (&str, usize),
    weights: &Weights,
    prefix: &str,
) -> Result<(), CheckpointError> {
    let name = |layer: usize| format!("{prefix}layers.{layer}.");
    // The search ends at the first that is missing, whatever the config claims.
    match (0..layers).find(|&layer| !weights.any_below(&name(layer))) {
        Some(missing) => Err(config.error(Failure::new(
            format!("{key} is {layers}, but the weights have no tensor {}…", name(missing)),
            "use the config.json of these weights",
        ))),
        None => Ok(()),
    }
}

/// A sentence about the tensors that nothing has read, if there are any: they belong to another model than the config
/// describes. Not those that older versions of transformers left in every file.
pub(super) fn unread(weights: &Weights) -> Option<String> {
    /// More names would hide what is said.
    const NAMED: usize = 4;
    const LEFT: [&str; 3] = ["attention.bias", "attention.masked_bias", "rotary_emb.inv_freq"];
    let mut names = weights.unread();
    names.retain(|name| !LEFT.iter().any(|left| name.ends_with(left)));
    let more = match names.len() {
        0 => return None,
        n if n > NAMED => format!(" and {} more", n - NAMED),
        _ => String::new(),
    };
    Some(format!(
        "{} of the tensors are not part of the model that config.json describes, and are left out: {}{more}",
        names.len(),
        names[..names.len().min(NAMED)].join(", ")
    ))
}
