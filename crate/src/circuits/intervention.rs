//! What is done to a model while it runs: at a hook, on some prompts, at some positions, to some heads, channels or states.
//!
//! Interventions are compiled into the [edits](Edit) of one run, after every mistake in them has been named.

use std::rc::Rc;

use super::error::{CircuitError, within};
use crate::gpu::Tensor;
use crate::kernels::{Binary, embed, zip};
use crate::model::{Edit, HookPoint};

/// One change of a run.
#[derive(Debug, Clone)]
pub struct Intervention {
    /// Name of the hook point.
    pub hook: String,
    /// Where in its value.
    pub at: Place,
    /// What happens there.
    pub change: Change,
}

/// Where in the value of a hook.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Place {
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
        Self { hook: hook.into(), at: Place::default(), change: Change::Replace(value) }
    }

    /// Replaces one position of every prompt: value [B, 1, ..].
    pub fn replace_at(hook: impl Into<String>, position: usize, value: Tensor) -> Self {
        let at = Place { positions: Positions::These(vec![position]), ..Place::default() };
        Self { hook: hook.into(), at, change: Change::Replace(value) }
    }
}

/// Checks interventions against the hooks of a model for the prompts at hand, and makes the edits of a run of them.
///
/// # Errors
/// A hook, prompt, position, head, channel or state that does not exist; a value of a wrong shape; two interventions that
/// change the same place.
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
    units: Option<(usize, &'static str)>,
    at: Place,
    /// Elements that stay together: the product of the axes behind the last one that is chosen from.
    block: usize,
}

impl Shaped {
    fn of(one: &Intervention, hooks: &[HookPoint]) -> Result<Self, CircuitError> {
        let hook = hooks.iter().find(|h| h.name == one.hook).ok_or_else(|| {
            let examples: Vec<&str> = hooks.iter().take(6).map(|h| h.name.as_str()).collect();
            CircuitError::Request(format!(
                "no hook is called {:?}; this model has names such as {}",
                one.hook,
                examples.join(", ")
            ))
        })?;
        let units = match &one.at.units {
            Units::All => None,
            Units::Heads(_) => Some(("heads", heads_axis(hook))),
            Units::Channels(_) => Some(("channels", channels_axis(hook))),
            Units::States(_) => Some(("states", states_axis(hook))),
        };
        let units = match units {
            None => None,
            Some((name, Some(axis))) => Some((axis, name)),
            Some((units, None)) => return Err(CircuitError::NoUnits { hook: hook.name.clone(), units }),
        };
        let positions = if one.at.positions == Positions::All { None } else { hook.position_axis };
        if one.at.positions != Positions::All && positions.is_none() {
            return Err(CircuitError::NoUnits { hook: hook.name.clone(), units: "positions" });
        }
        let shaped = Self {
            hook: hook.name.clone(),
            shape: hook.shape.clone(),
            positions,
            units,
            at: one.at.clone(),
            block: {
                let last = positions.into_iter().chain(units.map(|(axis, _)| axis)).max().unwrap_or(0);
                hook.shape[last + 1..].iter().product()
            },
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
                return Err(CircuitError::Request(format!(
                    "{}: {} positions for {batch} prompts; one for each is needed",
                    self.hook,
                    positions.len()
                )));
            }
            for &position in positions {
                within("position", position, len, &format!("{} on these prompts", self.hook))?;
            }
        }
        if let (Some((axis, _)), Some((what, chosen))) = (self.units, self.chosen_units()) {
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
        let last = self.positions.into_iter().chain(self.units.map(|(axis, _)| axis)).max().unwrap_or(0);
        (0..=last).collect()
    }

