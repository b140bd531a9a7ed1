//! Hook points: what a forward pass shows, and where its values can be changed.
//!
//! A [`Plan`] is consumed by one run, so nothing stays hooked. Names are TransformerLens' (GPT-NeoX) and
//! MambaLens' (Mamba); see [`super::Model::hooks`] for all names of a model.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use thiserror::Error;
use wildmatch::WildMatch;

use crate::failure::{Fails, Failure, printed};
use crate::gpu::Tensor;
use crate::kernels::{Activation, Binary, Layout, Product, map, matmul, zip};
use crate::words::{self, echo};

/// What an axis of a hook point's value counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    /// Prompts of the batch.
    Prompt,
    /// Token positions; of scores and patterns those that read.
    Position,
    /// Token positions that are read: the columns of scores and patterns.
    Source,
    /// Heads of attention.
    Head,
    /// Channels: entries of a vector.
    Channel,
    /// States of a channel.
    State,
}

impl Axis {
    /// A vector for each token, such as the residual stream.
    pub(super) const VECTOR: &[Self] = &[Self::Prompt, Self::Position, Self::Channel];
}

/// A place in a model where a value can be seen or changed.
#[derive(Debug, Clone, PartialEq)]
pub struct HookPoint {
    /// Its name, e.g. `blocks.3.attn.hook_z`.
    pub name: String,
    /// Shape for the batch and length asked about.
    pub shape: Vec<usize>,
    /// What each axis of the shape counts. A value that is one position's alone has it in its name, as `hook_h.{t}`.
    pub axes: &'static [Axis],
}

impl HookPoint {
    /// Where in the shape this axis is, if anywhere.
    pub fn axis(&self, axis: Axis) -> Option<usize> {
        self.axes.iter().position(|one| *one == axis)
    }

    /// Whether it holds −∞ where a token must not look: scores of attention before their softmax.
    pub fn masked(&self) -> bool {
        self.name.ends_with("hook_attn_scores")
    }
}

/// A function at a hook point: it is given the model's own value, and what it returns, of the same shape, is what the
/// model goes on with. It may hold other runs' values.
#[derive(Clone)]
pub struct Edit {
    /// Name of the hook point.
    pub hook: String,
    /// The function.
    pub change: Rc<dyn Fn(&Tensor) -> Tensor>,
}

impl std::fmt::Debug for Edit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Edit({})", self.hook)
    }
}

/// What one forward pass keeps and changes.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Names or patterns (`*` stands for anything) of hook points to keep.
    pub keep: Vec<String>,
    /// Functions to apply, in this order.
    pub edits: Vec<Edit>,
    /// Whether logits are wanted; without them the pass ends after the last hook point it needs.
    pub logits: bool,
}

/// A hook that the model does not have, or a pattern that matches none.
#[derive(Debug, Error)]
pub struct HookError {
    pattern: String,
    /// A few names.
    examples: String,
    /// Which one may have been meant; empty where none is like it.
    meant: String,
}

impl Fails for HookError {
    fn failure(&self) -> Failure {
        let Self { pattern, examples, meant } = self;
        Failure::new(
            format!("no hook matches {}", echo(pattern)),
            format!("this model has names such as {examples}"),
        )
        .advised(meant)
    }
}

printed!(HookError);

/// One forward pass: handed through the network with a [`Plan`], it collects what was asked for.
pub(super) struct Pass {
    wanted: BTreeSet<String>,
    edits: BTreeMap<String, Vec<Edit>>,
    pub(super) kept: BTreeMap<String, Tensor>,
    /// Hook points to be changed that were not met yet.
    pending: usize,
    pub(super) logits: bool,
}

impl Pass {
    /// Checks a plan against the hook points of a model.
    pub(super) fn new(plan: Plan, hooks: &[HookPoint]) -> Result<Self, HookError> {
        let mut wanted = BTreeSet::new();
        for pattern in &plan.keep {
            let matcher = WildMatch::new(pattern);
            let mut found = hooks.iter().filter(|h| matcher.matches(&h.name)).peekable();
            if found.peek().is_none() {
                return Err(no_match(pattern, hooks));
            }
            wanted.extend(found.map(|h| h.name.clone()));
        }
        let mut edits: BTreeMap<String, Vec<Edit>> = BTreeMap::new();
        for edit in plan.edits {
            if !hooks.iter().any(|h| h.name == edit.hook) {
                return Err(no_match(&edit.hook, hooks));
            }
            edits.entry(edit.hook.clone()).or_default().push(edit);
        }
        let pending = edits.len();
        Ok(Self { wanted, edits, kept: BTreeMap::new(), pending, logits: plan.logits })
    }

