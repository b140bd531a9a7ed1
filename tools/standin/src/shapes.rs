//! Configs and tensors of the two models, as their repositories have them.

use serde_json::{Value, json};

use crate::Standin;
use crate::values::Spread;

/// Which model is stood in for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `EleutherAI/pythia-160m`.
    Pythia160m,
    /// `state-spaces/mamba-130m-hf`, the Hugging Face layout.
    Mamba130m,
    /// `state-spaces/mamba-130m`, the original layout.
    Mamba130mOriginal,
}

impl Kind {
    /// Element type of the real checkpoint.
    pub fn usual_type(self) -> crate::Element {
        match self {
            Kind::Pythia160m => crate::Element::F16,
            Kind::Mamba130m | Kind::Mamba130mOriginal => crate::Element::F32,
        }
    }

    /// Layers of the real model.
    pub fn layers(self) -> usize {
        match self {
            Kind::Pythia160m => 12,
            Kind::Mamba130m | Kind::Mamba130mOriginal => 24,
        }
    }
}

/// A tensor to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Name in the file.
    pub name: String,
    /// Shape.
    pub shape: Vec<usize>,
    /// Where its values lie.
    pub spread: Spread,
}

const EMBEDDING: Spread = Spread::around_zero(4);
const BIAS: Spread = Spread::around_zero(5);
const CONV: Spread = Spread::around_zero(1);
const NORM: Spread = Spread { centre: 1.0, e: 1 };
const SKIP: Spread = Spread { centre: 1.0, e: 1 };
const A_LOG: Spread = Spread { centre: 1.0, e: 0 };
const DT_BIAS: Spread = Spread { centre: -4.0, e: -1 };

const D: usize = 768;
const MLP: usize = 3072;
const INNER: usize = 1536;
const STATE: usize = 16;
const TAPS: usize = 4;
const RANK: usize = 48;

/// `config.json`.
pub(crate) fn config(standin: &Standin) -> Value {
    let layers = standin.layers;
    let kind = standin.element.torch_name();
    match standin.kind {
        Kind::Pythia160m => json!({
            "architectures": ["GPTNeoXForCausalLM"],
            "bos_token_id": 0,
            "eos_token_id": 0,
            "hidden_act": "gelu",
            "hidden_size": D,
            "initializer_range": 0.02,
            "intermediate_size": MLP,
            "layer_norm_eps": 1e-5,
            "max_position_embeddings": 2048,
            "model_type": "gpt_neox",
            "num_attention_heads": 12,
            "num_hidden_layers": layers,
            "rotary_emb_base": 10000,
            "rotary_pct": 0.25,
            "tie_word_embeddings": false,
            "torch_dtype": kind,
            "use_cache": true,
            "use_parallel_residual": true,
            "vocab_size": 50304,
        }),
        Kind::Mamba130m => json!({
            "architectures": ["MambaForCausalLM"],
            "bos_token_id": 0,
            "conv_kernel": TAPS,
            "d_model": D,
            "eos_token_id": 0,
            "expand": 2,
            "fused_add_norm": true,
            "hidden_act": "silu",
            "hidden_size": D,
            "initializer_range": 0.1,
            "intermediate_size": INNER,
            "layer_norm_epsilon": 1e-5,
            "model_type": "mamba",
            "n_layer": layers,
            "num_hidden_layers": layers,
            "pad_token_id": 0,
            "pad_vocab_size_multiple": 8,
            "rescale_prenorm_residual": false,
            "residual_in_fp32": true,
            "rms_norm": true,
            "ssm_cfg": {},
            "state_size": STATE,
            "time_step_floor": 0.0001,
            "time_step_init_scheme": "random",
            "time_step_max": 0.1,
            "time_step_min": 0.001,
            "time_step_rank": RANK,
            "time_step_scale": 1.0,
            "torch_dtype": kind,
            "use_bias": false,
            "use_cache": true,
            "use_conv_bias": true,
            "vocab_size": 50280,
        }),
        Kind::Mamba130mOriginal => json!({
            "d_model": D,
            "fused_add_norm": true,
            "n_layer": layers,
            "pad_vocab_size_multiple": 8,
            "residual_in_fp32": true,
            "rms_norm": true,
            "ssm_cfg": {},
            "vocab_size": 50277,
        }),
    }
}

/// Every tensor, in the order of the file: by name.
pub(crate) fn parameters(standin: &Standin) -> Vec<Parameter> {
    let mut all = match standin.kind {
        Kind::Pythia160m => pythia(standin.layers),
        Kind::Mamba130m => mamba(standin.layers, "embeddings"),
        Kind::Mamba130mOriginal => mamba(standin.layers, "embedding"),
    };
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

fn parameter(name: String, shape: &[usize], spread: Spread) -> Parameter {
    Parameter { name, shape: shape.to_vec(), spread }
}

fn pythia(layers: usize) -> Vec<Parameter> {
    let vocab = 50304;
    let mut all = vec![
        parameter("gpt_neox.embed_in.weight".into(), &[vocab, D], EMBEDDING),
        parameter("gpt_neox.final_layer_norm.weight".into(), &[D], NORM),
        parameter("gpt_neox.final_layer_norm.bias".into(), &[D], BIAS),
        parameter("embed_out.weight".into(), &[vocab, D], Spread::fan_in(D)),
    ];
    for l in 0..layers {
        let name = |part: &str| format!("gpt_neox.layers.{l}.{part}");
        for norm in ["input_layernorm", "post_attention_layernorm"] {
            all.push(parameter(name(&format!("{norm}.weight")), &[D], NORM));
            all.push(parameter(name(&format!("{norm}.bias")), &[D], BIAS));
        }
        for (part, n, k) in [
            ("attention.query_key_value", 3 * D, D),
            ("attention.dense", D, D),
            ("mlp.dense_h_to_4h", MLP, D),
            ("mlp.dense_4h_to_h", D, MLP),
        ] {
            all.push(parameter(name(&format!("{part}.weight")), &[n, k], Spread::fan_in(k)));
            all.push(parameter(name(&format!("{part}.bias")), &[n], BIAS));
        }
    }
    all
}

fn mamba(layers: usize, embedding: &str) -> Vec<Parameter> {
    let mut all = vec![
        parameter(format!("backbone.{embedding}.weight"), &[50280, D], EMBEDDING),
        parameter("backbone.norm_f.weight".into(), &[D], NORM),
    ];
    for l in 0..layers {
        let name = |part: &str| format!("backbone.layers.{l}.{part}");
        all.push(parameter(name("norm.weight"), &[D], NORM));
        all.push(parameter(name("mixer.conv1d.weight"), &[INNER, 1, TAPS], CONV));
        all.push(parameter(name("mixer.conv1d.bias"), &[INNER], BIAS));
        all.push(parameter(name("mixer.dt_proj.bias"), &[INNER], DT_BIAS));
        all.push(parameter(name("mixer.A_log"), &[INNER, STATE], A_LOG));
        all.push(parameter(name("mixer.D"), &[INNER], SKIP));
        for (part, n, k) in [
            ("in_proj", 2 * INNER, D),
            ("x_proj", RANK + 2 * STATE, INNER),
            ("dt_proj", INNER, RANK),
            ("out_proj", D, INNER),
        ] {
            all.push(parameter(name(&format!("mixer.{part}.weight")), &[n, k], Spread::fan_in(k)));
        }
    }
    all
}
