//! Every key of a plan: what it means, what it may be. The plan's check, the example that `mppc compare --example`
//! prints and the JSON Schema of `--schema` are made of this table; their tests hold it against the plan itself.

use serde::Serialize;

use crate::failure::Failure;
use crate::lab::shared::limits::{self, Whole};

/// A key of a section.
pub(super) struct Key {
    pub(super) name: &'static str,
    /// What it means, a sentence; of a number with its unit.
    #[cfg_attr(target_arch = "wasm32", allow(dead_code, reason = "the page writes no plans"))]
    pub(super) about: &'static str,
    pub(super) kind: Kind,
}

/// What a value may be.
pub(super) enum Kind {
    /// Text that must be there.
    Text,
    /// Text that may be left out; with an example.
    MaybeText(#[cfg_attr(target_arch = "wasm32", allow(dead_code))] &'static str),
    /// Numbers of layers; may be left out.
    Layers(Whole),
    Flag,
    Number(Whole),
    /// A share of the tokens, from 0 to 1.
    Share,
    /// One of these.
    Word(#[cfg_attr(target_arch = "wasm32", allow(dead_code))] &'static [&'static str]),
}

const fn key(name: &'static str, about: &'static str, kind: Kind) -> Key {
    Key { name, about, kind }
}

/// A section, what it is about, and its keys.
type Section = (&'static str, &'static str, &'static [Key]);

const SIDE: &[Key] = &[
    key(
        "model",
        "A directory, tiny-neox, tiny-mamba, a name that `mppc models` lists, or owner/name[@revision].",
        Kind::Text,
    ),
    key(
        "saes",
        "Directory of SAEs, one folder each; left out: those beside the model's weights.",
        Kind::MaybeText("saes/mine"),
    ),
    key(
        "layers",
        "Numbers of the layers whose SAEs take part; left out: all that have SAEs.",
        Kind::Layers(limits::LAYER),
    ),
    key(
        "center_resid",
        "Take the mean over d_model from the activations first, as the paper's script does.",
        Kind::Flag,
    ),
];

const CORPUS: &[Key] = &[
    key(
        "source",
        "builtin, a .txt, .jsonl or .parquet file, a folder of .parquet files, or hub:OWNER/NAME.",
        Kind::Text,
    ),
    key("seed", "Seed of the built-in corpus.", Kind::Number(limits::SEED)),
    key("tokens", "Tokens to correlate over.", Kind::Number(limits::COMPARED_TOKENS)),
    key("context", "Documents are cut to this many tokens, BOS included.", Kind::Number(limits::CONTEXT)),
    key("batch", "Documents in a batch.", Kind::Number(limits::DOCUMENTS)),
    key(
        "bos",
        "BOS at the beginning of a document: put there and left out of all figures, put there and kept, or not \
         put there.",
        Kind::Word(&["drop", "keep", "none"]),
    ),
];

const FILTER: &[Key] = &[
    key("min", "Share of the tokens on which a feature is active, at least.", Kind::Share),
    key("max", "The same, at most.", Kind::Share),
];

const CONTROLS: &[Key] = &[
    key("seed", "Seed of shuffles, shifts, rotations and random SAEs.", Kind::Number(limits::SEED)),
    key("neuron_tokens", "Tokens of the neuron baseline; 0 for none.", Kind::Number(limits::SOME_TOKENS)),
    key(
        "shuffled",
        "Nulls with A's tokens in shuffled order, each a whole run.",
        Kind::Number(limits::NULLS),
    ),
    key(
        "shifted",
        "Nulls with A's tokens moved on in a circle, each a whole run.",
        Kind::Number(limits::NULLS),
    ),
    key(
        "draws",
        "Null maxima behind each p-value, at least; 0 for no p-values.",
        Kind::Number(limits::DRAWS),
    ),
    key("rotated", "Also B's SAEs on activations that a random rotation has turned.", Kind::Flag),
    key(
        "random",
        "Also random directions in the place of B's SAEs, as many active on each token.",
        Kind::Flag,
    ),
    key("subsets", "Also halves, a quarter, an eighth and a sixteenth of the tokens.", Kind::Flag),
    key(
        "likeness_tokens",
        "Tokens over which the activations themselves are compared (CKA, SVCCA, PWCCA, RSA); 0 for none.",
        Kind::Number(limits::SOME_TOKENS),
    ),
    key("matching", "Also match features one to one.", Kind::Flag),
    key("complexity", "Hold features against the ground truth of the built-in corpus.", Kind::Flag),
];

/// All of them, in the order of the example.
pub(super) const SECTIONS: &[Section] = &[
    ("a", "The first model.", SIDE),
    ("b", "The second model.", SIDE),
    ("corpus", "The texts that both read.", CORPUS),
    ("filter", "Which features the filtered summaries are about.", FILTER),
    ("controls", "What stands beside the scores.", CONTROLS),
];

/// Refuses a number that is out of its range.
pub(super) fn check(plan: &impl Serialize) -> Result<(), Failure> {
    let plan = serde_json::to_value(plan).map_err(|e| e.to_string())?;
    for (section, _, keys) in SECTIONS {
        for Key { name, kind, .. } in *keys {
            let value = &plan[section][name];
            let (range, values) = match kind {
                Kind::Number(range) => (range, std::slice::from_ref(value)),
                Kind::Layers(range) => (range, value.as_array().map_or(&[][..], Vec::as_slice)),
                _ => continue,
            };
            for value in values {
                let number = value.as_u64().unwrap_or(u64::MAX);
                range.check(name, number).map_err(|failure| failure.at(section))?;
            }
        }
    }
    Ok(())
}

/// The section that has a key of this name, for one that stands in another.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn section_of(name: &str) -> Option<&'static str> {
    let (section, ..) = SECTIONS.iter().find(|(_, _, keys)| keys.iter().any(|key| key.name == name))?;
    Some(section)
}
