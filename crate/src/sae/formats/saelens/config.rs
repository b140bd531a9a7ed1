//! `cfg.json`: what an SAE is, in SAELens's words, read from version 6 or older and written as version 6.

use serde_json::{Map, Value, json};

use crate::kernels::Normalize;
use crate::sae::formats::keys::Keys;
use crate::sae::{ActivationFn, Heads, SaeConfig, SaeError};

/// Written into new files: the first version of the form they have.
const FORM_VERSION: &str = "6.0.0";

/// What `cfg.json` says.
pub(super) struct Said {
    pub(super) config: SaeConfig,
    /// The activation function, whose parameters are among the weights.
    pub(super) activation: ActivationFn<()>,
    /// Whether it sees pre-activations times the norms of the decoder's rows (`topk` only).
    pub(super) rescale_acts_by_decoder_norm: bool,
}

impl Said {
    /// Reads it.
    ///
    /// # Errors
    /// When it lacks a key, or asks for arithmetic that is not implemented.
    pub(super) fn read(keys: &Keys<'_>) -> Result<Self, SaeError> {
        let metadata = match keys.map.get("metadata") {
            Some(Value::Object(metadata)) => metadata.clone(),
            _ => Map::new(),
        };
        // Before version 6 everything stood at the top level and the activation was named apart.
        let name = |names: &[&str]| {
            let found = names.iter().find_map(|n| metadata.get(*n).or_else(|| keys.map.get(*n)));
            found.and_then(Value::as_str).map(str::to_owned)
        };
        let (activation, rescale_acts_by_decoder_norm) = keys.activation()?;
        let d_sae = keys.size("d_sae")?;
        if let Some(k) = activation.k() {
            keys.at_most("k", k, d_sae)?;
        }
        let config = SaeConfig {
            d_in: keys.size("d_in")?,
            d_sae,
            apply_b_dec_to_input: keys.flag("apply_b_dec_to_input", true)?,
            normalize: keys.normalize()?,
            model_name: name(&["model_name"]),
            hook_name: name(&["hook_name", "hook_point"]),
            heads: keys.heads(&metadata)?,
        };
        Ok(Self { config, activation, rescale_acts_by_decoder_norm })
    }
}

impl SaeConfig {
    /// `cfg.json` in the form of SAELens 6.
    pub fn to_json<P>(&self, activation: &ActivationFn<P>) -> String {
        let mut map = json!({
            "d_in": self.d_in,
            "d_sae": self.d_sae,
            // What SAELens computes in; the weights may be stored shorter.
            "dtype": "float32",
            "device": "cpu",
            "apply_b_dec_to_input": self.apply_b_dec_to_input,
            // Saving refuses what SAELens has no word for.
            "normalize_activations": self.normalize.name(),
            "reshape_activations": if self.heads == Heads::Reshaped { "hook_z" } else { "none" },
            "metadata": {
                "sae_lens_version": FORM_VERSION,
                "sae_lens_training_version": null,
                "model_name": self.model_name,
                "hook_name": self.hook_name,
            },
        });
        if let Some(head) = self.heads.one() {
            map["metadata"]["hook_head_index"] = head.into();
        }
        map["architecture"] = activation.name().into();
        if let Some(k) = activation.k() {
            map["k"] = k.into();
            map["rescale_acts_by_decoder_norm"] = false.into();
        }
        format!("{map:#}\n")
    }
}

