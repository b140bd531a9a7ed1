//! What all experiments share: the model they are about, the tokens it reads, what went in, and how they tell where
//! they are.

#[cfg(not(target_arch = "wasm32"))]
mod corpora;
mod error;
mod hooked;
mod inputs;
pub mod limits;
mod progress;
mod stages;
mod subject;
mod tokens;

#[cfg(not(target_arch = "wasm32"))]
pub use corpora::open_corpus;
pub use error::LabError;
pub use hooked::HookedSae;
pub(in crate::lab) use hooked::{has_heads, width_of};
pub(in crate::lab) use inputs::digest;
pub use inputs::{Input, Inputs, SideInputs};
#[cfg(not(target_arch = "wasm32"))]
pub use inputs::{corpus_inputs, model_inputs};
pub use progress::{Observer, Progress, Silent};
pub(in crate::lab) use stages::Stages;
pub use stages::Timing;
pub use subject::LabModel;
pub(in crate::lab) use subject::{kept_rows, prompts};
pub use tokens::{Bos, CorpusPlan};
pub(in crate::lab) use tokens::{notes, short, token_batches};
