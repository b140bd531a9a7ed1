//! SAEs, each at its hook of a model.

use super::error::LabError;
use crate::checkpoint::{Files, same_model};
use crate::failure::Failure;
use crate::gpu::Tensor;
use crate::kernels::{columns, paste};
use crate::model::{Axis, HookPoint, Model};
use crate::sae::{Format, Heads, Sae, SaeConfig, SaeFile, formats};

/// An SAE and the hook it reads.
pub struct HookedSae {
    /// Name of the hook point.
    pub hook: String,
    /// The head that it reads there, if it reads one.
    pub head: Option<usize>,
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
    /// What to know before its features are believed, a sentence each.
    pub notes: Vec<String>,
    /// Names of the files that were read, in its folder and above.
    pub read: Vec<String>,
}

impl HookedSae {
    /// Its hook, with the head where it reads one: `blocks.0.attn.hook_z.head1`.
    pub fn name(&self) -> String {
        named(&self.hook, self.head)
    }

    /// What it reads of its hook, of which a row is a token: [n, W] → [n, D].
    pub(in crate::lab) fn reads(&self, rows: &Tensor) -> Tensor {
        let d = self.sae.config.d_in;
        self.head.map_or_else(|| rows.clone(), |head| columns(rows, head * d, d))
    }

    /// The rows [n, W] of its hook, with values [n, D] where it reads.
    pub(in crate::lab) fn put(&self, rows: &Tensor, values: &Tensor) -> Tensor {
        let d = self.sae.config.d_in;
        self.head.map_or_else(|| values.clone(), |head| paste(rows, head * d, values))
    }
}

fn named(hook: &str, head: Option<usize>) -> String {
    head.map_or_else(|| hook.to_owned(), |head| format!("{hook}.head{head}"))
}

/// How many values a token has at a hook, with heads or whatever else side by side; none where the value is no token's:
/// of scores, patterns and states.
pub(in crate::lab) fn width_of(hook: &HookPoint) -> Option<usize> {
    let of_tokens = hook.axis(Axis::Position) == Some(1) && hook.shape.len() > 2;
    of_tokens.then(|| hook.shape[2..].iter().product())
}

/// Whether there is more than one vector a token at a hook: heads.
pub(in crate::lab) fn has_heads(hook: &HookPoint) -> bool {
    width_of(hook).is_some() && hook.shape.len() > 3
}

/// What the SAEs say that should be known before their features are believed: one line each, those of several once.
pub(in crate::lab) fn notes(model: &str, saes: &[HookedSae]) -> Vec<String> {
    let mut all: Vec<(&String, Vec<String>)> = Vec::new();
    for (sae, note) in saes.iter().flat_map(|sae| sae.notes.iter().map(move |note| (sae, note))) {
        match all.iter_mut().find(|(known, _)| *known == note) {
            Some((_, names)) => names.push(sae.name()),
            None => all.push((note, vec![sae.name()])),
        }
    }
    let line = |(note, names): (&String, Vec<String>)| match &names[..] {
        [name] => format!("the SAE of {model}, {name}: {note}"),
        names => format!("the SAEs of {model}, {} and {} more: {note}", names[0], names.len() - 1),
    };
    all.into_iter().map(line).collect()
}

