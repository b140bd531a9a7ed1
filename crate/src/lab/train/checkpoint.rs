//! A training run on disk: one safetensors file with everything that the rest of the run depends on.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::plan::{CurvePoint, TrainPlan};
use crate::checkpoint::{SafeFile, checksum};
use crate::lab::{Input, LabError};
use crate::sae::{Facts, ShuffleBuffer, Snapshot};

/// Of this form; anything else is not read.
const FORM: u32 = 2;
/// Where the facts are in the file's metadata.
const KEY: &str = "mppc.sae_training";

/// What is no array.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct RunFacts {
    form: u32,
    pub(super) model: String,
    pub(super) corpus: String,
    inputs: Vec<Input>,
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
    /// The files of both.
    pub(super) inputs: &'a [Input],
    pub(super) plan: &'a TrainPlan,
    pub(super) done: usize,
    pub(super) batches: usize,
    pub(super) curve: &'a [CurvePoint],
}

/// Where a run leaves what it needs to go on.
pub struct Checkpoints<'a> {
    /// What an earlier run of the same plan left.
    pub from: Option<SafeFile>,
    /// The files that the model and the corpus were read from: what an earlier run left must be of the same. Empty
    /// in the page, whose files were checked when they were fetched.
    pub inputs: Vec<Input>,
    /// Seconds between two.
    pub every: f64,
    /// Keeps one, in place of the one before; half of one must never be found there. Called when a run is cancelled,
    /// too.
    pub write: &'a mut dyn FnMut(&Checkpoint) -> Result<(), LabError>,
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
            inputs: course.inputs.to_vec(),
            plan: course.plan.clone(),
            done: course.done,
            batches: course.batches,
            buffers: rests,
            trainers,
            curve: course.curve.to_vec(),
        };
        Self { facts, arrays }
    }

    /// Writes it as a safetensors file with a checksum, without making a copy of it first.
    ///
    /// # Errors
    /// What `out` says.
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        let mut header = Map::new();
        let facts = serde_json::to_string(&self.facts)?;
        header.insert("__metadata__".into(), json!({ checksum::KEY: checksum::BLANK, KEY: facts }));
        let mut end = 0;
        for (name, shape, values) in &self.arrays {
            let start = end;
            end += values.len() * 4;
            let info = json!({ "dtype": "F32", "shape": shape, "data_offsets": [start, end] });
            header.insert(name.clone(), info);
        }
        let mut header = serde_json::to_vec(&Value::Object(header))?;
        header.resize(header.len().next_multiple_of(8), b' ');
        let mut beginning = (header.len() as u64).to_le_bytes().to_vec();
        beginning.append(&mut header);
        checksum::fill(&mut beginning, self.pieces());
        out.write_all(&beginning)?;
        self.pieces().try_for_each(|bytes| out.write_all(&bytes))
    }

    /// The bytes of all arrays, a megabyte at a time.
    fn pieces(&self) -> impl Iterator<Item = Vec<u8>> {
        let bytes = |part: &[f32]| part.iter().flat_map(|v| v.to_bits().to_le_bytes()).collect();
        self.arrays.iter().flat_map(|(.., values)| values.chunks(1 << 18)).map(bytes)
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

/// The first file that is not as it was, in words; `before` and `now` are what two runs read.
fn difference(before: &[Input], now: &[Input]) -> Option<String> {
    let find = |all: &[Input], name: &str| all.iter().position(|input| input.name == name);
    for input in now {
        match find(before, &input.name) {
            None => return Some(format!("{} was not there", input.name)),
            Some(i) if before[i].sha256 != input.sha256 => {
                return Some(format!("{} was another", input.name));
            }
            Some(_) => {}
        }
    }
    let gone = before.iter().find(|input| find(now, &input.name).is_none());
    gone.map(|input| format!("{} was read, too", input.name))
}

fn other(file: &SafeFile, what: &str) -> LabError {
    let label = file.label();
    LabError::refused(
        format!("{label} is {what}"),
        "repeat the command as it was to go on with it, or delete the file to begin anew",
    )
}

/// A checkpoint that was read.
pub(super) struct Left<'a> {
    file: &'a SafeFile,
    pub(super) facts: RunFacts,
}

impl<'a> Left<'a> {
    /// What an earlier run left, if it was a run of this plan on this model and corpus.
    pub(super) fn read(file: &'a SafeFile, course: &Course<'_>) -> Result<Self, LabError> {
        let damaged = |reason| {
            LabError::refused(format!("{} is damaged ({reason})", file.label()), "delete it to begin anew")
        };
        file.check().map_err(damaged)?;
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
        if let Some(difference) = difference(&facts.inputs, course.inputs) {
            return Err(other(file, &format!("of a training on other files ({difference})")));
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
            LabError::refused(format!("{} says nothing of {hook}", self.file.label()), "delete the file")
        })?;
        buffer.restore(self.file.raw_f32s(&format!("buffer.{hook}"))?, shuffled, position);
        Ok(())
    }
}
