//! What each part of a model says for an answer: logit lens, and direct logit attribution.

use super::error::{CircuitError, attention_of};
use super::experiment::Cache;
use super::gather::{at, tile};
use crate::failure::Failure;
use crate::gpu::Tensor;
use crate::model::{Addend, LastNorm, Model, Plan, Prompts};

/// A part of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The embedding.
    Embed,
    /// A head of a layer's attention, without the bias.
    Head(usize, usize),
    /// The bias of the attention of a layer.
    AttentionBias(usize),
    /// Something else that a layer adds, with its bias, by its name ([`Addend::Value`]), e.g. `MLP`.
    Addend(&'static str, usize),
    /// The bias of the last norm.
    Rest,
}

/// Contribution of a part to a logit, by prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Contribution {
    /// The part.
    pub part: Part,
    /// What it adds to the logit of each prompt's token, the scale of the last norm as it is.
    pub values: Vec<f64>,
}

/// Logits [N, V] at the last position if the model ended before each layer, and after the last: L + 1 of them
/// (nostalgebraist's logit lens).
///
/// # Errors
/// Those of the model and of the device.
pub async fn logit_lens(model: &Model, prompts: &Prompts) -> Result<Vec<Vec<f32>>, CircuitError> {
    let layers = model.layers();
    let mut names: Vec<String> = (0..layers).map(|l| format!("blocks.{l}.hook_resid_pre")).collect();
    names.push(format!("blocks.{}.hook_resid_post", layers - 1));
    let cache = model.run(prompts, Plan { keep: names.clone(), ..Plan::default() })?.hooks;
    let mut all = Vec::new();
    for name in names {
        let stream = at(&cache[&name], prompts.len - 1).reshape(&[prompts.batch, model.d_model()]);
        all.push(model.readout().lens(&stream).read_f32().await?);
    }
    Ok(all)
}

/// What every part adds to the logit of a token at the last position of each prompt. The contributions add up to the
/// logit.
///
/// # Errors
/// As [`logit_lens`]; not as many tokens as prompts.
pub async fn attribution(
    model: &Model,
    prompts: &Prompts,
    tokens: &[u32],
) -> Result<Vec<Contribution>, CircuitError> {
    if tokens.len() != prompts.batch {
        let (n, given) = (prompts.batch, tokens.len());
        return Err(CircuitError::Request(Failure::new(
            format!("{given} tokens were given for {n} prompts"),
            "one each is needed",
        )));
    }
    let (layers, last) = (model.layers(), prompts.len - 1);
    let end = format!("blocks.{}.hook_resid_post", layers - 1);
    let mut keep = vec!["hook_embed".to_owned(), end.clone()];
    let addends: Vec<Vec<Addend>> = (0..layers).map(|layer| model.addends(layer)).collect();
    for (layer, addends) in addends.iter().enumerate() {
        for addend in addends {
            keep.push(match addend {
                Addend::Heads => attention_of(model)?.z(layer),
                Addend::Value { hook, .. } => hook.clone(),
            });
        }
    }
    let cache = model.run(prompts, Plan { keep, ..Plan::default() })?.hooks;
    let stream = |name: &str| at(&cache[name], last).reshape(&[prompts.batch, model.d_model()]);
    let direction = Direction::new(model, &stream(&end), tokens).await?;
    let mut all = vec![direction.of(Part::Embed, &stream("hook_embed")).await?];
    for (layer, addends) in addends.iter().enumerate() {
        for addend in addends {
            match addend {
                Addend::Heads => all.extend(direction.heads(layer, &cache).await?),
                Addend::Value { name, hook } => {
                    all.push(direction.of(Part::Addend(name, layer), &stream(hook)).await?);
                }
            }
        }
    }
    all.extend(direction.rest());
    Ok(all)
}

/// The direction of each prompt's token, as the last norm lets it through.
struct Direction<'a> {
    model: &'a Model,
    /// Unembedding row ⊙ norm weight / scale, [N, D].
    direction: Vec<f64>,
    /// Unembedding row · norm bias.
    rest: Option<Vec<f64>>,
    /// Whether the norm takes the mean off.
    centered: bool,
    d: usize,
}

impl<'a> Direction<'a> {
    async fn new(model: &'a Model, end: &Tensor, tokens: &[u32]) -> Result<Self, CircuitError> {
        let readout = model.readout();
        let d = model.d_model();
        let (rows, weight) = (readout.directions(tokens).read_f32().await?, readout.weight.read_f32().await?);
        let (centered, bias) = match readout.norm {
            LastNorm::Layer { bias } => (true, Some(bias.read_f32().await?)),
            LastNorm::Rms => (false, None),
        };
        let end = end.read_f32().await?;
        let mut direction = Vec::with_capacity(rows.len());
        for (row, end) in rows.chunks(d).zip(end.chunks(d)) {
            let mean = if centered { end.iter().map(|&v| f64::from(v)).sum::<f64>() / d as f64 } else { 0.0 };
            let square = end.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / d as f64;
            let scale = (square + f64::from(readout.eps)).sqrt();
            direction.extend(row.iter().zip(&weight).map(|(u, w)| f64::from(*u) * f64::from(*w) / scale));
        }
        let dot = |row: &[f32], bias: &[f32]| {
            row.iter().zip(bias).map(|(u, b)| f64::from(*u) * f64::from(*b)).sum()
        };
        let rest = bias.map(|bias| rows.chunks(d).map(|row| dot(row, &bias)).collect());
        Ok(Self { model, direction, rest, centered, d })
    }

    /// What the heads of a layer and the bias of its attention add, of a run's hooks.
    async fn heads(&self, layer: usize, cache: &Cache) -> Result<Vec<Contribution>, CircuitError> {
        let attention = attention_of(self.model)?;
        let z = &cache[&attention.z(layer)]; // [N, T, H, d]
        let (n, len) = (z.shape()[0], z.shape()[1]);
        let mut all = Vec::new();
        for (head, out) in attention.outputs(layer, &at(z, len - 1)).iter().enumerate() {
            all.push(self.of(Part::Head(layer, head), out).await?);
        }
        if let Some(bias) = attention.bias(layer) {
            let bias = tile(&bias.reshape(&[1, bias.len()]), n);
            all.push(self.of(Part::AttentionBias(layer), &bias).await?);
        }
        Ok(all)
    }

    /// What a part's output [N, D] adds.
    async fn of(&self, part: Part, out: &Tensor) -> Result<Contribution, CircuitError> {
        let out = out.read_f32().await?;
        let value = |(out, direction): (&[f32], &[f64])| {
            let mean = out.iter().map(|&v| f64::from(v)).sum::<f64>() / self.d as f64;
            let mean = if self.centered { mean } else { 0.0 };
            out.iter().zip(direction).map(|(o, u)| (f64::from(*o) - mean) * u).sum()
        };
        Ok(Contribution {
            part,
            values: out.chunks(self.d).zip(self.direction.chunks(self.d)).map(value).collect(),
        })
    }

    fn rest(&self) -> Option<Contribution> {
        Some(Contribution { part: Part::Rest, values: self.rest.clone()? })
    }
}
