//! GPT-NeoX (Black et al. 2022), the Transformer of the Pythia suite.
//!
//! Glossary
//! ```text
//! B  batch            T  tokens in a prompt      V  rows of the vocabulary
//! D  d_model          H  heads                   d  width of a head, D / H
//! M  d_mlp            r  rotary dimensions of a head
//! ```
//! One block, with LN₁, LN₂ layer norms:
//! ```text
//! parallel residual    x ← x + Attn(LN₁ x) + MLP(LN₂ x)
//! sequential           x ← x + Attn(LN₁ x);  x ← x + MLP(LN₂ x)
//! ```
//! Attention is causal, with rotary position embedding on the first r dimensions of each q and k; the MLP is
//! W_out gelu(W_in x). Hook names are TransformerLens'.

use serde_json::Value;

use super::capabilities::{Addend, Attention, Neurons};
use super::config::Config;
use super::hooks::{Axis, HookPoint, Linear, Pass};
use super::load::{Loader, Source, prefix};
use super::logits::Logits;
use super::network::{Architecture, Loaded, Network, Sizes};
use super::readout::{LastNorm, Readout};
use crate::checkpoint::{CheckpointError, Weights};
use crate::failure::Failure;
use crate::gpu::{Engine, Tensor};
use crate::kernels::{
    Activation, Binary, Product, attention, attention_mix, attention_scores, columns, embed, layer_norm,
    matmul, paste, rotary, softmax, zip,
};

pub(super) const ARCHITECTURE: Architecture =
    Architecture { model_type: "gpt_neox", title: "GPT-NeoX", keys: &[], part: "attention", load };

fn load(source: &Source<'_>, notes: &mut Vec<String>) -> Result<Loaded, CheckpointError> {
    let config = NeoxConfig::read(source.config, notes)?;
    let weights = source.weights("num_hidden_layers", config.layers, PREFIX)?;
    Ok((Box::new(Neox::load(source.engine, config, &weights)?), weights))
}

/// What the names of all tensors but the head begin with, if the model was saved with its head.
const PREFIX: &str = "gpt_neox.";
/// What transformers takes where a config states no `max_position_embeddings`.
const CONTEXT: usize = 2048;

/// What transformers calls the GELU, and its approximation by a tanh.
const EXACT: [&str; 2] = ["gelu", "gelu_python"];
const TANH: [&str; 5] = ["gelu_new", "gelu_fast", "gelu_pytorch_tanh", "gelu_python_tanh", "gelu_accurate"];

/// Sizes and switches of a GPT-NeoX checkpoint.
#[derive(Debug, Clone, PartialEq)]
struct NeoxConfig {
    d_model: usize,
    layers: usize,
    heads: usize,
    d_mlp: usize,
    vocab: usize,
    rotary_dims: usize,
    rotary_base: f32,
    activation: Activation,
    /// Tokens that it was made to read at most.
    context: usize,
    eps: f32,
    parallel: bool,
    attention_bias: bool,
    tied: bool,
}

