//! Which tokens begin a text, end it and fill up rows: BOS, EOS and PAD.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::checkpoint::{CheckpointError, Files};

/// Where tokens are named by their text, and where by their id; the first that says something counts. What a tokenizer
/// says counts before what a model says: it is what makes the prompts.
const BY_TEXT: [&str; 2] = ["tokenizer_config.json", "special_tokens_map.json"];
const BY_ID: [&str; 2] = ["config.json", "generation_config.json"];

/// The special tokens of a model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpecialIds {
    /// What stands in front of a document; none where no file names such a token.
    pub bos: Option<u32>,
    /// What ends a document; usually one.
    pub eos: Vec<u32>,
    /// What fills up the rows of a batch, if a file names it or there is an EOS. It stands behind the text, where it
    /// changes nothing.
    pub pad: Option<u32>,
    /// Every token that is no text: these, and those that `tokenizer.json` calls special.
    all: BTreeSet<u32>,
    /// What was taken where the files disagree or say nothing, a sentence each.
    notes: Vec<String>,
}

/// The tokens of `tokenizer.json` that matter here.
pub(super) struct Entries<'a> {
    /// Id of a text.
    pub(super) id: &'a dyn Fn(&str) -> Option<u32>,
    /// Whether some token has this id.
    pub(super) has: &'a dyn Fn(u32) -> bool,
    /// Special tokens and their texts.
    pub(super) special: BTreeMap<u32, String>,
}

impl SpecialIds {
    /// Reads what the files of a model say; none of them must be there.
    ///
    /// # Errors
    /// One that is no JSON object.
    pub(super) fn read(files: &Files, entries: &Entries<'_>) -> Result<Self, CheckpointError> {
        let mut read = Vec::new();
        for name in BY_TEXT.iter().chain(&BY_ID) {
            if files.has(name) {
                read.push((*name, files.json(name)?));
            }
        }
        let mut notes = Vec::new();
        let [bos, eos, pad] = ["bos", "eos", "pad"].map(|role| named(role, &read, entries, &mut notes));
        let mut special = Self { all: entries.special.keys().copied().collect(), notes, ..Self::default() };
        special.settle([bos, eos, pad], entries);
        special.all.extend(special.ends());
        Ok(special)
    }

    /// Takes what was named, and something in its stead where nothing was.
    fn settle(&mut self, [bos, eos, pad]: [Vec<u32>; 3], entries: &Entries<'_>) {
        let (no_bos, no_eos, no_pad) = (bos.is_empty(), eos.is_empty(), pad.is_empty());
        // Of a lone tokenizer.json: its only special token, or the one that GPT's tokenizers end texts with.
        let only = match entries.special.len() {
            1 => entries.special.keys().next().copied(),
            _ => entries.special.iter().find(|(_, text)| *text == "<|endoftext|>").map(|(id, _)| *id),
        };
        let end = eos.first().copied();
        self.bos = bos.first().copied().or(end).or(only);
        self.eos = if no_eos { bos.first().copied().or(only).into_iter().collect() } else { eos };
        self.pad = pad.first().or(self.eos.first()).copied();
        let missing: Vec<&str> = [(no_bos, "BOS"), (no_eos, "EOS"), (no_pad, "PAD")]
            .into_iter()
            .filter_map(|(missing, name)| missing.then_some(name))
            .collect();
        if !missing.is_empty() {
            let missing = missing.join(" or ");
            self.notes.push(match self.bos {
                Some(bos) => {
                    let id = if no_bos { bos } else { self.eos[0] };
                    format!("no file names {missing}; {id} is taken")
                }
                None => format!("no file names {missing}; nothing is put in front of texts"),
            });
        }
    }

    /// BOS, EOS and PAD, each once: positions of theirs are not kept.
    pub fn ends(&self) -> Vec<u32> {
        let ends: BTreeSet<u32> = self.bos.iter().chain(&self.eos).chain(&self.pad).copied().collect();
        ends.into_iter().collect()
    }

    /// Whether a token is no text.
    pub fn contains(&self, id: u32) -> bool {
        self.all.contains(&id)
    }

    /// What was taken where the files disagree or say nothing, a sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// The ids that the first file names for a role, after a note on those that name others.
fn named(
    role: &str,
    read: &[(&str, Map<String, Value>)],
    entries: &Entries<'_>,
    notes: &mut Vec<String>,
) -> Vec<u32> {
    let name = role.to_uppercase();
    let mut taken: Option<(&str, Vec<u32>)> = None;
    for (file, map) in read {
        let by_text = BY_TEXT.contains(file);
        let key = if by_text { format!("{role}_token") } else { format!("{role}_token_id") };
        let Some(value) = map.get(&key).filter(|value| !value.is_null()) else { continue };
        let ids = if by_text { id_of(value, entries).map(|id| vec![id]) } else { ids_of(value, entries) };
        let Some(ids) = ids else {
            notes.push(format!("{name}: {file} names {value}, which tokenizer.json does not have"));
            continue;
        };
        match &taken {
            None => taken = Some((file, ids)),
            Some((first, before)) if *before != ids => {
                notes.push(format!(
                    "{name}: {first} says {} and {file} says {}; {} is taken",
                    listed(before),
                    listed(&ids),
                    listed(before)
                ));
            }
            Some(_) => {}
        }
    }
    taken.map(|(_, ids)| ids).unwrap_or_default()
}

/// The id of a token that is named by its text, or by an object that has the text as its content.
fn id_of(value: &Value, entries: &Entries<'_>) -> Option<u32> {
    (entries.id)(value.as_str().or_else(|| value.get("content")?.as_str())?)
}

/// An id, or the ids of a list, ascending.
fn ids_of(value: &Value, entries: &Entries<'_>) -> Option<Vec<u32>> {
    let id = |value: &Value| {
        let id = u32::try_from(value.as_u64()?).ok()?;
        (entries.has)(id).then_some(id)
    };
    let mut ids: Vec<u32> = match value {
        Value::Array(ids) if !ids.is_empty() => ids.iter().map(id).collect::<Option<_>>()?,
        value => vec![id(value)?],
    };
    ids.sort_unstable();
    ids.dedup();
    Some(ids)
}

fn listed(ids: &[u32]) -> String {
    ids.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}
