//! One prompt: its tokens, and what the model expects next.

use serde::Serialize;

use super::{LabError, LabModel};
use crate::corpus::Tokenize as _;
use crate::model::{Likely, Plan, Prompts, likeliest};

/// The longest prompt (tokens). Longer ones take minutes in a browser on the processor.
const LONGEST_PROMPT: usize = 1024;

/// An entry of the vocabulary.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct PromptToken {
    /// Its id.
    pub id: u32,
    /// Its text.
    pub text: String,
}

/// A token that may come next.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct NextToken {
    /// Its id.
    pub id: u32,
    /// Its text.
    pub text: String,
    /// How likely it is, among the tokens of the real vocabulary.
    pub probability: f64,
    /// Its logit.
    pub logit: f32,
}

impl PromptToken {
    pub(super) fn of(model: &LabModel, id: u32) -> Self {
        Self { id, text: model.tokenizer.decode(&[id]) }
    }
}

impl NextToken {
    pub(super) fn of(model: &LabModel, Likely { id, logit, probability }: Likely) -> Self {
        Self { id, text: model.tokenizer.decode(&[id]), probability, logit }
    }
}

/// Logits [V] at the end of a prompt.
///
/// # Errors
/// Those of the model and of the device; a pass that is not finite.
pub(super) async fn last_logits(model: &LabModel, prompt: &Prompts) -> Result<Vec<f32>, LabError> {
    let output = model.model.run(prompt, Plan { logits: true, ..Plan::default() })?;
    let logits = output.logits.expect("logits were asked for").last().at(0..1).read_f32().await?;
    model.model.check_finite(prompt, "logits", &logits).await?;
    Ok(logits)
}

/// What a model makes of a prompt.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct Prompted {
    /// Name of the model.
    pub model: String,
    /// The prompt, token by token.
    pub tokens: Vec<PromptToken>,
    /// The likeliest next tokens, likeliest first.
    pub next: Vec<NextToken>,
    /// What should be known of the model's files ([`LabModel::notes`]).
    pub notes: Vec<String>,
}

/// Runs a text through a model; `top` next tokens are returned. Rows of the vocabulary without an entry of the
/// tokenizer are padding and never among them.
///
/// # Errors
/// A text of no token or of too many, those of the model, and of the device.
pub async fn prompt(model: &LabModel, text: &str, top: usize) -> Result<Prompted, LabError> {
    let tokenizer = &model.tokenizer;
    let ids = tokenizer.encode(text).map_err(|e| LabError::Refused(e.into()))?.ids;
    let (n, most) = (ids.len(), LONGEST_PROMPT.min(model.model.context()));
    if n > most {
        return Err(LabError::refused(format!("the prompt has {n} tokens"), format!("give at most {most}")));
    }
    let prompts = Prompts { batch: 1, len: n, ids };
    let logits = last_logits(model, &prompts).await?;
    let next = likeliest(&logits, tokenizer.real_vocabulary(logits.len()), top);
    Ok(Prompted {
        model: model.name().to_owned(),
        tokens: prompts.ids.iter().map(|&id| PromptToken::of(model, id)).collect(),
        next: next.into_iter().map(|likely| NextToken::of(model, likely)).collect(),
        notes: model.notes.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Files;
    use crate::checkpoint::embedded;
    use crate::gpu::Engine;

    fn run(text: &str) -> Result<Prompted, LabError> {
        let model =
            LabModel::load(&Engine::cpu(), "tiny-neox", &embedded("tiny-neox").unwrap(), None).unwrap();
        pollster::block_on(prompt(&model, text, 10))
    }

    #[test]
    fn a_prompt_gives_its_tokens_and_what_comes_next() {
        let got = run("Once upon a time there was a").unwrap();
        assert_eq!(
            got.tokens.iter().map(|t| t.text.as_str()).collect::<String>(),
            "Once upon a time there was a"
        );
        assert_eq!(got.next.len(), 10);
        assert!(got.next.is_sorted_by(|a, b| a.probability >= b.probability));
        let shown: f64 = got.next.iter().map(|t| t.probability).sum();
        assert!(shown > 0.1 && shown < 1.0, "{shown}");
    }

    #[test]
    fn padding_is_never_next() {
        // The same weights with a tokenizer cut to half its entries: the other rows are padding then.
        let files = embedded("tiny-neox").unwrap();
        let mut tokenizer = files.json("tokenizer.json").unwrap();
        let bpe = tokenizer["model"].as_object_mut().unwrap();
        bpe["vocab"].as_object_mut().unwrap().retain(|_, id| id.as_u64().unwrap() < 300);
        bpe["merges"] = serde_json::json!([]);
        tokenizer["added_tokens"].as_array_mut().unwrap().retain(|t| t["id"].as_u64().unwrap() < 300);
        let bytes = serde_json::to_vec(&tokenizer).unwrap();
        let read = |name: &str| (name.to_owned(), files.read(name).unwrap().into_owned().into());
        let own = Files::loose(
            "cut",
            [read("config.json"), read("model.safetensors"), ("tokenizer.json".to_owned(), bytes.into())],
        );
        let model = LabModel::load(&Engine::cpu(), "cut", &own, None).unwrap();
        assert!(model.tokenizer.len() < model.model.vocab());
        let got = pollster::block_on(prompt(&model, "th", 2000)).unwrap();
        assert_eq!(got.next.len(), model.tokenizer.len());
        assert!((got.next.iter().map(|t| t.probability).sum::<f64>() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn too_little_and_too_much_is_said() {
        assert!(run("").unwrap_err().to_string().contains("at least one"));
        let model =
            LabModel::load(&Engine::cpu(), "tiny-neox", &embedded("tiny-neox").unwrap(), None).unwrap();
        let most = LONGEST_PROMPT.min(model.model.context());
        let long = run(&"never ".repeat(most + 1)).unwrap_err().to_string();
        assert!(long.ends_with(&format!("give at most {most}")), "{long}");
    }
}
