//! A language model on an engine, whatever its architecture.

use std::collections::BTreeMap;

use super::architectures::of_config;
use super::capabilities::{Addend, Attention, Capability, Convolution, Neurons, Recurrence};
use super::config::Config;
use super::error::ModelError;
use super::hooks::{HookPoint, Pass, Plan};
use super::load::{Source, unread};
use super::logits::Logits;
use super::network::{Architecture, Network};
use super::readout::Readout;
use crate::checkpoint::{CheckpointError, Files};
use crate::gpu::{Engine, Tensor};

/// Prompts of one length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompts {
    /// Number of prompts B.
    pub batch: usize,
    /// Tokens in each, T.
    pub len: usize,
    /// Token ids [B, T].
    pub ids: Vec<u32>,
}

/// What a run returns.
#[derive(Debug)]
pub struct Output {
    /// The hook points asked for, by name.
    pub hooks: BTreeMap<String, Tensor>,
    /// Logits [B, T, rows of the vocabulary], if asked for.
    pub logits: Option<Logits>,
}

/// A language model on an engine.
pub struct Model {
    name: String,
    engine: Engine,
    architecture: &'static Architecture,
    network: Box<dyn Network>,
    notes: Vec<String>,
}

impl Model {
    /// Loads a checkpoint: `config.json` and its weights, in the layout of Hugging Face or, for Mamba, of the
    /// original repository.
    ///
    /// # Errors
    /// [`CheckpointError`]: a missing file or key, an unsupported value, a damaged file.
    pub fn load(engine: &Engine, name: &str, files: &Files) -> Result<Self, CheckpointError> {
        let config = Config::read(files)?;
        let architecture = of_config(&config)?;
        let mut notes = Vec::new();
        let source = Source { engine, config: &config, files };
        let (network, weights) = (architecture.load)(&source, &mut notes)?;
        notes.extend(unread(&weights));
        Ok(Self { name: name.to_owned(), engine: engine.clone(), architecture, network, notes })
    }

    /// The name it was loaded under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What should be known of its files, a sentence each: tensors that are not part of it, keys that disagree.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Tokens that it was made to read at most: a Transformer's `max_position_embeddings`; 2,048 of a Mamba, which its
    /// config does not say.
    pub fn context(&self) -> usize {
        self.network.sizes().context
    }

    /// The engine it lives on.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Its `model_type`, e.g. `gpt_neox`.
    pub fn architecture(&self) -> &'static str {
        self.architecture.model_type
    }

    /// Its attention heads, if it has any.
    pub fn attention(&self) -> Option<&dyn Attention> {
        self.network.attention()
    }

    /// Its recurrence, if it has one.
    pub fn recurrence(&self) -> Option<&dyn Recurrence> {
        self.network.recurrence()
    }

    /// Its convolution, if it has one.
    pub fn convolution(&self) -> Option<&dyn Convolution> {
        self.network.convolution()
    }

    /// Whether it has something that not every network has.
    pub fn has(&self, capability: Capability) -> bool {
        match capability {
            Capability::Attention => self.attention().is_some(),
            Capability::Recurrence => self.recurrence().is_some(),
            Capability::Convolution => self.convolution().is_some(),
        }
    }

    /// What a layer adds to the residual stream, in the order of the pass.
    pub fn addends(&self, layer: usize) -> Vec<Addend> {
        self.network.addends(layer)
    }

    /// How the residual stream becomes logits.
    pub fn readout(&self) -> Readout<'_> {
        self.network.readout()
    }

    /// Number of layers.
    pub fn layers(&self) -> usize {
        self.network.sizes().layers
    }

    /// Width of the residual stream.
    pub fn d_model(&self) -> usize {
        self.network.sizes().d_model
    }

    /// Rows of the embedding, padding rows included.
    pub fn vocab(&self) -> usize {
        self.network.sizes().vocab
    }

    /// Every hook point for prompts of this batch and length, in the order of the pass.
    pub fn hooks(&self, batch: usize, len: usize) -> Vec<HookPoint> {
        self.network.hooks(batch, len)
    }

    /// This model's neurons in the paper's baseline (section 3), layer after layer: MLP activations of a Transformer; SSM
    /// input and gate of a Mamba.
    pub fn neurons(&self) -> Vec<Neurons> {
        self.network.neurons()
    }

    /// Checks that prompts of `len` tokens are not longer than the model was made to read; `remedy` is what else
    /// there is to do than to shorten them.
    ///
    /// # Errors
    /// [`ModelError::TooLong`], with what a prompt would take.
    pub fn check_length(&self, len: usize, remedy: &'static str) -> Result<(), ModelError> {
        let context = self.context();
        if len <= context {
            return Ok(());
        }
        let (operations, bytes) = self.network.work(len);
        Err(ModelError::TooLong { len, context, operations, gigabytes: bytes / 1e9, remedy })
    }

    /// Runs the model on prompts. The work is recorded, not waited for; a device's errors come out when a
    /// tensor of the output is read.
    ///
    /// # Errors
    /// [`ModelError::Empty`], [`ModelError::Token`], [`ModelError::Hook`].
    ///
    /// # Panics
    /// When the ids are not batch × len.
    pub fn run(&self, prompts: &Prompts, plan: Plan) -> Result<Output, ModelError> {
        let &Prompts { batch, len, ref ids } = prompts;
        assert_eq!(ids.len(), batch * len, "ids are batch × len");
        if ids.is_empty() {
            return Err(ModelError::Empty);
        }
        let vocab = self.vocab();
        if let Some(i) = ids.iter().position(|&id| id as usize >= vocab) {
            return Err(ModelError::Token { id: ids[i], prompt: i / len, position: i % len, vocab });
        }
        let mut pass = Pass::new(plan, &self.hooks(batch, len))?;
        let tokens = Tensor::from_u32(&self.engine, &[batch, len], ids.clone());
        let logits = self.network.forward(&tokens, &mut pass);
        Ok(Output { hooks: pass.kept, logits })
    }
}