/// The SAEs in the folders of a place (or the one that is the place), whoever wrote them, in the order of the
/// model's hooks. An SAE that does not say which hook it reads reads the one its folder is named after, as
/// hooks or as sparsify's modules are named. `names` are what the model is called.
pub(in crate::lab) fn find_saes(
    model: &Model,
    names: &[&str],
    place: &Files,
    layers: Option<&[usize]>,
) -> Result<Vec<HookedSae>, LabError> {
    let hooks = model.hooks(1, 1);
    let mut found: Vec<(usize, HookedSae)> = Vec::new();
    for (path, files) in formats::find(place)? {
        // Those that are not wanted are read, too, to know their hooks, but do not stay.
        let SaeFile { format, config, weights, conventions, mut notes, transcoder, .. } =
            SaeFile::read(&files)?;
        let name = files.place();
        if transcoder {
            return Err(LabError::refused(
                format!("{name} is a transcoder, which predicts another place than it reads"),
                "leave it out (`mppc sae encode` takes it)",
            ));
        }
        let folder = path.rsplit('/').next().filter(|f| !f.is_empty()).unwrap_or(&name);
        let said = config.hook_name.clone().map(|hook| (hook, format.hook_key()));
        let (hook, key) = said.unwrap_or_else(|| {
            (formats::module_hook(folder).unwrap_or_else(|| folder.to_owned()), "the folder's name")
        });
        let file = files.label(format.config_file());
        let at = hooks.iter().position(|h| h.name == hook).ok_or_else(|| {
            LabError::refused(
                format!("{file}: the SAE reads {hook} ({key}), which {} does not have", model.name()),
                "use the SAEs of this model, or name the folder of one that does not say its hook after it",
            )
        })?;
        let head = config.heads.one();
        fits(model, &hooks[at], &config, format.width_key()).map_err(|failure| failure.at(&file))?;
        if found.iter().any(|(other, sae)| (*other, sae.head) == (at, head)) {
            let name = named(&hook, head);
            return Err(LabError::refused(format!("{} holds two SAEs of {name}", place.place()), "keep one"));
        }
        if let Some(other) = &config.model_name
            && !other.is_empty()
            && !names.iter().any(|name| same_model(name, other))
        {
            notes.push(format!(
                "it says that it was trained on {other}; if {} is another model, its features mean nothing here",
                model.name()
            ));
        }
        let layer = layer_of(&hook, model.layers());
        if layers.is_none_or(|layers| layers.contains(&layer)) {
            let sae = Sae::new(model.engine(), config, weights);
            let read = files.opened();
            let sae = HookedSae { hook, head, layer, folder: path, sae, format, conventions, notes, read };
            found.push((at, sae));
        }
    }
    found.sort_by_key(|(at, sae)| (*at, sae.head));
    Ok(found.into_iter().map(|(_, sae)| sae).collect())
}

/// Checks that an SAE can read a hook of a model; else says what does not fit.
fn fits(model: &Model, hook: &HookPoint, config: &SaeConfig, key: &str) -> Result<(), Failure> {
    let (place, d) = (format!("{} of {}", hook.name, model.name()), config.d_in);
    let Some(width) = width_of(hook) else {
        return Err(Failure::new(
            format!("the SAE reads {place}, which has no vector for each token"),
            "leave it out, or use SAEs of hooks such as blocks.*.hook_resid_post",
        ));
    };
    let one = if has_heads(hook) { hook.shape[3] } else { width };
    let heads = width / one;
    let wrong = match config.heads {
        Heads::One(head) if !has_heads(hook) => {
            format!("`hook_head_index` is {head}, but {place} has no heads")
        }
        Heads::Reshaped if !has_heads(hook) => {
            format!("`reshape_activations` is \"hook_z\", but {place} has no heads")
        }
        Heads::One(head) if head >= heads => {
            format!("`hook_head_index` is {head}, but {place} has heads 0 to {}", heads - 1)
        }
        Heads::One(_) if d == one => return Ok(()),
        Heads::One(_) => format!("`{key}` is {d}, but a head of {place} is {one} wide"),
        Heads::Flat | Heads::Reshaped if d == width => return Ok(()),
        Heads::Flat if d == one => format!(
            "`{key}` is {d}, as a head of {place} is wide, but which of the {heads} heads the SAE reads \
             (`hook_head_index`) is not said"
        ),
        Heads::Flat | Heads::Reshaped => format!("`{key}` is {d}, but {place} is {width} wide"),
    };
    Err(Failure::new(wrong, "use the SAEs of this model"))
}

/// The layer in a hook's name.
fn layer_of(hook: &str, layers: usize) -> usize {
    let number = hook.strip_prefix("blocks.").and_then(|rest| rest.split('.').next()?.parse().ok());
    number.unwrap_or(if hook == "hook_embed" { 0 } else { layers.saturating_sub(1) })
}
