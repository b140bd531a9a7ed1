//! Looking inside without changing anything: who reads whom, what is written where.

use serde::{Deserialize, Serialize};

use super::error::{CircuitError, convolution_of, recurrence_of, within};
use super::experiment::{ScanWatch, Unwatched};
use super::gather::rows_of;
use super::states::{input_hooks, inputs_of};
use crate::failure::Failure;
use crate::gpu::Tensor;
use crate::model::{Model, Plan, Prompts, Recurrence, RecurrenceInputs};

/// A row-major matrix [T, T]: entry (t, s) is how much position t takes from position s ≤ t.
pub type Pattern = Vec<f32>;

/// Attention of one head, or what stands for it in a Mamba, over one prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify))]
pub struct AttentionPattern {
    /// Layer.
    pub layer: usize,
    /// Head of a Transformer, group of channels of a Mamba.
    pub unit: usize,
    /// Attention pattern, whose rows sum to 1; of a Mamba the mean of |α_{t,s}| over the channels of the group.
    pub pattern: Pattern,
}

/// How far heads (or groups of a Mamba's channels) do what induction takes, on repeated blocks (Olsson et al. 2022).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify))]
pub struct Scores {
    /// Layer.
    pub layer: usize,
    /// Head, or group of channels.
    pub unit: usize,
    /// Mean attention from a token said again to the token after where it was said before.
    pub prefix_matching: f64,
    /// Mean attention to the position before.
    pub previous_token: f64,
    /// Mean attention from a token said again to where it was said before.
    pub duplicate_token: f64,
}

/// Attention patterns of every head of a Transformer over one prompt, or hidden attention (Ali et al. 2024) of every
/// layer of a Mamba, its channels in `groups`: α_{t,s} = C_t · (∏_{k=s+1..t} Ā_k) B̄_s for each channel. Of the T²
/// values of all channels only a layer's are there at a time.
///
/// # Errors
/// More than one prompt, groups that do not divide the channels; those of the model and of the device.
pub async fn attention(
    model: &Model,
    prompt: &Prompts,
    groups: usize,
) -> Result<Vec<AttentionPattern>, CircuitError> {
    if prompt.batch != 1 {
        return Err(CircuitError::Request(Failure::new(
            format!("{} prompts were given", prompt.batch),
            "attention is shown of one",
        )));
    }
    let mut all = Vec::new();
    for (layer, patterns) in (0..model.layers()).zip(patterns(model, prompt, groups, &Unwatched).await?) {
        let one = |(unit, pattern)| AttentionPattern { layer, unit, pattern };
        all.extend(patterns.into_iter().flatten().enumerate().map(one));
    }
    Ok(all)
}

/// Scores of every head, or of every layer of a Mamba with its channels in `groups`, on prompts that say blocks of
/// `period` tokens again and again. Hidden attention is divided by the sum of its row first.
///
/// # Errors
/// As [`attention`]; a period that does not come back.
pub async fn scores(
    model: &Model,
    prompts: &Prompts,
    period: usize,
    (groups, watch): (usize, &dyn ScanWatch),
) -> Result<Vec<Scores>, CircuitError> {
    let len = prompts.len;
    if period == 0 || period >= len {
        return Err(CircuitError::Request(
            format!("blocks of {period} tokens do not come back in {len}").into(),
        ));
    }
    let hidden = model.attention().is_none();
    let mut all = Vec::new();
    for (layer, prompts) in patterns(model, prompts, groups, watch).await?.into_iter().enumerate() {
        let units = prompts.first().map_or(0, Vec::len);
        for unit in 0..units {
            let mean = |from: usize, back: usize| {
                let of = |pattern: &Pattern, t: usize| {
                    let row = &pattern[t * len..][..len];
                    let sum: f64 = row.iter().map(|&v| f64::from(v)).sum();
                    f64::from(row[t - back]) / if hidden { sum } else { 1.0 }
                };
                let values = prompts.iter().flat_map(|units| (from..len).map(|t| of(&units[unit], t)));
                values.sum::<f64>() / (prompts.len() * (len - from)) as f64
            };
            all.push(Scores {
                layer,
                unit,
                prefix_matching: mean(period, period - 1),
                previous_token: mean(1, 1),
                duplicate_token: mean(period, period),
            });
        }
    }
    Ok(all)
}

