//! The selective scan, the heart of a Mamba block, with the discretisation folded in:
//!
//! h[t] = exp(Δ[t]·A) · h[t − 1] + Δ[t]·B[t]·x[t],  y[t] = Σₙ C[t, n] · h[t, n]
//!
//! for every channel e and state n. The skip D·x is the caller's.

use pulp::{Simd, WithSimd};

use super::{exp, par};
use crate::gpu::{Launch, Shader, Tensor, Word, shader};

static SHADER: Shader = shader!("selective_scan", "per_group", "exponential");

/// What a selective scan reads.
#[derive(Debug, Clone, Copy)]
pub struct ScanInput<'a> {
    /// [B, T, E].
    pub x: &'a Tensor,
    /// Step sizes Δ, after softplus: [B, T, E].
    pub delta: &'a Tensor,
    /// A = −exp(A_log): [E, N].
    pub a: &'a Tensor,
    /// [B, T, N].
    pub b: &'a Tensor,
    /// [B, T, N].
    pub c: &'a Tensor,
    /// State before the first token, [B, E, N]; zeros when absent.
    pub h0: Option<&'a Tensor>,
}

/// What a scan gives.
#[derive(Debug, Clone)]
pub struct Scan {
    /// [B, T, E].
    pub y: Tensor,
    /// State after the last token, [B, E, N].
    pub h: Tensor,
}

/// Sizes of a scan.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dims {
    pub(super) batch: usize,
    pub(super) steps: usize,
    pub(super) channels: usize,
    pub(super) states: usize,
}

/// Runs the recurrence over T for all of B × E × N.
///
/// # Panics
/// When the shapes do not fit.
pub fn selective_scan(input: &ScanInput<'_>) -> Scan {
    let &[batch, steps, channels] = input.x.shape() else { panic!("scan x is [B, T, E], not {:?}", input.x) };
    let &[_, states] = input.a.shape() else { panic!("scan a is [E, N], not {:?}", input.a) };
    assert_eq!(input.delta.shape(), [batch, steps, channels], "scan delta");
    assert_eq!(input.a.shape(), [channels, states], "scan a");
    assert_eq!(input.b.shape(), [batch, steps, states], "scan b");
    assert_eq!(input.c.shape(), [batch, steps, states], "scan c");
    if let Some(h0) = input.h0 {
        assert_eq!(h0.shape(), [batch, channels, states], "scan h0");
    }
    let d = Dims { batch, steps, channels, states };
    // Each lane holds four states; more than 64 states are taken 64 at a time.
    let team = states.div_ceil(4).next_power_of_two().min(16);
    let params = [steps.word(), channels.word(), states.word(), input.h0.is_some().word()];
    // What is absent is never read, but every binding needs a buffer.
    let inputs = [input.x, input.delta, input.a, input.b, input.c, input.h0.unwrap_or(input.a)];
    let [y, h] = Launch::per_group(&SHADER, batch * channels.div_ceil(64 / team), &params, &inputs)
        .with(&[("TEAM", team as f64)])
        .run_all([&[batch, steps, channels], &[batch, channels, states]], || {
            in_blocks(d, |out| pulp::Arch::new().dispatch(ScanBlock { d, input, out }))
        });
    Scan { y, h }
}

/// Channels of one task: whole cache lines of several steps are on their way at once, and few enough that a task's
/// states stay in the first cache (64 × 16 of them, and as many of A, are 8 kB).
pub(super) const BLOCK: usize = 64;

/// The outputs y [B, T, E] and h [B, E, N] of a scan whose channels are worked through by [`BLOCK`]s: `block` fills
/// the rows of its block's y and returns its states [width, N].
pub(super) fn in_blocks(d: Dims, block: impl Fn(BlockRows<'_>) -> Vec<f32> + Sync + Send) -> [Vec<f32>; 2] {
    let blocks = d.channels.div_ceil(BLOCK);
    let mut y = vec![0.0; d.batch * d.steps * d.channels];
    let all = Shared(y.as_mut_ptr());
    let states = par::map(d.batch * blocks, |task| {
        let first = task % blocks * BLOCK;
        let width = BLOCK.min(d.channels - first);
        block(BlockRows { y: &all, d, batch: task / blocks, first, width })
    });
    [y, states.concat()]
}

/// The y that all blocks write.
struct Shared(*mut f32);

// SAFETY: every block writes columns of its own, and nobody reads before all are done.
unsafe impl Sync for Shared {}

/// Up to [`BLOCK`] channels of one sequence, from `first` on, and their columns of y.
pub(super) struct BlockRows<'a> {
    y: &'a Shared,
    d: Dims,
    pub(super) batch: usize,
    pub(super) first: usize,
    pub(super) width: usize,
}

