//! Hook points: what a forward pass shows, and what it takes in place of its own values.
//!
//! A [`Plan`] is consumed by one run, so nothing stays hooked. Names are TransformerLens' (GPT-NeoX) and
//! MambaLens' (Mamba); see [`super::Model::hooks`] for all names of a model.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use thiserror::Error;
use wildmatch::WildMatch;

use crate::gpu::Tensor;
use crate::kernels::{Activation, Binary, Layout, Product, columns, map, matmul, paste, zip};
use crate::words::{did_you_mean, echo};

/// A place in a model where a value can be seen or replaced.
#[derive(Debug, Clone, PartialEq)]
pub struct HookPoint {
    /// Its name, e.g. `blocks.3.attn.hook_z`.
    pub name: String,
    /// Shape for the batch and length asked about.
    pub shape: Vec<usize>,
    /// Axis of token positions (query positions for scores and patterns); none for `hook_h.{t}`, whose
    /// position is in its name.
    pub position_axis: Option<usize>,
}

/// A value to put at a hook point.
#[derive(Debug, Clone)]
pub struct Replacement {
    /// Name of the hook point.
    pub hook: String,
    /// Positions to replace, or all of them.
    pub positions: Option<Vec<usize>>,
    /// The hook's shape; with `positions`, the position axis has that many entries, in that order.
    pub value: Tensor,
}

/// A function at a hook point: it is given the model's own value, and what it returns, of the same shape, is what the model
/// goes on with. It may hold other runs' values.
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

/// What one forward pass keeps and replaces.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Names or patterns (`*` stands for anything) of hook points to keep.
    pub keep: Vec<String>,
    /// Values to put in.
    pub replace: Vec<Replacement>,
    /// Functions to apply, after the replacements and in this order.
    pub edits: Vec<Edit>,
    /// Whether logits are wanted; without them the pass ends after the last hook point it needs.
    pub logits: bool,
}

/// A plan that does not fit the model.
#[derive(Debug, Error)]
pub enum HookError {
    /// A pattern that matches nothing.
    #[error("no hook matches {}; this model has names such as {examples}{meant}", echo(pattern))]
    NoMatch {
        /// The pattern.
        pattern: String,
        /// A few names.
        examples: String,
        /// Which one may have been meant.
        meant: String,
    },
    /// A position outside the prompt.
    #[error("hook {hook}: position {position} is outside the prompt of {len} tokens")]
    Position {
        /// The hook.
        hook: String,
        /// The position.
        position: usize,
        /// Length of the prompt.
        len: usize,
    },
    /// Positions where there are none to choose.
    #[error("hook {0} has no position axis; replace it as a whole")]
    NoPositions(String),
    /// A value of another shape.
    #[error("hook {hook}: the value has shape {found:?}, but {expected:?} is needed")]
    Shape {
        /// The hook.
        hook: String,
        /// Shape given.
        found: Vec<usize>,
        /// Shape needed.
        expected: Vec<usize>,
    },
    /// Two values for one place.
    #[error("hook {hook} is replaced twice at position {position}")]
    Twice {
        /// The hook.
        hook: String,
        /// The position (0 for a hook without positions).
        position: usize,
    },
}

/// A plan at work: passed through the model, it collects what was asked for.
pub(super) struct Run {
    wanted: BTreeSet<String>,
    replace: BTreeMap<String, Vec<Replacement>>,
    axes: BTreeMap<String, Option<usize>>,
    edits: BTreeMap<String, Vec<Edit>>,
    pub(super) kept: BTreeMap<String, Tensor>,
    /// Hook points to be changed that were not met yet.
    pending: usize,
    pub(super) logits: bool,
}

