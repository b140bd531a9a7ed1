//! Mamba (Gu and Dao 2023), a selective state-space model.
//!
//! Glossary
//! ```text
//! B  batch        T  tokens in a prompt       V  rows of the vocabulary
//! D  d_model      E  d_inner, channels        N  d_state, states of a channel
//! K  d_conv       R  rank of the Δ projection
//! ```
//! One block, with u = RMSNorm(x):
//! ```text
//! x, gate = W_in u                         x = silu(conv(x))          causal, one filter a channel
//! Δ = softplus(W_Δ₂ W_Δ₁ x + b)            B, C = W_B x, W_C x        chosen by the token: "selective"
//! h_t = exp(Δ_t A) ⊙ h_{t−1} + Δ_t B_t x_t  y_t = C_t · h_t            A = −exp(A_log)
//! out = W_out ((y + D ⊙ x) ⊙ silu(gate))
//! ```
//! Hook names are MambaLens'. In the code the skip weights D of the paper are `skip_weight`, since D is d_model.

use super::capabilities::{
    Addend, Convolution, ConvolutionPoints, Neurons, Recurrence, RecurrenceInputs, RecurrencePoints,
};
use super::config::{self, Config};
use super::hooks::{Axis, HookPoint, Linear, Pass};
use super::load::{Loader, Source, prefix};
use super::logits::Logits;
use super::network::{Architecture, Loaded, Network, Sizes};
use super::positions::positions;
use super::readout::{LastNorm, Readout};
use crate::checkpoint::{CheckpointError, Weights};
use crate::gpu::{Engine, Tensor};
use crate::kernels::{
    Activation, Binary, LinearScanInput, Scan, ScanInput, conv1d, discretize, embed, linear_scan, map, paste,
    rms_norm, selective_scan, ssm_gate, zip,
};

/// The original layout has no `model_type`; it is told by its keys.
pub(super) const ARCHITECTURE: Architecture =
    Architecture { model_type: "mamba", title: "Mamba", keys: &["d_model", "n_layer"], part: "mixer", load };

fn load(source: &Source<'_>, _: &mut Vec<String>) -> Result<Loaded, CheckpointError> {
    let config = source.config;
    // Converted checkpoints keep the original keys beside the Hugging Face ones.
    let original = config.get("hidden_size").is_none() && config.get("n_layer").is_some();
    let (config, key) = match original {
        true => (MambaConfig::read_original(config)?, "n_layer"),
        false => (MambaConfig::read(config)?, "num_hidden_layers"),
    };
    let weights = source.weights(key, config.layers, PREFIX)?;
    Ok((Box::new(Mamba::load(source.engine, config, &weights)?), weights))
}

/// Sizes and switches of a Mamba checkpoint, in either published layout.
#[derive(Debug, Clone, PartialEq)]
struct MambaConfig {
    d_model: usize,
    layers: usize,
    d_inner: usize,
    d_state: usize,
    d_conv: usize,
    dt_rank: usize,
    vocab: usize,
    eps: f32,
    /// Whether in_proj and out_proj have biases; where the config is silent, the tensors decide.
    bias: Option<bool>,
    conv_bias: bool,
    /// Whether the head is the embedding; the original layout always ties.
    tied: bool,
}

impl MambaConfig {
    /// The layout of Hugging Face transformers.
    fn read(config: &Config) -> Result<Self, CheckpointError> {
        config.only("hidden_act", &["silu", "swish"])?;
        config.refuse(&["quantization_config", "use_falcon_mamba", "mixer_rms_eps"])?;
        let d_model = config.size("hidden_size")?;
        config.positive_or("expand", 2.0)?;
        let expanded = channels(config, config.number_or("expand", 2.0)?, d_model)?;
        let d_inner = config.size_or("intermediate_size", expanded)?;
        if config.get("expand").is_some() && d_inner != expanded {
            return Err(config.error(format!(
                "intermediate_size {d_inner} contradicts expand × hidden_size, which is {expanded}"
            )));
        }
        let dt_rank = match config.get("time_step_rank").and_then(|v| v.as_str()) {
            Some("auto") => d_model.div_ceil(16),
            _ => config.size_or("time_step_rank", d_model.div_ceil(16))?,
        };
        Ok(Self {
            d_model,
            d_inner,
            dt_rank,
            layers: config.size("num_hidden_layers")?,
            d_state: config.size_or("state_size", 16)?,
            d_conv: config.size_or("conv_kernel", 4)?,
            vocab: config.size("vocab_size")?,
            eps: config.positive_or("layer_norm_epsilon", 1e-5)?,
            bias: config.get("use_bias").map(|_| config.flag_or("use_bias", false)).transpose()?,
            conv_bias: config.flag_or("use_conv_bias", true)?,
            tied: config.flag_or("tie_word_embeddings", true)?,
        })
    }

