//! A Transformer's heads: which of them carry induction, and through which others.

use super::error::{CircuitError, attention_of, within};
use super::experiment::Experiment;
use super::figures::Answers;
use super::gather::{at, at_each, mix};
use super::intervention::{Change, Intervention, Location, Positions, Units};
use crate::failure::Failure;
use crate::model::Plan;

/// A head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its layer.
    pub layer: usize,
    /// Its number in the layer.
    pub head: usize,
}

impl Experiment<'_> {
    /// Head → logit: for each head of each layer (layer by layer), `hook_z` of that head at the last position comes
    /// from the corrupted run, that of every other head is frozen; MLPs run.
    ///
    /// # Errors
    /// A model without heads; those of the model, the device and the watch.
    pub async fn head_to_logit(&self) -> Result<Vec<Answers>, CircuitError> {
        let attention = attention_of(self.model)?;
        let (heads, layers, last) = (attention.heads(), self.model.layers(), self.last());
        let z = |layer: usize| attention.z(layer);
        let keep: Vec<String> = (0..layers).map(z).collect();
        let (clean, other) = (self.cache(self.clean, keep.clone())?, self.cache(self.corrupted, keep)?);
        let pairs: Vec<_> = (0..layers).map(|l| (at(&clean[&z(l)], last), at(&other[&z(l)], last))).collect();
        self.scan(layers * heads, |cells| {
            let patch = |(layer, (clean, other)): (usize, &(_, _))| {
                let width = head_width(clean);
                let mixed = mix((clean, other), width, cells.len(), |cell, _, head| {
                    cells.start + cell == layer * heads + head
                });
                Intervention::replace_at(z(layer), last, mixed)
            };
            Ok(pairs.iter().enumerate().map(patch).collect())
        })
        .await
    }

    /// Head → head → logit: for each head of each layer below the receiver's, its `hook_z` at B comes from the
    /// corrupted run while the others of those layers are frozen there; what the receiver then says at the last
    /// position is patched alone.
    ///
    /// # Errors
    /// A model without heads, a receiver that does not exist; those of the model, the device and the watch.
    pub async fn head_to_head_to_logit(&self, receiver: Head) -> Result<Vec<Answers>, CircuitError> {
        self.check()?;
        let attention = attention_of(self.model)?;
        let (heads, last) = (attention.heads(), self.last());
        let z = |layer: usize| attention.z(layer);
        within("layer", receiver.layer, self.model.layers(), self.model.name())?;
        within("head", receiver.head, heads, &format!("layer {} of {}", receiver.layer, self.model.name()))?;
        if receiver.layer == 0 {
            return Err(CircuitError::Request(Failure::new(
                "a head of layer 0 reads no other head",
                "choose a receiver of a later layer",
            )));
        }
        let keep: Vec<String> = (0..receiver.layer).map(z).collect();
        let (clean, other) = (self.cache(self.clean, keep.clone())?, self.cache(self.corrupted, keep)?);
        let b: Vec<usize> = self.a.iter().map(|a| a + 1).collect();
        let pairs: Vec<_> =
            (0..receiver.layer).map(|l| (at_each(&clean[&z(l)], &b), at_each(&other[&z(l)], &b))).collect();
        self.scan(receiver.layer * heads, |cells| {
            // The first run: what the receiver says when the sender has changed.
            let patch = |(layer, (clean, other)): (usize, &(_, _))| {
                let mixed = mix((clean, other), head_width(clean), cells.len(), |cell, _, head| {
                    cells.start + cell == layer * heads + head
                });
                let positions = Positions::Each(b.repeat(cells.len()));
                Intervention {
                    hook: z(layer),
                    at: Location { positions, ..Location::default() },
                    change: Change::Replace(mixed),
                }
            };
            let sent: Vec<Intervention> = pairs.iter().enumerate().map(patch).collect();
            let prompts = self.tiled(cells.len());
            let edits = super::compile(&sent, &self.model.hooks(prompts.batch, prompts.len))?;
            let keep = vec![z(receiver.layer)];
            let said = self.model.run(&prompts, Plan { keep, edits, ..Plan::default() })?.hooks;
            // The second: that alone.
            let at_last = Location {
                positions: Positions::These(vec![last]),
                units: Units::Heads(vec![receiver.head]),
                ..Location::default()
            };
            let value = at(&said[&z(receiver.layer)], last);
            Ok(vec![Intervention { hook: z(receiver.layer), at: at_last, change: Change::Replace(value) }])
        })
        .await
    }
}

/// Width of a head in z [N, 1, H, d].
fn head_width(z: &crate::gpu::Tensor) -> usize {
    *z.shape().last().expect("z has axes")
}
