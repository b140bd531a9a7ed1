//! What is done to a model while it runs: at a hook, on some prompts, at some positions, to some heads, channels or
//! states.
//!
//! Interventions are compiled into the [edits](Edit) of one run, after every mistake in them has been named.

use std::rc::Rc;

use super::error::{CircuitError, within};
use crate::failure::Failure;
use crate::gpu::Tensor;
use crate::kernels::{Binary, embed, zip};
use crate::model::{Axis, Edit, HookPoint};

/// One change of a run.
#[derive(Debug, Clone)]
pub struct Intervention {
    /// Name of the hook point.
    pub hook: String,
    /// Where in its value.
    pub at: Location,
    /// What happens there.
    pub change: Change,
}

/// Where in the value of a hook.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Location {
    /// Prompts of the batch; else all.
    pub prompts: Option<Vec<usize>>,
    /// Positions.
    pub positions: Positions,
    /// Heads, channels or states.
    pub units: Units,
}

/// Positions of the prompts.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Positions {
    /// All of them.
    #[default]
    All,
    /// The same ones in every prompt.
    These(Vec<usize>),
    /// One in each prompt of the batch.
    Each(Vec<usize>),
}

/// Parts of a hook's value.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Units {
    /// All of it.
    #[default]
    All,
    /// Heads of an attention hook.
    Heads(Vec<usize>),
    /// Channels: entries of the last axis that is not one of states.
    Channels(Vec<usize>),
    /// States of a Mamba's channel.
    States(Vec<usize>),
}

/// What happens to a value.
#[derive(Clone)]
pub enum Change {
    /// It becomes this: the hook's shape, the axis of positions as long as there are positions in the place (one where
    /// each prompt has its own).
    Replace(Tensor),
    /// It becomes 0.
    Zero,
    /// This is added, shaped as for [`Change::Replace`].
    Add(Tensor),
    /// It is multiplied.
    Scale(f32),
    /// It becomes what a function makes of the hook's whole value; the function may hold other runs' values.
    With(Rc<dyn Fn(&Tensor) -> Tensor>),
}

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Replace(value) => write!(f, "Replace({:?})", value.shape()),
            Self::Zero => write!(f, "Zero"),
            Self::Add(value) => write!(f, "Add({:?})", value.shape()),
            Self::Scale(factor) => write!(f, "Scale({factor})"),
            Self::With(_) => write!(f, "With(…)"),
        }
    }
}

impl Intervention {
    /// Replaces the whole value of a hook.
    pub fn replace(hook: impl Into<String>, value: Tensor) -> Self {
        Self { hook: hook.into(), at: Location::default(), change: Change::Replace(value) }
    }

    /// Replaces one position of every prompt: value [B, 1, ..].
    pub fn replace_at(hook: impl Into<String>, position: usize, value: Tensor) -> Self {
        let at = Location { positions: Positions::These(vec![position]), ..Location::default() };
        Self { hook: hook.into(), at, change: Change::Replace(value) }
    }
}

/// Checks interventions against the hooks of a model for the prompts at hand, and makes the edits of a run of them.
///
/// # Errors
/// A hook, prompt, position, head, channel or state that does not exist; a value of a wrong shape; two interventions
/// that change the same place.
pub fn compile(interventions: &[Intervention], hooks: &[HookPoint]) -> Result<Vec<Edit>, CircuitError> {
    let mut taken: Vec<(&str, Vec<bool>)> = Vec::new();
    let mut all = Vec::new();
    let shaped: Vec<Shaped> =
        interventions.iter().map(|one| Shaped::of(one, hooks)).collect::<Result<_, _>>()?;
    let alone = |hook: &str| interventions.iter().filter(|one| one.hook == hook).count() == 1;
    for (one, shaped) in interventions.iter().zip(&shaped) {
        let chosen = if alone(&one.hook) { Vec::new() } else { shaped.elements() };
        for (hook, others) in &taken {
            if *hook != one.hook {
                continue;
            }
            if let Some(at) = chosen.iter().zip(others).position(|(x, y)| *x && *y) {
                return Err(shaped.contradiction(at));
            }
        }
        taken.push((&one.hook, chosen));
        all.push(shaped.edit(one)?);
    }
    Ok(all)
}