impl Run {
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
        let mut replace: BTreeMap<String, Vec<Replacement>> = BTreeMap::new();
        let mut axes = BTreeMap::new();
        let mut taken = BTreeSet::new();
        for replacement in plan.replace {
            let hook = hooks
                .iter()
                .find(|h| h.name == replacement.hook)
                .ok_or_else(|| no_match(&replacement.hook, hooks))?;
            check(hook, &replacement, &mut taken)?;
            axes.insert(hook.name.clone(), hook.position_axis);
            replace.entry(hook.name.clone()).or_default().push(replacement);
        }
        let mut edits: BTreeMap<String, Vec<Edit>> = BTreeMap::new();
        for edit in plan.edits {
            if !hooks.iter().any(|h| h.name == edit.hook) {
                return Err(no_match(&edit.hook, hooks));
            }
            edits.entry(edit.hook.clone()).or_default().push(edit);
        }
        let pending = replace.keys().chain(edits.keys()).collect::<BTreeSet<_>>().len();
        Ok(Self { wanted, replace, axes, edits, kept: BTreeMap::new(), pending, logits: plan.logits })
    }

    /// Whether somebody keeps or replaces this hook point; if not, the model may compute past it.
    pub(super) fn wants(&self, name: &str) -> bool {
        self.wanted.contains(name) || self.replaces(name)
    }

    /// Whether somebody replaces or edits this hook point.
    pub(super) fn replaces(&self, name: &str) -> bool {
        self.replace.contains_key(name) || self.edits.contains_key(name)
    }

    /// Whether everything asked for has been seen.
    pub(super) fn finished(&self) -> bool {
        !self.logits && self.kept.len() == self.wanted.len() && self.pending == 0
    }

    /// The hook point `name`: returns `x`, or what stands in its place, and keeps it if asked to.
    pub(super) fn at(&mut self, name: &str, x: Tensor) -> Tensor {
        if self.replaces(name) {
            self.pending -= 1;
        }
        let replaced = self.replace.get(name).into_iter().flatten();
        let x = replaced.fold(x, |x, r| put(&x, r, self.axes[name]));
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

/// `; did you mean NAME?` of the hook that is most like a pattern; with a `*` for numbers if the pattern has one.
pub(crate) fn meant(pattern: &str, hooks: &[HookPoint]) -> String {
    let many = pattern.contains('*');
    let number = |part: &str| many && part.parse::<usize>().is_ok();
    let named = |hook: &HookPoint| {
        let parts = hook.name.split('.').map(|part| if number(part) { "*" } else { part });
        parts.collect::<Vec<_>>().join(".")
    };
    let names: Vec<String> = hooks.iter().map(named).collect();
    did_you_mean(pattern, names.iter().map(String::as_str))
}

fn no_match(pattern: &str, hooks: &[HookPoint]) -> HookError {
    let examples: Vec<&str> = hooks.iter().map(|h| h.name.as_str()).take(6).collect();
    let (examples, meant) = (examples.join(", "), meant(pattern, hooks));
    HookError::NoMatch { pattern: pattern.to_owned(), examples, meant }
}

fn check(
    hook: &HookPoint,
    replacement: &Replacement,
    taken: &mut BTreeSet<(String, usize)>,
) -> Result<(), HookError> {
    let mut expected = hook.shape.clone();
    let places: Vec<usize> = match (&replacement.positions, hook.position_axis) {
        (Some(positions), Some(axis)) => {
            let len = hook.shape[axis];
            if let Some(&position) = positions.iter().find(|&&p| p >= len) {
                return Err(HookError::Position { hook: hook.name.clone(), position, len });
            }
            expected[axis] = positions.len();
            positions.clone()
        }
        (Some(_), None) => return Err(HookError::NoPositions(hook.name.clone())),
        (None, Some(axis)) => (0..hook.shape[axis]).collect(),
        (None, None) => vec![0],
    };
    for position in places {
        if !taken.insert((hook.name.clone(), position)) {
            return Err(HookError::Twice { hook: hook.name.clone(), position });
        }
    }
    if replacement.value.shape() != expected {
        return Err(HookError::Shape {
            hook: hook.name.clone(),
            found: replacement.value.shape().to_vec(),
            expected,
        });
    }
    Ok(())
}

/// `x` with the replacement in place.
fn put(x: &Tensor, replacement: &Replacement, axis: Option<usize>) -> Tensor {
    let (Some(positions), Some(axis)) = (&replacement.positions, axis) else {
        return replacement.value.clone();
    };
    // As a matrix: what is before the position axis, and positions × what is after it.
    let before: usize = x.shape()[..axis].iter().product();
    let after: usize = x.shape()[axis + 1..].iter().product();
    let value = replacement.value.reshape(&[before, positions.len() * after]);
    let mut y = x.reshape(&[before, x.shape()[axis] * after]);
    // Neighbouring positions are pasted together.
    let mut i = 0;
    for run in positions.chunk_by(|p, q| p + 1 == *q) {
        y = paste(&y, run[0] * after, &columns(&value, i * after, run.len() * after));
        i += run.len();
    }
    y.reshape(x.shape())
}
