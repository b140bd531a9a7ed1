//! SAELens, of version 6 or older: `cfg.json` and `sae_weights.safetensors`.

mod config;

use serde_json::Value;

use config::Said;

use super::file::{Format, SaeFile, Tensors, about_b_dec};
use super::keys::{Keys, object};
use super::modules::module_hook;
use crate::checkpoint::Files;
use crate::kernels::Normalize;
use crate::sae::{SaeError, SaeWeights};

/// Name of the configuration in an SAE's directory.
pub(in crate::sae) const CONFIG: &str = "cfg.json";
/// Name of the weights in an SAE's directory.
pub(in crate::sae) const WEIGHTS: &str = "sae_weights.safetensors";
/// Beside the checkpoints of a training run whose constant is not folded into the weights yet.
const SCALER: &str = "activation_scaler.json";

/// What SAELens's `load_from_disk` gives.
pub(super) fn read(files: &Files) -> Result<SaeFile, SaeError> {
    let label = files.label(CONFIG);
    let map = object(&label, &files.read(CONFIG)?)?;
    let keys = Keys { file: &label, form: "SAELens", map: &map };
    let Said { mut config, activation, rescale_acts_by_decoder_norm } = Said::read(&keys)?;
    let tensors = Tensors::open(files, WEIGHTS)?;
    let (d, f) = (config.d_in, config.d_sae);
    let mut weights = SaeWeights {
        w_enc: tensors.tensor("W_enc", &[d, f])?,
        b_enc: tensors.tensor(activation.bias_name(), &[f])?,
        w_dec: tensors.tensor("W_dec", &[f, d])?,
        b_dec: tensors.tensor("b_dec", &[d])?,
        activation: activation.try_map(|parameter| parameter_of(&tensors, parameter.name, f))?,
    };
    let mut conventions = vec![about_b_dec(config.apply_b_dec_to_input, "apply_b_dec_to_input")];
    // Where transformers loaded the model, not TransformerLens or MambaLens, modules are hooked.
    if let Some((module, hook)) = config.hook_name.as_ref().and_then(|m| Some((m, module_hook(m)?))) {
        conventions.push(format!("the module {module} is the hook {hook} (hook_name)"));
        config.hook_name = Some(hook);
    }
    if rescale_acts_by_decoder_norm {
        weights.fold_decoder_norms(d);
        conventions.push(
            "pre-activations are scaled by the norms of decoder rows, which are folded into the encoder \
             (rescale_acts_by_decoder_norm)"
                .to_owned(),
        );
    }
    match config.normalize {
        Normalize::ConstantNorm => conventions.push(
            "each token is scaled to norm √D before encoding, and back after decoding (constant_norm_rescale)"
                .to_owned(),
        ),
        Normalize::LayerNorm => conventions.push(
            "each token is normalised to mean 0 and spread 1 before encoding, and back after decoding (layer_norm)"
                .to_owned(),
        ),
        _ => {}
    }
    if let Some(c) = average_scale(files, &keys)? {
        weights.fold_scales(c, c);
        conventions.push(format!(
            "activations are multiplied with {c}, folded into the weights (expected_average_only_in, {SCALER})"
        ));
    }
    if let Some(factors) = tuned_scales(&keys, &tensors, f)? {
        weights.fold_decoder_scales(&factors, d);
        conventions.push(
            "features are multiplied with scaling_factor before decoding, folded into W_dec \
             (finetuning_scaling_factor)"
                .to_owned(),
        );
    }
    weights.check_finite(tensors.label())?;
    Ok(SaeFile {
        format: Format::SaeLens,
        config,
        weights,
        conventions,
        notes: notes(&keys),
        transcoder: false,
        tensors: tensors.list(),
    })
}

