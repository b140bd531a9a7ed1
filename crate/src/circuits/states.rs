//! A Mamba's states: through which of them induction goes, and at which position what is needed is written.

use super::error::{CircuitError, recurrence_of, within};
use super::experiment::{Cache, Experiment};
use super::figures::Answers;
use super::gather::{at, mix, tile};
use super::intervention::{Change, Intervention, Location};
use crate::gpu::Tensor;
use crate::kernels::{Binary, zip};
use crate::model::{Prompts, Recurrence, RecurrenceInputs, RecurrencePoints, positions};

/// Hooks that hold what a layer's recurrence is given.
pub(super) fn input_hooks(recurrence: &dyn Recurrence, layer: usize) -> Vec<String> {
    let points = recurrence.points(layer);
    vec![points.x, points.delta, points.b, points.c]
}

/// What a layer's recurrence was given in a run.
pub(super) fn inputs_of(recurrence: &dyn Recurrence, layer: usize, cache: &Cache) -> RecurrenceInputs {
    let points = recurrence.points(layer);
    let hook = |name: &String| cache[name].clone();
    RecurrenceInputs {
        x: hook(&points.x),
        delta: hook(&points.delta),
        b: hook(&points.b),
        c: hook(&points.c),
    }
}

/// Positions `from..to` of the inputs alone.
fn part(inputs: &RecurrenceInputs, from: usize, to: usize) -> RecurrenceInputs {
    let part = |x: &Tensor| positions(x, from, to);
    RecurrenceInputs {
        x: part(&inputs.x),
        delta: part(&inputs.delta),
        b: part(&inputs.b),
        c: part(&inputs.c),
    }
}

/// A layer's recurrence on the inputs of a run.
struct Layer<'a> {
    recurrence: &'a dyn Recurrence,
    layer: usize,
}

impl Layer<'_> {
    /// What position `p` writes into the state, [B, E, N]: B̄_p x_p.
    fn write(&self, inputs: &RecurrenceInputs, p: usize) -> Tensor {
        self.recurrence.scan(self.layer, &part(inputs, p, p + 1), None).h
    }

    /// What is left of a state `h` behind position `p` at the end: (∏_{k>p} Ā_k) ⊙ h.
    fn left(&self, inputs: &RecurrenceInputs, p: usize, h: &Tensor) -> Tensor {
        let len = inputs.x.shape()[1];
        if p + 1 >= len {
            return h.clone();
        }
        // The steps behind it, with nothing to write.
        let mut silent = part(inputs, p + 1, len);
        silent.x = Tensor::zeros(silent.x.engine(), silent.x.shape());
        self.recurrence.scan(self.layer, &silent, Some(h)).h
    }
}

fn difference(x: &Tensor, y: &Tensor) -> Tensor {
    zip(x, &times(y, -1.0), Binary::Add)
}

fn times(x: &Tensor, factor: f32) -> Tensor {
    let d = *x.shape().last().expect("states have axes");
    zip(x, &Tensor::from_f32(x.engine(), &[d], vec![factor; d]), Binary::Mul)
}

