//! GPT-NeoX and Mamba, any size their config describes, with hooks.
//!
//! Not supported: generation, caches across calls, other architectures.

mod config;
mod hooks;
mod likeliest;
mod load;
mod logits;
mod mamba;
mod neox;
mod readout;
#[cfg(test)]
mod tests;
mod tokenizer;

use std::collections::BTreeMap;

use thiserror::Error;

use crate::checkpoint::{CheckpointError, Files, Weights};
use crate::gpu::{Engine, Tensor};
use config::Config;
use hooks::Run;
pub(crate) use hooks::meant;
pub use hooks::{Edit, HookError, HookPoint, Plan, Replacement};
pub use likeliest::{Likely, argmax, likeliest};
pub use logits::Logits;
use mamba::MambaConfig;
pub(crate) use mamba::positions;
pub use mamba::{Mamba, Recurrence};
pub use neox::Neox;
use neox::NeoxConfig;
pub use readout::Readout;
pub use tokenizer::{TokenizeError, Tokenizer};

/// A model cannot be loaded or run.
#[derive(Debug, Error)]
pub enum ModelError {
    /// Its files.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The plan of a run.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// A token id no row of the embedding belongs to.
    #[error(
        "token id {id} (prompt {prompt}, position {position}) is beyond the vocabulary of {vocab} entries"
    )]
    Token {
        /// The id.
        id: u32,
        /// Prompt in the batch.
        prompt: usize,
        /// Position in the prompt.
        position: usize,
        /// Rows of the embedding.
        vocab: usize,
    },
    /// Nothing to run on.
    #[error("there is no token to run the model on; give at least one prompt of at least one token")]
    Empty,
}

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

enum Network {
    Neox(Neox),
    Mamba(Mamba),
}

/// A language model on an engine.
pub struct Model {
    name: String,
    engine: Engine,
    network: Network,
}

impl Model {
    /// Loads a checkpoint: `config.json` and its weights, in the layout of Hugging Face or, for Mamba, of the
    /// original repository.
    ///
    /// # Errors
    /// [`CheckpointError`]: a missing file or key, an unsupported value, a damaged file.
    pub fn load(engine: &Engine, name: &str, files: &Files) -> Result<Self, CheckpointError> {
        let config = Config::read(files)?;
        let kind = match config.get("model_type").and_then(|v| v.as_str()) {
            Some(kind) => kind.to_owned(),
            None if config.get("d_model").is_some() && config.get("n_layer").is_some() => "original".into(),
            None => return Err(config.error("the key model_type is missing".into())),
        };
        let network = match kind.as_str() {
            "gpt_neox" => {
                let sizes = NeoxConfig::read(&config)?;
                Network::Neox(Neox::load(engine, sizes, &Weights::open(files)?)?)
            }
            "mamba" | "original" => {
                // Converted checkpoints keep the original keys beside the Hugging Face ones.
                let original = config.get("hidden_size").is_none();
                let sizes = match original && config.get("n_layer").is_some() {
                    true => MambaConfig::read_original(&config)?,
                    false => MambaConfig::read(&config)?,
                };
                Network::Mamba(Mamba::load(engine, sizes, &Weights::open(files)?)?)
            }
            other => {
                return Err(
                    config.error(format!("model_type {other:?} is not supported; gpt_neox and mamba are"))
                );
            }
        };
        Ok(Self { name: name.to_owned(), engine: engine.clone(), network })
    }

    /// The name it was loaded under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The engine it lives on.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// `gpt_neox` or `mamba`.
    pub fn architecture(&self) -> &'static str {
        match self.network {
            Network::Neox(_) => "gpt_neox",
            Network::Mamba(_) => "mamba",
        }
    }

    /// The network, if it is a GPT-NeoX.
    pub fn neox(&self) -> Option<&Neox> {
        match &self.network {
            Network::Neox(neox) => Some(neox),
            Network::Mamba(_) => None,
        }
    }

    /// The network, if it is a Mamba.
    pub fn mamba(&self) -> Option<&Mamba> {
        match &self.network {
            Network::Neox(_) => None,
            Network::Mamba(mamba) => Some(mamba),
        }
    }

    /// How the residual stream becomes logits.
    pub fn readout(&self) -> Readout<'_> {
        match &self.network {
            Network::Neox(neox) => neox.readout(),
            Network::Mamba(mamba) => mamba.readout(),
        }
    }

    /// Number of layers.
    pub fn layers(&self) -> usize {
        match &self.network {
            Network::Neox(n) => n.config.layers,
            Network::Mamba(m) => m.config.layers,
        }
    }

    /// Width of the residual stream.
    pub fn d_model(&self) -> usize {
        match &self.network {
            Network::Neox(n) => n.config.d_model,
            Network::Mamba(m) => m.config.d_model,
        }
    }

    /// Rows of the embedding, padding rows included.
    pub fn vocab(&self) -> usize {
        match &self.network {
            Network::Neox(n) => n.config.vocab,
            Network::Mamba(m) => m.config.vocab,
        }
    }

    /// Every hook point for prompts of this batch and length, in the order of the pass.
    pub fn hooks(&self, batch: usize, len: usize) -> Vec<HookPoint> {
        match &self.network {
            Network::Neox(n) => n.hooks(batch, len),
            Network::Mamba(m) => m.hooks(batch, len),
        }
    }

    /// The hooks whose channels are this model's neurons in the paper's baseline (section 3): MLP activations of
    /// a Transformer; SSM input and gate (to be put through a SiLU, see [`Model::is_gate`]) of a Mamba.
    pub fn neuron_hooks(&self) -> Vec<String> {
        match &self.network {
            Network::Neox(n) => n.neuron_hooks(),
            Network::Mamba(m) => m.neuron_hooks(),
        }
    }

    /// Whether a neuron hook is a gate before its SiLU.
    pub fn is_gate(hook: &str) -> bool {
        hook.ends_with(".hook_skip")
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
        let mut run = Run::new(plan, &self.hooks(batch, len))?;
        let tokens = Tensor::from_u32(&self.engine, &[batch, len], ids.clone());
        let logits = match &self.network {
            Network::Neox(n) => n.forward(&tokens, &mut run),
            Network::Mamba(m) => m.forward(&tokens, &mut run),
        };
        Ok(Output { hooks: run.kept, logits })
    }
}