    fn row(&self, axes: &[usize], index: &[usize], value: &[usize]) -> Option<u32> {
        let prompt = index[0];
        if self.at.prompts.as_ref().is_some_and(|chosen| !chosen.contains(&prompt)) {
            return None;
        }
        if let (Some((axis, _)), Some((_, chosen))) = (self.units, self.chosen_units())
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
        if let (Some((axis, _)), Some((what, _))) = (self.units, self.chosen_units()) {
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

/// The last part of a hook's name.
fn kind(hook: &HookPoint) -> &str {
    match hook.name.rsplit_once(".attn.") {
        Some((_, kind)) => kind,
        None => hook.name.rsplit("hook_").next().unwrap_or(&hook.name),
    }
}

fn heads_axis(hook: &HookPoint) -> Option<usize> {
    if !hook.name.contains(".attn.") {
        return None;
    }
    Some(if ["hook_attn_scores", "hook_pattern"].contains(&kind(hook)) { 1 } else { 2 })
}

fn states_axis(hook: &HookPoint) -> Option<usize> {
    match kind(hook) {
        "B" | "C" => Some(2),
        "A_bar" | "B_bar" => Some(3),
        state if state.starts_with("h.") => Some(2),
        _ => None,
    }
}

fn channels_axis(hook: &HookPoint) -> Option<usize> {
    match kind(hook) {
        "B" | "C" | "hook_attn_scores" | "hook_pattern" => None,
        state if state.starts_with("h.") => Some(1),
        _ if hook.name.contains(".attn.") => Some(3),
        _ => Some(2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{each_engine, uniform};

    fn hook(name: &str, shape: &[usize], position_axis: Option<usize>) -> HookPoint {
        HookPoint { name: name.to_owned(), shape: shape.to_vec(), position_axis }
    }

    fn hooks() -> Vec<HookPoint> {
        vec![
            hook("blocks.0.attn.hook_z", &[2, 3, 2, 2], Some(1)),
            hook("blocks.0.attn.hook_pattern", &[2, 2, 3, 3], Some(2)),
            hook("blocks.0.hook_h.1", &[2, 4, 3], None),
            hook("blocks.0.hook_B", &[2, 3, 3], Some(1)),
            hook("blocks.0.hook_resid_post", &[2, 3, 4], Some(1)),
        ]
    }

    /// What becomes of 0, 1, 2, … at a hook: only the places that changed, with what is there.
    fn changed(engine: &crate::gpu::Engine, one: Intervention) -> Vec<(usize, f32)> {
        let shape = hooks().iter().find(|h| h.name == one.hook).expect("a hook").shape.clone();
        let len: usize = shape.iter().product();
        let before: Vec<f32> = (0..len).map(|i| i as f32).collect();
        let edits = compile(&[one], &hooks()).expect("good");
        let after = (edits[0].change)(&Tensor::from_f32(engine, &shape, before.clone()));
        let after = pollster::block_on(after.read_f32()).expect("a device");
        (0..len).filter(|&i| after[i] != before[i]).map(|i| (i, after[i])).collect()
    }

    #[test]
    fn changes_what_is_chosen_and_nothing_else() {
        each_engine(|engine| {
            let one =
                |hook: &str, at: Place, change: Change| Intervention { hook: hook.to_owned(), at, change };
            let value = |shape: &[usize], from: f32| {
                let len: usize = shape.iter().product();
                Tensor::from_f32(engine, shape, (0..len).map(|i| from + i as f32).collect())
            };
            // Head 1 at position 2 of prompt 1: [1, 2, 1, :] is 22, 23.
            let at = Place {
                prompts: Some(vec![1]),
                positions: Positions::These(vec![2]),
                units: Units::Heads(vec![1]),
            };
            let z = "blocks.0.attn.hook_z";
            assert_eq!(changed(engine, one(z, at.clone(), Change::Zero)), [(22, 0.0), (23, 0.0)]);
            assert_eq!(changed(engine, one(z, at.clone(), Change::Scale(2.0))), [(22, 44.0), (23, 46.0)]);
            // A value [2, 1, 2, 2]: prompt 1, head 1 are its last two.
            let put = Change::Replace(value(&[2, 1, 2, 2], 100.0));
            assert_eq!(changed(engine, one(z, at.clone(), put)), [(22, 106.0), (23, 107.0)]);
            let add = Change::Add(value(&[2, 1, 2, 2], 100.0));
            assert_eq!(changed(engine, one(z, at.clone(), add)), [(22, 128.0), (23, 130.0)]);
            let with = Change::With(Rc::new(|x: &Tensor| zip(x, x, Binary::Add)));
            assert_eq!(changed(engine, one(z, at, with)), [(22, 44.0), (23, 46.0)]);
            // Another position in each prompt: 0 and 2 of [2, 3, 4] hold 0 to 3 and 20 to 23.
            let at = Place { positions: Positions::Each(vec![0, 2]), ..Place::default() };
            let put = Change::Replace(value(&[2, 1, 4], 50.0));
            let got = changed(engine, one("blocks.0.hook_resid_post", at, put));
            assert_eq!(got.iter().map(|g| g.0).collect::<Vec<_>>(), [0, 1, 2, 3, 20, 21, 22, 23]);
            assert_eq!(
                got.iter().map(|g| g.1).collect::<Vec<_>>(),
                [50.0, 51.0, 52.0, 53.0, 54.0, 55.0, 56.0, 57.0]
            );
            // State 1 of channel-wise states; queries at position 1 of head 0; channel 3.
            let states = Place { units: Units::States(vec![1]), ..Place::default() };
            let got = changed(engine, one("blocks.0.hook_h.1", states, Change::Zero));
            assert_eq!(got.iter().map(|g| g.0).collect::<Vec<_>>(), [1, 4, 7, 10, 13, 16, 19, 22]);
            let queries = Place {
                positions: Positions::These(vec![1]),
                units: Units::Heads(vec![0]),
                ..Place::default()
            };
            let got = changed(engine, one("blocks.0.attn.hook_pattern", queries, Change::Zero));
            assert_eq!(got.iter().map(|g| g.0).collect::<Vec<_>>(), [3, 4, 5, 21, 22, 23]);
            let channel = Place { units: Units::Channels(vec![3]), ..Place::default() };
            let got = changed(engine, one("blocks.0.hook_resid_post", channel, Change::Zero));
            assert_eq!(got.iter().map(|g| g.0).collect::<Vec<_>>(), [3, 7, 11, 15, 19, 23]);
            let whole = one(
                "blocks.0.hook_B",
                Place::default(),
                Change::Replace(Tensor::from_f32(engine, &[2, 3, 3], uniform(1, 18))),
            );
            assert_eq!(changed(engine, whole).len(), 18);
        });
    }

    #[test]
    fn what_cannot_be_is_named() {
        let engine = crate::gpu::Engine::cpu();
        let refused = |all: &[(&str, Place)]| {
            let all: Vec<Intervention> = all
                .iter()
                .map(|(hook, at)| Intervention {
                    hook: (*hook).to_owned(),
                    at: at.clone(),
                    change: Change::Zero,
                })
                .collect();
            compile(&all, &hooks()).expect_err("bad").to_string()
        };
        let (z, state, resid) = ("blocks.0.attn.hook_z", "blocks.0.hook_h.1", "blocks.0.hook_resid_post");
        let heads = |h| Place { units: Units::Heads(vec![h]), ..Place::default() };
        let at = |p| Place { positions: Positions::These(vec![p]), ..Place::default() };
        for (error, wanted) in [
            (refused(&[(z, heads(2))]), "head 2 does not exist: blocks.0.attn.hook_z has 2 (0 to 1)"),
            (
                refused(&[(z, at(3))]),
                "position 3 does not exist: blocks.0.attn.hook_z on these prompts has 3 (0 to 2)",
            ),
            (refused(&[(resid, heads(0))]), "blocks.0.hook_resid_post has no heads"),
            (refused(&[(state, at(0))]), "blocks.0.hook_h.1 has no positions"),
            (refused(&[("blocks.9.hook_z", Place::default())]), "no hook is called \"blocks.9.hook_z\""),
            (
                refused(&[(z, Place { prompts: Some(vec![5]), ..Place::default() })]),
                "prompt 5 does not exist: the batch has 2 (0 to 1)",
            ),
            (
                refused(&[(z, Place { positions: Positions::Each(vec![1]), ..Place::default() })]),
                "blocks.0.attn.hook_z: 1 positions for 2 prompts",
            ),
            (
                refused(&[(z, heads(1)), (z, at(2))]),
                "two interventions contradict: both change blocks.0.attn.hook_z at prompt 0, position 2",
            ),
            (
                refused(&[(z, at(2)), (z, heads(1))]),
                "two interventions contradict: both change blocks.0.attn.hook_z at prompt 0, head 1",
            ),
        ] {
            assert!(error.starts_with(wanted), "{error}\n  lacks {wanted}");
        }
        // Side by side they do not.
        let both =
            [heads(0), heads(1)].map(|at| Intervention { hook: z.to_owned(), at, change: Change::Zero });
        assert_eq!(compile(&both, &hooks()).expect("good").len(), 2);
        let value = Tensor::zeros(&engine, &[2, 3, 4]);
        let error = compile(&[Intervention::replace(z, value)], &hooks()).expect_err("bad").to_string();
        assert_eq!(
            error,
            "the value for blocks.0.attn.hook_z has the shape [2, 3, 4]; [2, 3, 2, 2] is needed"
        );
    }
}
