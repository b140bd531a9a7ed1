//! EleutherAI's sparsify: a folder named after the module that the SAE reads, `cfg.json`, `sae.safetensors`; and one
//! folder further up what the run was started with, `config.json`, if somebody kept it.

use serde_json::{Map, Value};

use super::file::{Format, SaeFile, Tensors, about_b_dec};
use super::keys::{Keys, object};
use super::modules::module_hook;
use crate::checkpoint::{Files, without_bom};
use crate::sae::{ActivationFn, SaeConfig, SaeError, SaeWeights};

pub(super) const CONFIG: &str = "cfg.json";
pub(super) const WEIGHTS: &str = "sae.safetensors";
/// What a run was started with. Its `sae` is what every `cfg.json` repeats.
const RUN: &str = "config.json";

/// TopK over ReLU(W·(x − b_dec) + b); a transcoder subtracts nothing, but those from before `cfg.json` knew that
/// they are transcoders subtract it, too.
pub(super) fn read(files: &Files) -> Result<SaeFile, SaeError> {
    let file = files.label(CONFIG);
    let map = object(&file, &files.read(CONFIG)?)?;
    let keys = Keys { file: &file, form: "sparsify", map: &map };
    let run = Run::of(files)?;
    refuse_other_arithmetic(&keys)?;
    if let Some(run) = &run {
        refuse_other_arithmetic(&run.sae())?;
    }
    let own = keys.flag("transcode", false)?;
    let said = run.as_ref().map(Run::transcodes).transpose()?.unwrap_or(false);
    let d = keys.size("d_in")?;
    let f = match keys.get("num_latents").filter(|n| n.as_u64() != Some(0)) {
        Some(latents) => keys.positive("num_latents", latents)?,
        None => keys.expanded("expansion_factor", d)?,
    };
    let k = keys.size("k")?;
    keys.at_most("k", k, f)?;
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
        activation: ActivationFn::TopK { k },
    };
    let mut conventions = vec![
        "encoder.weight [F, D] was transposed to [D, F]".to_owned(),
        about_b_dec(!own, if own { "sparsify's transcode" } else { "sparsify" }),
        format!("the {k} largest of a token stay, after ReLU"),
    ];
    if let Some(run) = run.as_ref().filter(|_| said && !own) {
        conventions.push(format!("it is a transcoder (`transcode` of {})", run.file));
    }
    let transcoder = own || said;
    let hook = hook(&files.place(), transcoder);
    if let Some((hook, folder)) = &hook {
        conventions.push(format!("the folder {folder} is the hook {hook}"));
    }
    Ok(SaeFile {
        format: Format::Sparsify,
        config: SaeConfig {
            apply_b_dec_to_input: !own,
            model_name: keys.name("model").or_else(|| run.as_ref()?.keys().name("model")),
            hook_name: hook.map(|(hook, _)| hook),
            ..SaeConfig::new(d, f)
        },
        weights,
        conventions,
        notes: Vec::new(),
        transcoder,
        tensors: tensors.list(),
    })
}

fn refuse_other_arithmetic(keys: &Keys<'_>) -> Result<(), SaeError> {
    if keys.word("activation", "topk")? != "topk" {
        return Err(keys.unsupported("activation", &keys.map["activation"], "\"topk\""));
    }
    keys.refuse("skip_connection")?;
    keys.refuse("signed") // of its first versions: the largest by magnitude
}

/// The configuration of the run that an SAE is of.
struct Run {
    file: String,
    map: Map<String, Value>,
    sae: Map<String, Value>,
}

impl Run {
    /// That of the folder above, or above the module's where each seed has a folder of its own. Somebody else's
    /// `config.json` is none.
    fn of(files: &Files) -> Result<Option<Self>, SaeError> {
        let Some(mut above) = files.above() else { return Ok(None) };
        if seed(last(&files.place())) {
            let Some(further) = above.above() else { return Ok(None) };
            above = further;
        }
        if !above.has(RUN) {
            return Ok(None);
        }
        let (file, bytes) = (above.label(RUN), above.read(RUN)?);
        let map = match serde_json::from_slice(without_bom(&bytes)) {
            Ok(Value::Object(map)) => map,
            Ok(_) => return Ok(None),
            // What cannot be read must not hide that this is a transcoder.
            Err(e) if String::from_utf8_lossy(&bytes).contains("\"transcode\"") => {
                return Err(SaeError::Json { file, reason: e.to_string() });
            }
            Err(_) => return Ok(None),
        };
        Ok(match map.get("sae") {
            Some(Value::Object(sae)) => Some(Self { sae: sae.clone(), file, map }),
            _ => None,
        })
    }

    fn keys(&self) -> Keys<'_> {
        Keys { file: &self.file, form: "sparsify", map: &self.map }
    }

    fn sae(&self) -> Keys<'_> {
        Keys { map: &self.sae, ..self.keys() }
    }

    /// Whether it trained transcoders: a matter of the run until February 2025, then of each SAE.
    fn transcodes(&self) -> Result<bool, SaeError> {
        Ok(self.keys().flag("transcode", false)? || self.sae().flag("transcode", false)?)
    }
}

/// The parts of a path, the last first.
fn parts(place: &str) -> impl Iterator<Item = &str> {
    place.rsplit(['/', '\\']).filter(|part| !matches!(*part, "" | "."))
}

/// The last part of a path.
fn last(place: &str) -> &str {
    parts(place).next().unwrap_or_default()
}

/// Whether a folder is named after a seed, as it is inside its module's when there are several.
fn seed(folder: &str) -> bool {
    folder.strip_prefix("seed").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// The hook of a folder that is named after a module, and that name.
fn hook(place: &str, transcoder: bool) -> Option<(String, String)> {
    let folder = parts(place).find(|part| !seed(part))?;
    let module = module_hook(folder)?;
    // A transcoder reads what goes into its module, which only of a whole block has a hook.
    let hook = match transcoder {
        false => module,
        true => format!("{}.hook_resid_pre", module.strip_suffix(".hook_resid_post")?),
    };
    Some((hook, folder.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_hooks() {
        for (place, transcoder, want) in [
            ("saes/layers.3", false, Some("blocks.3.hook_resid_post")),
            ("saes/layers.3/", false, Some("blocks.3.hook_resid_post")),
            ("saes/layers.3/.", false, Some("blocks.3.hook_resid_post")),
            ("saes/layers.3/seed0", false, Some("blocks.3.hook_resid_post")),
            ("layers.11.mlp", false, Some("blocks.11.hook_mlp_out")),
            ("x/gpt_neox.layers.0.attention", false, Some("blocks.0.hook_attn_out")),
            ("x/layers.7.mixer", false, Some("blocks.7.hook_out_proj")),
            ("layers.3", true, Some("blocks.3.hook_resid_pre")),
            ("layers.3.mlp", true, None),
            ("layers.3.attention.rotary_emb", false, None),
            ("seed1", false, None),
            ("", false, None),
        ] {
            assert_eq!(hook(place, transcoder).map(|(hook, _)| hook).as_deref(), want, "{place}");
        }
    }
}