/// An intervention with what its hook looks like.
struct Shaped {
    hook: String,
    shape: Vec<usize>,
    positions: Option<usize>,
    units: Option<usize>,
    at: Location,
    /// Elements that stay together: the product of the axes behind the last one that is chosen from.
    block: usize,
}

impl Shaped {
    fn of(one: &Intervention, hooks: &[HookPoint]) -> Result<Self, CircuitError> {
        let hook = hooks.iter().find(|h| h.name == one.hook).ok_or_else(|| {
            let examples: Vec<&str> = hooks.iter().take(6).map(|h| h.name.as_str()).collect();
            CircuitError::Request(Failure::new(
                format!("no hook is called {:?}", one.hook),
                format!("this model has names such as {}", examples.join(", ")),
            ))
        })?;
        let lacks = |units| CircuitError::NoUnits { hook: hook.name.clone(), units };
        let units = match &one.at.units {
            Units::All => None,
            Units::Heads(_) => Some(hook.axis(Axis::Head).ok_or_else(|| lacks("heads"))?),
            Units::Channels(_) => Some(hook.axis(Axis::Channel).ok_or_else(|| lacks("channels"))?),
            Units::States(_) => Some(hook.axis(Axis::State).ok_or_else(|| lacks("states"))?),
        };
        let positions = match one.at.positions {
            Positions::All => None,
            _ => Some(hook.axis(Axis::Position).ok_or_else(|| lacks("positions"))?),
        };
        let shaped = Self {
            hook: hook.name.clone(),
            shape: hook.shape.clone(),
            positions,
            units,
            at: one.at.clone(),
            block: hook.shape[positions.max(units).unwrap_or(0) + 1..].iter().product(),
        };
        shaped.check()?;
        Ok(shaped)
    }

    fn check(&self) -> Result<(), CircuitError> {
        let batch = self.shape[0];
        for &prompt in self.at.prompts.iter().flatten() {
            within("prompt", prompt, batch, "the batch")?;
        }
        if let Some(axis) = self.positions {
            let len = self.shape[axis];
            let (Positions::These(positions) | Positions::Each(positions)) = &self.at.positions else {
                return Ok(());
            };
            if matches!(self.at.positions, Positions::Each(_)) && positions.len() != batch {
                return Err(CircuitError::Request(Failure::new(
                    format!("{}: {} positions for {batch} prompts", self.hook, positions.len()),
                    "one for each is needed",
                )));
            }
            for &position in positions {
                within("position", position, len, &format!("{} on these prompts", self.hook))?;
            }
        }
        if let (Some(axis), Some((what, chosen))) = (self.units, self.chosen_units()) {
            for &unit in chosen {
                within(what, unit, self.shape[axis], &self.hook)?;
            }
        }
        Ok(())
    }

    fn chosen_units(&self) -> Option<(&'static str, &Vec<usize>)> {
        match &self.at.units {
            Units::All => None,
            Units::Heads(chosen) => Some(("head", chosen)),
            Units::Channels(chosen) => Some(("channel", chosen)),
            Units::States(chosen) => Some(("state", chosen)),
        }
    }

    /// Shape of a value for this place.
    fn value_shape(&self) -> Vec<usize> {
        let mut shape = self.shape.clone();
        if let Some(axis) = self.positions {
            shape[axis] = match &self.at.positions {
                Positions::All => shape[axis],
                Positions::These(positions) => positions.len(),
                Positions::Each(_) => 1,
            };
        }
        shape
    }

    /// For each block of the hook's value its row in a value for this place; none where nothing happens.
    fn rows(&self) -> Vec<Option<u32>> {
        let axes = self.axes();
        let value = self.value_shape();
        let blocks: usize = axes.iter().map(|axis| self.shape[*axis]).product();
        let mut index = vec![0; axes.len()];
        let mut rows = Vec::with_capacity(blocks);
        for _ in 0..blocks {
            rows.push(self.row(&axes, &index, &value));
            for (i, axis) in index.iter_mut().zip(&axes).rev() {
                *i += 1;
                if *i < self.shape[*axis] {
                    break;
                }
                *i = 0;
            }
        }
        rows
    }

    /// Axes that blocks are counted over.
    fn axes(&self) -> Vec<usize> {
        (0..=self.positions.max(self.units).unwrap_or(0)).collect()
    }

