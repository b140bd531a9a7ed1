//! EleutherAI's sparsify: a folder named after the module that the SAE reads, `cfg.json`, `sae.safetensors`.

use serde_json::Value;

use super::keys::{Keys, object};
use super::{Format, SaeFile, Tensors, about_b_dec};
use crate::checkpoint::Files;
use crate::kernels::Normalize;
use crate::sae::{Architecture, SaeConfig, SaeError, SaeWeights};

pub(super) const CONFIG: &str = "cfg.json";
pub(super) const WEIGHTS: &str = "sae.safetensors";

/// TopK over ReLU(W·(x − b_dec) + b); a transcoder subtracts nothing.
pub(super) fn read(files: &Files) -> Result<SaeFile, SaeError> {
    let file = files.label(CONFIG);
    let map = object(&file, &files.read(CONFIG)?)?;
    let keys = Keys { file: &file, form: "sparsify", map: &map };
    if keys.word("activation", "topk")? != "topk" {
        return Err(keys.unsupported("activation", &map["activation"], "\"topk\""));
    }
    keys.refuse("skip_connection")?;
    keys.refuse("signed")?; // of its first versions: the largest by magnitude
    let transcoder = keys.flag("transcode", false)?;
    let d = keys.size("d_in")?;
    let f = match keys.get("num_latents").filter(|n| n.as_u64() != Some(0)) {
        Some(latents) => keys.positive("num_latents", latents)?,
        None => keys.expanded("expansion_factor", d)?,
    };
    let k = keys.size("k")?;
    let tensors = Tensors::open(files, WEIGHTS)?;
    if tensors.has("W_skip") {
        return Err(SaeError::Unsupported {
            file: tensors.label().to_owned(),
            key: "W_skip",
            value: "(a skip connection)".to_owned(),
            supported: "SAEs and transcoders without it",
        });
    }
    let weights = SaeWeights {
        w_enc: tensors.turned("encoder.weight", d, f)?,
        b_enc: tensors.tensor("encoder.bias", &[f])?,
        w_dec: tensors.tensor("W_dec", &[f, d])?,
        b_dec: tensors.tensor("b_dec", &[d])?,
        ..SaeWeights::default()
    };
    let mut conventions = vec![
        "encoder.weight [F, D] was transposed to [D, F]".to_owned(),
        about_b_dec(!transcoder, if transcoder { "sparsify's transcode" } else { "sparsify" }),
        format!("the {k} largest of a token stay, after ReLU"),
    ];
    let hook = hook(&files.place(), transcoder);
    if let Some((hook, folder)) = &hook {
        conventions.push(format!("the folder {folder} is the hook {hook}"));
    }
    Ok(SaeFile {
        format: Format::Sparsify,
        config: SaeConfig {
            d_in: d,
            d_sae: f,
            architecture: Architecture::TopK { k },
            apply_b_dec_to_input: !transcoder,
            normalize: Normalize::None,
            rescale_acts_by_decoder_norm: false,
            model_name: keys.get("model").and_then(Value::as_str).map(str::to_owned),
            hook_name: hook.map(|(hook, _)| hook),
        },
        weights,
        conventions,
        transcoder,
        tensors: tensors.list(),
    })
}

/// The hook of a folder that is named after a module, and that name.
fn hook(place: &str, transcoder: bool) -> Option<(String, String)> {
    let folder = place.rsplit(['/', '\\']).find(|part| !part.is_empty())?;
    let module = module_hook(folder)?;
    // A transcoder reads what goes into its module, which only of a whole block has a hook.
    let hook = match transcoder {
        false => module,
        true => format!("{}.hook_resid_pre", module.strip_suffix(".hook_resid_post")?),
    };
    Some((hook, folder.to_owned()))
}

/// The hook where a module's output is seen: `layers.3` is the residual stream after block 3.
pub(crate) fn module_hook(module: &str) -> Option<String> {
    let (_, rest) = module.split_once("layers.")?;
    let (layer, part) = rest.split_once('.').unwrap_or((rest, ""));
    let layer: usize = layer.parse().ok()?;
    let point = match part {
        "" => "hook_resid_post",
        "mlp" => "hook_mlp_out",
        "attention" | "attn" => "hook_attn_out",
        "mixer" => "hook_out_proj",
        _ => return None,
    };
    Some(format!("blocks.{layer}.{point}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_hooks() {
        for (place, transcoder, want) in [
            ("saes/layers.3", false, Some("blocks.3.hook_resid_post")),
            ("saes/layers.3/", false, Some("blocks.3.hook_resid_post")),
            ("layers.11.mlp", false, Some("blocks.11.hook_mlp_out")),
            ("x/gpt_neox.layers.0.attention", false, Some("blocks.0.hook_attn_out")),
            ("x/layers.7.mixer", false, Some("blocks.7.hook_out_proj")),
            ("layers.3", true, Some("blocks.3.hook_resid_pre")),
            ("layers.3.mlp", true, None),
            ("layers.3.mlp.act", false, None),
            ("layers.x", false, None),
            ("layers.99999999999999999999", false, None),
            ("embed_in", false, None),
            ("", false, None),
        ] {
            assert_eq!(hook(place, transcoder).map(|(hook, _)| hook).as_deref(), want, "{place}");
        }
    }
}