/// A parameter of the activation function. Of thresholds, a checkpoint of older versions holds the logarithms.
fn parameter_of(tensors: &Tensors, name: &str, f: usize) -> Result<Vec<f32>, SaeError> {
    const LOGARITHMS: &str = "log_threshold";
    if name != "threshold" || !tensors.has(LOGARITHMS) {
        return Ok(tensors.tensor(name, &[f])?);
    }
    Ok(tensors.tensor(LOGARITHMS, &[f])?.into_iter().map(|v| f64::from(v).exp() as f32).collect())
}

/// What `model_from_pretrained_kwargs` did to the model, where its activations are others than of the model as it is.
fn notes(keys: &Keys<'_>) -> Vec<String> {
    const KEY: &str = "model_from_pretrained_kwargs";
    let metadata = keys.get("metadata").and_then(|metadata| metadata.get(KEY));
    let Some(Value::Object(changes)) = metadata.or_else(|| keys.get(KEY)) else { return Vec::new() };
    let told = |(key, value): (&String, &Value)| {
        let off = matches!(value, Value::Null | Value::Bool(false));
        let exact = value.as_str().is_some_and(|dtype| dtype.ends_with("float32"));
        let (_, effect) = CHANGES.iter().find(|(name, _)| name == key).filter(|_| !off && !exact)?;
        Some(format!("it was trained with `{KEY}` {key}: {value}, {effect}"))
    };
    changes.iter().filter_map(told).collect()
}

/// Keys of TransformerLens' and transformers' loaders that change what a hook shows, and how.
const CHANGES: [(&str, &str); 10] = [
    (
        "center_writing_weights",
        "which takes the mean over d_model from what is written into the residual stream; here it stays, unless \
         `center_resid` takes it off",
    ),
    (
        "fold_ln",
        "which moves the weights of norms into what reads them; here hooks of norms are as the model has them",
    ),
    ("center_unembed", "which centres the logits; here they are as the model has them"),
    (
        "fold_value_biases",
        "which moves the biases of values into the output; here values are with their biases",
    ),
    (
        "refactor_factored_attn_matrices",
        "which turns queries, keys and values; here they are as the model has them",
    ),
    ("revision", "which is another checkpoint of the model, unless this is the same"),
    ("checkpoint_index", "which is another checkpoint of the model, unless this is the same"),
    ("checkpoint_value", "which is another checkpoint of the model, unless this is the same"),
    ("dtype", "in which activations are rounded more coarsely than here, unless it is float32"),
    ("torch_dtype", "in which activations are rounded more coarsely than here, unless it is float32"),
];

/// The constant of `expected_average_only_in` that a training run has not folded into its checkpoint. In every
/// other file it is folded, or lost.
fn average_scale(files: &Files, keys: &Keys<'_>) -> Result<Option<f64>, SaeError> {
    let averaged = keys.name("normalize_activations").as_deref() == Some("expected_average_only_in");
    if !averaged || !files.has(SCALER) {
        return Ok(None);
    }
    let label = files.label(SCALER);
    let map = object(&label, &files.read(SCALER)?)?;
    let keys = Keys { file: &label, map: &map, ..*keys };
    keys.get("scaling_factor").map(|c| keys.factor("scaling_factor", c)).transpose()
}

/// What features are multiplied with before they are decoded, of an SAE fine-tuned against shrinkage.
fn tuned_scales(keys: &Keys<'_>, tensors: &Tensors, f: usize) -> Result<Option<Vec<f32>>, SaeError> {
    const KEY: &str = "finetuning_scaling_factor";
    let tuned = keys.flag(KEY, false)?;
    let Some(name) = ["scaling_factor", KEY].into_iter().find(|name| tensors.has(name)) else {
        return Ok(None);
    };
    let factors = tensors.tensor(name, &[f])?;
    match (factors.iter().all(|&s| s == 1.0), tuned) {
        (true, _) => Ok(None),
        (false, true) => Ok(Some(factors)),
        (false, false) => Err(SaeError::Unsupported {
            file: tensors.label().to_owned(),
            key: "scaling_factor",
            value: "other than 1".to_owned(),
            supported: "only 1 while cfg.json does not say `finetuning_scaling_factor` true",
        }),
    }
}
