//! A model with its tokenizer and SAEs, and what they make of a corpus.

use crate::checkpoint::Files;
use crate::corpus::TokenBatch;
use crate::gpu::{Engine, Tensor};
use crate::kernels::{Product, Unary, embed, map, matmul, paste};
use crate::model::{Model, Plan, Prompts, Tokenizer};
use crate::sae::{Format, Sae, SaeFile, formats};

use super::LabError;

/// A model, its tokenizer, and its SAEs.
pub struct LabModel {
    /// The model.
    pub model: Model,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// Its SAEs, in the order of the layers.
    pub saes: Vec<HookedSae>,
    /// Names of the files that were read, of the model and its tokenizer.
    pub read: Vec<String>,
}

/// An SAE and the hook it reads.
pub struct HookedSae {
    /// Name of the hook point.
    pub hook: String,
    /// Its layer; what comes before the first counts to it, what comes after the last to that.
    pub layer: usize,
    /// Its folder in the place of the SAEs; empty where it is the place.
    pub folder: String,
    /// The SAE.
    pub sae: Sae,
    /// Whose files it came in.
    pub format: Format,
    /// What reading them took: a sentence for each convention.
    pub conventions: Vec<String>,
    /// Names of the files that were read, in its folder.
    pub read: Vec<String>,
}

impl LabModel {
    /// Loads a model; its SAEs come from `saes`, or else from the folder `saes` beside the weights, and there
    /// may be none.
    ///
    /// # Errors
    /// Those of the files; [`LabError::Mismatch`] when an SAE does not fit the model, or two read the same hook.
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
        let place = saes.cloned().unwrap_or_else(|| files.folder("saes"));
        let found = find_saes(&model, &place, layers)?;
        let lacks = |layer: &&usize| !found.iter().any(|sae| sae.layer == **layer);
        if let Some(layer) = layers.into_iter().flatten().find(lacks) {
            return Err(LabError::Mismatch(format!(
                "{} holds no SAE of layer {layer} of {name}, which has layers 0 to {}",
                place.place(),
                model.layers() - 1
            )));
        }
        if saes.is_some() && found.is_empty() {
            return Err(LabError::Mismatch(format!(
                "{} holds no SAE; expected one folder for each, in the form of SAELens, sparsify, \
                 Language-Model-SAEs or dictionary_learning (converted)",
                place.place()
            )));
        }
        Ok(Self { model, tokenizer, saes: found, read: noting.opened() })
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
        find_saes(&self.model, place, None)
    }

    fn run(&self, batch: &TokenBatch, keep: Vec<String>) -> Result<Vec<Tensor>, LabError> {
        let order = keep.clone();
        let prompts = Prompts { batch: batch.batch, len: batch.len, ids: batch.ids.clone() };
        let mut output = self.model.run(&prompts, Plan { keep, ..Plan::default() })?;
        let rows = kept_rows(batch);
        let rows = Tensor::from_u32(self.model.engine(), &[rows.len()], rows);
        let take = |hook: &String| {
            let values = output.hooks.remove(hook).expect("a hook that was asked for");
            let width = *values.shape().last().expect("hooks have axes");
            embed(&[values.reshape(&[values.len() / width.max(1), width])], &rows)
        };
        Ok(order.iter().map(take).collect())
    }

    /// What the hooks see on the kept tokens of a batch: [n, width] each.
    ///
    /// # Errors
    /// A hook the model does not have; an id beyond its vocabulary.
    pub fn activations(&self, batch: &TokenBatch, hooks: &[String]) -> Result<Vec<Tensor>, LabError> {
        self.run(batch, hooks.to_vec())
    }

    /// As [`LabModel::activations`]; with `center`, less their mean over the last axis.
    pub(super) fn centered_activations(
        &self,
        batch: &TokenBatch,
        hooks: &[String],
        center: bool,
    ) -> Result<Vec<Tensor>, LabError> {
        let all = self.run(batch, hooks.to_vec())?;
        Ok(if center { all.iter().map(centered).collect() } else { all })
    }

    /// Neurons of some [hooks](Model::neuron_hooks) side by side on the kept tokens of a batch: [n, neurons] (paper
    /// section 3).
    pub(super) fn neurons(&self, batch: &TokenBatch, hooks: &[String]) -> Result<Tensor, LabError> {
        let parts = self.run(batch, hooks.to_vec())?;
        let width: usize = parts.iter().map(|p| p.rows_cols().1).sum();
        let rows = parts.first().map_or(0, |p| p.rows_cols().0);
        let mut all = Tensor::zeros(self.model.engine(), &[rows, width]);
        let mut start = 0;
        for (hook, part) in hooks.iter().zip(parts) {
            let part = if Model::is_gate(hook) { map(&part, Unary::Silu) } else { part };
            all = paste(&all, start, &part);
            start += part.rows_cols().1;
        }
        Ok(all)
    }

    /// Number of neurons of some hooks.
    pub(super) fn neuron_count(&self, hooks: &[String]) -> usize {
        let all = self.model.hooks(1, 1);
        let width = |name: &String| all.iter().find(|h| h.name == *name).and_then(|h| h.shape.last());
        hooks.iter().filter_map(width).sum()
    }
}