impl BlockRows<'_> {
    /// What the block's channels give at step `t`: [width].
    pub(super) fn row(&mut self, t: usize) -> &mut [f32] {
        assert!(t < self.d.steps);
        let start = (self.batch * self.d.steps + t) * self.d.channels + self.first;
        // SAFETY: `in_blocks` made y of B·T rows of E values, of which `width` from `first` on lie in row t of
        // this sequence; no other block has these columns, and the borrow lets this one have one row at a time.
        unsafe { std::slice::from_raw_parts_mut(self.y.0.add(start), self.width) }
    }
}

/// A block and what it needs.
struct ScanBlock<'a> {
    d: Dims,
    input: &'a ScanInput<'a>,
    out: BlockRows<'a>,
}

impl WithSimd for ScanBlock<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) -> Vec<f32> {
        let Dims { steps, channels, states, .. } = self.d;
        let BlockRows { batch, first, width, .. } = self.out;
        let lanes = S::F32_LANES;
        let vectors = width.div_ceil(lanes);
        // States of a vector of channels lie together: [vector][state][lane]. Lanes beyond `width` stay 0.
        let at = |channel: usize, n: usize| (channel / lanes * states + n) * lanes + channel % lanes;
        let gather = |from: &[f32]| {
            let mut packed = vec![0.0; vectors * states * lanes];
            for channel in 0..width {
                for n in 0..states {
                    packed[at(channel, n)] = from[(first + channel) * states + n];
                }
            }
            packed
        };
        let a = gather(self.input.a.f32s());
        let a = S::as_simd_f32s(&a).0;
        let mut h = match self.input.h0 {
            Some(h0) => gather(&h0.f32s()[batch * channels * states..]),
            None => vec![0.0; vectors * states * lanes],
        };
        let (x, delta) = (self.input.x.f32s(), self.input.delta.f32s());
        let (b, c) = (self.input.b.f32s(), self.input.c.f32s());

        for t in 0..steps {
            let row = batch * steps + t;
            let x = &x[row * channels + first..][..width];
            let delta = &delta[row * channels + first..][..width];
            let b = &b[row * states..][..states];
            let c = &c[row * states..][..states];
            let h = S::as_mut_simd_f32s(&mut h).0;
            for (v, y) in self.out.row(t).chunks_mut(lanes).enumerate() {
                let here = v * lanes..v * lanes + y.len();
                let delta = load(simd, &delta[here.clone()]);
                let dx = simd.mul_f32s(delta, load(simd, &x[here]));
                let a = &a[v * states..][..states];
                let h = &mut h[v * states..][..states];
                let mut sum = simd.splat_f32s(0.0);
                for (((h, a), b), c) in h.iter_mut().zip(a).zip(b).zip(c) {
                    let decay = exp::exp(simd, simd.mul_f32s(delta, *a));
                    *h = simd.mul_add_e_f32s(decay, *h, simd.mul_f32s(dx, simd.splat_f32s(*b)));
                    sum = simd.mul_add_e_f32s(*h, simd.splat_f32s(*c), sum);
                }
                store(simd, y, sum);
            }
        }

        let mut state = vec![0.0; width * states];
        for channel in 0..width {
            for n in 0..states {
                state[channel * states + n] = h[at(channel, n)];
            }
        }
        state
    }
}

/// A vector of values, the last one filled up with zeros. Whole vectors are taken as such: a masked load is a
/// call.
#[inline(always)]
fn load<S: Simd>(simd: S, values: &[f32]) -> S::f32s {
    match S::as_simd_f32s(values) {
        (&[whole], []) => whole,
        _ => simd.partial_load_f32s(values),
    }
}