/// What SAELens calls things.
impl Keys<'_> {
    /// The activation function, and whether what it sees is rescaled by decoder norms.
    fn activation(&self) -> Result<(ActivationFn<()>, bool), SaeError> {
        const SUPPORTED: &str = "\"standard\" (ReLU), \"topk\", \"jumprelu\" and \"gated\"";
        let old = !self.map.contains_key("metadata");
        let activation = self.map.get("activation_fn_str").or_else(|| self.map.get("activation_fn"));
        let architecture = match self.map.get("architecture") {
            None if old => "standard",
            None => return Err(self.missing("architecture")),
            Some(Value::String(name)) => name,
            Some(other) => return Err(self.bad("architecture", other, "a string")),
        };
        let top = match (architecture, activation.map(|a| (a, a.as_str()))) {
            ("topk", _) => true,
            ("standard" | "jumprelu" | "gated", None | Some((_, Some("relu")))) => false,
            ("standard", Some((_, Some("topk")))) if old => true,
            ("standard" | "jumprelu" | "gated", Some((other, _))) => {
                let supported = if architecture == "standard" { "\"relu\" and \"topk\"" } else { "\"relu\"" };
                return Err(self.unsupported("activation_fn", other, supported));
            }
            (other, _) => return Err(self.unsupported("architecture", &json!(other), SUPPORTED)),
        };
        if !top {
            let activation = match architecture {
                "jumprelu" => ActivationFn::JumpRelu { threshold: () },
                "gated" => ActivationFn::Gated { b_mag: (), r_mag: () },
                _ => ActivationFn::Relu,
            };
            return Ok((activation, false));
        }
        let k = self.map.get("k").or_else(|| self.map.get("activation_fn_kwargs")?.get("k"));
        let k = k.ok_or_else(|| self.missing("k"))?;
        let k = self.positive("k", k)?;
        Ok((ActivationFn::TopK { k }, self.flag("rescale_acts_by_decoder_norm", false)?))
    }

    fn normalize(&self) -> Result<Normalize, SaeError> {
        const KEY: &str = "normalize_activations";
        match self.map.get(KEY) {
            // Whatever constant `expected_average_only_in` (before version 6: `true`) found is folded into the
            // weights when an SAE is saved.
            None | Some(Value::Null | Value::Bool(_)) => Ok(Normalize::None),
            Some(value) => match value.as_str() {
                Some("none" | "expected_average_only_in") => Ok(Normalize::None),
                Some("constant_norm_rescale") => Ok(Normalize::ConstantNorm),
                Some("layer_norm") => Ok(Normalize::LayerNorm),
                _ => Err(self.unsupported(
                    KEY,
                    value,
                    "none, expected_average_only_in, constant_norm_rescale and layer_norm",
                )),
            },
        }
    }

    /// A head's number decides, where there is one: older files of such SAEs say both.
    fn heads(&self, metadata: &Map<String, Value>) -> Result<Heads, SaeError> {
        const KEY: &str = "reshape_activations";
        let all = match self.get(KEY).map(|value| (value, value.as_str())) {
            None | Some((_, Some("none"))) => Heads::Flat,
            Some((_, Some("hook_z"))) => Heads::Reshaped,
            Some((value, _)) => return Err(self.unsupported(KEY, value, "\"none\" and \"hook_z\"")),
        };
        let index = ["hook_head_index", "hook_point_head_index"];
        let index = index.iter().find_map(|key| metadata.get(*key).or_else(|| self.map.get(*key)));
        match index.filter(|value| !value.is_null()) {
            None => Ok(all),
            Some(value) => match value.as_u64().and_then(|head| u32::try_from(head).ok()) {
                Some(head) => Ok(Heads::One(head as usize)),
                None => Err(self.bad("hook_head_index", value, "the number of a head, from 0")),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sae::formats::keys::object;

    fn read(json: &str) -> Result<(SaeConfig, ActivationFn<()>), String> {
        let map = object("dir/cfg.json", json.as_bytes()).map_err(|e| e.to_string())?;
        let keys = Keys { file: "dir/cfg.json", form: "SAELens", map: &map };
        let Said { config, activation, .. } = Said::read(&keys).map_err(|e| e.to_string())?;
        Ok((config, activation))
    }

    #[test]
    fn reads_what_it_writes() {
        for (activation, normalize) in [
            (ActivationFn::Relu, Normalize::ConstantNorm),
            (ActivationFn::TopK { k: 32 }, Normalize::None),
            (ActivationFn::TopK { k: 1 }, Normalize::LayerNorm),
            (ActivationFn::JumpRelu { threshold: () }, Normalize::None),
            (ActivationFn::Gated { b_mag: (), r_mag: () }, Normalize::None),
        ] {
            for heads in [Heads::Flat, Heads::Reshaped, Heads::One(0), Heads::One(11)] {
                let model_name = Some("tiny-neox".to_owned());
                let config = SaeConfig { normalize, model_name, heads, ..SaeConfig::new(128, 1024) };
                assert_eq!(read(&config.to_json(&activation)), Ok((config, activation)));
            }
        }
    }

    #[test]
    fn reads_configurations_from_before_version_6() {
        let (config, activation) = read(
            r#"{"d_in": 8, "d_sae": 16, "hook_point": "blocks.0.hook_resid_post", "model_name": "m",
                "activation_fn_str": "topk", "activation_fn_kwargs": {"k": 3}, "normalize_activations": false}"#,
        )
        .expect("an old configuration");
        assert_eq!(activation, ActivationFn::TopK { k: 3 });
        assert_eq!(config.hook_name.as_deref(), Some("blocks.0.hook_resid_post"));
        assert!(config.apply_b_dec_to_input);
    }

    #[test]
    fn says_what_is_wrong() {
        let v6 = |extra: &str| format!(r#"{{"d_in": 8, "d_sae": 16, "metadata": {{}}{extra}}}"#);
        for (json, error) in [
            (
                "{".to_owned(),
                "dir/cfg.json: not a JSON object (EOF while parsing an object at line 1 column 1)",
            ),
            ("[1]".to_owned(), "dir/cfg.json: not a JSON object (it is another kind of value)"),
            (v6(""), "dir/cfg.json: the key `architecture` is missing; a SAELens configuration has it"),
            (
                v6(r#", "architecture": "temporal""#),
                "dir/cfg.json: `architecture` \"temporal\" is not supported; supported: \"standard\" (ReLU), \"topk\", \
                 \"jumprelu\" and \"gated\"",
            ),
            (
                v6(r#", "architecture": "topk""#),
                "dir/cfg.json: the key `k` is missing; a SAELens configuration has it",
            ),
            (
                v6(r#", "architecture": "topk", "k": 0"#),
                "dir/cfg.json: `k` is 0, but must be a positive integer below 2^31",
            ),
            (
                v6(r#", "architecture": "standard", "normalize_activations": "covariance_whitening""#),
                "dir/cfg.json: `normalize_activations` \"covariance_whitening\" is not supported; supported: none, \
                 expected_average_only_in, constant_norm_rescale and layer_norm",
            ),
            (
                v6(r#", "architecture": "standard", "activation_fn": "tanh-relu""#),
                "dir/cfg.json: `activation_fn` \"tanh-relu\" is not supported; supported: \"relu\" and \"topk\"",
            ),
            (
                v6(r#", "architecture": "standard", "reshape_activations": "mlp""#),
                "dir/cfg.json: `reshape_activations` \"mlp\" is not supported; supported: \"none\" and \"hook_z\"",
            ),
            (
                v6(r#", "architecture": "standard", "hook_head_index": -1"#),
                "dir/cfg.json: `hook_head_index` is -1, but must be the number of a head, from 0",
            ),
            (
                v6(r#", "architecture": "topk", "k": 17"#),
                "dir/cfg.json: `k` is 17, but must be at most the number of features, 16",
            ),
            (
                r#"{"d_in": 8, "architecture": "standard"}"#.to_owned(),
                "dir/cfg.json: the key `d_sae` is missing; a SAELens configuration has it",
            ),
            (
                r#"{"d_in": -8, "d_sae": 2, "architecture": "standard"}"#.to_owned(),
                "dir/cfg.json: `d_in` is -8, but must be a positive integer below 2^31",
            ),
        ] {
            assert_eq!(read(&json), Err(error.to_owned()));
        }
    }
}
