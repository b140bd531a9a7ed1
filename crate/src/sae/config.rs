//! `cfg.json`: what a SAE is, in SAELens's words.

use serde_json::{Map, Value, json};

use super::formats::keys::{Keys, object};
use super::{Heads, SaeError};
use crate::kernels::Normalize;

/// What turns pre-activations into features.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// ReLU (`standard`).
    Relu,
    /// The k largest after ReLU (`topk`).
    TopK {
        /// Features kept per token.
        k: usize,
    },
    /// ReLU where the pre-activation lies above its feature's threshold (`jumprelu`). BatchTopK at inference is
    /// this with one threshold for all.
    JumpRelu,
    /// A gate decides whether a feature fires, a magnitude how strongly; both read one product (`gated`).
    Gated,
}

impl Architecture {
    /// What SAELens calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Relu => "standard",
            Self::TopK { .. } => "topk",
            Self::JumpRelu => "jumprelu",
            Self::Gated => "gated",
        }
    }
}

/// What a sparse autoencoder is, beside its weights.
///
/// With n the normalisation (undone on the output), D = `d_in` and F = `d_sae`:
/// features = act((n(x) − b_dec·`apply_b_dec_to_input`)·W_enc + b_enc), output = n⁻¹(features·W_dec + b_dec).
/// [`Normalize::Centered`] is another order: features = act(n(x − b_dec·…)·W_enc + b_enc)·‖x‖/√D, and nothing is
/// undone on the output.
#[derive(Debug, Clone, PartialEq)]
pub struct SaeConfig {
    /// Width D of the activations.
    pub d_in: usize,
    /// Number of features F.
    pub d_sae: usize,
    /// Activation function.
    pub architecture: Architecture,
    /// Whether the decoder's bias is subtracted before encoding.
    pub apply_b_dec_to_input: bool,
    /// How activations are normalised.
    pub normalize: Normalize,
    /// Whether pre-activations are scaled by the norms of the decoder's rows (`topk` only). Loading folds this
    /// into the weights, so a loaded [`Sae`](super::Sae) has `false`.
    pub rescale_acts_by_decoder_norm: bool,
    /// The model it was trained on, if known.
    pub model_name: Option<String>,
    /// The hook it was trained on, if known.
    pub hook_name: Option<String>,
    /// What it reads of a hook with heads.
    pub heads: Heads,
}

/// Written into new files: the first version of the form they have.
const FORM_VERSION: &str = "6.0.0";

impl SaeConfig {
    /// Reads `cfg.json`, of SAELens 6 or older; `file` is its name in errors.
    ///
    /// # Errors
    /// When it is no JSON object, lacks a key, or asks for arithmetic that is not implemented.
    pub fn from_json(file: &str, bytes: &[u8]) -> Result<Self, SaeError> {
        let map = object(file, bytes)?;
        let keys = Keys { file, form: "SAELens", map: &map };
        let metadata = match map.get("metadata") {
            Some(Value::Object(metadata)) => metadata.clone(),
            _ => Map::new(),
        };
        // Before version 6 everything stood at the top level and the activation was named apart.
        let name = |names: &[&str]| {
            let found = names.iter().find_map(|n| metadata.get(*n).or_else(|| map.get(*n)));
            found.and_then(Value::as_str).map(str::to_owned)
        };
        let (architecture, rescale) = keys.architecture()?;
        let d_sae = keys.size("d_sae")?;
        if let Architecture::TopK { k } = architecture {
            keys.at_most("k", k, d_sae)?;
        }
        Ok(Self {
            d_in: keys.size("d_in")?,
            d_sae,
            architecture,
            apply_b_dec_to_input: keys.flag("apply_b_dec_to_input", true)?,
            normalize: keys.normalize()?,
            rescale_acts_by_decoder_norm: rescale,
            model_name: name(&["model_name"]),
            hook_name: name(&["hook_name", "hook_point"]),
            heads: keys.heads(&metadata)?,
        })
    }

    /// `cfg.json` in the form of SAELens 6.
    pub fn to_json(&self) -> String {
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
        map["architecture"] = self.architecture.name().into();
        if let Architecture::TopK { k } = self.architecture {
            map["k"] = k.into();
            map["rescale_acts_by_decoder_norm"] = self.rescale_acts_by_decoder_norm.into();
        }
        format!("{map:#}\n")
    }

    /// What errors call this SAE: its hook, where it is known.
    pub(super) fn name(&self) -> String {
        self.hook_name.clone().unwrap_or_else(|| "the SAE".to_owned())
    }