    /// Whether somebody keeps or edits this hook point; if not, the model may compute past it.
    pub(super) fn wants(&self, name: &str) -> bool {
        self.wanted.contains(name) || self.edits(name)
    }

    /// Whether somebody edits this hook point.
    pub(super) fn edits(&self, name: &str) -> bool {
        self.edits.contains_key(name)
    }

    /// Whether everything asked for has been seen.
    pub(super) fn finished(&self) -> bool {
        !self.logits && self.kept.len() == self.wanted.len() && self.pending == 0
    }

    /// The hook point `name`: returns `x`, or what the edits make of it, and keeps it if asked to.
    pub(super) fn at(&mut self, name: &str, x: Tensor) -> Tensor {
        if self.edits(name) {
            self.pending -= 1;
        }
        let edits = self.edits.get(name).into_iter().flatten();
        let x = edits.fold(x, |x, edit| {
            let y = (edit.change)(&x);
            assert_eq!(y.shape(), x.shape(), "an edit of {name} changed its shape");
            y
        });
        if self.wanted.contains(name) {
            self.kept.insert(name.to_owned(), x.clone());
        }
        x
    }

    /// y = act(x·Wᵀ + b), where `pre` is the hook point before the activation. One fused kernel unless
    /// somebody looks at `pre`.
    pub(super) fn activated(
        &mut self,
        pre: &str,
        x: &Tensor,
        linear: &Linear,
        activation: Activation,
    ) -> Tensor {
        if !self.wants(pre) {
            return linear.product(x, activation, None);
        }
        let y = self.at(pre, linear.apply(x));
        map(&y, activation)
    }

    /// residual + (x·Wᵀ + b), where `out` is the hook point before the sum. One fused kernel unless somebody
    /// looks at `out`.
    pub(super) fn added(&mut self, out: &str, x: &Tensor, linear: &Linear, residual: &Tensor) -> Tensor {
        if !self.wants(out) {
            return linear.product(x, Activation::None, Some(residual));
        }
        let y = self.at(out, linear.apply(x));
        zip(residual, &y, Binary::Add)
    }
}

/// y = x·Wᵀ + b with W [N, K].
pub(super) struct Linear {
    pub(super) weight: Tensor,
    pub(super) bias: Option<Tensor>,
}

impl Linear {
    /// x [.., K] → [.., N].
    pub(super) fn apply(&self, x: &Tensor) -> Tensor {
        self.product(x, Activation::None, None)
    }

    fn product(&self, x: &Tensor, activation: Activation, residual: Option<&Tensor>) -> Tensor {
        let how = Product { layout: Layout::Nt, bias: self.bias.as_ref(), activation, residual };
        matmul(x, &self.weight, &how)
    }
}

/// `did you mean NAME?` of the hook that is most like a pattern; with a `*` for numbers if the pattern has one.
pub(crate) fn meant(pattern: &str, hooks: &[HookPoint]) -> String {
    let many = pattern.contains('*');
    let number = |part: &str| many && part.parse::<usize>().is_ok();
    let named = |hook: &HookPoint| {
        let parts = hook.name.split('.').map(|part| if number(part) { "*" } else { part });
        parts.collect::<Vec<_>>().join(".")
    };
    let names: Vec<String> = hooks.iter().map(named).collect();
    words::meant(pattern, names.iter().map(String::as_str))
}

fn no_match(pattern: &str, hooks: &[HookPoint]) -> HookError {
    let examples: Vec<&str> = hooks.iter().map(|h| h.name.as_str()).take(6).collect();
    let (examples, meant) = (examples.join(", "), meant(pattern, hooks));
    HookError { pattern: pattern.to_owned(), examples, meant }
}
