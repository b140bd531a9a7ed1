//! What an SAE is, beside its weights.

use super::SaeError;
use crate::kernels::Normalize;

/// What a sparse autoencoder is, beside its weights and its activation function.
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
    /// Whether the decoder's bias is subtracted before encoding.
    pub apply_b_dec_to_input: bool,
    /// How activations are normalised.
    pub normalize: Normalize,
    /// The model it was trained on, if known.
    pub model_name: Option<String>,
    /// The hook it was trained on, if known.
    pub hook_name: Option<String>,
    /// What it reads of a hook with heads.
    pub heads: Heads,
}

/// What an SAE reads of a hook that has heads. Of one without heads it reads everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Heads {
    /// All of them, side by side: who gives the activations puts them so.
    #[default]
    Flat,
    /// All of them, side by side: SAELens's SAE itself puts them so (`reshape_activations: "hook_z"`).
    Reshaped,
    /// One of them, from 0 (`hook_head_index`).
    One(usize),
}

impl Heads {
    /// The head, if it is a single one.
    pub fn one(self) -> Option<usize> {
        match self {
            Self::One(head) => Some(head),
            Self::Flat | Self::Reshaped => None,
        }
    }

    /// What an SAE of all that a hook shows reads. SAELens reshapes `hook_z` alone.
    pub fn all_of(hook: &str) -> Self {
        if hook.ends_with(".hook_z") { Self::Reshaped } else { Self::Flat }
    }
}

impl SaeConfig {
    /// An SAE that subtracts its decoder's bias, normalises nothing, and does not say what it was trained on.
    pub fn new(d_in: usize, d_sae: usize) -> Self {
        Self {
            d_in,
            d_sae,
            apply_b_dec_to_input: true,
            normalize: Normalize::None,
            model_name: None,
            hook_name: None,
            heads: Heads::Flat,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_width_and_hook() {
        let config = SaeConfig {
            model_name: Some("tiny-neox".to_owned()),
            hook_name: Some("blocks.1.hook_resid_post".to_owned()),
            ..SaeConfig::new(8, 16)
        };
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
