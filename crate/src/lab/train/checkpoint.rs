//! A training run on disk: one safetensors file with everything that the rest of the run depends on.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::plan::{CurvePoint, TrainPlan};
use crate::checkpoint::SafeFile;
use crate::lab::LabError;
use crate::sae::{Facts, ShuffleBuffer, Snapshot};

/// Of this form; anything else is not read.
const FORM: u32 = 1;
/// Where the facts are in the file's metadata.
const KEY: &str = "mppc.sae_training";

/// What is no array.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct RunFacts {
    form: u32,
    pub(super) model: String,
    pub(super) corpus: String,
    pub(super) plan: TrainPlan,
    /// Steps done.
    pub(super) done: usize,
    /// Batches taken from the corpus.
    pub(super) batches: usize,
    /// For each hook: its name, whether its buffer is in random order, and how much randomness that took.
    buffers: Vec<(String, bool, String)>,
    trainers: Vec<Facts>,
    pub(super) curve: Vec<CurvePoint>,
}

/// A run at rest.
pub struct Checkpoint {
    facts: RunFacts,
    /// Name, shape and values.
    arrays: Vec<(String, Vec<usize>, Vec<f32>)>,
}

/// What of a run is not in its parts.
pub(super) struct Course<'a> {
    pub(super) model: &'a str,
    pub(super) corpus: &'a str,
    pub(super) plan: &'a TrainPlan,
    pub(super) done: usize,
    pub(super) batches: usize,
    pub(super) curve: &'a [CurvePoint],
}

impl Checkpoint {
    /// `buffers` have the name of their hook and the width of its activations.
    pub(super) fn new(
        course: &Course<'_>,
        buffers: &[(&str, usize, &ShuffleBuffer)],
        snapshots: Vec<Snapshot>,
    ) -> Self {
        let mut arrays = Vec::new();
        let mut rests = Vec::new();
        for &(hook, width, buffer) in buffers {
            let (rows, shuffled, position) = buffer.parts();
            arrays.push((format!("buffer.{hook}"), vec![rows.len() / width, width], rows.to_vec()));
            rests.push((hook.to_owned(), shuffled, position.to_string()));
        }
        let mut trainers = Vec::new();
        for (i, snapshot) in snapshots.into_iter().enumerate() {
            trainers.push(snapshot.facts);
            let named = |(name, shape, values)| (format!("{}{name}", prefix(i)), shape, values);
            arrays.extend(snapshot.arrays.into_iter().map(named));
        }
        let facts = RunFacts {
            form: FORM,
            model: course.model.to_owned(),
            corpus: course.corpus.to_owned(),
            plan: course.plan.clone(),
            done: course.done,
            batches: course.batches,
            buffers: rests,
            trainers,
            curve: course.curve.to_vec(),
        };
        Self { facts, arrays }
    }

    /// Writes it as a safetensors file, without making a copy of it first.
    ///
    /// # Errors
    /// What `out` says.
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        let mut header = Map::new();
        header.insert("__metadata__".into(), json!({ KEY: serde_json::to_string(&self.facts)? }));
        let mut end = 0;
        for (name, shape, values) in &self.arrays {
            let start = end;
            end += values.len() * 4;
            let info = json!({ "dtype": "F32", "shape": shape, "data_offsets": [start, end] });
            header.insert(name.clone(), info);
        }
        let mut header = serde_json::to_vec(&Value::Object(header))?;
        header.resize(header.len().next_multiple_of(8), b' ');
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        for (_, _, values) in &self.arrays {
            for part in values.chunks(1 << 18) {
                let bytes: Vec<u8> = part.iter().flat_map(|v| v.to_bits().to_le_bytes()).collect();
                out.write_all(&bytes)?;
            }
        }
        Ok(())
    }
}

fn prefix(trainer: usize) -> String {
    format!("sae{trainer}.")
}

/// What a checkpoint says of the run that left it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct LeftTraining {
    /// The model.
    pub model: String,
    /// What was to be trained.
    pub plan: TrainPlan,
    /// Steps done.
    pub done: usize,
    /// Steps in all.
    pub steps: usize,
}

impl LeftTraining {
    /// Reads it from a checkpoint.
    ///
    /// # Errors
    /// When the file is none.
    pub fn read(file: &SafeFile) -> Result<Self, LabError> {
        let RunFacts { model, plan, done, .. } = facts(file)?;
        let steps = plan.tokens / plan.batch.max(1);
        Ok(Self { model, plan, done, steps })
    }
}

fn facts(file: &SafeFile) -> Result<RunFacts, LabError> {
    let facts: Option<RunFacts> = file.note(KEY).and_then(|text| serde_json::from_str(text).ok());
    facts.filter(|facts| facts.form == FORM).ok_or_else(|| other(file, "no checkpoint of a training"))
}

fn other(file: &SafeFile, what: &str) -> LabError {
    let label = file.label();
    LabError::Mismatch(format!(
        "{label} is {what}; repeat the command as it was to go on with it, or delete the file to begin anew"
    ))
}

/// A checkpoint that was read.
pub(super) struct Left<'a> {
    file: &'a SafeFile,
    pub(super) facts: RunFacts,
}

impl<'a> Left<'a> {
    /// What an earlier run left, if it was a run of this plan on this model and corpus.
    pub(super) fn read(file: &'a SafeFile, course: &Course<'_>) -> Result<Self, LabError> {
        let facts = facts(file)?;
        if facts.model != course.model {
            return Err(other(file, &format!("of a training on {}", facts.model)));
        }
        if facts.corpus != course.corpus {
            return Err(other(file, &format!("of a training on the corpus {}", facts.corpus)));
        }
        if facts.plan != *course.plan {
            return Err(other(file, "of a training with other settings"));
        }
        Ok(Self { file, facts })
    }

    /// The facts of trainer `i`, and where its arrays are.
    pub(super) fn trainer(&self, i: usize) -> Option<(&Facts, &SafeFile, String)> {
        Some((self.facts.trainers.get(i)?, self.file, prefix(i)))
    }

    /// Fills a buffer with what it held.
    pub(super) fn fill(&self, hook: &str, buffer: &mut ShuffleBuffer) -> Result<(), LabError> {
        let rest = self.facts.buffers.iter().find(|(name, ..)| name == hook);
        let rest = rest.and_then(|(_, shuffled, position)| Some((*shuffled, position.parse().ok()?)));
        let (shuffled, position) = rest.ok_or_else(|| {
            LabError::Mismatch(format!("{} says nothing of {hook}; delete the file", self.file.label()))
        })?;
        buffer.restore(self.file.raw_f32s(&format!("buffer.{hook}"))?, shuffled, position);
        Ok(())
    }
}