impl NeoxConfig {
    /// Reads a config; what should be known of it goes to `notes`.
    fn read(config: &Config, notes: &mut Vec<String>) -> Result<Self, CheckpointError> {
        config.only("hidden_act", &[&EXACT[..], &TANH[..]].concat())?;
        let word = config.get("hidden_act").and_then(Value::as_str);
        let activation = match word.is_some_and(|word| TANH.contains(&word)) {
            true => Activation::GeluTanh,
            false => Activation::Gelu,
        };
        config.refuse(&["quantization_config", "sliding_window"])?;
        let rope = Rope::read(config, notes)?;

        let d_model = config.size("hidden_size")?;
        let heads = config.size("num_attention_heads")?;
        if d_model % heads != 0 {
            return Err(config
                .error(format!("hidden_size {d_model} is not a multiple of num_attention_heads {heads}")));
        }
        let head = d_model / heads;
        if config.size_or("head_dim", head)? != head {
            let told = config.size("head_dim")?;
            return Err(config.error(format!(
                "head_dim {told} contradicts hidden_size / num_attention_heads, which is {head}"
            )));
        }
        let Rope { base, share } = rope;
        let rotary_dims = (head as f64 * share) as usize;
        if rotary_dims == 0 || rotary_dims > head || !rotary_dims.is_multiple_of(2) {
            return Err(config.error(Failure::new(
                format!("a rotary share of {share} gives {rotary_dims} of {head} dimensions"),
                format!("it must be even, and 2 to {head}"),
            )));
        }
        Ok(Self {
            d_model,
            heads,
            rotary_dims,
            layers: config.size("num_hidden_layers")?,
            d_mlp: config.size("intermediate_size")?,
            vocab: config.size("vocab_size")?,
            rotary_base: base,
            context: config.size_or("max_position_embeddings", CONTEXT)?,
            activation,
            eps: config.positive_or("layer_norm_eps", 1e-5)?,
            parallel: config.flag_or("use_parallel_residual", true)?,
            attention_bias: config.flag_or("attention_bias", true)?,
            tied: config.flag_or("tie_word_embeddings", false)?,
        })
    }
}

/// What rotary embedding takes from a config.
struct Rope {
    base: f32,
    /// Of a head's dimensions.
    share: f64,
}

impl Rope {
    /// The same two numbers have had three names. As transformers 5 reads them: an object `rope_scaling` stands in
    /// the place of an object `rope_parameters`; what the object lacks is under the names of the first GPT-NeoX. The
    /// names of other models count last, and are told, since transformers does not read them.
    fn read(config: &Config, notes: &mut Vec<String>) -> Result<Self, CheckpointError> {
        // As Python takes an object for true or false.
        let full = |key: &&'static str| match config.get(key) {
            None | Some(Value::Bool(false)) => false,
            Some(Value::Object(map)) => !map.is_empty(),
            Some(_) => true,
        };
        let rope = match ["rope_scaling", "rope_parameters"].into_iter().find(full) {
            Some(key) => config.inner(key)?,
            None => None,
        };
        if let Some(rope) = &rope {
            rope.only("rope_type", &["default"])?;
            rope.only("type", &["default"])?;
            if let Some(key) = rope.keys().find(|key| rope.get(key).is_some_and(Value::is_object)) {
                return Err(
                    rope.error(format!("{key}, a rotary embedding of some layers only, is not supported"))
                );
            }
        }
        let mut value = |own: &'static str, named: &'static str, default: f64| {
            let inner = rope.iter().map(|rope| (rope, own));
            let mut places = inner.chain([(config, named), (config, own)]);
            let place = places.find(|(place, key)| place.get(key).is_some());
            let (place, key) = place.unwrap_or((config, named));
            let taken = place.number_or(key, default)?;
            let other = config.number_or(own, taken)?;
            if key == own && rope.as_ref().is_none_or(|rope| rope.get(own).is_none()) {
                notes.push(format!(
                    "{own} {taken} is taken, which transformers does not read for a gpt_neox: it has {named}"
                ));
            } else if other != taken {
                notes.push(format!("{key} {taken} is taken, as in transformers, and {own} {other} is not"));
            }
            Ok::<_, CheckpointError>((place.positive_or(key, default)?, taken))
        };
        let (base, _) = value("rope_theta", "rotary_emb_base", 10_000.0)?;
        let (_, share) = value("partial_rotary_factor", "rotary_pct", 0.25)?;
        if share > 1.0 {
            return Err(config.error(format!("a rotary share of {share} is more than the whole head, 1")));
        }
        Ok(Self { base, share })
    }
}

struct Norm {
    weight: Tensor, // [D]
    bias: Tensor,   // [D]
    eps: f32,
}

