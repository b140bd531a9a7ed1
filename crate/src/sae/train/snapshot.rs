//! Everything that a run must know to go on as if it had never stopped.

use serde::{Deserialize, Serialize};

use super::config::TrainConfig;
use super::state::{Constants, L0, Parameters, State};
use super::trainer::{TrainStats, Trainer};
use crate::checkpoint::SafeFile;
use crate::failure::Failure;
use crate::gpu::{Engine, Tensor};
use crate::sae::SaeError;

/// A trainer at rest: its arrays, by name, and what is not an array.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Name, shape and values of each array. Values survive bit by bit.
    pub arrays: Vec<(String, Vec<usize>, Vec<f32>)>,
    /// The rest.
    pub facts: Facts,
}

/// What a [`Snapshot`] holds beside its arrays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    config: TrainConfig,
    step: usize,
    tokens: usize,
    dead: usize,
    resampled: usize,
    stats: TrainStats,
    batch: usize,
    /// Bits of f32 and f64 numbers: JSON has no NaN, and is not trusted with the last digit.
    scale: u32,
    threshold: u32,
    l0: u64,
    error: u64,
}

impl Trainer {
    /// Everything about this trainer; nothing before its first batch.
    ///
    /// # Errors
    /// When the device failed.
    pub async fn snapshot(&self) -> Result<Option<Snapshot>, SaeError> {
        let Some(state) = &self.state else { return Ok(None) };
        let mut arrays = Vec::new();
        for (group, params) in [("params", &state.params), ("first", &state.first), ("second", &state.second)]
        {
            for (name, tensor) in params.named() {
                arrays.push((format!("{group}.{name}"), tensor.shape().to_vec(), tensor.read_f32().await?));
            }
        }
        let features = vec![self.config.features];
        arrays.push(("age".to_owned(), features.clone(), state.age.read_f32().await?));
        let touched = state.touched.iter().map(|&step| f32::from_bits(step)).collect();
        arrays.push(("touched".to_owned(), features, touched));
        let facts = Facts {
            config: self.config.clone(),
            step: self.step,
            tokens: self.tokens,
            dead: self.dead,
            resampled: self.resampled,
            stats: self.stats,
            batch: state.batch,
            scale: state.scale.to_bits(),
            threshold: state.threshold.to_bits(),
            l0: state.l0.read().await?.to_bits(),
            error: state.error.to_bits(),
        };
        Ok(Some(Snapshot { arrays, facts }))
    }

    /// Goes on where a snapshot was taken; its arrays are in `file`, their names behind `prefix`.
    ///
    /// # Errors
    /// When the snapshot is of other settings, or an array is missing.
    pub fn restore(
        engine: &Engine,
        config: TrainConfig,
        facts: &Facts,
        (file, prefix): (&SafeFile, &str),
    ) -> Result<Self, SaeError> {
        if facts.config != config {
            return Err(SaeError::Training(Failure::new(
                format!("{} is of a run with other settings", file.label()),
                "repeat the command as it was, or delete the file",
            )));
        }
        let (d, f) = (config.d_in, config.features);
        let read = |name: &str, shape: &[usize]| -> Result<Tensor, SaeError> {
            Ok(Tensor::from_f32(engine, shape, array(file, &format!("{prefix}{name}"), shape)?))
        };
        let parameters = |group: &str| -> Result<Parameters, SaeError> {
            Ok(Parameters {
                w_enc: read(&format!("{group}.w_enc"), &[f, d])?,
                w_dec: read(&format!("{group}.w_dec"), &[f, d])?,
                scalars: read(&format!("{group}.small"), &[f, 4])?,
                b_dec: read(&format!("{group}.b_dec"), &[d])?,
            })
        };
        let touched = array(file, &format!("{prefix}touched"), &[f])?;
        let scale = f32::from_bits(facts.scale);
        let state = State {
            params: parameters("params")?,
            first: parameters("first")?,
            second: parameters("second")?,
            touched: touched.iter().map(|step| step.to_bits()).collect(),
            age: read("age", &[f])?,
            batch: facts.batch,
            scale,
            threshold: f32::from_bits(facts.threshold),
            l0: L0::Known(f64::from_bits(facts.l0)),
            error: f64::from_bits(facts.error),
            constants: Constants::new(engine, &config, facts.batch, scale),
        };
        Ok(Self {
            engine: engine.clone(),
            config,
            state: Some(state),
            step: facts.step,
            tokens: facts.tokens,
            dead: facts.dead,
            resampled: facts.resampled,
            stats: facts.stats,
        })
    }
}

/// An array of this shape, bit by bit.
fn array(file: &SafeFile, name: &str, shape: &[usize]) -> Result<Vec<f32>, SaeError> {
    match file.shape(name) {
        Some(found) if found == shape => Ok(file.raw_f32s(name)?),
        _ => Ok(file.tensor(name, shape)?), // says what is wrong
    }
}
