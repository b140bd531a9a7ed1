//! A look inside a model at one prompt: who reads whom, who is good at induction, what is written where.

use serde::Serialize;

use super::report::CircuitSettings;
use crate::circuits::{
    AttentionPattern, Draw, Induction, Part, Scores, Unwatched, attention, attribution, logit_lens,
    repeated_blocks, scores, state_writes, tap_shares,
};
use crate::corpus::Tokenize as _;
use crate::lab::prompt::last_logits;
use crate::lab::shared::{Stages, limits};
use crate::lab::{LabError, LabModel, NextToken, Observer, PromptToken};
use crate::model::{Prompts, Softmax, likeliest};

/// Next tokens that are told.
const NEXT: usize = 5;
/// Repeated prompts for the scores.
const SCORED: usize = 16;

/// What a model does with a prompt, seen from inside.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct InductionView {
    /// Name of the model.
    pub model: String,
    /// Its `model_type`, e.g. `gpt_neox`.
    pub architecture: String,
    /// Number of layers.
    pub layers: usize,
    /// Heads of a layer, or groups of its channels.
    pub units: usize,
    /// Whether what is shown of attention is hidden attention: that of a recurrence, by groups of channels.
    pub hidden: bool,
    /// The prompt, token by token.
    pub tokens: Vec<PromptToken>,
    /// Where A stands first; B is behind it. None in a text.
    pub planted: Option<usize>,
    /// The likeliest next tokens.
    pub next: Vec<NextToken>,
    /// The answer that is looked at: B of a planted prompt, else the likeliest next token.
    pub answer: PromptToken,
    /// Its probability if the model ended before each layer, and after the last (logit lens).
    pub lens: Vec<f64>,
    /// What each part of the model adds to its logit at the last position, the scale of the last norm as it is.
    pub attribution: Vec<PartShare>,
    /// Attention patterns of all heads, or hidden attention of all groups of channels.
    pub attention: Vec<AttentionPattern>,
    /// Who matches prefixes, looks one back, looks at duplicates: on random blocks said again and again.
    pub scores: Vec<Scores>,
    /// Of a recurrence: how much of each position's write is left in each layer's last state, `[layer][position]`.
    pub writes: Vec<Vec<f64>>,
    /// Of a convolution: the share of each tap, `[layer][how far back]`.
    pub taps: Vec<Vec<f64>>,
}

/// What a part of a model adds to a logit.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify))]
pub struct PartShare {
    /// The part, e.g. `head 1.2`, `MLP 3`, `block 6`.
    pub part: String,
    /// What it adds.
    pub logit: f64,
}

/// Looks inside a model at a text, or at a planted A B … A of random tokens where `text` is absent.
///
/// # Errors
/// A text of no token or of too many; groups that do not divide the channels; a device that fails; an observer that
/// cancels.
pub async fn induction_view(
    model: &LabModel,
    text: Option<&str>,
    settings: &CircuitSettings,
    observer: &dyn Observer,
) -> Result<InductionView, LabError> {
    look(model, text, settings, &mut Stages::new(observer, LOOK_STAGES).about(&[model])).await
}

/// Stages of a look.
pub(super) const LOOK_STAGES: usize = 3;

