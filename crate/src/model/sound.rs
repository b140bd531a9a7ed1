//! Where a pass stops being finite.

use super::error::ModelError;
use super::hooks::{Axis, HookPoint, Plan};
use super::language_model::{Model, Prompts};
use crate::gpu::Tensor;
use crate::kernels::row_norms;

/// Hook points that are not looked at: states, one a position, and what changes them, as much for each token, would
/// fill memory, and are read by what follows; scores hold −∞ where a token must not look.
fn passed_over(hook: &HookPoint) -> bool {
    let of_states = hook.axis(Axis::Channel).is_some() && hook.axis(Axis::State).is_some();
    of_states || hook.masked()
}

/// Whether every value of some tensors is finite: a number a row comes back from the device, not the tensors.
///
/// # Errors
/// What went wrong on the device.
pub(crate) async fn finite(tensors: impl IntoIterator<Item = &Tensor>) -> Result<bool, ModelError> {
    for x in tensors {
        // A sum of squares may pass the largest number by itself: then the values are looked at.
        let bad = |values: &[f32]| values.iter().any(|v| !v.is_finite());
        if bad(&row_norms(x).read_f32().await?) && bad(&x.read_f32().await?) {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Model {
    /// Checks values that a pass on these prompts has given; `place` is what they are.
    ///
    /// # Errors
    /// [`ModelError::NotFinite`] with the first hook point that holds NaN or an infinity.
    pub async fn check_finite(
        &self,
        prompts: &Prompts,
        place: &str,
        values: &[f32],
    ) -> Result<(), ModelError> {
        match values.iter().find(|v| !v.is_finite()) {
            Some(&value) => Err(self.not_finite(prompts, (place, value)).await),
            None => Ok(()),
        }
    }

    /// Runs prompts again, one after the other, to name the first hook point that holds NaN or an infinity; `place` and
    /// `value` are what is told where none does.
    pub async fn not_finite(&self, prompts: &Prompts, (place, value): (&str, f32)) -> ModelError {
        match self.first_not_finite(prompts).await {
            Ok(Some(found)) => found,
            Ok(None) => ModelError::NotFinite { hook: place.to_owned(), value, prompt: 0, position: None },
            Err(error) => error,
        }
    }

    async fn first_not_finite(&self, prompts: &Prompts) -> Result<Option<ModelError>, ModelError> {
        let all = self.hooks(1, prompts.len);
        let names: Vec<&str> = all.iter().map(|hook| hook.name.as_str()).collect();
        let between = |name: &&&str| !name.starts_with("blocks.") || name.ends_with(".hook_resid_post");
        for (prompt, ids) in prompts.ids.chunks(prompts.len).enumerate() {
            let alone = Prompts { batch: 1, len: prompts.len, ids: ids.to_vec() };
            // First between the layers, then inside the one that is to blame: so little is kept at a time.
            let stream: Vec<&str> = names.iter().filter(between).copied().collect();
            let Some(bad) = self.first_of(&alone, &stream).await? else { continue };
            let end = names.iter().position(|name| *name == bad.0).expect("one of them");
            let sound = names[..end].iter().rposition(|name| between(&name)).map_or(0, |last| last + 1);
            let looked_at = all[sound..=end].iter().filter(|hook| !passed_over(hook));
            let inside: Vec<&str> = looked_at.map(|hook| hook.name.as_str()).collect();
            // Fused and taken apart, a layer may round differently.
            let (hook, at, value) = self.first_of(&alone, &inside).await?.unwrap_or(bad);
            let point = &all[names.iter().position(|name| *name == hook).expect("one of them")];
            // Of a value with positions on axis 1 or 2 of a batch of one.
            let position = point.axis(Axis::Position).map(|axis| {
                let after: usize = point.shape[axis + 1..].iter().product();
                at / after.max(1) % point.shape[axis]
            });
            return Ok(Some(ModelError::NotFinite { hook, value, prompt, position }));
        }
        Ok(None)
    }

    /// The first of some hook points, in the order of the pass, that is not finite: its name, which element, and the
    /// element.
    async fn first_of(
        &self,
        prompts: &Prompts,
        names: &[&str],
    ) -> Result<Option<(String, usize, f32)>, ModelError> {
        let keep = names.iter().map(|name| (*name).to_owned()).collect();
        let output = self.run(prompts, Plan { keep, ..Plan::default() })?;
        for name in names {
            let values = output.hooks[*name].read_f32().await?;
            if let Some(at) = values.iter().position(|v| !v.is_finite()) {
                return Ok(Some(((*name).to_owned(), at, values[at])));
            }
        }
        Ok(None)
    }
}