impl Norm {
    /// LN(x), with the hook point `name` before weight and bias, as TransformerLens has it.
    fn apply(&self, name: &str, x: &Tensor, pass: &mut Pass) -> Tensor {
        if !pass.wants(name) {
            return layer_norm(x, &self.weight, &self.bias, self.eps);
        }
        let d = self.weight.len();
        let one = Tensor::from_f32(x.engine(), &[d], vec![1.0; d]);
        let normalized = layer_norm(x, &one, &Tensor::zeros(x.engine(), &[d]), self.eps);
        let normalized = pass.at(name, normalized);
        zip(&zip(&normalized, &self.weight, Binary::Mul), &self.bias, Binary::Add)
    }
}

struct Block {
    ln1: Norm,
    ln2: Norm,
    q: Linear,     // [D, D]
    k: Linear,     // [D, D]
    v: Linear,     // [D, D]
    o: Linear,     // [D, D]
    w_in: Linear,  // [M, D]
    w_out: Linear, // [D, M]
}

/// The network with its weights.
struct Neox {
    config: NeoxConfig,
    embed: Vec<Tensor>, // [V, D], in parts by rows
    blocks: Vec<Block>,
    ln_final: Norm,
    unembed: Vec<Tensor>, // [V, D], likewise
}

impl Neox {
    fn load(engine: &Engine, config: NeoxConfig, weights: &Weights) -> Result<Self, CheckpointError> {
        let load = Loader { engine, weights };
        let prefix = prefix(weights, PREFIX);
        let (d, m, v) = (config.d_model, config.d_mlp, config.vocab);
        let norm = |name: &str| -> Result<Norm, CheckpointError> {
            Ok(Norm {
                weight: load.tensor(&format!("{name}.weight"), &[d])?,
                bias: load.tensor(&format!("{name}.bias"), &[d])?,
                eps: config.eps,
            })
        };
        let mut blocks = Vec::new();
        for l in 0..config.layers {
            let p = format!("{prefix}layers.{l}");
            let [q, k, v] = Self::qkv(&load, &config, &format!("{p}.attention.query_key_value"))?;
            blocks.push(Block {
                ln1: norm(&format!("{p}.input_layernorm"))?,
                ln2: norm(&format!("{p}.post_attention_layernorm"))?,
                q,
                k,
                v,
                o: load.linear(&format!("{p}.attention.dense"), d, d, config.attention_bias)?,
                w_in: load.linear(&format!("{p}.mlp.dense_h_to_4h"), m, d, true)?,
                w_out: load.linear(&format!("{p}.mlp.dense_4h_to_h"), d, m, true)?,
            });
        }
        // transformers 5 calls the head lm_head; published checkpoints call it embed_out.
        let heads = ["embed_out.weight", "lm_head.weight"];
        let head = heads.into_iter().find(|name| weights.has(name)).unwrap_or(heads[0]);
        let embed = format!("{prefix}embed_in.weight");
        let [embed, unembed] = load.embeddings([&embed, head], [v, d], config.tied)?;
        let ln_final = norm(&format!("{prefix}final_layer_norm"))?;
        Ok(Self { config, embed, blocks, ln_final, unembed })
    }

    /// Takes the fused projection apart: its rows are [H, 3, d], q, k and v interleaved by head.
    fn qkv(load: &Loader<'_>, config: &NeoxConfig, name: &str) -> Result<[Linear; 3], CheckpointError> {
        let (d, heads) = (config.d_model, config.heads);
        let head = d / heads;
        let weights = load.deal(&format!("{name}.weight"), [3 * d, d], &[head; 3])?;
        let bias = match config.attention_bias {
            true => Some(load.weights.tensor(&format!("{name}.bias"), &[3 * d])?),
            false => None,
        };
        let part = |bias: &[f32], which: usize| -> Tensor {
            let heads = bias.chunks(head).skip(which).step_by(3);
            Tensor::from_f32(load.engine, &[d], heads.flatten().copied().collect())
        };
        let linear = |(which, weight)| Linear { weight, bias: bias.as_ref().map(|b| part(b, which)) };
        let linears: Vec<Linear> = weights.into_iter().enumerate().map(linear).collect();
        Ok(linears.try_into().unwrap_or_else(|_| unreachable!("three parts were asked for")))
    }