impl Experiment<'_> {
    /// The last states of layers of a run.
    pub(super) fn last_states(
        &self,
        prompts: &Prompts,
        position: usize,
    ) -> Result<Vec<Tensor>, CircuitError> {
        let recurrence = recurrence_of(self.model)?;
        let names: Vec<String> = (0..self.model.layers()).map(|l| recurrence.state(l, position)).collect();
        let cache = self.cache(prompts, names.clone())?;
        Ok(names.iter().map(|name| cache[name].clone()).collect())
    }

    /// For each cell one layer's last state is another one, and those of all other layers are frozen.
    async fn last_state_scan(
        &self,
        clean: &[Tensor],
        changed: &[(usize, Tensor)],
    ) -> Result<Vec<Answers>, CircuitError> {
        let (recurrence, last) = (recurrence_of(self.model)?, self.last());
        self.scan(changed.len(), |cells| {
            let patch = |(layer, clean): (usize, &Tensor)| {
                // The clean state, and behind it those of the cells that change this layer.
                let of_cell = |cell: usize| changed[cells.start + cell].0 == layer;
                let parts: Vec<Tensor> =
                    (0..cells.len())
                        .map(|cell| {
                            if of_cell(cell) { changed[cells.start + cell].1.clone() } else { clean.clone() }
                        })
                        .collect();
                Intervention::replace(recurrence.state(layer, last), stack(&parts))
            };
            Ok(clean.iter().enumerate().map(patch).collect())
        })
        .await
    }

    /// State → logit: for each layer, its last state is rebuilt from the corrupted run's state before it by the clean
    /// run's last step (Ā, B̄ and x of the last position), and all other layers' last states are frozen.
    ///
    /// # Errors
    /// A model without states; those of the model, the device and the watch.
    pub async fn state_to_logit(&self) -> Result<Vec<Answers>, CircuitError> {
        self.check()?;
        let (recurrence, last) = (recurrence_of(self.model)?, self.last());
        let layers = 0..self.model.layers();
        let clean = self.last_states(self.clean, last)?;
        let before = self.last_states(self.corrupted, last - 1)?;
        let keep = layers.clone().flat_map(|layer| input_hooks(recurrence, layer)).collect();
        let inputs = self.cache(self.clean, keep)?;
        let rebuilt = |layer: usize| {
            let step = part(&inputs_of(recurrence, layer, &inputs), last, last + 1);
            (layer, recurrence.scan(layer, &step, Some(&before[layer])).h)
        };
        let rebuilt: Vec<_> = layers.map(rebuilt).collect();
        self.last_state_scan(&clean, &rebuilt).await
    }

    /// y → logit: for each layer `hook_y` at the last position comes from the corrupted run, that of all other layers
    /// is frozen.
    ///
    /// # Errors
    /// As [`Experiment::state_to_logit`].
    pub async fn y_to_logit(&self) -> Result<Vec<Answers>, CircuitError> {
        let recurrence = recurrence_of(self.model)?;
        let (last, layers) = (self.last(), self.model.layers());
        let y = |layer: usize| recurrence.points(layer).y;
        let keep: Vec<String> = (0..layers).map(y).collect();
        let (clean, other) = (self.cache(self.clean, keep.clone())?, self.cache(self.corrupted, keep)?);
        let pairs: Vec<_> = (0..layers).map(|l| (at(&clean[&y(l)], last), at(&other[&y(l)], last))).collect();
        self.scan(layers, |cells| {
            let patch = |(layer, (clean, other)): (usize, &(Tensor, Tensor))| {
                let width = *clean.shape().last().expect("y has axes");
                let mixed = mix((clean, other), width, cells.len(), |cell, _, _| cells.start + cell == layer);
                Intervention::replace_at(y(layer), last, mixed)
            };
            Ok(pairs.iter().enumerate().map(patch).collect())
        })
        .await
    }

    /// Write position: for each of `places`, the last state of a layer is rebuilt with only that position's write
    /// taken from the corrupted run; all other layers' last states are frozen. With `published`, that write decays
    /// from p to p + 1 by the corrupted run's Ā, as in the paper's notebook (probably a slip).
    ///
    /// # Errors
    /// As [`Experiment::state_to_logit`]; a layer or a position that does not exist.
    pub async fn write_position(
        &self,
        layer: usize,
        places: &[usize],
        published: bool,
    ) -> Result<Vec<Answers>, CircuitError> {
        self.check()?;
        let (recurrence, last) = (recurrence_of(self.model)?, self.last());
        within("layer", layer, self.model.layers(), self.model.name())?;
        for &place in places {
            within("position", place, self.clean.len, "the prompt")?;
        }
        let clean = self.last_states(self.clean, last)?;
        let inputs = |prompts| {
            let cache = self.cache(prompts, input_hooks(recurrence, layer))?;
            Ok::<_, CircuitError>(inputs_of(recurrence, layer, &cache))
        };
        let (of_clean, of_other) = (inputs(self.clean)?, inputs(self.corrupted)?);
        let of_layer = Layer { recurrence, layer };
        let rebuilt = |&p: &usize| {
            let own = of_layer.left(&of_clean, p, &of_layer.write(&of_clean, p));
            let mut decaying = of_clean.clone();
            if published && p < last {
                decaying.delta = with_position(&of_clean.delta, p + 1, &of_other.delta);
            }
            let foreign = of_layer.left(&decaying, p, &of_layer.write(&of_other, p));
            (layer, zip(&difference(&clean[layer], &own), &foreign, Binary::Add))
        };
        let rebuilt: Vec<_> = places.iter().map(rebuilt).collect();
        self.last_state_scan(&clean, &rebuilt).await
    }
}