    fn row(&self, axes: &[usize], index: &[usize], value: &[usize]) -> Option<u32> {
        let prompt = index[0];
        if self.at.prompts.as_ref().is_some_and(|chosen| !chosen.contains(&prompt)) {
            return None;
        }
        if let (Some(axis), Some((_, chosen))) = (self.units, self.chosen_units())
            && !chosen.contains(&index[axis])
        {
            return None;
        }
        let mut row = 0;
        for (&axis, &i) in axes.iter().zip(index) {
            let i = match (&self.at.positions, self.positions == Some(axis)) {
                (Positions::These(positions), true) => positions.iter().position(|p| *p == i)?,
                (Positions::Each(positions), true) => (positions[prompt] == i).then_some(0)?,
                _ => i,
            };
            row = row * value[axis] + i;
        }
        u32::try_from(row).ok()
    }

    /// Which elements of the hook's value are changed.
    fn elements(&self) -> Vec<bool> {
        self.rows().into_iter().flat_map(|row| std::iter::repeat_n(row.is_some(), self.block)).collect()
    }

    fn contradiction(&self, element: usize) -> CircuitError {
        let mut rest = element;
        let mut index = vec![0; self.shape.len()];
        for (i, size) in index.iter_mut().zip(&self.shape).rev() {
            *i = rest % size;
            rest /= size;
        }
        let mut place = String::new();
        if let Some(axis) = self.positions {
            place += &format!(", position {}", index[axis]);
        }
        if let (Some(axis), Some((what, _))) = (self.units, self.chosen_units()) {
            place += &format!(", {what} {}", index[axis]);
        }
        CircuitError::Contradiction { hook: self.hook.clone(), prompt: index[0], place }
    }

    fn fits(&self, value: &Tensor) -> Result<(), CircuitError> {
        let expected = self.value_shape();
        if value.shape() == expected {
            return Ok(());
        }
        Err(CircuitError::Shape { hook: self.hook.clone(), found: value.shape().to_vec(), expected })
    }

    /// The function of the run.
    fn edit(&self, one: &Intervention) -> Result<Edit, CircuitError> {
        if let Change::Replace(value) | Change::Add(value) = &one.change {
            self.fits(value)?;
        }
        let (rows, block, change) = (self.rows(), self.block, one.change.clone());
        let edit = move |x: &Tensor| {
            let own = x.len() / block;
            let as_blocks = |t: &Tensor| t.reshape(&[t.len() / block, block]);
            // Each block comes from the value itself, or from another tensor behind it.
            let from = |other: &Tensor, row: &dyn Fn(usize, u32) -> usize| {
                let id = |(i, chosen): (usize, &Option<u32>)| match chosen {
                    None => i as u32,
                    Some(there) => (own + row(i, *there)) as u32,
                };
                let ids: Vec<u32> = rows.iter().enumerate().map(id).collect();
                let ids = Tensor::from_u32(x.engine(), &[ids.len()], ids);
                embed(&[as_blocks(x), as_blocks(other)], &ids).reshape(x.shape())
            };
            let same_place = |i: usize, _: u32| i;
            match &change {
                Change::Replace(value) => from(value, &|_, there| there as usize),
                Change::Zero => from(&Tensor::zeros(x.engine(), &[1, block]), &|_, _| 0),
                Change::Add(value) => {
                    // The value, spread over the hook's shape with zeros around it.
                    let zeros = Tensor::zeros(x.engine(), &[1, block]);
                    let id = |chosen: &Option<u32>| chosen.map_or(0, |there| there + 1);
                    let ids: Vec<u32> = rows.iter().map(id).collect();
                    let ids = Tensor::from_u32(x.engine(), &[ids.len()], ids);
                    let spread = embed(&[zeros, as_blocks(value)], &ids).reshape(x.shape());
                    zip(x, &spread, Binary::Add)
                }
                Change::Scale(factor) => {
                    let d = *x.shape().last().expect("hooks have axes");
                    let factors = Tensor::from_f32(x.engine(), &[d], vec![*factor; d]);
                    from(&zip(x, &factors, Binary::Mul), &same_place)
                }
                Change::With(function) => from(&function(x), &same_place),
            }
        };
        Ok(Edit { hook: self.hook.clone(), change: Rc::new(edit) })
    }
}

#[cfg(test)]
#[path = "intervention_tests.rs"]
mod tests;
