//! Activation functions: what turns pre-activations into features. A new one is a variant here; who reads, saves,
//! folds and encodes asks its methods.

use std::convert::Infallible;

use super::SaeError;
use crate::gpu::{Engine, Tensor};
use crate::kernels::{
    Activation, EntryKind, Gate, Layout, Product, Selection, Sparse, entry_features, gated, jump_relu,
    matmul, paste, scalar, topk,
};

/// An activation function with the parameters that it has beside the encoder's bias. `P` is one of them, a number for
/// each feature, [F]: a [`Tensor`] on an engine, a `Vec<f32>` in host memory, `()` where only a configuration is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ActivationFn<P> {
    /// ReLU (`standard`).
    #[default]
    Relu,
    /// The k largest after ReLU (`topk`).
    TopK {
        /// Features kept per token.
        k: usize,
    },
    /// ReLU where the pre-activation lies above its feature's threshold (`jumprelu`). BatchTopK at inference is
    /// this with one threshold for all.
    JumpRelu {
        /// What a pre-activation must exceed.
        threshold: P,
    },
    /// A gate decides whether a feature fires, a magnitude how strongly; both read one product (`gated`). The encoder's
    /// bias is the gate's.
    Gated {
        /// Bias of the magnitude.
        b_mag: P,
        /// Logarithm of the magnitude's scale.
        r_mag: P,
    },
}

/// A parameter of an [`ActivationFn`].
pub(super) struct Parameter<P> {
    /// Its tensor in SAELens's files.
    pub(super) name: &'static str,
    /// What errors call it.
    pub(super) words: &'static str,
    pub(super) values: P,
}

impl<P> ActivationFn<P> {
    /// What SAELens calls the architecture that has it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Relu => "standard",
            Self::TopK { .. } => "topk",
            Self::JumpRelu { .. } => "jumprelu",
            Self::Gated { .. } => "gated",
        }
    }

    /// Features that a token keeps at most, where that is fixed.
    pub fn k(&self) -> Option<usize> {
        match self {
            Self::TopK { k } => Some(*k),
            _ => None,
        }
    }

    /// The tensor of the encoder's bias in SAELens's files.
    pub(super) fn bias_name(&self) -> &'static str {
        match self {
            Self::Gated { .. } => "b_gate",
            _ => "b_enc",
        }
    }

    /// The same with other parameters, each made of an old one.
    pub(super) fn try_map<'p, Q, E>(
        &'p self,
        mut make: impl FnMut(Parameter<&'p P>) -> Result<Q, E>,
    ) -> Result<ActivationFn<Q>, E> {
        let mut make = |name, words, values| make(Parameter { name, words, values });
        Ok(match self {
            Self::Relu => ActivationFn::Relu,
            Self::TopK { k } => ActivationFn::TopK { k: *k },
            Self::JumpRelu { threshold } => {
                ActivationFn::JumpRelu { threshold: make("threshold", "the thresholds", threshold)? }
            }
            Self::Gated { b_mag, r_mag } => ActivationFn::Gated {
                b_mag: make("b_mag", "the magnitudes' bias", b_mag)?,
                r_mag: make("r_mag", "the magnitudes' scale", r_mag)?,
            },
        })
    }

    /// As [`ActivationFn::try_map`], where nothing can fail.
    pub(super) fn map<'p, Q>(&'p self, mut make: impl FnMut(Parameter<&'p P>) -> Q) -> ActivationFn<Q> {
        let Ok(made) = self.try_map(|parameter| Ok::<Q, Infallible>(make(parameter)));
        made
    }

    /// Its parameters, in the order of [`ActivationFn::map`].
    pub(super) fn parameters(&self) -> Vec<Parameter<&P>> {
        let mut all = Vec::new();
        self.map(|parameter| all.push(parameter));
        all
    }

    /// The parameter that is in units of the features: what scales features scales it, too.
    pub(super) fn in_units_of_features(&mut self) -> Option<&mut P> {
        match self {
            Self::Relu | Self::TopK { .. } => None,
            Self::JumpRelu { threshold } => Some(threshold),
            // The other is a logarithm of a ratio.
            Self::Gated { b_mag, .. } => Some(b_mag),
        }
    }
}

impl ActivationFn<Vec<f32>> {
    /// The same on an engine.
    pub(super) fn on(&self, engine: &Engine) -> ActivationFn<Tensor> {
        self.map(|Parameter { values, .. }| Tensor::from_f32(engine, &[values.len()], values.clone()))
    }
}

impl ActivationFn<Tensor> {
    /// The same in host memory.
    pub(super) async fn read(&self) -> Result<ActivationFn<Vec<f32>>, SaeError> {
        let mut read = Vec::new();
        for parameter in self.parameters() {
            read.push(parameter.values.read_f32().await?);
        }
        let mut read = read.into_iter();
        Ok(self.map(|_| read.next().expect("one for each parameter")))
    }

    /// Which pre-activations become features.
    pub(super) fn selection(&self) -> Selection {
        match self {
            // A gate is open where it is positive.
            Self::Relu | Self::Gated { .. } => Selection::Positive,
            Self::TopK { k } => Selection::Largest(*k),
            Self::JumpRelu { threshold } => Selection::Above(threshold.clone()),
        }
    }

    /// How the pre-activations that [`ActivationFn::selection`] left become features; `bias` is the encoder's.
    pub(super) fn magnitudes(&self, bias: &Tensor) -> Magnitudes {
        match self {
            Self::Relu | Self::TopK { .. } | Self::JumpRelu { .. } => Magnitudes(None),
            Self::Gated { b_mag, r_mag } => {
                let features = bias.len();
                let mut scalars = Tensor::zeros(bias.engine(), &[features, 4]);
                for (column, values) in [(scalar::BIAS, bias), (scalar::B_MAG, b_mag), (scalar::R_MAG, r_mag)]
                {
                    scalars = paste(&scalars, column, &values.reshape(&[features, 1]));
                }
                Magnitudes(Some(scalars))
            }
        }
    }

    /// Dense features [T, F] of `input` [T, D]; `w` [D, F] and `bias` are the encoder's.
    pub(super) fn dense(&self, input: &Tensor, w: &Tensor, bias: &Tensor) -> Tensor {
        let product = |bias, activation| {
            matmul(input, w, &Product { layout: Layout::Nn, bias, activation, ..Product::default() })
        };
        let pre = || product(Some(bias), Activation::None);
        match self {
            Self::Relu => product(Some(bias), Activation::Relu),
            Self::TopK { k } => topk(&pre(), *k),
            Self::JumpRelu { threshold } => jump_relu(&pre(), threshold),
            Self::Gated { b_mag, r_mag } => {
                gated(&product(None, Activation::None), &Gate { b_gate: bias, r_mag, b_mag })
            }
        }
    }
}

/// How pre-activations that were selected become features: what a gated SAE's features own, [F, 4], as
/// [`entry_features`] reads it; nothing where they are the features.
#[derive(Debug, Clone)]
pub(super) struct Magnitudes(Option<Tensor>);

impl Magnitudes {
    /// The features. Some may be zeros.
    pub(super) fn of(&self, kept: Sparse) -> Sparse {
        match &self.0 {
            None => kept,
            Some(scalars) => kept.with_values(entry_features(&kept, EntryKind::Gated, scalars)),
        }
    }
}