/// The SAEs in the folders of a place (or the one that is the place), whoever wrote them, in the order of the
/// model's hooks. An SAE that does not say which hook it reads reads the one its folder is named after, as
/// hooks or as sparsify's modules are named.
fn find_saes(model: &Model, place: &Files, layers: Option<&[usize]>) -> Result<Vec<HookedSae>, LabError> {
    let hooks = model.hooks(1, 1);
    let mut found: Vec<(usize, HookedSae)> = Vec::new();
    for (path, files) in formats::find(place)? {
        // Those that are not wanted are read, too, to know their hooks, but do not stay.
        let SaeFile { format, config, weights, conventions, transcoder, .. } = SaeFile::read(&files)?;
        let name = files.place();
        if transcoder {
            return Err(LabError::Mismatch(format!(
                "{name} is a transcoder, which predicts another place than it reads; leave it out (`mppc sae encode` \
                 takes it)"
            )));
        }
        let folder = path.rsplit('/').next().filter(|f| !f.is_empty()).unwrap_or(&name);
        let said = config.hook_name.clone().map(|hook| (hook, format.hook_key()));
        let (hook, key) = said.unwrap_or_else(|| {
            (formats::module_hook(folder).unwrap_or_else(|| folder.to_owned()), "the folder's name")
        });
        let file = files.label(format.config_file());
        let at = hooks.iter().position(|h| h.name == hook).ok_or_else(|| {
            LabError::Mismatch(format!(
                "{file}: the SAE reads {hook} ({key}), which {} does not have; use the SAEs of this model, or name the \
                 folder of one that does not say its hook after it",
                model.name()
            ))
        })?;
        let width = *hooks[at].shape.last().expect("hooks have axes");
        if config.check_width(width).is_err() {
            return Err(LabError::Mismatch(format!(
                "{file}: `{}` is {}, but {hook} of {} is {width} wide; use the SAEs of this model",
                format.width_key(),
                config.d_in,
                model.name()
            )));
        }
        if found.iter().any(|(other, _)| *other == at) {
            return Err(LabError::Mismatch(format!("{} holds two SAEs of {hook}; keep one", place.place())));
        }
        let layer = layer_of(&hook, model.layers());
        if layers.is_none_or(|layers| layers.contains(&layer)) {
            let sae = Sae::new(model.engine(), config, weights);
            let read = files.opened();
            found.push((at, HookedSae { hook, layer, folder: path, sae, format, conventions, read }));
        }
    }
    found.sort_by_key(|(at, _)| *at);
    Ok(found.into_iter().map(|(_, sae)| sae).collect())
}

/// The layer in a hook's name.
fn layer_of(hook: &str, layers: usize) -> usize {
    let number = hook.strip_prefix("blocks.").and_then(|rest| rest.split('.').next()?.parse().ok());
    number.unwrap_or(if hook == "hook_embed" { 0 } else { layers.saturating_sub(1) })
}

/// Rows of a batch's activations [B·T, ..] that stay.
pub(super) fn kept_rows(batch: &TokenBatch) -> Vec<u32> {
    (0u32..).zip(&batch.keep).filter(|(_, keep)| **keep).map(|(i, _)| i).collect()
}

/// x − mean over the last axis, as a product with I − 1/D.
fn centered(x: &Tensor) -> Tensor {
    let (_, d) = x.rows_cols();
    let mut center = vec![-1.0 / d as f32; d * d];
    center.iter_mut().step_by(d + 1).for_each(|v| *v += 1.0);
    matmul(x, &Tensor::from_f32(x.engine(), &[d, d], center), &Product::default())
}
