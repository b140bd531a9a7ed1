//! OpenMOSS's Language-Model-SAEs, which the paper's SAEs were trained with.
//!
//! Three arithmetics, with s = √D over a norm of the activations:
//! - summer 2024 (`hyperparams.json`, tensors `feature_act_mask` and `feature_act_scale`): features in the
//!   activations' own scale, f = ReLU((W_e·s(x − b_d) + b_e)/s)·mask·scale, x̂ = W_d·f + b_d;
//! - autumn 2024 (`hyperparams.json` without these tensors, `jump_relu_threshold` a number in the activations' own
//!   scale) and 2025 (`config.json`): everything in the normalised scale, f = act(s·x·W_E + b_E),
//!   x̂ = (f·W_D + b_D)/s.
//!
//! With `sparsity_include_decoder_norm` the activation function sees pre-activations times decoder norms.

use serde_json::Value;

use super::file::{Format, SaeFile, Tensors, about_b_dec};
use super::fold::{row_norms, scale};
use super::keys::{Keys, object};
use crate::checkpoint::Files;
use crate::kernels::Normalize;
use crate::sae::{ActivationFn, SaeConfig, SaeError, SaeWeights};

pub(super) const CONFIG_2024: &str = "hyperparams.json";
pub(super) const CONFIG_2025: &str = "config.json";
/// Where weights lie, the first that is there: `checkpoints` is of 2024.
pub(super) const WEIGHTS: [&str; 3] =
    ["sae_weights.safetensors", "checkpoints/pruned.safetensors", "checkpoints/final.safetensors"];

/// What both readers share.
struct Reader<'a> {
    keys: Keys<'a>,
    tensors: Tensors,
    d: usize,
    f: usize,
    conventions: Vec<String>,
}

/// How activations are scaled before encoding.
enum Scale {
    /// Not at all.
    None,
    /// Each token by its own norm.
    Token,
    /// By constants, for the input and the output.
    Constant(f64, f64),
}

/// `hyperparams.json`.
pub(super) fn read_2024(files: &Files) -> Result<SaeFile, SaeError> {
    let file = files.label(CONFIG_2024);
    let map = object(&file, &files.read(CONFIG_2024)?)?;
    let keys = Keys { file: &file, form: "Language-Model-SAEs", map: &map };
    let mut reader = Reader::new(files, keys)?;
    let (d, f) = (reader.d, reader.f);
    let weights = SaeWeights {
        w_enc: reader.tensors.turned("encoder.weight", d, f)?,
        b_enc: reader.tensors.tensor("encoder.bias", &[f])?,
        w_dec: reader.tensors.turned("decoder.weight", f, d)?,
        b_dec: reader.decoder_bias("decoder.bias")?,
        ..SaeWeights::default()
    };
    reader
        .conventions
        .push("encoder.weight and decoder.weight were transposed to [D, F] and [F, D]".to_owned());
    let biased = reader.tensors.has("decoder.bias");
    let subtracts = biased && keys.flag("apply_decoder_bias_to_pre_encoder", true)?;
    reader.conventions.push(about_b_dec(subtracts, "apply_decoder_bias_to_pre_encoder"));
    if reader.tensors.has("feature_act_mask") || reader.tensors.has("feature_act_scale") {
        return reader.own_scale(weights, subtracts);
    }
    reader.normalised_scale(Format::LmSaes2024, weights, subtracts)
}

/// `config.json`.
pub(super) fn read_2025(files: &Files) -> Result<SaeFile, SaeError> {
    let file = files.label(CONFIG_2025);
    let map = object(&file, &files.read(CONFIG_2025)?)?;
    let keys = Keys { file: &file, form: "Language-Model-SAEs", map: &map };
    if keys.word("sae_type", "sae")? != "sae" {
        return Err(keys.unsupported("sae_type", &map["sae_type"], "\"sae\""));
    }
    let reader = Reader::new(files, keys)?;
    let (d, f) = (reader.d, reader.f);
    let weights = SaeWeights {
        w_enc: reader.tensors.tensor("W_E", &[d, f])?,
        b_enc: reader.tensors.tensor("b_E", &[f])?,
        w_dec: reader.tensors.tensor("W_D", &[f, d])?,
        b_dec: reader.decoder_bias("b_D")?,
        ..SaeWeights::default()
    };
    let mut reader = reader;
    reader.conventions.push(about_b_dec(false, "Language-Model-SAEs of 2025"));
    reader.normalised_scale(Format::LmSaes2025, weights, false)
}

impl<'a> Reader<'a> {
    fn new(files: &Files, keys: Keys<'a>) -> Result<Self, SaeError> {
        keys.refuse("use_glu_encoder")?;
        let d = keys.size("d_model")?;
        let f = match keys.get("d_sae") {
            Some(_) => keys.size("d_sae")?,
            None => keys.expanded("expansion_factor", d)?,
        };
        let name = WEIGHTS.into_iter().find(|name| files.has(name)).unwrap_or(WEIGHTS[0]);
        let pickle = name.replace(".safetensors", ".pt");
        if !files.has(name) && files.has(&pickle) {
            return Err(SaeError::Pickle { file: files.label(&pickle), place: files.place() });
        }
        Ok(Self { keys, tensors: Tensors::open(files, name)?, d, f, conventions: Vec::new() })
    }