    /// The layout of the original state-spaces repository.
    fn read_original(config: &Config) -> Result<Self, CheckpointError> {
        if !config.flag_or("rms_norm", true)? {
            return Err(config.error("rms_norm false (layer norm) is not supported"));
        }
        config.refuse(&["attn_layer_idx", "attn_cfg"])?;
        if config.get("d_intermediate").is_some_and(|v| v.as_u64() != Some(0)) {
            return Err(config.error("d_intermediate other than 0 (an MLP) is not supported"));
        }
        let d_model = config.size("d_model")?;
        let (mut d_state, mut d_conv, mut expand, mut dt_rank) = (16, 4, 2, d_model.div_ceil(16));
        let (mut bias, mut conv_bias) = (None, true);
        if let Some(ssm) = config.inner("ssm_cfg")? {
            ssm.only("layer", &["Mamba1"])?;
            for key in ssm.keys() {
                match key {
                    "d_state" => d_state = ssm.size(key)?,
                    "d_conv" => d_conv = ssm.size(key)?,
                    "expand" => expand = ssm.size(key)?,
                    "dt_rank" if ssm.get(key).and_then(|v| v.as_str()) == Some("auto") => {}
                    "dt_rank" => dt_rank = ssm.size(key)?,
                    "bias" => bias = Some(ssm.flag_or(key, false)?),
                    "conv_bias" => conv_bias = ssm.flag_or(key, true)?,
                    // Initialisation only.
                    "layer" | "dt_min" | "dt_max" | "dt_init" | "dt_scale" | "dt_init_floor"
                    | "use_fast_path" => {}
                    other => return Err(ssm.error(format!("{other} is not supported"))),
                }
            }
        }
        let multiple = config.size_or("pad_vocab_size_multiple", 8)?;
        Ok(Self {
            d_model,
            d_inner: channels(config, expand as f64, d_model)?,
            d_state,
            d_conv,
            dt_rank,
            bias,
            conv_bias,
            layers: config.size("n_layer")?,
            vocab: config.size("vocab_size")?.next_multiple_of(multiple),
            eps: 1e-5,
            tied: config.flag_or("tie_embeddings", true)?,
        })
    }
}

/// E, which is `expand` × D.
fn channels(config: &Config, expand: f64, d_model: usize) -> Result<usize, CheckpointError> {
    let channels = expand * d_model as f64;
    match (1.0..=config::LARGEST as f64).contains(&channels) {
        true => Ok(channels as usize),
        false => Err(config.error(format!(
            "expand {expand} × width {d_model} gives {channels} channels, which cannot be right"
        ))),
    }
}

/// Tokens that the published Mambas have read at most in training; their configs do not say.
const CONTEXT: usize = 2048;

/// What the names of all tensors but the head begin with, if the model was saved with its head.
const PREFIX: &str = "backbone.";

struct Block {
    norm: Tensor,              // [D]
    in_proj: Linear,           // [E, D]: the half that becomes x
    gate_proj: Linear,         // [E, D]: the half that gates
    conv: Tensor,              // [E, K]
    conv_bias: Option<Tensor>, // [E]
    delta_1: Linear,           // [R, E]
    delta_2: Linear,           // [E, R], with bias
    b_proj: Linear,            // [N, E]
    c_proj: Linear,            // [N, E]
    a: Tensor,                 // [E, N]: −exp(A_log)
    skip_weight: Tensor,       // [E]
    out_proj: Linear,          // [D, E]
}

