//! What is compared.

use super::plan::ComparePlan;
use crate::corpus::Corpus;
use crate::gpu::Engine;
use crate::lab::shared::{Inputs, LabModel};

/// What is compared.
pub struct Comparison<'a> {
    /// Where to compute.
    pub engine: &'a Engine,
    /// The first model.
    pub a: &'a LabModel,
    /// The second model.
    pub b: &'a LabModel,
    /// The texts.
    pub corpus: &'a Corpus,
    /// What is to be done.
    pub plan: ComparePlan,
    /// The files that went in; they name what a store keeps.
    pub inputs: Inputs,
}

/// Which model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    A,
    B,
}

impl<'a> Comparison<'a> {
    pub(super) fn model(&self, side: Side) -> &'a LabModel {
        match side {
            Side::A => self.a,
            Side::B => self.b,
        }
    }
}
