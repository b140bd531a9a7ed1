//! GPT-NeoX and Mamba, any size their config describes, with hooks.
//!
//! Not supported: generation, caches across calls, other architectures.

mod config;
mod hooks;
mod likeliest;
mod load;
#[cfg(test)]
mod loading_tests;
mod logits;
mod mamba;
mod neox;
mod readout;
mod sound;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use thiserror::Error;

use crate::checkpoint::{CheckpointError, Files, Weights};
use crate::gpu::{Engine, GpuError, Tensor};
use config::Config;
use hooks::Run;
pub(crate) use hooks::meant;
pub use hooks::{Edit, HookError, HookPoint, Plan, Replacement};
pub use likeliest::{Likely, argmax, likeliest};
use load::{check_layers, prefix, unread};
pub use logits::Logits;
use mamba::MambaConfig;
pub(crate) use mamba::positions;
pub use mamba::{Mamba, Recurrence};
pub use neox::Neox;
use neox::NeoxConfig;
pub use readout::Readout;
pub(crate) use sound::finite;

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
    /// A pass that is not finite.
    #[error(
        "the model is not finite: {hook} holds {value} (prompt {prompt}{}), and nothing before it does; the weights or a number \
         of the config cannot be right",
        position.map_or_else(String::new, |position| format!(", position {position}"))
    )]
    NotFinite {
        /// The first hook point that holds NaN or an infinity.
        hook: String,
        /// What it holds.
        value: f32,
        /// Prompt in the batch.
        prompt: usize,
        /// Position in the prompt, where the hook point has positions.
        position: Option<usize>,
    },
    /// A prompt longer than the model was made to read.
    #[error(
        "the prompt has {len} tokens, but the model was made to read {context}; such a run would take about {operations:.0e} \
         operations and {gigabytes:.1} GB; give a shorter one{}{remedy}",
        if remedy.is_empty() { "" } else { ", " }
    )]
    TooLong {
        /// Tokens of the prompt.
        len: usize,
        /// [`Model::context`].
        context: usize,
        /// Multiplications and additions of a pass.
        operations: f64,
        /// Memory beside the weights.
        gigabytes: f64,
        /// What else there is to do.
        remedy: &'static str,
    },
    /// The device.
    #[error(transparent)]
    Gpu(#[from] GpuError),
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
        let kind = match config.get("model_type").and_then(|v| v.as_str()) {
            Some(kind) => kind.to_owned(),
            None if config.get("d_model").is_some() && config.get("n_layer").is_some() => "original".into(),
            None => return Err(config.error("the key model_type is missing".into())),
        };
        let mut notes = Vec::new();
        let open = |key: &str, layers: usize, usual: &str| {
            let weights = Weights::open(files)?;
            check_layers(&config, (key, layers), &weights, prefix(&weights, usual))?;
            Ok::<_, CheckpointError>(weights)
        };
        let (network, weights) = match kind.as_str() {
            "gpt_neox" => {
                let sizes = NeoxConfig::read(&config, &mut notes)?;
                let weights = open("num_hidden_layers", sizes.layers, neox::PREFIX)?;
                (Network::Neox(Neox::load(engine, sizes, &weights)?), weights)
            }
            "mamba" | "original" => {
                // Converted checkpoints keep the original keys beside the Hugging Face ones.
                let original = config.get("hidden_size").is_none() && config.get("n_layer").is_some();
                let (sizes, key) = match original {
                    true => (MambaConfig::read_original(&config)?, "n_layer"),
                    false => (MambaConfig::read(&config)?, "num_hidden_layers"),
                };
                let weights = open(key, sizes.layers, mamba::PREFIX)?;
                (Network::Mamba(Mamba::load(engine, sizes, &weights)?), weights)
            }
            other => {
                return Err(
                    config.error(format!("model_type {other:?} is not supported; gpt_neox and mamba are"))
                );
            }
        };
        notes.extend(unread(&weights));
        Ok(Self { name: name.to_owned(), engine: engine.clone(), network, notes })
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
        match &self.network {
            Network::Neox(n) => n.config.context,
            Network::Mamba(_) => mamba::CONTEXT,
        }
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

    /// Checks that prompts of `len` tokens are not longer than the model was made to read; `remedy` is what else there is to do
    /// than to shorten them.
    ///
    /// # Errors
    /// [`ModelError::TooLong`], with what a prompt would take.
    pub fn check_length(&self, len: usize, remedy: &'static str) -> Result<(), ModelError> {
        let context = self.context();
        if len <= context {
            return Ok(());
        }
        let (operations, bytes) = match &self.network {
            Network::Neox(n) => n.config.work(len),
            Network::Mamba(m) => m.config.work(len),
        };
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
        let mut run = Run::new(plan, &self.hooks(batch, len))?;
        let tokens = Tensor::from_u32(&self.engine, &[batch, len], ids.clone());
        let logits = match &self.network {
            Network::Neox(n) => n.forward(&tokens, &mut run),
            Network::Mamba(m) => m.forward(&tokens, &mut run),
        };
        Ok(Output { hooks: run.kept, logits })
    }
}