/// The network with its weights.
struct Mamba {
    config: MambaConfig,
    embed: Vec<Tensor>, // [V, D], in parts by rows
    blocks: Vec<Block>,
    norm_final: Tensor,   // [D]
    unembed: Vec<Tensor>, // [V, D], likewise
}

impl Mamba {
    fn load(engine: &Engine, config: MambaConfig, weights: &Weights) -> Result<Self, CheckpointError> {
        let load = Loader { engine, weights };
        let prefix = prefix(weights, PREFIX);
        let (d, v) = (config.d_model, config.vocab);
        let blocks = (0..config.layers)
            .map(|l| Block::load(&load, &config, &format!("{prefix}layers.{l}")))
            .collect::<Result<_, _>>()?;
        // Hugging Face says embeddings, the original layout embedding.
        let names = ["embeddings", "embedding"].map(|name| format!("{prefix}{name}.weight"));
        let embed = names.iter().find(|name| weights.has(name)).unwrap_or(&names[0]);
        let [embed, unembed] = load.embeddings([embed, "lm_head.weight"], [v, d], config.tied)?;
        let norm_final = load.tensor(&format!("{prefix}norm_f.weight"), &[d])?;
        Ok(Self { config, embed, blocks, norm_final, unembed })
    }

    fn block(&self, l: usize, x: Tensor, pass: &mut Pass) -> Tensor {
        let block = &self.blocks[l];
        let hook = |name: &str| format!("blocks.{l}.{name}");

        let resid = pass.at(&hook("hook_resid_pre"), x); // [B, T, D]
        let u = rms_norm(&resid, &block.norm, self.config.eps); // [B, T, D]
        let u = pass.at(&hook("hook_normalized_input"), u);
        let x = pass.at(&hook("hook_in_proj"), block.in_proj.apply(&u)); // [B, T, E]
        let gate = pass.at(&hook("hook_skip"), block.gate_proj.apply(&u)); // [B, T, E]
        let conv = |activation| conv1d(&x, &block.conv, block.conv_bias.as_ref(), activation);
        let x = match pass.wants(&hook("hook_conv")) {
            true => map(&pass.at(&hook("hook_conv"), conv(Activation::None)), Activation::Silu), // [B, T, E]
            false => conv(Activation::Silu),                                                     // [B, T, E]
        };
        let x = pass.at(&hook("hook_ssm_input"), x);
        let y = self.ssm(l, &x, pass); // [B, T, E]
        let y = pass.at(&hook("hook_y"), y);
        let y = if pass.wants(&hook("hook_ssm_output")) {
            let y = zip(&y, &zip(&x, &block.skip_weight, Binary::Mul), Binary::Add); // [B, T, E]
            zip(&pass.at(&hook("hook_ssm_output"), y), &gate, Binary::MulSilu) // [B, T, E]
        } else {
            ssm_gate(&y, &block.skip_weight, &x, &gate) // [B, T, E]
        };
        let y = pass.at(&hook("hook_after_skip"), y);
        let x = pass.added(&hook("hook_out_proj"), &y, &block.out_proj, &resid); // [B, T, D]
        pass.at(&hook("hook_resid_post"), x)
    }

