//! A model with its tokenizer and SAEs, and what they make of a corpus.

use crate::checkpoint::Files;
use crate::corpus::{TokenBatch, Tokenizer};
use crate::gpu::{Engine, Tensor};
use crate::kernels::{Activation, Product, embed, map, matmul, paste};
use crate::model::{Model, Neurons, Plan, Prompts, finite};

use super::error::LabError;
use super::hooked::{HookedSae, find_saes, notes, width_of};

/// A model, its tokenizer, and its SAEs.
pub struct LabModel {
    /// The model.
    pub model: Model,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// Its SAEs, in the order of the layers.
    pub saes: Vec<HookedSae>,
    /// What should be known of the model's files, a sentence each: tensors that are not part of it, special tokens that
    /// are not named or disagree.
    pub notes: Vec<String>,
    /// Names of the files that were read, of the model and its tokenizer.
    pub read: Vec<String>,
}

impl LabModel {
    /// Loads a model; its SAEs come from `saes`, or else from the folder `saes` beside the weights, and there
    /// may be none.
    ///
    /// # Errors
    /// Those of the files; [`LabError::Refused`] when an SAE does not fit the model, or two read the same hook.
    pub fn load(engine: &Engine, name: &str, files: &Files, saes: Option<&Files>) -> Result<Self, LabError> {
        Self::load_layers(engine, name, files, saes, None)
    }

    /// As [`LabModel::load`], with the SAEs of these layers alone, if any are named.
    ///
    /// # Errors
    /// As [`LabModel::load`]; also when a layer that is named has no SAE.
    pub fn load_layers(
        engine: &Engine,
        name: &str,
        files: &Files,
        saes: Option<&Files>,
        layers: Option<&[usize]>,
    ) -> Result<Self, LabError> {
        let noting = files.afresh();
        let model = Model::load(engine, name, &noting)?;
        let tokenizer = Tokenizer::read(&noting)?;
        let mut notes = model.notes().to_vec();
        notes.extend(tokenizer.special().notes().iter().cloned());
        notes.extend(tokenizer.check(model.vocab())?);
        let place = saes.cloned().unwrap_or_else(|| files.folder("saes"));
        // A copy may have a name of its own, but remember the original's.
        let config = files.json("config.json").unwrap_or_default();
        let original = config.get("_name_or_path").and_then(|v| v.as_str());
        let names: Vec<&str> = [Some(name), original].into_iter().flatten().collect();
        let found = find_saes(&model, &names, &place, layers)?;
        let lacks = |layer: &&usize| !found.iter().any(|sae| sae.layer == **layer);
        if let Some(layer) = layers.into_iter().flatten().find(lacks) {
            return Err(LabError::Refused(
                format!(
                    "{} holds no SAE of layer {layer} of {name}, which has layers 0 to {}",
                    place.place(),
                    model.layers() - 1
                )
                .into(),
            ));
        }
        if saes.is_some() && found.is_empty() {
            return Err(LabError::refused(
                format!("{} holds no SAE", place.place()),
                "expected one folder for each, in the form of SAELens, sparsify, Language-Model-SAEs or \
                 dictionary_learning (converted)",
            ));
        }
        Ok(Self { model, tokenizer, saes: found, notes, read: noting.opened() })
    }

    /// Name of the model.
    pub fn name(&self) -> &str {
        self.model.name()
    }

    /// The SAEs of this model in the folders of a place, in the order of the layers.
    ///
    /// # Errors
    /// As [`LabModel::load`].
    pub fn find_saes(&self, place: &Files) -> Result<Vec<HookedSae>, LabError> {
        find_saes(&self.model, &[self.name()], place, None)
    }

    /// What should be known before features of these SAEs are believed, one line each: of the model's own, or of
    /// others.
    pub fn sae_notes(&self, saes: &[HookedSae]) -> Vec<String> {
        notes(self.name(), saes)
    }