    /// The decoder's bias; zeros for one trained without.
    fn decoder_bias(&self, name: &str) -> Result<Vec<f32>, SaeError> {
        if !self.keys.flag("use_decoder_bias", self.tensors.has(name))? {
            return Ok(vec![0.0; self.d]);
        }
        Ok(self.tensors.tensor(name, &[self.d])?)
    }

    /// How activations are scaled.
    fn scale(&mut self) -> Result<Scale, SaeError> {
        const KEY: &str = "norm_activation";
        let word = self.keys.word(KEY, "none")?.to_owned();
        match word.as_str() {
            "none" | "inference" => Ok(Scale::None),
            "token-wise" => {
                self.conventions.push("each token is scaled to norm √D (token-wise)".to_owned());
                Ok(Scale::Token)
            }
            "batch-wise" => {
                self.conventions.push(
                    "each token is scaled to norm √D, as batch-wise does in batches of one token: features must \
                     not depend on what else is in the batch"
                        .to_owned(),
                );
                Ok(Scale::Token)
            }
            "dataset-wise" => {
                let (input, output) = (self.average("in")?, self.average("out")?);
                self.conventions.push(format!(
                    "activations are scaled from their average norm {input} to √D (dataset-wise), folded into the \
                     weights"
                ));
                let root = (self.d as f64).sqrt();
                Ok(Scale::Constant(root / input, root / output))
            }
            _ => {
                let supported = "token-wise, batch-wise, dataset-wise, inference and none";
                Err(self.keys.unsupported(KEY, &Value::String(word), supported))
            }
        }
    }

    /// The average norm of the activations of one `side` in the training data: in the configuration (2024), or a
    /// tensor that is named after the hook (2025).
    fn average(&self, side: &'static str) -> Result<f64, SaeError> {
        const KEY: &str = "dataset_average_activation_norm";
        let norm = match self.keys.get(KEY) {
            Some(norms) => {
                let norm = norms.get(side).or_else(|| norms.get(self.hook(side)?));
                let norm =
                    norm.ok_or_else(|| self.keys.bad(KEY, norms, "the norms of the input and the output"))?;
                return self.keys.factor(KEY, norm);
            }
            None => {
                let hook = self.hook(side).ok_or_else(|| self.keys.missing("hook_point_in"))?;
                self.tensors.scalar(&format!("{KEY}.{hook}"))?
            }
        };
        match norm > 0.0 {
            true => Ok(f64::from(norm)),
            false => Err(SaeError::BadWeight {
                file: self.tensors.label().to_owned(),
                tensor: KEY,
                index: 0,
                value: norm,
                expected: "above 0",
            }),
        }
    }

    /// The hook of a side; the output's is the input's unless it is named.
    fn hook(&self, side: &str) -> Option<String> {
        let input = self.keys.name("hook_point_in").or_else(|| self.keys.name("hook_point"));
        if side == "out" { self.keys.name("hook_point_out").or(input) } else { input }
    }

    /// Summer 2024.
    fn own_scale(mut self, mut weights: SaeWeights, subtracts: bool) -> Result<SaeFile, SaeError> {
        if self.keys.word("act_fn", "relu")? != "relu" {
            return Err(self.keys.unsupported("act_fn", &self.keys.map["act_fn"], "\"relu\""));
        }
        let normalize = match self.scale()? {
            Scale::None => Normalize::None,
            Scale::Token => {
                self.conventions.push(match subtracts {
                    true => "the input's norm is taken after b_dec is subtracted, and features are scaled back by the \
                             token's own norm"
                        .to_owned(),
                    false => "features are scaled back by the token's norm".to_owned(),
                });
                Normalize::Centered
            }
            Scale::Constant(s, _) => {
                scale(&mut weights.b_enc, 1.0 / s);
                Normalize::None
            }
        };
        for tensor in ["feature_act_mask", "feature_act_scale"] {
            if !self.tensors.has(tensor) {
                continue;
            }
            let factors = self.tensors.tensor(tensor, &[self.f])?;
            if let Some(index) = factors.iter().position(|&v| v < 0.0) {
                return Err(SaeError::BadWeight {
                    file: self.tensors.label().to_owned(),
                    tensor,
                    index,
                    value: factors[index],
                    expected: "0 or more",
                });
            }
            if factors.iter().any(|&v| v != 1.0) {
                weights.fold_feature_scales(&factors);
                self.conventions
                    .push(format!("features are multiplied with {tensor}, folded into the encoder"));
            }
        }
        self.finish(Format::LmSaes2024, (normalize, subtracts), weights)
    }