    /// The state-space model of layer `l`: x [B, T, E] → y [B, T, E].
    fn ssm(&self, l: usize, x: &Tensor, pass: &mut Pass) -> Tensor {
        let block = &self.blocks[l];
        let hook = |name: &str| format!("blocks.{l}.{name}");

        let delta = pass.at(&hook("hook_delta_1"), block.delta_1.apply(x)); // [B, T, R]
        let delta = pass.activated(&hook("hook_delta_2"), &delta, &block.delta_2, Activation::Softplus); // [B, T, E]
        let delta = pass.at(&hook("hook_delta"), delta);
        let explicit = pass.wants(&hook("hook_A_bar")) || pass.wants(&hook("hook_B_bar"));
        let b = pass.at(&hook("hook_B"), block.b_proj.apply(x)); // [B, T, N]
        let bars = explicit.then(|| {
            let (a_bar, b_bar) = discretize(&delta, &block.a, &b); // [B, T, E, N]
            (pass.at(&hook("hook_A_bar"), a_bar), pass.at(&hook("hook_B_bar"), b_bar))
        });
        let c = pass.at(&hook("hook_C"), block.c_proj.apply(x)); // [B, T, N]
        let steps = Steps { a: &block.a, x, delta: &delta, b: &b, c: &c, bars };

        // States are seen between two stretches of the scan: it stops after every position somebody asks for.
        let len = x.shape()[1];
        let stops: Vec<usize> = (0..len).filter(|t| pass.wants(&hook(&format!("hook_h.{t}")))).collect();
        let Some(&last) = stops.last() else { return steps.scan(0, len, None).y };
        let mut y = x.clone(); // every position is overwritten below
        let width = x.shape()[2];
        let (batch, matrix) = (x.shape()[0], [x.shape()[0], len * width]);
        let mut put = |start: usize, part: &Tensor| {
            let part = part.reshape(&[batch, part.len() / batch.max(1)]);
            y = paste(&y.reshape(&matrix), start * width, &part).reshape(x.shape());
        };
        let mut start = 0;
        let mut state = None; // [B, E, N]
        for t in stops {
            let name = hook(&format!("hook_h.{t}"));
            let Scan { y: part, h } = steps.scan(start, t + 1, state.as_ref());
            put(start, &part);
            let replaced = pass.edits(&name);
            let h = pass.at(&name, h);
            if replaced {
                put(t, &steps.read(t, &h)); // y_t = C_t · h_t of the new state
            }
            (start, state) = (t + 1, Some(h));
        }
        if last + 1 < len {
            put(start, &steps.scan(start, len, state.as_ref()).y);
        }
        y
    }
}

/// [B, T, N].
const STATE_VECTOR: &[Axis] = &[Axis::Prompt, Axis::Position, Axis::State];
/// [B, T, E, N].
const STATE_STEPS: &[Axis] = &[Axis::Prompt, Axis::Position, Axis::Channel, Axis::State];
/// [B, E, N].
const STATE: &[Axis] = &[Axis::Prompt, Axis::Channel, Axis::State];

impl Network for Mamba {
    fn sizes(&self) -> Sizes {
        let &MambaConfig { layers, d_model, vocab, .. } = &self.config;
        Sizes { layers, d_model, vocab, context: CONTEXT }
    }

    fn work(&self, len: usize) -> (f64, f64) {
        let c = &self.config;
        let [t, d, e, n, r, l] =
            [len, c.d_model, c.d_inner, c.d_state, c.dt_rank, c.layers].map(|n| n as f64);
        // in_proj, gate and out_proj, x_proj, dt_proj; six operations a state.
        (l * t * (2.0 * e * (3.0 * d + 2.0 * r + 2.0 * n) + 6.0 * e * n), 4.0 * t * (3.0 * d + 6.0 * e))
    }

    fn hooks(&self, batch: usize, len: usize) -> Vec<HookPoint> {
        let c = &self.config;
        let (stream, inner) = (vec![batch, len, c.d_model], vec![batch, len, c.d_inner]);
        let (small, full) = (vec![batch, len, c.d_state], vec![batch, len, c.d_inner, c.d_state]);
        let state = vec![batch, c.d_inner, c.d_state];
        let point = |name: String, shape: &[usize], axes| HookPoint { name, shape: shape.to_vec(), axes };
        let mut all = vec![point("hook_embed".into(), &stream, Axis::VECTOR)];
        for l in 0..c.layers {
            let mut add = |name: &str, shape: &[usize], axes| {
                all.push(point(format!("blocks.{l}.{name}"), shape, axes));
            };
            add("hook_resid_pre", &stream, Axis::VECTOR);
            add("hook_normalized_input", &stream, Axis::VECTOR);
            for name in ["hook_in_proj", "hook_skip", "hook_conv", "hook_ssm_input"] {
                add(name, &inner, Axis::VECTOR);
            }
            add("hook_delta_1", &[batch, len, c.dt_rank], Axis::VECTOR);
            add("hook_delta_2", &inner, Axis::VECTOR);
            add("hook_delta", &inner, Axis::VECTOR);
            add("hook_B", &small, STATE_VECTOR);
            add("hook_A_bar", &full, STATE_STEPS);
            add("hook_B_bar", &full, STATE_STEPS);
            add("hook_C", &small, STATE_VECTOR);
            for t in 0..len {
                add(&format!("hook_h.{t}"), &state, STATE);
            }
            for name in ["hook_y", "hook_ssm_output", "hook_after_skip"] {
                add(name, &inner, Axis::VECTOR);
            }
            add("hook_out_proj", &stream, Axis::VECTOR);
            add("hook_resid_post", &stream, Axis::VECTOR);
        }
        all.push(point("hook_norm".into(), &stream, Axis::VECTOR));
        all
    }