/// Patterns by layer, prompt and unit.
async fn patterns(
    model: &Model,
    prompts: &Prompts,
    groups: usize,
    watch: &dyn ScanWatch,
) -> Result<Vec<Vec<Vec<Pattern>>>, CircuitError> {
    let layers = model.layers();
    let mut all = Vec::with_capacity(layers);
    for layer in 0..layers {
        all.push(match model.attention() {
            Some(attention) => heads(model, prompts, &attention.pattern(layer)).await?,
            None => hidden_patterns(model, prompts, layer, groups).await?,
        });
        watch.step(layer + 1, layers).await?;
    }
    Ok(all)
}

/// Patterns of the heads of one layer, by prompt.
async fn heads(model: &Model, prompts: &Prompts, hook: &str) -> Result<Vec<Vec<Pattern>>, CircuitError> {
    let mut kept = model.run(prompts, Plan { keep: vec![hook.to_owned()], ..Plan::default() })?.hooks;
    let pattern = kept.remove(hook).expect("it was asked for"); // [N, H, T, T]
    let square = prompts.len * prompts.len;
    let values = pattern.read_f32().await?;
    let of_prompt = |prompt: &[f32]| prompt.chunks(square).map(<[f32]>::to_vec).collect();
    Ok(values.chunks(values.len() / prompts.batch).map(of_prompt).collect())
}

/// Hidden attention of one layer, by prompt.
async fn hidden_patterns(
    model: &Model,
    prompts: &Prompts,
    layer: usize,
    groups: usize,
) -> Result<Vec<Vec<Pattern>>, CircuitError> {
    let Some(recurrence) = model.recurrence() else {
        return Err(CircuitError::Request(Failure::new(
            format!("{} has neither attention heads nor a recurrence, and so no patterns", model.name()),
            "choose another model",
        )));
    };
    let inputs = given(model, recurrence, prompts, layer)?;
    let mut all = Vec::new();
    for prompt in 0..prompts.batch {
        all.push(hidden(recurrence, layer, &one(&inputs, prompt), groups).await?);
    }
    Ok(all)
}

/// What a layer's recurrence is given on these prompts.
fn given(
    model: &Model,
    recurrence: &dyn Recurrence,
    prompts: &Prompts,
    layer: usize,
) -> Result<RecurrenceInputs, CircuitError> {
    let keep = input_hooks(recurrence, layer);
    let cache = model.run(prompts, Plan { keep, ..Plan::default() })?.hooks;
    Ok(inputs_of(recurrence, layer, &cache))
}

/// One prompt of a batch.
fn one(inputs: &RecurrenceInputs, prompt: usize) -> RecurrenceInputs {
    let part = |x: &Tensor| {
        let shape = x.shape();
        let row = x.reshape(&[shape[0], shape[1] * shape[2]]);
        rows_of(&[row], std::iter::once(prompt)).reshape(&[1, shape[1], shape[2]])
    };
    RecurrenceInputs {
        x: part(&inputs.x),
        delta: part(&inputs.delta),
        b: part(&inputs.b),
        c: part(&inputs.c),
    }
}

/// The same prompt `times` times, with another input x [times, T, E].
fn repeated(inputs: &RecurrenceInputs, x: Tensor) -> RecurrenceInputs {
    let times = x.shape()[0];
    let again = |t: &Tensor| super::gather::tile(t, times);
    RecurrenceInputs { delta: again(&inputs.delta), b: again(&inputs.b), c: again(&inputs.c), x }
}

/// Hidden attention of a layer over one prompt: the answers y of its recurrence to an input that is 1 at one position
/// and 0 elsewhere are column s of α. Mean of |α| over each group of channels.
async fn hidden(
    recurrence: &dyn Recurrence,
    layer: usize,
    inputs: &RecurrenceInputs,
    groups: usize,
) -> Result<Vec<Pattern>, CircuitError> {
    let (len, channels) = (inputs.x.shape()[1], recurrence.channels());
    if groups == 0 || !channels.is_multiple_of(groups) {
        return Err(CircuitError::Request(
            format!("{channels} channels cannot be put in {groups} groups of one size").into(),
        ));
    }
    let of_group = channels / groups;
    let mut patterns = vec![vec![0.0; len * len]; groups];
    let y = impulses(recurrence, layer, inputs).await?; // [T (s), T (t), E]
    for s in 0..len {
        for t in s..len {
            let row = &y[(s * len + t) * channels..][..channels];
            for (pattern, row) in patterns.iter_mut().zip(row.chunks(of_group)) {
                pattern[t * len + s] =
                    (row.iter().map(|v| f64::from(v.abs())).sum::<f64>() / of_group as f64) as f32;
            }
        }
    }
    Ok(patterns)
}