/// As [`induction_view`], in the next [`LOOK_STAGES`] of some stages.
pub(super) async fn look(
    model: &LabModel,
    text: Option<&str>,
    settings: &CircuitSettings,
    stages: &mut Stages<'_>,
) -> Result<InductionView, LabError> {
    let (prompt, planted) = match text {
        Some(text) => (typed(model, text)?, None),
        None => {
            let drawn = planted(model, settings)?;
            (drawn.clean, Some(drawn.a[0]))
        }
    };
    stages.begin("prompt", prompt.len, "tokens").await?;
    let vocab = model.tokenizer.real_vocabulary(model.model.vocab());
    let logits = last_logits(model, &prompt).await?;
    let next_tokens = likeliest(&logits, vocab, NEXT);
    let answer = match planted {
        Some(a) => prompt.ids[a + 1],
        None => next_tokens.first().map_or(0, |likely| likely.id),
    };
    let lens = lens(model, &prompt, (answer, vocab)).await?;
    let attribution = attributed(model, &prompt, answer).await?;
    stages.begin("attention", model.model.layers(), "layers").await?;
    let patterns = attention(&model.model, &prompt, settings.groups).await?;
    let writes = match model.model.recurrence() {
        Some(_) => state_writes(&model.model, &prompt).await?,
        None => Vec::new(),
    };
    let taps = match model.model.convolution() {
        Some(convolution) if prompt.len >= convolution.taps() => tap_shares(&model.model, &prompt).await?,
        _ => Vec::new(),
    };
    stages.begin("scores", model.model.layers(), "layers").await?;
    let from = model.tokenizer.drawable(model.model.vocab());
    let period = (settings.tokens / 4).clamp(1, (from.len() / 2).max(1));
    let draw = Draw { count: SCORED, len: settings.tokens, from, place: None, seed: settings.seed };
    let repeated = repeated_blocks(draw, period)?;
    let scores = scores(&model.model, &repeated, period, (settings.groups, &Unwatched)).await?;
    stages.step(model.model.layers()).await?;
    let attention = model.model.attention();
    Ok(InductionView {
        model: model.name().to_owned(),
        architecture: model.model.architecture().to_owned(),
        layers: model.model.layers(),
        units: attention.map_or(settings.groups, |attention| attention.heads()),
        hidden: attention.is_none(),
        tokens: prompt.ids.iter().map(|&id| PromptToken::of(model, id)).collect(),
        planted,
        next: next_tokens.into_iter().map(|likely| NextToken::of(model, likely)).collect(),
        answer: PromptToken::of(model, answer),
        lens,
        attribution,
        attention: patterns,
        scores,
        writes,
        taps,
    })
}

/// Probability of a token by the logit lens, layer after layer.
async fn lens(
    model: &LabModel,
    prompt: &Prompts,
    (token, vocab): (u32, usize),
) -> Result<Vec<f64>, LabError> {
    let probability = |logits: &Vec<f32>| Softmax::over(&logits[..vocab]).probability(logits[token as usize]);
    Ok(logit_lens(&model.model, prompt).await?.iter().map(probability).collect())
}

async fn attributed(model: &LabModel, prompt: &Prompts, token: u32) -> Result<Vec<PartShare>, LabError> {
    let name = |part: &Part| match part {
        Part::Embed => "embedding".to_owned(),
        Part::Head(layer, head) => format!("head {layer}.{head}"),
        Part::AttentionBias(layer) => format!("attention bias {layer}"),
        Part::Addend(name, layer) => format!("{name} {layer}"),
        Part::Rest => "bias of the last norm".to_owned(),
    };
    let all = attribution(&model.model, prompt, &[token]).await?;
    Ok(all.iter().map(|c| PartShare { part: name(&c.part), logit: c.values[0] }).collect())
}

/// The longest prompt of a model.
fn longest(model: &LabModel) -> usize {
    limits::LOOKED_AT.most().min(model.model.context())
}

fn typed(model: &LabModel, text: &str) -> Result<Prompts, LabError> {
    let ids = model.tokenizer.encode(text).map_err(|e| LabError::Refused(e.into()))?.ids;
    match ids.len() {
        0 => Err(LabError::refused("the text has no token", "type some words")),
        n if n > longest(model) => {
            let most = longest(model);
            Err(LabError::refused(format!("the text has {n} tokens"), format!("give at most {most}")))
        }
        len => Ok(Prompts { batch: 1, len, ids }),
    }
}

fn planted(model: &LabModel, settings: &CircuitSettings) -> Result<Induction, LabError> {
    if settings.tokens > longest(model) {
        let n = settings.tokens;
        return Err(LabError::refused(
            format!("a prompt of {n} tokens is too long to look at"),
            format!("give at most {}", longest(model)),
        ));
    }
    let from = model.tokenizer.drawable(model.model.vocab());
    let draw = Draw { count: 1, len: settings.tokens, from, place: None, seed: settings.seed };
    Ok(Induction::draw(draw)?)
}