    /// What hooks show on the kept tokens of a batch, a row each: what has heads with them side by side.
    async fn run(&self, batch: &TokenBatch, keep: Vec<String>) -> Result<Vec<Tensor>, LabError> {
        let known = self.model.hooks(batch.batch, batch.len);
        if let Some(hook) = known.iter().find(|hook| keep.contains(&hook.name) && width_of(hook).is_none()) {
            let (hook, name) = (&hook.name, self.name());
            return Err(LabError::refused(
                format!("{hook} of {name} has no vector for each token"),
                "use hooks such as blocks.*.hook_resid_post",
            ));
        }
        let order = keep.clone();
        let output = self.model.run(&prompts(batch), Plan { keep, ..Plan::default() })?;
        let rows = kept_rows(batch);
        let rows = Tensor::from_u32(self.model.engine(), &[rows.len()], rows);
        let take = |hook: &String| {
            let values = &output.hooks[hook]; // [B, T, ..]
            let tokens = batch.batch * batch.len;
            embed(&[values.reshape(&[tokens, values.len() / tokens.max(1)])], &rows)
        };
        let taken: Vec<Tensor> = order.iter().map(take).collect();
        self.check(batch, order.first().map_or("", |hook| hook), &taken).await?;
        Ok(taken)
    }

    /// Checks that what a pass on a batch has given is finite; `hook` is where the first of it was seen.
    pub(in crate::lab) async fn check(
        &self,
        batch: &TokenBatch,
        hook: &str,
        seen: impl IntoIterator<Item = &Tensor>,
    ) -> Result<(), LabError> {
        match finite(seen).await? {
            true => Ok(()),
            false => Err(self.model.not_finite(&prompts(batch), (hook, f32::NAN)).await.into()),
        }
    }

    /// What the hooks see on the kept tokens of a batch: [n, width] each, heads side by side.
    ///
    /// # Errors
    /// A hook the model does not have, or that has no vector for each token; an id beyond its vocabulary; a pass that
    /// is not finite.
    pub async fn activations(&self, batch: &TokenBatch, hooks: &[String]) -> Result<Vec<Tensor>, LabError> {
        self.run(batch, hooks.to_vec()).await
    }

    /// As [`LabModel::activations`]; with `center`, less their mean over the last axis.
    pub(in crate::lab) async fn centered_activations(
        &self,
        batch: &TokenBatch,
        hooks: &[String],
        center: bool,
    ) -> Result<Vec<Tensor>, LabError> {
        let all = self.run(batch, hooks.to_vec()).await?;
        Ok(if center { all.iter().map(centered).collect() } else { all })
    }

    /// [Neurons](Model::neurons) of some hooks side by side on the kept tokens of a batch: [n, neurons] (paper section
    /// 3).
    pub(in crate::lab) async fn neurons(
        &self,
        batch: &TokenBatch,
        of: &[Neurons],
    ) -> Result<Tensor, LabError> {
        let parts = self.run(batch, of.iter().map(|neurons| neurons.hook.clone()).collect()).await?;
        let width: usize = parts.iter().map(|p| p.rows_cols().1).sum();
        let rows = parts.first().map_or(0, |p| p.rows_cols().0);
        let mut all = Tensor::zeros(self.model.engine(), &[rows, width]);
        let mut start = 0;
        for (neurons, part) in of.iter().zip(parts) {
            let part = match neurons.activation {
                Activation::None => part,
                activation => map(&part, activation),
            };
            all = paste(&all, start, &part);
            start += part.rows_cols().1;
        }
        Ok(all)
    }

    /// How many neurons these are.
    pub(in crate::lab) fn neuron_count(&self, of: &[Neurons]) -> usize {
        let all = self.model.hooks(1, 1);
        let width =
            |neurons: &Neurons| all.iter().find(|h| h.name == neurons.hook).and_then(|h| h.shape.last());
        of.iter().filter_map(width).sum()
    }
}

/// The prompts of a batch.
pub(in crate::lab) fn prompts(batch: &TokenBatch) -> Prompts {
    Prompts { batch: batch.batch, len: batch.len, ids: batch.ids.clone() }
}

/// Rows of a batch's activations [B·T, ..] that stay.
pub(in crate::lab) fn kept_rows(batch: &TokenBatch) -> Vec<u32> {
    (0u32..).zip(&batch.keep).filter(|(_, keep)| **keep).map(|(i, _)| i).collect()
}

/// x − mean over the last axis, as a product with I − 1/D.
fn centered(x: &Tensor) -> Tensor {
    let (_, d) = x.rows_cols();
    let mut center = vec![-1.0 / d as f32; d * d];
    center.iter_mut().step_by(d + 1).for_each(|v| *v += 1.0);
    matmul(x, &Tensor::from_f32(x.engine(), &[d, d], center), &Product::default())
}
