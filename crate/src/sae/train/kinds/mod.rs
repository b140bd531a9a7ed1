//! The kinds of SAE that are trained, a file each: how it selects, what it begins with, what its penalty is on, how
//! dead features are revived, and how it ends. A new one is a file here and its lines in this one.

mod batch_topk;
mod gated;
mod jump_relu;
mod kind;
mod relu;
#[cfg(test)]
mod stand_in;
mod topk;

use serde::{Deserialize, Serialize};

pub use batch_topk::BatchTopK;
pub(super) use batch_topk::{largest, mean_threshold};
pub use gated::Gated;
pub use jump_relu::JumpRelu;
pub(super) use kind::{Kind, Penalized, Revival, Scale, TrainedScalars};
pub use relu::Relu;
#[cfg(test)]
pub use stand_in::StandIn;
pub use topk::TopK;

/// What makes features sparse.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi, from_wasm_abi))]
pub enum SaeKind {
    /// Only the k largest features of a token stay (Gao et al. 2024, 2406.04093).
    TopK(TopK),
    /// Only the k·B largest features of a batch of B tokens stay (Bussmann et al. 2024, 2412.06410).
    BatchTopK(BatchTopK),
    /// A threshold for each feature, learned with a penalty on the number of active features (Rajamanoharan et al.
    /// 2024, 2407.14435).
    JumpRelu(JumpRelu),
    /// A gate for each feature, learned with a penalty on its sum (Rajamanoharan et al. 2024, 2404.16014).
    Gated(Gated),
    /// A penalty on the sum of features (the paper, section 2).
    Relu(Relu),
    /// Of tests: one threshold for all.
    #[cfg(test)]
    StandIn(StandIn),
}

impl SaeKind {
    pub(super) fn rules(&self) -> &dyn Kind {
        match self {
            Self::TopK(kind) => kind,
            Self::BatchTopK(kind) => kind,
            Self::JumpRelu(kind) => kind,
            Self::Gated(kind) => kind,
            Self::Relu(kind) => kind,
            #[cfg(test)]
            Self::StandIn(kind) => kind,
        }
    }

    /// Its name in SAELens's words, and on the command line.
    pub fn name(&self) -> &'static str {
        self.rules().name()
    }

    /// The k, or the coefficient of the penalty.
    pub fn number(&self) -> f64 {
        self.rules().number()
    }

    /// Whether its penalty shrinks what features say: then decoders may be fine-tuned without it, and SAEs pruned.
    pub fn shrinks(&self) -> bool {
        self.rules().shrinks()
    }
}