async fn impulses(
    recurrence: &dyn Recurrence,
    layer: usize,
    inputs: &RecurrenceInputs,
) -> Result<Vec<f32>, CircuitError> {
    let (len, channels) = (inputs.x.shape()[1], recurrence.channels());
    let mut x = vec![0.0; len * len * channels];
    (0..len).for_each(|s| x[(s * len + s) * channels..][..channels].fill(1.0));
    let x = Tensor::from_f32(inputs.x.engine(), &[len, len, channels], x);
    Ok(recurrence.scan(layer, &repeated(inputs, x), None).y.read_f32().await?)
}

/// α_{t,s} of one channel of a Mamba's layer, with its sign, over one prompt.
///
/// # Errors
/// A model without a recurrence; a layer or channel that does not exist; those of the model and of the device.
pub async fn hidden_attention_of(
    model: &Model,
    prompt: &Prompts,
    layer: usize,
    channel: usize,
) -> Result<Pattern, CircuitError> {
    let recurrence = recurrence_of(model)?;
    within("layer", layer, model.layers(), model.name())?;
    within("channel", channel, recurrence.channels(), &format!("layer {layer} of {}", model.name()))?;
    let (len, channels) = (prompt.len, recurrence.channels());
    let y = impulses(recurrence, layer, &one(&given(model, recurrence, prompt, layer)?, 0)).await?;
    let mut pattern = vec![0.0; len * len];
    for s in 0..len {
        (s..len).for_each(|t| pattern[t * len + s] = y[(s * len + t) * channels + channel]);
    }
    Ok(pattern)
}

/// For each layer of a Mamba and each position, the Euclidean norm of what is left of its write in the last state of
/// one prompt: ‖(∏_{k>p} Ā_k) ⊙ B̄_p x_p‖ over channels and states, [L][T].
///
/// # Errors
/// As [`hidden_attention_of`].
pub async fn state_writes(model: &Model, prompt: &Prompts) -> Result<Vec<Vec<f64>>, CircuitError> {
    let recurrence = recurrence_of(model)?;
    let len = prompt.len;
    let mut all = Vec::new();
    for layer in 0..model.layers() {
        let inputs = one(&given(model, recurrence, prompt, layer)?, 0);
        let width = inputs.x.shape()[2];
        // One row for each position, whose input is the position's own and nothing else.
        let own = inputs.x.reshape(&[len, width]);
        let zero = Tensor::zeros(own.engine(), &[1, width]);
        let rows = (0..len * len).map(|i| if i / len == i % len { i % len } else { len });
        let x = rows_of(&[own, zero], rows).reshape(&[len, len, width]);
        let h = recurrence.scan(layer, &repeated(&inputs, x), None).h.read_f32().await?; // [T, E, N]
        let norm = |h: &[f32]| h.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
        all.push(h.chunks(h.len() / len).map(norm).collect());
    }
    Ok(all)
}

/// For each layer of a Mamba and each tap of its convolution (0 reads the position itself, 1 the one before, …) its
/// mean share of Σ_e |w_e x_e| over prompts and positions that all taps reach: [L][K].
///
/// # Errors
/// A model without a convolution; those of the model and of the device; prompts shorter than the convolution.
pub async fn tap_shares(model: &Model, prompts: &Prompts) -> Result<Vec<Vec<f64>>, CircuitError> {
    let convolution = convolution_of(model)?;
    let (taps, len) = (convolution.taps(), prompts.len);
    if len < taps {
        return Err(CircuitError::Request(
            format!("prompts of {len} tokens are shorter than the convolution, {taps}").into(),
        ));
    }
    let mut all = Vec::new();
    for layer in 0..model.layers() {
        let hook = convolution.points(layer).input;
        let cache = model.run(prompts, Plan { keep: vec![hook.clone()], ..Plan::default() })?.hooks;
        let x = cache[&hook].read_f32().await?; // [N, T, E]
        let weight = convolution.weight(layer).read_f32().await?; // [E, K]
        let channels = weight.len() / taps;
        let mut shares = vec![0.0; taps];
        for prompt in x.chunks(len * channels) {
            for t in taps - 1..len {
                let size = |back: usize| {
                    let row = &prompt[(t - back) * channels..][..channels];
                    let of =
                        |(e, x): (usize, &f32)| f64::from((x * weight[e * taps + taps - 1 - back]).abs());
                    row.iter().enumerate().map(of).sum::<f64>()
                };
                let sizes: Vec<f64> = (0..taps).map(size).collect();
                let sum: f64 = sizes.iter().sum();
                shares.iter_mut().zip(sizes).for_each(|(share, size)| *share += size / sum);
            }
        }
        let places = (prompts.batch * (len + 1 - taps)) as f64;
        all.push(shares.iter().map(|share| share / places).collect());
    }
    Ok(all)
}