    fn forward(&self, tokens: &Tensor, pass: &mut Pass) -> Option<Logits> {
        let mut x = pass.at("hook_embed", embed(&self.embed, tokens)); // [B, T, D]
        for l in 0..self.blocks.len() {
            if pass.finished() {
                return None;
            }
            x = self.block(l, x, pass); // [B, T, D]
        }
        if pass.finished() {
            return None;
        }
        let normalized = pass.at("hook_norm", rms_norm(&x, &self.norm_final, self.config.eps)); // [B, T, D]
        pass.logits.then(|| Logits::new(normalized, self.unembed.clone())) // [B, T, V]
    }

    fn readout(&self) -> Readout<'_> {
        Readout {
            weight: &self.norm_final,
            norm: LastNorm::Rms,
            eps: self.config.eps,
            unembed: &self.unembed,
        }
    }

    fn addends(&self, layer: usize) -> Vec<Addend> {
        vec![Addend::Value { name: "block", hook: format!("blocks.{layer}.hook_out_proj") }]
    }

    fn neurons(&self) -> Vec<Neurons> {
        let of =
            |l: usize, name: &str, activation| Neurons { hook: format!("blocks.{l}.{name}"), activation };
        (0..self.config.layers)
            .flat_map(|l| [of(l, "hook_ssm_input", Activation::None), of(l, "hook_skip", Activation::Silu)])
            .collect()
    }

    fn recurrence(&self) -> Option<&dyn Recurrence> {
        Some(self)
    }

    fn convolution(&self) -> Option<&dyn Convolution> {
        Some(self)
    }
}

impl Recurrence for Mamba {
    fn channels(&self) -> usize {
        self.config.d_inner
    }

    fn points(&self, layer: usize) -> RecurrencePoints {
        let hook = |name: &str| format!("blocks.{layer}.{name}");
        RecurrencePoints {
            x: hook("hook_ssm_input"),
            delta: hook("hook_delta"),
            b: hook("hook_B"),
            c: hook("hook_C"),
            y: hook("hook_y"),
            gate: hook("hook_skip"),
        }
    }

    fn state(&self, layer: usize, position: usize) -> String {
        format!("blocks.{layer}.hook_h.{position}")
    }

    fn scan(&self, layer: usize, inputs: &RecurrenceInputs, h0: Option<&Tensor>) -> Scan {
        let RecurrenceInputs { x, delta, b, c } = inputs;
        selective_scan(&ScanInput { x, delta, a: &self.blocks[layer].a, b, c, h0 })
    }
}

impl Convolution for Mamba {
    fn taps(&self) -> usize {
        self.config.d_conv
    }

    fn points(&self, layer: usize) -> ConvolutionPoints {
        ConvolutionPoints {
            input: format!("blocks.{layer}.hook_in_proj"),
            output: format!("blocks.{layer}.hook_conv"),
        }
    }

    fn weight(&self, layer: usize) -> &Tensor {
        &self.blocks[layer].conv
    }

    fn convolve(&self, layer: usize, x: &Tensor, weight: &Tensor) -> Tensor {
        conv1d(x, weight, self.blocks[layer].conv_bias.as_ref(), Activation::None)
    }
}