    fn block(&self, l: usize, x: Tensor, pass: &mut Pass) -> Tensor {
        let block = &self.blocks[l];
        let hook = |name: &str| format!("blocks.{l}.{name}");

        let x = pass.at(&hook("hook_resid_pre"), x); // [B, T, D]
        let n1 = block.ln1.apply(&hook("ln1.hook_normalized"), &x, pass); // [B, T, D]
        let z = self.attention(l, &n1, pass); // [B, T, D]
        let mid = pass.added(&hook("hook_attn_out"), &z, &block.o, &x); // [B, T, D]: x + Attn
        let (mid, mlp_in) = if self.config.parallel {
            (mid, x)
        } else {
            let mid = pass.at(&hook("hook_resid_mid"), mid);
            (mid.clone(), mid)
        };
        let n2 = block.ln2.apply(&hook("ln2.hook_normalized"), &mlp_in, pass); // [B, T, D]
        let post = pass.activated(&hook("mlp.hook_pre"), &n2, &block.w_in, self.config.activation); // [B, T, M]
        let post = pass.at(&hook("mlp.hook_post"), post); // [B, T, M]
        let x = pass.added(&hook("hook_mlp_out"), &post, &block.w_out, &mid); // [B, T, D]
        pass.at(&hook("hook_resid_post"), x)
    }

    /// softmax(q·kᵀ / √d, causal)·v for each head, heads side by side: n [B, T, D] → [B, T, D].
    fn attention(&self, l: usize, n: &Tensor, pass: &mut Pass) -> Tensor {
        let block = &self.blocks[l];
        let c = &self.config;
        let hook = |name: &str| format!("blocks.{l}.attn.{name}");
        let heads = [n.shape()[0], n.shape()[1], c.heads, c.d_model / c.heads]; // B, T, H, d

        let q = pass.at(&hook("hook_q"), block.q.apply(n).reshape(&heads)); // [B, T, H, d]
        let k = pass.at(&hook("hook_k"), block.k.apply(n).reshape(&heads)); // [B, T, H, d]
        let v = pass.at(&hook("hook_v"), block.v.apply(n).reshape(&heads)); // [B, T, H, d]
        let q = pass.at(&hook("hook_rot_q"), rotary(&q, c.rotary_dims, c.rotary_base)); // [B, T, H, d]
        let k = pass.at(&hook("hook_rot_k"), rotary(&k, c.rotary_dims, c.rotary_base)); // [B, T, H, d]
        let z = if pass.wants(&hook("hook_attn_scores")) || pass.wants(&hook("hook_pattern")) {
            let scores = pass.at(&hook("hook_attn_scores"), attention_scores(&q, &k)); // [B, H, T, T]
            let pattern = pass.at(&hook("hook_pattern"), softmax(&scores)); // [B, H, T, T]
            attention_mix(&pattern, &v) // [B, T, H, d]
        } else {
            attention(&q, &k, &v) // [B, T, H, d]
        };
        pass.at(&hook("hook_z"), z).reshape(n.shape())
    }
}

/// [B, T, H, d].
const HEADS: &[Axis] = &[Axis::Prompt, Axis::Position, Axis::Head, Axis::Channel];
/// [B, H, T, T].
const SQUARES: &[Axis] = &[Axis::Prompt, Axis::Head, Axis::Position, Axis::Source];

impl Network for Neox {
    fn sizes(&self) -> Sizes {
        let &NeoxConfig { layers, d_model, vocab, context, .. } = &self.config;
        Sizes { layers, d_model, vocab, context }
    }

    fn work(&self, len: usize) -> (f64, f64) {
        let c = &self.config;
        let [t, d, m, l] = [len, c.d_model, c.d_mlp, c.layers].map(|n| n as f64);
        // Four products of D × D and two of D × M a token; q·kᵀ and pattern·v over half of the square.
        (l * (2.0 * t * (4.0 * d * d + 2.0 * d * m) + 2.0 * t * t * d), 4.0 * t * (8.0 * d + m))
    }

