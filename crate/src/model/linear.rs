//! A stand-in for a further architecture, in tests: one linear layer, and nothing that circuits could be taken apart
//! by.
//!
//! ```text
//! x ← x + W x + b,  logits = U RMSNorm(x)
//! ```

use safetensors::tensor::{Dtype, TensorView};
use serde_json::json;

use super::capabilities::{Addend, Neurons};
use super::hooks::{Axis, HookPoint, Linear, Pass};
use super::load::{Loader, Source};
use super::logits::Logits;
use super::network::{Architecture, Loaded, Network, Sizes};
use super::readout::{LastNorm, Readout};
use crate::checkpoint::{Bytes, CheckpointError};
use crate::gpu::Tensor;
use crate::kernels::testing::normal;
use crate::kernels::{Activation, embed, rms_norm};

pub(super) const ARCHITECTURE: Architecture =
    Architecture { model_type: "linear", title: "linear layer", keys: &[], part: "linear", load };

/// What is added to a mean square.
const EPS: f32 = 1e-5;

struct LinearLayer {
    sizes: Sizes,
    embed: Vec<Tensor>,   // [V, D], in parts by rows
    linear: Linear,       // [D, D]
    norm: Tensor,         // [D]
    unembed: Vec<Tensor>, // [V, D], likewise
}

fn load(source: &Source<'_>, _: &mut Vec<String>) -> Result<Loaded, CheckpointError> {
    let (d, v) = (source.config.size("hidden_size")?, source.config.size("vocab_size")?);
    let weights = source.weights("num_hidden_layers", 1, "")?;
    let loader = Loader { engine: source.engine, weights: &weights };
    let [embed, unembed] = loader.embeddings(["embed.weight", "head.weight"], [v, d], false)?;
    let linear = loader.linear("layers.0.linear", d, d, true)?;
    let norm = loader.tensor("norm.weight", &[d])?;
    let sizes = Sizes { layers: 1, d_model: d, vocab: v, context: 512 };
    Ok((Box::new(LinearLayer { sizes, embed, linear, norm, unembed }), weights))
}

impl Network for LinearLayer {
    fn sizes(&self) -> Sizes {
        self.sizes
    }

    fn work(&self, len: usize) -> (f64, f64) {
        let [t, d] = [len, self.sizes.d_model].map(|n| n as f64);
        (2.0 * t * d * d, 8.0 * t * d)
    }

    fn hooks(&self, batch: usize, len: usize) -> Vec<HookPoint> {
        let names = ["hook_embed", "blocks.0.hook_resid_pre", OUT, "blocks.0.hook_resid_post", "hook_norm"];
        let shape = vec![batch, len, self.sizes.d_model];
        let point =
            |name: &str| HookPoint { name: name.to_owned(), shape: shape.clone(), axes: Axis::VECTOR };
        names.map(point).into()
    }

    fn forward(&self, tokens: &Tensor, pass: &mut Pass) -> Option<Logits> {
        let x = pass.at("hook_embed", embed(&self.embed, tokens)); // [B, T, D]
        let x = pass.at("blocks.0.hook_resid_pre", x);
        let x = pass.added(OUT, &x, &self.linear, &x); // [B, T, D]
        let x = pass.at("blocks.0.hook_resid_post", x);
        if pass.finished() {
            return None;
        }
        let normalized = pass.at("hook_norm", rms_norm(&x, &self.norm, EPS)); // [B, T, D]
        pass.logits.then(|| Logits::new(normalized, self.unembed.clone())) // [B, T, V]
    }

    fn readout(&self) -> Readout<'_> {
        Readout { weight: &self.norm, norm: LastNorm::Rms, eps: EPS, unembed: &self.unembed }
    }

    fn addends(&self, _: usize) -> Vec<Addend> {
        vec![Addend::Value { name: "linear", hook: OUT.to_owned() }]
    }

    fn neurons(&self) -> Vec<Neurons> {
        vec![Neurons { hook: OUT.to_owned(), activation: Activation::None }]
    }
}

/// Hook point of what the layer adds.
pub(crate) const OUT: &str = "blocks.0.hook_linear_out";

/// `config.json` and weights of such a model, drawn from a seed.
pub(crate) fn files(vocab: usize, d: usize, seed: u64) -> [(String, Bytes); 2] {
    // The special tokens of the built-in models, whose tokenizer it may be given.
    let config = json!({
        "model_type": "linear", "hidden_size": d, "vocab_size": vocab,
        "bos_token_id": 0, "eos_token_id": 0,
    });
    let scale = 1.0 / (d as f32).sqrt();
    let tensors: [(&str, &[usize], f32); 5] = [
        ("embed.weight", &[vocab, d], 1.0),
        ("layers.0.linear.weight", &[d, d], scale),
        ("layers.0.linear.bias", &[d], scale),
        ("norm.weight", &[d], 1.0),
        ("head.weight", &[vocab, d], scale),
    ];
    [
        ("config.json".to_owned(), config.to_string().into_bytes().into()),
        ("model.safetensors".to_owned(), safetensors_of(&tensors, seed)),
    ]
}

/// A safetensors file of normal values of these deviations, from a seed.
pub(crate) fn safetensors_of(tensors: &[(&str, &[usize], f32)], seed: u64) -> Bytes {
    let drawn = |(&(_, shape, deviation), seed): (&(&str, &[usize], f32), u64)| -> Vec<u8> {
        let values = normal(seed, shape.iter().product());
        values.iter().flat_map(|v| (v * deviation).to_le_bytes()).collect()
    };
    let data: Vec<Vec<u8>> = tensors.iter().zip(seed..).map(drawn).collect();
    let views = tensors.iter().zip(&data).map(|((name, shape, _), data)| {
        (*name, TensorView::new(Dtype::F32, shape.to_vec(), data).expect("a tensor"))
    });
    safetensors::serialize(views, None).expect("safetensors").into()
}
