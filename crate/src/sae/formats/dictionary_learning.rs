//! dictionary_learning: `config.json` and the tensors of `ae.pt`, which `tools/convert_dictionary_learning.py`
//! makes a safetensors file.

use super::file::{Format, SaeFile, Tensors, about_b_dec};
use super::keys::{Keys, object};
use crate::checkpoint::Files;
use crate::sae::{ActivationFn, SaeConfig, SaeError, SaeWeights};

pub(super) const CONFIG: &str = "config.json";
/// The library's own file, which is never opened.
pub(super) const PICKLE: &str = "ae.pt";
pub(super) const WEIGHTS: &str = "ae.safetensors";

/// What a class of dictionary does.
struct Class {
    activation: ActivationFn<()>,
    subtracts: bool,
    /// Name of the decoder's bias.
    b_dec: &'static str,
    /// Whether matrices lie the way of `nn.Linear`: encoder [F, D], decoder [D, F].
    linear: bool,
}

/// Reads any class that the library's `load_dictionary` reads.
pub(super) fn read(files: &Files) -> Result<SaeFile, SaeError> {
    let file = files.label(CONFIG);
    let map = object(&file, &files.read(CONFIG)?)?;
    let top = Keys { file: &file, form: "dictionary_learning", map: &map };
    let trainer = top.get("trainer").ok_or_else(|| top.missing("trainer"))?;
    let trainer = trainer.as_object().ok_or_else(|| top.bad("trainer", trainer, "an object"))?;
    let keys = Keys { map: trainer, ..top };
    let tensors = Tensors::open(files, WEIGHTS)?;
    let (d, f) = (keys.size("activation_dim")?, keys.size("dict_size")?);
    let mut conventions = Vec::new();
    let name = keys.get("dict_class").ok_or_else(|| keys.missing("dict_class"))?.clone();
    let class = class(&keys, &tensors, &mut conventions)?;
    let b_enc = match (class.activation, class.linear) {
        (ActivationFn::Gated { .. }, _) => "gate_bias",
        (_, true) => "encoder.bias",
        (_, false) => "b_enc",
    };
    let mut weights = SaeWeights {
        w_enc: match class.linear {
            true => tensors.turned("encoder.weight", d, f)?,
            false => tensors.tensor("W_enc", &[d, f])?,
        },
        b_enc: tensors.tensor(b_enc, &[f])?,
        w_dec: match class.linear {
            true => tensors.turned("decoder.weight", f, d)?,
            false => tensors.tensor("W_dec", &[f, d])?,
        },
        b_dec: tensors.tensor(class.b_dec, &[d])?,
        activation: class.activation.try_map(|parameter| match parameter.name {
            "threshold" if tensors.shape("threshold") == Some(&[]) => {
                Ok::<_, SaeError>(vec![tensors.scalar("threshold")?; f])
            }
            "b_mag" => Ok(tensors.tensor("mag_bias", &[f])?),
            name => Ok(tensors.tensor(name, &[f])?),
        })?,
    };
    if class.linear {
        conventions.push("encoder.weight and decoder.weight were transposed to [D, F] and [F, D]".to_owned());
    }
    conventions.push(about_b_dec(class.subtracts, name.as_str().unwrap_or_default()));
    if name == "AutoEncoder" {
        weights.fold_decoder_norms(d);
        conventions.push(
            "decoder rows are scaled to norm 1 and features by their norms, as the library's from_pretrained does"
                .to_owned(),
        );
    }
    weights.check_finite(tensors.label())?;
    Ok(SaeFile {
        format: Format::DictionaryLearning,
        config: SaeConfig {
            apply_b_dec_to_input: class.subtracts,
            model_name: keys.name("lm_name"),
            hook_name: hook(&keys, &mut conventions),
            ..SaeConfig::new(d, f)
        },
        weights,
        conventions,
        notes: Vec::new(),
        transcoder: false,
        tensors: tensors.list(),
    })
}

fn class(keys: &Keys<'_>, tensors: &Tensors, conventions: &mut Vec<String>) -> Result<Class, SaeError> {
    let linear = |activation, b_dec| Class { activation, subtracts: true, b_dec, linear: true };
    let jump_relu = ActivationFn::JumpRelu { threshold: () };
    Ok(match keys.word("dict_class", "")? {
        "AutoEncoder" => linear(ActivationFn::Relu, "bias"),
        "AutoEncoderNew" => Class { subtracts: false, ..linear(ActivationFn::Relu, "decoder.bias") },
        "GatedAutoEncoder" => linear(ActivationFn::Gated { b_mag: (), r_mag: () }, "decoder_bias"),
        "AutoEncoderTopK" => {
            let k = keys.size("k")?;
            keys.at_most("k", k, keys.size("dict_size")?)?;
            conventions.push(format!("the {k} largest of a token stay, after ReLU"));
            linear(ActivationFn::TopK { k }, "b_dec")
        }
        name @ ("BatchTopKSAE" | "MatryoshkaBatchTopKSAE") => {
            let threshold = tensors.scalar("threshold")?;
            conventions.push(match threshold < 0.0 {
                false => format!("BatchTopK is its threshold: a feature fires above {threshold}"),
                true => format!(
                    "every positive feature fires: training never set BatchTopK's threshold (it is {threshold})"
                ),
            });
            Class { linear: name == "BatchTopKSAE", ..linear(jump_relu, "b_dec") }
        }
        "JumpReluAutoEncoder" => Class { subtracts: false, linear: false, ..linear(jump_relu, "b_dec") },
        _ => {
            let supported = "AutoEncoder, AutoEncoderNew, AutoEncoderTopK, BatchTopKSAE, MatryoshkaBatchTopKSAE, \
                             JumpReluAutoEncoder and GatedAutoEncoder";
            return Err(keys.unsupported("dict_class", &keys.map["dict_class"], supported));
        }
    })
}

/// The hook, from the name of the submodule or, where there is none, from the layer.
fn hook(keys: &Keys<'_>, conventions: &mut Vec<String>) -> Option<String> {
    let layer = keys.get("layer")?.as_u64()?;
    let Some(submodule) = keys.name("submodule_name") else {
        conventions.push(format!("the files name only layer {layer}: its residual stream is assumed"));
        return Some(format!("blocks.{layer}.hook_resid_post"));
    };
    let points = [
        ("resid_post", "hook_resid_post"),
        ("resid_out", "hook_resid_post"),
        ("mlp_out", "hook_mlp_out"),
        ("attn_out", "hook_attn_out"),
        ("attention_out", "hook_attn_out"),
    ];
    let point = points.iter().find(|(part, _)| submodule.contains(part));
    match point {
        Some((_, point)) => Some(format!("blocks.{layer}.{point}")),
        None => {
            conventions.push(format!("which hook the submodule {submodule} is could not be told"));
            None
        }
    }
}