    /// Checks that activations of this width can be encoded.
    ///
    /// # Errors
    /// [`SaeError::Width`].
    pub fn check_width(&self, width: usize) -> Result<(), SaeError> {
        if width == self.d_in {
            return Ok(());
        }
        Err(SaeError::Width { name: self.name(), d_in: self.d_in, width })
    }

    /// Checks that the SAE was trained on this hook; one that does not say where passes.
    ///
    /// # Errors
    /// [`SaeError::Hook`].
    pub fn check_hook(&self, hook: &str) -> Result<(), SaeError> {
        match &self.hook_name {
            Some(trained) if trained != hook => Err(SaeError::Hook {
                name: self.model_name.clone().unwrap_or_else(|| "the SAE".to_owned()),
                trained: trained.clone(),
                hook: hook.to_owned(),
            }),
            _ => Ok(()),
        }
    }
}

/// What SAELens calls things.
impl Keys<'_> {
    /// The architecture, and whether activations are rescaled by decoder norms.
    fn architecture(&self) -> Result<(Architecture, bool), SaeError> {
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
            let architecture = match architecture {
                "jumprelu" => Architecture::JumpRelu,
                "gated" => Architecture::Gated,
                _ => Architecture::Relu,
            };
            return Ok((architecture, false));
        }
        let k = self.map.get("k").or_else(|| self.map.get("activation_fn_kwargs")?.get("k"));
        let k = k.ok_or_else(|| self.missing("k"))?;
        let k = self.positive("k", k)?;
        Ok((Architecture::TopK { k }, self.flag("rescale_acts_by_decoder_norm", false)?))
    }

    fn normalize(&self) -> Result<Normalize, SaeError> {
        const KEY: &str = "normalize_activations";
        match self.map.get(KEY) {
            // Whatever constant `expected_average_only_in` (before version 6: `true`) found is folded into the
            // weights when a SAE is saved.
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

    fn read(json: &str) -> Result<SaeConfig, String> {
        SaeConfig::from_json("dir/cfg.json", json.as_bytes()).map_err(|e| e.to_string())
    }

    #[test]
    fn reads_what_it_writes() {
        for (architecture, normalize) in [
            (Architecture::Relu, Normalize::ConstantNorm),
            (Architecture::TopK { k: 32 }, Normalize::None),
            (Architecture::TopK { k: 1 }, Normalize::LayerNorm),
            (Architecture::JumpRelu, Normalize::None),
            (Architecture::Gated, Normalize::None),
        ] {
            let config = SaeConfig {
                d_in: 128,
                d_sae: 1024,
                architecture,
                apply_b_dec_to_input: true,
                normalize,
                rescale_acts_by_decoder_norm: false,
                model_name: Some("tiny-neox".into()),
                hook_name: None,
                heads: Heads::Flat,
            };
            for heads in [Heads::Flat, Heads::Reshaped, Heads::One(0), Heads::One(11)] {
                let config = SaeConfig { heads, ..config.clone() };
                assert_eq!(read(&config.to_json()).as_ref(), Ok(&config));
            }
        }
    }

    #[test]
    fn reads_configurations_from_before_version_6() {
        let config = read(
            r#"{"d_in": 8, "d_sae": 16, "hook_point": "blocks.0.hook_resid_post", "model_name": "m",
                "activation_fn_str": "topk", "activation_fn_kwargs": {"k": 3}, "normalize_activations": false}"#,
        )
        .expect("an old configuration");
        assert_eq!(config.architecture, Architecture::TopK { k: 3 });
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

    #[test]
    fn checks_width_and_hook() {
        let config = read(
            r#"{"d_in": 8, "d_sae": 16, "architecture": "standard",
                "metadata": {"hook_name": "blocks.1.hook_resid_post", "model_name": "tiny-neox"}}"#,
        )
        .expect("a configuration");
        assert!(config.check_width(8).is_ok() && config.check_hook("blocks.1.hook_resid_post").is_ok());
        assert_eq!(
            config.check_width(9).expect_err("another width").to_string(),
            "blocks.1.hook_resid_post: the SAE reads activations of width 8, but these have width 9; \
             use the SAE of this model"
        );
        assert_eq!(
            config.check_hook("blocks.0.hook_resid_post").expect_err("another hook").to_string(),
            "tiny-neox: the SAE was trained on blocks.1.hook_resid_post, not on blocks.0.hook_resid_post; \
             use the SAE of that hook"
        );
    }
}
