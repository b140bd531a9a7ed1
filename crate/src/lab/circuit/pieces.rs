//! The prompts of an experiment, in pieces whose runs fit memory.

use super::experiment::CircuitName;
use super::report::CircuitSettings;
use crate::circuits::{AnswerTokens, CircuitError, Draw, Experiment, Induction, ScanWatch};
use crate::lab::LabModel;
use crate::model::Prompts;

/// Prompts that run through an experiment together: what is kept of their runs must fit memory.
const PIECE: usize = 32;

/// Which prompts an experiment draws. Where positions are compared, A is at the same place in all of them: the first.
///
/// # Errors
/// Sizes that no prompt can have, or that this model cannot read.
pub(super) fn draw_of(
    model: &LabModel,
    experiment: CircuitName,
    settings: &CircuitSettings,
) -> Result<Draw, CircuitError> {
    model.model.check_length(settings.tokens, "")?;
    let draw = Draw {
        count: settings.prompts,
        len: settings.tokens,
        from: model.tokenizer.drawable(model.model.vocab()),
        place: experiment.at_one_place().then_some(0),
        seed: settings.seed,
    };
    draw.check()?;
    Ok(draw)
}

/// Prompts that run together, clean and corrupted.
pub(super) struct Piece {
    clean: Prompts,
    corrupted: Prompts,
    a: Vec<usize>,
    target: AnswerTokens,
}

impl Piece {
    pub(super) fn experiment<'a>(&'a self, model: &'a LabModel, watch: &'a dyn ScanWatch) -> Experiment<'a> {
        let Self { clean, corrupted, a, target } = self;
        Experiment { model: &model.model, clean, corrupted, a, target, logits: false, watch }
    }
}

/// Prompts and their corruptions, piece by piece.
pub(super) fn pieces_of(model: &LabModel, drawn: &Induction, experiment: CircuitName) -> Vec<Piece> {
    let corrupted = drawn.corrupt(experiment.corruption());
    let vocab = model.tokenizer.real_vocabulary(model.model.vocab());
    let len = drawn.len();
    let piece = |start: usize| {
        let end = (start + PIECE).min(drawn.count());
        let part = |all: &Prompts| Prompts {
            batch: end - start,
            len,
            ids: all.ids[start * len..end * len].to_vec(),
        };
        Piece {
            clean: part(&drawn.clean),
            corrupted: part(&corrupted),
            a: drawn.a[start..end].to_vec(),
            target: AnswerTokens {
                b: drawn.b[start..end].to_vec(),
                other: drawn.other[start..end].to_vec(),
                vocab,
            },
        }
    };
    (0..drawn.count()).step_by(PIECE).map(piece).collect()
}