impl Block {
    fn load(load: &Loader<'_>, c: &MambaConfig, name: &str) -> Result<Self, CheckpointError> {
        let (d, e, n, r, k) = (c.d_model, c.d_inner, c.d_state, c.dt_rank, c.d_conv);
        let p = format!("{name}.mixer");
        let upload = |shape: &[usize], values: &[f32]| Tensor::from_f32(load.engine, shape, values.to_vec());

        let bias = c.bias.unwrap_or_else(|| load.weights.has(&format!("{p}.in_proj.bias")));
        let in_bias = match bias {
            true => Some(load.weights.tensor(&format!("{p}.in_proj.bias"), &[2 * e])?),
            false => None,
        };
        let in_bias = |i: usize| in_bias.as_ref().map(|b| upload(&[e], &b[i * e..(i + 1) * e]));
        let mut in_proj = load.deal(&format!("{p}.in_proj.weight"), [2 * e, d], &[e, e])?.into_iter();
        let mut half = |i| Linear { weight: in_proj.next().expect("two halves"), bias: in_bias(i) };
        let (in_proj, gate_proj) = (half(0), half(1));
        let x_proj = load.deal(&format!("{p}.x_proj.weight"), [r + 2 * n, e], &[r, n, n])?;
        let mut x_proj = x_proj.into_iter().map(|weight| Linear { weight, bias: None });
        let mut part = || x_proj.next().expect("three parts");
        let (delta_1, b_proj, c_proj) = (part(), part(), part());
        let conv = load.weights.tensor(&format!("{p}.conv1d.weight"), &[e, 1, k])?;
        let a_log = load.weights.tensor(&format!("{p}.A_log"), &[e, n])?;
        let a: Vec<f32> = a_log.iter().map(|v| -v.exp()).collect();
        Ok(Self {
            norm: load.tensor(&format!("{name}.norm.weight"), &[d])?,
            in_proj,
            gate_proj,
            conv: upload(&[e, k], &conv),
            conv_bias: c.conv_bias.then(|| load.tensor(&format!("{p}.conv1d.bias"), &[e])).transpose()?,
            delta_1,
            delta_2: load.linear(&format!("{p}.dt_proj"), e, r, true)?,
            b_proj,
            c_proj,
            a: upload(&[e, n], &a),
            skip_weight: load.tensor(&format!("{p}.D"), &[e])?,
            out_proj: load.linear(&format!("{p}.out_proj"), d, e, bias)?,
        })
    }
}

/// The inputs of one layer's recurrence, to be run in stretches.
struct Steps<'a> {
    a: &'a Tensor,     // [E, N]
    x: &'a Tensor,     // [B, T, E]
    delta: &'a Tensor, // [B, T, E]
    b: &'a Tensor,     // [B, T, N]
    c: &'a Tensor,     // [B, T, N]
    /// Ā and B̄ [B, T, E, N], when somebody looks at them.
    bars: Option<(Tensor, Tensor)>,
}

impl Steps<'_> {
    /// Positions `from..to` of the recurrence, starting in state `h0` [B, E, N] (zeros if absent).
    fn scan(&self, from: usize, to: usize, h0: Option<&Tensor>) -> Scan {
        let x = &positions(self.x, from, to);
        let c = &positions(self.c, from, to);
        match &self.bars {
            Some((a_bar, b_bar)) => {
                let (a_bar, b_bar) = (&positions(a_bar, from, to), &positions(b_bar, from, to));
                linear_scan(&LinearScanInput { a_bar, b_bar, x, c, h0 })
            }
            None => {
                let (delta, b) = (&positions(self.delta, from, to), &positions(self.b, from, to));
                selective_scan(&ScanInput { x, delta, a: self.a, b, c, h0 })
            }
        }
    }

    /// C_t · h [B, 1, E] for a state h [B, E, N].
    fn read(&self, t: usize, h: &Tensor) -> Tensor {
        // A step with Δ = 0 keeps the state and reads it.
        let x = &positions(self.x, t, t + 1);
        let delta = &Tensor::zeros(x.engine(), x.shape());
        let (b, c) = (&positions(self.b, t, t + 1), &positions(self.c, t, t + 1));
        selective_scan(&ScanInput { x, delta, a: self.a, b, c, h0: Some(h) }).y
    }
}