/// As many lanes of a vector as there is room for.
#[inline(always)]
fn store<S: Simd>(simd: S, room: &mut [f32], vector: S::f32s) {
    match S::as_mut_simd_f32s(room) {
        ([whole], []) => *whole = vector,
        _ => simd.partial_store_f32s(room, vector),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::Engine;
    use crate::kernels::testing::{self, close, each_engine};

    struct Case {
        d: Dims,
        x: Vec<f32>,
        delta: Vec<f32>,
        a: Vec<f32>,
        b: Vec<f32>,
        c: Vec<f32>,
        h0: Option<Vec<f32>>,
    }

    impl Case {
        /// Values of the sizes a trained Mamba has: Δ in [0.001, 0.1], A in [−N, −1].
        fn new([batch, steps, channels, states]: [usize; 4], with_h0: bool) -> Self {
            let d = Dims { batch, steps, channels, states };
            let delta = testing::uniform(2, batch * steps * channels);
            let a = testing::uniform(3, channels * states);
            Self {
                d,
                x: testing::normal(1, batch * steps * channels),
                delta: delta.iter().map(|u| 0.001 + 0.099 * u).collect(),
                a: a.iter().map(|u| -1.0 - u * states as f32).collect(),
                b: testing::normal(4, batch * steps * states),
                c: testing::normal(5, batch * steps * states),
                h0: with_h0.then(|| testing::normal(6, batch * channels * states)),
            }
        }

        fn run(&self, engine: &Engine) -> Scan {
            let Dims { batch, steps, channels, states } = self.d;
            let t = |shape: &[usize], v: &[f32]| Tensor::from_f32(engine, shape, v.to_vec());
            let h0 = self.h0.as_ref().map(|h0| t(&[batch, channels, states], h0));
            selective_scan(&ScanInput {
                x: &t(&[batch, steps, channels], &self.x),
                delta: &t(&[batch, steps, channels], &self.delta),
                a: &t(&[channels, states], &self.a),
                b: &t(&[batch, steps, states], &self.b),
                c: &t(&[batch, steps, states], &self.c),
                h0: h0.as_ref(),
            })
        }

        /// The recurrence as it is written, in float64.
        fn reference(&self) -> (Vec<f64>, Vec<f64>) {
            let Dims { batch, steps, channels, states } = self.d;
            let mut h = match &self.h0 {
                Some(h0) => h0.iter().map(|&v| f64::from(v)).collect(),
                None => vec![0.0; batch * channels * states],
            };
            let mut y = vec![0.0; self.x.len()];
            for row in 0..batch * steps {
                for e in 0..channels {
                    let delta = f64::from(self.delta[row * channels + e]);
                    let x = f64::from(self.x[row * channels + e]);
                    for n in 0..states {
                        let h = &mut h[(row / steps * channels + e) * states + n];
                        *h = (delta * f64::from(self.a[e * states + n])).exp() * *h
                            + delta * f64::from(self.b[row * states + n]) * x;
                        y[row * channels + e] += f64::from(self.c[row * states + n]) * *h;
                    }
                }
            }
            (y, h)
        }
    }

    #[test]
    fn agrees_with_float64() {
        let shapes = [
            [1, 1, 1, 1],
            [2, 5, 3, 1],
            [1, 17, 33, 4],
            [3, 9, 40, 5],
            [2, 8, 65, 16],
            [1, 7, 6, 70],
            [1, 5, 2, 130],
            [2, 0, 5, 3],
            [0, 4, 5, 3],
            [2, 3, 0, 4],
            [2, 3, 4, 0],
            [66_000, 0, 1, 1],
        ];
        for shape in shapes {
            for with_h0 in [false, true] {
                let case = Case::new(shape, with_h0);
                let (y, h) = case.reference();
                each_engine(|engine| {
                    let scan = case.run(engine);
                    assert_eq!(scan.y.shape(), [shape[0], shape[1], shape[2]]);
                    assert_eq!(scan.h.shape(), [shape[0], shape[2], shape[3]]);
                    // The state forgets, so roundings (2⁻²⁴ a step, and 2e-7 in the exponential plus 2⁻²⁴
                    // of Δ·A, which is at most 13 in size) do not pile up; y sums up to 130 of them.
                    close(engine, &scan.y, &y, 3e-6);
                    close(engine, &scan.h, &h, 3e-6);
                });
            }
        }
    }

    #[test]
    fn stays_exact_over_two_thousand_steps() {
        let mut case = Case::new([1, 2_000, 9, 16], true);
        // Channel 0 barely forgets: the longest memory a trained Δ and A give.
        case.a[..16].fill(-1.0);
        case.delta.iter_mut().step_by(9).for_each(|d| *d = 0.001);
        let (y, h) = case.reference();
        each_engine(|engine| {
            let scan = case.run(engine);
            // With decay e^−0.001 a state is a sum over about 1,000 steps, each rounded to 2⁻²⁴ (and the
            // exponential to 2e-7, always to the same side): at worst 1,000 · 2e-7 = 2e-4 of a state, in
            // practice far less, since the largest values belong to channels that forget.
            close(engine, &scan.y, &y, 2e-5);
            close(engine, &scan.h, &h, 2e-5);
        });
    }

    #[test]
    fn hands_nan_on() {
        let mut case = Case::new([1, 3, 2, 4], false);
        case.delta[2] = f32::NAN;
        let y = pollster::block_on(case.run(&Engine::cpu()).y.read_f32()).expect("readback");
        assert!(y[0].is_finite() && y[2].is_nan() && y[3].is_finite() && y[4].is_nan());
    }

    #[test]
    fn continues_from_a_state() {
        let whole = Case::new([2, 11, 5, 3], false);
        let cut = |t: std::ops::Range<usize>, h0: Option<Vec<f32>>| {
            let part = |v: &[f32], w: usize| -> Vec<f32> {
                v.chunks(11 * w).flat_map(|seq| seq[t.start * w..t.end * w].to_vec()).collect()
            };
            let d = Dims { steps: t.len(), ..whole.d };
            let (x, delta) = (part(&whole.x, 5), part(&whole.delta, 5));
            Case { d, x, delta, a: whole.a.clone(), b: part(&whole.b, 3), c: part(&whole.c, 3), h0 }
        };
        each_engine(|engine| {
            let read = |t: &Tensor| pollster::block_on(t.read_f32()).expect("readback");
            let first = cut(0..4, None).run(engine);
            let second = cut(4..11, Some(read(&first.h))).run(engine);
            // The same operations in the same order.
            assert_eq!(read(&second.h), read(&whole.run(engine).h), "on {engine:?}");
        });
    }
}
