//! Induction circuits taken apart (paper, section 4): A B … A, what comes next, and through which parts of the model
//! does the answer go?
//!
//! - [`Induction`], [`repeated_blocks`]: prompts, and how they are corrupted.
//! - [`Intervention`]: what is done at a hook, to which prompts, positions, heads, channels or states; [`compile`]
//!   refuses what cannot be, by name.
//! - [`Experiment`]: the paper's experiments, each cell of a scan an answer ([`Answers`]) beside the unchanged one.
//! - [`attention`], [`scores`], [`state_writes`], [`tap_shares`]: looking inside.
//! - [`logit_lens`], [`attribution`]: what each part says for an answer.
//!
//! Everything agrees with a float64 reference to 1e-4, on either engine (`tests/golden/README.md`).
//!
//! Not supported: gradients (attribution patching), and finding circuits by a search.

mod error;
mod experiment;
mod figures;
mod gather;
mod heads;
mod intervention;
mod lens;
mod look;
mod prompts;
mod states;
mod taps;
#[cfg(test)]
mod tests;

pub use error::CircuitError;
pub use experiment::{Experiment, ScanWatch, Unwatched};
pub use figures::{AnswerTokens, Answers, Mean, Means};
pub use heads::Head;
pub use intervention::{Change, Intervention, Location, Positions, Units, compile};
pub use lens::{Contribution, Part, attribution, logit_lens};
pub use look::{
    AttentionPattern, Pattern, Scores, attention, hidden_attention_of, scores, state_writes, tap_shares,
};
pub use prompts::{Corruption, Draw, Induction, repeated_blocks};
pub use states::SsmPart;
pub use taps::{Offset, Taps};
