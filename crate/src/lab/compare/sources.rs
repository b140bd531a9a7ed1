//! Which codes there are to be had, and the names under which a store keeps them.

use super::plan::SidePlan;
use crate::corpus::{Corpus, SpecialIds};
use crate::lab::shared::{CorpusPlan, HookedSae, LabModel, SideInputs, digest};

/// Which of an SAE's readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variant {
    /// The SAE as it is.
    Trained,
    /// On activations that are turned at random.
    Rotated,
    /// Random directions, as many active on each token.
    Random,
}

impl Variant {
    fn name(self) -> &'static str {
        match self {
            Self::Trained => "trained",
            Self::Rotated => "rotated",
            Self::Random => "random",
        }
    }
}

/// Codes to be had of one SAE.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// Its number among the model's.
    pub(super) sae: usize,
    pub(super) variant: Variant,
    /// Number of features.
    pub(super) features: usize,
    /// A name for everything that decides the codes.
    pub(super) digest: String,
    /// The same with words in front.
    pub(super) key: String,
}

/// What one side's codes depend on, beside the SAE.
pub(super) struct Basis<'a> {
    pub(super) model: &'a LabModel,
    pub(super) side: &'a SidePlan,
    pub(super) inputs: &'a SideInputs,
    /// See [`corpus_identity`].
    pub(super) corpus: &'a str,
}

/// Everything that decides the batches but their number.
pub(super) fn corpus_identity(
    corpus: &Corpus,
    hashes: &[&str],
    plan: &CorpusPlan,
    special: &SpecialIds,
) -> String {
    let name = match hashes {
        [] => corpus.name().to_owned(),
        _ => format!("{}: {}", corpus.reading(), hashes.join(",")),
    };
    let CorpusPlan { context, batch, bos, .. } = plan;
    let (first, ends) = (special.bos, special.ends());
    format!("{name}; context {context}, batch {batch}, bos {bos:?} {first:?}, not text {ends:?}")
}

impl Basis<'_> {
    /// A name for the model's files, or the model's name where they were not hashed.
    pub(super) fn model_identity(&self) -> String {
        let hashes: Vec<&str> = self.inputs.model.iter().map(|input| input.sha256.as_str()).collect();
        if hashes.is_empty() { self.model.name().to_owned() } else { hashes.join(",") }
    }

    /// The codes of a variant of every SAE; `seed` is that of rotations and random directions.
    pub(super) fn sources(&self, variant: Variant, seed: u64) -> Vec<Source> {
        let source = |(i, hooked): (usize, &HookedSae)| {
            let files = self.inputs.saes.get(i).into_iter().flatten();
            let files: Vec<&str> = files.map(|input| input.sha256.as_str()).collect();
            let control = if variant == Variant::Trained { String::new() } else { format!("seed {seed}") };
            let center = if self.side.center_resid { "centred" } else { "" };
            let digest = digest(&[
                "codes 2",
                &self.model_identity(),
                &files.join(","),
                &hooked.name(),
                variant.name(),
                &control,
                center,
                self.corpus,
            ]);
            let plain = |c: char| if c.is_ascii_alphanumeric() || "._".contains(c) { c } else { '-' };
            let name: String = self.model.name().chars().map(plain).collect();
            let name = name.rsplit("--").next().unwrap_or(&name).trim_matches('-');
            let key = format!("{name}.{}.{}-{digest}", hooked.name(), variant.name());
            Source { sae: i, variant, features: hooked.sae.config.d_sae, digest, key }
        };
        self.model.saes.iter().enumerate().map(source).collect()
    }
}