    fn hooks(&self, batch: usize, len: usize) -> Vec<HookPoint> {
        let c = &self.config;
        let (head, square) = (vec![batch, len, c.heads, c.d_model / c.heads], vec![batch, c.heads, len, len]);
        let (stream, mlp) = (vec![batch, len, c.d_model], vec![batch, len, c.d_mlp]);
        let point = |name: String, shape: &[usize], axes| HookPoint { name, shape: shape.to_vec(), axes };
        let mut all = vec![point("hook_embed".into(), &stream, Axis::VECTOR)];
        for l in 0..c.layers {
            let mut add = |name: &str, shape: &[usize], axes| {
                all.push(point(format!("blocks.{l}.{name}"), shape, axes));
            };
            add("hook_resid_pre", &stream, Axis::VECTOR);
            add("ln1.hook_normalized", &stream, Axis::VECTOR);
            for name in ["attn.hook_q", "attn.hook_k", "attn.hook_v", "attn.hook_rot_q", "attn.hook_rot_k"] {
                add(name, &head, HEADS);
            }
            add("attn.hook_attn_scores", &square, SQUARES);
            add("attn.hook_pattern", &square, SQUARES);
            add("attn.hook_z", &head, HEADS);
            add("hook_attn_out", &stream, Axis::VECTOR);
            if !c.parallel {
                add("hook_resid_mid", &stream, Axis::VECTOR);
            }
            add("ln2.hook_normalized", &stream, Axis::VECTOR);
            add("mlp.hook_pre", &mlp, Axis::VECTOR);
            add("mlp.hook_post", &mlp, Axis::VECTOR);
            add("hook_mlp_out", &stream, Axis::VECTOR);
            add("hook_resid_post", &stream, Axis::VECTOR);
        }
        all.push(point("ln_final.hook_normalized".into(), &stream, Axis::VECTOR));
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
        let normalized = self.ln_final.apply("ln_final.hook_normalized", &x, pass); // [B, T, D]
        pass.logits.then(|| Logits::new(normalized, self.unembed.clone())) // [B, T, V]
    }

    fn readout(&self) -> Readout<'_> {
        let last = &self.ln_final;
        let norm = LastNorm::Layer { bias: &last.bias };
        Readout { weight: &last.weight, norm, eps: last.eps, unembed: &self.unembed }
    }

    fn addends(&self, layer: usize) -> Vec<Addend> {
        vec![Addend::Heads, Addend::Value { name: "MLP", hook: format!("blocks.{layer}.hook_mlp_out") }]
    }

    fn neurons(&self) -> Vec<Neurons> {
        let of = |l| Neurons { hook: format!("blocks.{l}.mlp.hook_post"), activation: Activation::None };
        (0..self.config.layers).map(of).collect()
    }

    fn attention(&self) -> Option<&dyn Attention> {
        Some(self)
    }
}

impl Attention for Neox {
    fn heads(&self) -> usize {
        self.config.heads
    }

    fn z(&self, layer: usize) -> String {
        format!("blocks.{layer}.attn.hook_z")
    }

    fn pattern(&self, layer: usize) -> String {
        format!("blocks.{layer}.attn.hook_pattern")
    }

    fn outputs(&self, layer: usize, z: &Tensor) -> Vec<Tensor> {
        let (d, heads) = (self.config.d_model, self.config.heads);
        let (n, width) = (z.len() / d.max(1), d / heads);
        let z = z.reshape(&[n, d]);
        let head = |h: usize| {
            // The other heads are zeros: a weight of 16 bits stays whole.
            let alone = paste(&Tensor::zeros(z.engine(), &[n, d]), h * width, &columns(&z, h * width, width));
            matmul(&alone, &self.blocks[layer].o.weight, &Product::default()) // [n, D]
        };
        (0..heads).map(head).collect()
    }

    fn bias(&self, layer: usize) -> Option<&Tensor> {
        self.blocks[layer].o.bias.as_ref()
    }
}