/// What a layer's recurrence is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SsmPart {
    /// Its input x, while Δ, B and C stay what they are.
    X,
    /// The step Δ.
    Delta,
    /// Where it writes, B.
    B,
    /// Where it reads, C.
    C,
    /// The gate behind it.
    Gate,
}

impl SsmPart {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::X, Self::Delta, Self::B, Self::C, Self::Gate];

    /// The hook that holds it.
    fn hook(self, points: RecurrencePoints) -> String {
        match self {
            Self::X => points.x,
            Self::Delta => points.delta,
            Self::B => points.b,
            Self::C => points.c,
            Self::Gate => points.gate,
        }
    }

    /// The hooks that are made of it, and must not follow.
    fn frozen(self) -> &'static [Self] {
        if self == Self::X { &[Self::Delta, Self::B, Self::C] } else { &[] }
    }
}

impl Experiment<'_> {
    /// Parts of the recurrence: for each of `cells`, one part of one layer comes from the corrupted run at every
    /// position, the layer's other parts as the run has them.
    ///
    /// # Errors
    /// As [`Experiment::write_position`].
    pub async fn ssm_parts(&self, cells: &[(usize, SsmPart)]) -> Result<Vec<Answers>, CircuitError> {
        self.check()?;
        let recurrence = recurrence_of(self.model)?;
        for (layer, _) in cells {
            within("layer", *layer, self.model.layers(), self.model.name())?;
        }
        let name = |layer: usize, part: SsmPart| part.hook(recurrence.points(layer));
        let all: Vec<String> =
            cells.iter().flat_map(|(l, _)| SsmPart::ALL.map(|part| name(*l, part))).collect();
        let (clean, other) = (self.cache(self.clean, all.clone())?, self.cache(self.corrupted, all)?);
        let n = self.clean.batch;
        self.scan(cells.len(), |stretch| {
            let patch = |(place, &(layer, part)): (usize, &(usize, SsmPart))| {
                let prompts: Vec<usize> = (place * n..(place + 1) * n).collect();
                let put = |part: SsmPart, from: &Cache| Intervention {
                    hook: name(layer, part),
                    at: Location { prompts: Some(prompts.clone()), ..Location::default() },
                    change: Change::Replace(tile(&from[&name(layer, part)], stretch.len())),
                };
                let mut one = vec![put(part, &other)];
                one.extend(part.frozen().iter().map(|frozen| put(*frozen, &clean)));
                one
            };
            Ok(cells[stretch.clone()].iter().enumerate().flat_map(patch).collect())
        })
        .await
    }
}

/// x [B, T, E] with position `t` of another.
fn with_position(x: &Tensor, t: usize, other: &Tensor) -> Tensor {
    let (n, len, width) = (x.shape()[0], x.shape()[1], x.shape()[2]);
    let part = at(other, t).reshape(&[n, width]);
    crate::kernels::paste(&x.reshape(&[n, len * width]), t * width, &part).reshape(x.shape())
}

/// Batches one behind the other: parts [N, ..] → [parts·N, ..].
pub(super) fn stack(parts: &[Tensor]) -> Tensor {
    let n = parts[0].shape()[0];
    let width = parts[0].len() / n.max(1);
    let mut shape = parts[0].shape().to_vec();
    shape[0] = n * parts.len();
    if let [one] = parts {
        return tile(one, 1);
    }
    let flat: Vec<Tensor> = parts.iter().map(|part| part.reshape(&[n, width])).collect();
    super::gather::rows_of(&flat, 0..n * parts.len()).reshape(&shape)
}
