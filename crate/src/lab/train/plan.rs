//! What is trained, and who hears of it.

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::lab::{Observer, Silent, limits};
use crate::sae::kinds::TopK;
use crate::sae::{Sae, SaeKind, TrainStats};

/// What to train: one SAE for every matching hook and every recipe, all in one pass over the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi, from_wasm_abi))]
pub struct TrainPlan {
    /// Hook, or pattern of hooks.
    pub hook: String,
    /// The SAEs of each hook.
    pub recipes: Vec<Recipe>,
    /// Number of features.
    pub features: usize,
    /// Learning rate.
    pub lr: f64,
    /// Tokens to train on.
    pub tokens: usize,
    /// Of these, the last ones for fine-tuning decoders against shrinkage (l1 only).
    pub fine_tune: usize,
    /// Tokens after those on which l1 SAEs are pruned; 0 for no pruning.
    pub prune: usize,
    /// A feature that has not fired for this many tokens is dead.
    pub dead_after: usize,
    /// Whether dead features are helped: by the auxiliary loss of topk and batchtopk, by resampling the others.
    pub revive: bool,
    /// Tokens in a step.
    pub batch: usize,
    /// Seed of the shuffling.
    pub seed: u64,
    /// Documents are cut to this many tokens.
    pub context: usize,
}

impl Default for TrainPlan {
    /// A TopK SAE of a small model's second block. Whoever offers a training (the command line, the page) begins with
    /// these settings.
    fn default() -> Self {
        Self {
            hook: "blocks.1.hook_resid_post".to_owned(),
            recipes: vec![Recipe { kind: SaeKind::TopK(TopK { k: 32 }), seed: 1 }],
            features: 1024,
            lr: 1e-3,
            tokens: 200_000,
            fine_tune: 0,
            prune: 0,
            dead_after: 200_000,
            revive: true,
            batch: 1024,
            seed: 1,
            context: 256,
        }
    }
}

impl TrainPlan {
    /// A plan for one SAE a hook, with what else is usual.
    pub fn new(hook: impl Into<String>, kind: SaeKind, features: usize, tokens: usize) -> Self {
        let recipes = vec![Recipe { kind, seed: 1 }];
        Self { hook: hook.into(), recipes, features, tokens, ..Self::default() }
    }

    /// Refuses sizes that no run has.
    ///
    /// # Errors
    /// One line with the name and the range of the first of them.
    pub fn check(&self) -> Result<(), Failure> {
        limits::check([
            ("tokens", self.tokens, limits::TOKENS),
            ("features", self.features, limits::FEATURES),
            ("fine_tune", self.fine_tune, limits::MAYBE_TOKENS),
            ("prune", self.prune, limits::MAYBE_TOKENS),
            ("dead_after", self.dead_after, limits::TOKENS),
            ("batch", self.batch, limits::STEP),
            ("context", self.context, limits::CONTEXT),
        ])
    }
}

/// One SAE of a hook.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi, from_wasm_abi))]
pub struct Recipe {
    /// What makes its features sparse.
    pub kind: SaeKind,
    /// Seed of its weights.
    pub seed: u64,
}

impl std::fmt::Display for Recipe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}-seed{}", self.kind.name(), self.kind.number(), self.seed)
    }
}

/// A SAE that was trained.
pub struct Trained {
    /// It.
    pub sae: Sae,
    /// How it came about.
    pub recipe: Recipe,
    /// What its training read last.
    pub stats: TrainStats,
    /// Features that pruning silenced.
    pub pruned: usize,
}

/// A point of a training curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct CurvePoint {
    /// The hook that the SAE reads.
    pub hook: String,
    /// Kind, number and seed, e.g. `topk-32-seed1`.
    pub recipe: String,
    /// The figures.
    pub stats: TrainStats,
    /// Tokens a second since the point before, of this run with all its SAEs.
    pub tokens_per_second: f64,
}

/// Somebody who watches a training.
pub trait TrainWatch: Observer {
    /// A SAE has come this far.
    fn point(&self, point: &CurvePoint);
}

impl TrainWatch for Silent {
    fn point(&self, _: &CurvePoint) {}
}
