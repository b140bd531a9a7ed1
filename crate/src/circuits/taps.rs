//! A Mamba's convolution: what it mixes into a position, and what becomes of induction without it or when it comes
//! sooner.

use super::error::{CircuitError, convolution_of, recurrence_of, within};
use super::experiment::Experiment;
use super::figures::Answers;
use super::gather::{at_each, rows_of, tile};
use super::intervention::{Change, Intervention, Location, Positions};
use super::states::stack;
use crate::gpu::Tensor;
use crate::kernels::{Binary, columns, paste, zip};
use crate::model::{Convolution, ConvolutionPoints};

/// Which of a position's taps come from the corrupted run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taps {
    /// How far behind A the position is: 1 for B, 2 for the one behind.
    pub behind: usize,
    /// Taps by how far back they read, 0 for the position itself.
    pub back: Vec<usize>,
}

/// What is done to one layer's convolution or to what comes out of it, at every position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offset {
    /// The tap that reads so far back is left out.
    Without(usize),
    /// Every tap reads one position later; the one that reads the position itself, and would read the next, is left
    /// out.
    TapsLater,
    /// The SSM is given the next position's input; the last keeps its own.
    InputSooner,
}

impl Experiment<'_> {
    /// Conv taps: for each of `cells`, the output of the convolution of `layer` at a position behind A is made anew
    /// with some of its taps reading the corrupted run; then the run goes on, all later layers' last states frozen.
    ///
    /// # Errors
    /// A model without a convolution or a recurrence; a layer or tap that does not exist, a position behind the end;
    /// those of the model, the device and the watch.
    pub async fn conv_taps(&self, layer: usize, cells: &[Taps]) -> Result<Vec<Answers>, CircuitError> {
        self.check()?;
        let (convolution, recurrence) = (convolution_of(self.model)?, recurrence_of(self.model)?);
        let (last, layers) = (self.last(), self.model.layers());
        within("layer", layer, layers, self.model.name())?;
        for taps in cells {
            for &back in &taps.back {
                within(
                    "tap",
                    back,
                    convolution.taps(),
                    &format!("the convolution of {}", self.model.name()),
                )?;
            }
            for &a in self.a {
                within("position", a + taps.behind, self.clean.len, "the prompt")?;
            }
        }
        let points = convolution.points(layer);
        let hook = points.input;
        let keep = vec![hook.clone()];
        let clean = self.cache(self.clean, keep.clone())?.remove(&hook).expect("it was asked for"); // [N, T, E]
        let other = self.cache(self.corrupted, keep)?.remove(&hook).expect("it was asked for"); // [N, T, E]
        let made = |taps: &Taps| {
            let places: Vec<usize> = self.a.iter().map(|a| a + taps.behind).collect();
            let mixed = self.mixed(&clean, &other, &places, &taps.back);
            at_each(&convolution.convolve(layer, &mixed, convolution.weight(layer)), &places) // [N, 1, E]
        };
        let made: Vec<Tensor> = cells.iter().map(made).collect();
        let states = self.last_states(self.clean, last)?;
        self.scan(cells.len(), |stretch| {
            let places =
                cells[stretch.clone()].iter().flat_map(|taps| self.a.iter().map(|a| a + taps.behind));
            let at = Location { positions: Positions::Each(places.collect()), ..Location::default() };
            let change = Change::Replace(stack(&made[stretch.clone()]));
            let mut all = vec![Intervention { hook: points.output.clone(), at, change }];
            let later = layer + 1..layers;
            let frozen =
                |l: usize| Intervention::replace(recurrence.state(l, last), tile(&states[l], stretch.len()));
            all.extend(later.map(frozen));
            Ok(all)
        })
        .await
    }

    /// in_proj [N, T, E] with what some taps of the position `places[n]` read taken from another run.
    fn mixed(&self, clean: &Tensor, other: &Tensor, places: &[usize], back: &[usize]) -> Tensor {
        let (n, len) = (self.clean.batch, self.clean.len);
        let width = *clean.shape().last().expect("in_proj has axes");
        let foreign = |prompt: usize, t: usize| t <= places[prompt] && back.contains(&(places[prompt] - t));
        let rows = (0..n * len).map(|row| row + if foreign(row / len, row % len) { n * len } else { 0 });
        let parts = [clean.reshape(&[n * len, width]), other.reshape(&[n * len, width])];
        rows_of(&parts, rows).reshape(clean.shape())
    }

    /// Why off by one: for each of `cells`, (layer, what is done to it), the answers.
    ///
    /// # Errors
    /// As [`Experiment::conv_taps`].
    pub async fn off_by_one(&self, cells: &[(usize, Offset)]) -> Result<Vec<Answers>, CircuitError> {
        self.check()?;
        let (convolution, recurrence) = (convolution_of(self.model)?, recurrence_of(self.model)?);
        let layers = self.model.layers();
        for (layer, offset) in cells {
            within("layer", *layer, layers, self.model.name())?;
            if let Offset::Without(back) = offset {
                within(
                    "tap",
                    *back,
                    convolution.taps(),
                    &format!("the convolution of {}", self.model.name()),
                )?;
            }
        }
        let keep = (0..layers).flat_map(|l| [convolution.points(l).input, recurrence.points(l).x]);
        let clean = self.cache(self.clean, keep.collect())?;
        let n = self.clean.batch;
        self.scan(cells.len(), |stretch| {
            let patch = |(place, &(layer, offset)): (usize, &(usize, Offset))| {
                let (hook, value) = match offset {
                    Offset::InputSooner => {
                        let x = recurrence.points(layer).x;
                        let value = sooner(&clean[&x]);
                        (x, value)
                    }
                    Offset::Without(_) | Offset::TapsLater => {
                        let ConvolutionPoints { input, output } = convolution.points(layer);
                        let weight = changed(convolution, layer, offset);
                        (output, convolution.convolve(layer, &clean[&input], &weight))
                    }
                };
                let prompts = (place * n..(place + 1) * n).collect();
                Intervention {
                    hook,
                    at: Location { prompts: Some(prompts), ..Location::default() },
                    change: Change::Replace(tile(&value, stretch.len())),
                }
            };
            Ok(cells[stretch.clone()].iter().enumerate().map(patch).collect())
        })
        .await
    }
}

/// The convolution's weights [E, K], changed.
fn changed(convolution: &dyn Convolution, layer: usize, offset: Offset) -> Tensor {
    let (weight, taps) = (convolution.weight(layer), convolution.taps());
    match offset {
        Offset::Without(back) => {
            let mask = (0..taps).map(|k| if taps - 1 - k == back { 0.0 } else { 1.0 }).collect();
            zip(weight, &Tensor::from_f32(weight.engine(), &[taps], mask), Binary::Mul)
        }
        // A tap that reads j back is in column K − 1 − j: one column to the right it reads j − 1 back.
        _ => paste(&Tensor::zeros(weight.engine(), weight.shape()), 1, &columns(weight, 0, taps - 1)),
    }
}

/// x'_t = x_{t+1}, the last position's own: [N, T, E].
fn sooner(x: &Tensor) -> Tensor {
    let (n, len, width) = (x.shape()[0], x.shape()[1], x.shape()[2]);
    let rows = (0..n).flat_map(|prompt| (0..len).map(move |t| prompt * len + (t + 1).min(len - 1)));
    rows_of(&[x.reshape(&[n * len, width])], rows).reshape(x.shape())
}
