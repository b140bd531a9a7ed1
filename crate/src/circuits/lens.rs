//! What each part of a model says for an answer: logit lens, and direct logit attribution.

use super::error::CircuitError;
use super::gather::at;
use crate::gpu::Tensor;
use crate::model::{Model, Plan, Prompts};

/// A part of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The embedding.
    Embed,
    /// A head of a Transformer's layer, without the bias.
    Head(usize, usize),
    /// The bias of the attention of a layer.
    AttentionBias(usize),
    /// The MLP of a layer, with its bias.
    Mlp(usize),
    /// A Mamba's block, with its bias.
    Block(usize),
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

/// What every part adds to the logit of a token at the last position of each prompt. The contributions add up to the logit.
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
        return Err(CircuitError::Request(format!(
            "{given} tokens were given for {n} prompts; one each is needed"
        )));
    }
    let (layers, last) = (model.layers(), prompts.len - 1);
    let hooks = |name: &str| (0..layers).map(|l| format!("blocks.{l}.{name}")).collect::<Vec<_>>();
    let end = format!("blocks.{}.hook_resid_post", layers - 1);
    let mut keep = vec!["hook_embed".to_owned(), end.clone()];
    match model.neox() {
        Some(_) => keep.extend([hooks("attn.hook_z"), hooks("hook_mlp_out")].concat()),
        None => keep.extend(hooks("hook_out_proj")),
    }
    let cache = model.run(prompts, Plan { keep, ..Plan::default() })?.hooks;
    let stream = |name: &str| at(&cache[name], last).reshape(&[prompts.batch, model.d_model()]);
    let along = Along::new(model, &stream(&end), tokens).await?;
    let mut all = vec![along.of(Part::Embed, &stream("hook_embed")).await?];
    for layer in 0..layers {
        if let Some(neox) = model.neox() {
            let z = at(&cache[&format!("blocks.{layer}.attn.hook_z")], last); // [N, 1, H, d]
            for (head, out) in neox.head_outputs(layer, &z).iter().enumerate() {
                all.push(along.of(Part::Head(layer, head), out).await?);
            }
            if let Some(bias) = neox.attention_bias(layer) {
                let bias = super::gather::tile(&bias.reshape(&[1, bias.len()]), prompts.batch);
                all.push(along.of(Part::AttentionBias(layer), &bias).await?);
            }
            all.push(along.of(Part::Mlp(layer), &stream(&format!("blocks.{layer}.hook_mlp_out"))).await?);
        } else {
            all.push(along.of(Part::Block(layer), &stream(&format!("blocks.{layer}.hook_out_proj"))).await?);
        }
    }
    all.extend(along.rest());
    Ok(all)
}

/// The direction of each prompt's token, as the last norm lets it through.
struct Along {
    /// Unembedding row ⊙ norm weight / scale, [N, D].
    direction: Vec<f64>,
    /// Unembedding row · norm bias.
    rest: Option<Vec<f64>>,
    /// Whether the norm takes the mean off.
    centered: bool,
    d: usize,
}

impl Along {
    async fn new(model: &Model, end: &Tensor, tokens: &[u32]) -> Result<Self, CircuitError> {
        let readout = model.readout();
        let d = model.d_model();
        let (rows, weight) = (readout.directions(tokens).read_f32().await?, readout.weight.read_f32().await?);
        let bias = match readout.bias {
            Some(bias) => Some(bias.read_f32().await?),
            None => None,
        };
        let centered = bias.is_some();
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
        Ok(Self { direction, rest, centered, d })
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