    /// Autumn 2024 and 2025.
    fn normalised_scale(
        mut self,
        format: Format,
        mut weights: SaeWeights,
        subtracts: bool,
    ) -> Result<SaeFile, SaeError> {
        let scale = self.scale()?;
        let (input, output) = match scale {
            Scale::Constant(input, output) => (input, output),
            _ => (1.0, 1.0),
        };
        if !matches!(scale, Scale::None) {
            self.conventions
                .push("features stay in the normalised scale, outputs are scaled back".to_owned());
        }
        if subtracts && input != output {
            return Err(SaeError::Unsupported {
                file: self.keys.file.to_owned(),
                key: "apply_decoder_bias_to_pre_encoder",
                value: "true".to_owned(),
                supported: "false where input and output have different norms",
            });
        }
        let included = self.keys.flag("sparsity_include_decoder_norm", true)?;
        let norms = included.then(|| row_norms(&weights.w_dec, self.d));
        // The library folds its scales into the decoder before it takes the norms.
        let own_scale = if included { output } else { input };
        weights.activation = self.activation(&mut weights, norms, own_scale)?;
        weights.fold_scales(input, output);
        let normalize = if matches!(scale, Scale::Token) { Normalize::ConstantNorm } else { Normalize::None };
        self.finish(format, (normalize, subtracts), weights)
    }

    /// The activation function, with the decoder norms that it sees folded into what decides. A threshold in the
    /// activations' own scale is multiplied with `own_scale`.
    fn activation(
        &mut self,
        weights: &mut SaeWeights,
        norms: Option<Vec<f64>>,
        own_scale: f64,
    ) -> Result<ActivationFn<Vec<f32>>, SaeError> {
        match self.keys.word("act_fn", "relu")? {
            "relu" => Ok(ActivationFn::Relu),
            word @ ("topk" | "batchtopk") => {
                let k = self.keys.size("top_k")?;
                self.keys.at_most("top_k", k, self.f)?;
                if word == "batchtopk" {
                    self.conventions.push(format!(
                        "the {k} largest of each token stay, as batchtopk does in batches of one token: features must \
                         not depend on what else is in the batch"
                    ));
                } else {
                    self.conventions.push(format!("the {k} largest of a token stay, after ReLU"));
                }
                if norms.is_some() {
                    weights.fold_decoder_norms(self.d);
                    self.conventions.push(
                        "the largest are found after scaling by decoder norms: decoder rows are scaled to norm 1 and \
                         features by their norms, folded into the weights (sparsity_include_decoder_norm)"
                            .to_owned(),
                    );
                }
                Ok(ActivationFn::TopK { k })
            }
            "jumprelu" => {
                let mut thresholds = self.thresholds(own_scale)?;
                if let Some(norms) = norms {
                    thresholds.iter_mut().zip(norms).for_each(|(t, n)| *t /= n);
                    self.conventions.push(
                        "thresholds hold after scaling by decoder norms, folded into them \
                         (sparsity_include_decoder_norm)"
                            .to_owned(),
                    );
                }
                // A feature whose decoder row is zero never passes, whatever it would be.
                let finite = |t: f64| t.min(f64::from(f32::MAX)) as f32;
                Ok(ActivationFn::JumpRelu { threshold: thresholds.into_iter().map(finite).collect() })
            }
            _ => {
                let supported = "relu, topk, batchtopk and jumprelu";
                Err(self.keys.unsupported("act_fn", &self.keys.map["act_fn"], supported))
            }
        }
    }

    /// Thresholds, in the normalised scale.
    fn thresholds(&mut self, own_scale: f64) -> Result<Vec<f64>, SaeError> {
        const KEY: &str = "jump_relu_threshold";
        let names = ["activation_function.log_jumprelu_threshold", "log_jumprelu_threshold"];
        let logarithms = names.into_iter().find(|name| self.tensors.has(name));
        match (logarithms, self.keys.get(KEY)) {
            (None, Some(value)) => {
                let threshold = value.as_f64().filter(|v| v.is_finite());
                let threshold = threshold.ok_or_else(|| self.keys.bad(KEY, value, "a finite number"))?;
                self.conventions
                    .push(format!("the threshold {threshold} holds in the activations' own scale ({KEY})"));
                Ok(vec![threshold * own_scale; self.f])
            }
            (name, _) => {
                let logarithms = self.tensors.tensor(name.unwrap_or(names[0]), &[self.f])?;
                self.conventions.push("thresholds are exp(log_jumprelu_threshold)".to_owned());
                Ok(logarithms.iter().map(|&v| f64::from(v).exp()).collect())
            }
        }
    }

    fn finish(
        self,
        format: Format,
        (normalize, apply_b_dec_to_input): (Normalize, bool),
        weights: SaeWeights,
    ) -> Result<SaeFile, SaeError> {
        weights.check_finite(self.tensors.label())?;
        Ok(SaeFile {
            format,
            config: SaeConfig {
                apply_b_dec_to_input,
                normalize,
                model_name: self.keys.name("model_name"),
                hook_name: self.hook("in"),
                ..SaeConfig::new(self.d, self.f)
            },
            weights,
            transcoder: self.hook("in") != self.hook("out"),
            tensors: self.tensors.list(),
            conventions: self.conventions,
            notes: Vec::new(),
        })
    }
}
