//! The recurrence of a selective scan over coefficients that somebody else made:
//!
//! h[t] = Ā[t] · h[t − 1] + B̄[t] · x[t],  y[t] = Σₙ C[t, n] · h[t, n]

use super::selective_scan::{BlockRows, Dims, Scan, in_blocks};
use crate::gpu::{Launch, Shader, Tensor, Word, shader};

static SHADER: Shader = shader!("linear_scan", "per_element");

/// What a linear scan reads; the first two come from [`super::discretize`], perhaps changed on the way.
#[derive(Debug, Clone, Copy)]
pub struct LinearScanInput<'a> {
    /// Ā: [B, T, E, N].
    pub a_bar: &'a Tensor,
    /// B̄: [B, T, E, N].
    pub b_bar: &'a Tensor,
    /// [B, T, E].
    pub x: &'a Tensor,
    /// [B, T, N].
    pub c: &'a Tensor,
    /// State before the first token, [B, E, N]; zeros when absent.
    pub h0: Option<&'a Tensor>,
}

/// Runs the recurrence over T for all of B × E × N.
///
/// # Panics
/// When the shapes do not fit.
pub fn linear_scan(input: &LinearScanInput<'_>) -> Scan {
    let &[batch, steps, channels, states] = input.a_bar.shape() else {
        panic!("linear scan a_bar is [B, T, E, N], not {:?}", input.a_bar)
    };
    assert_eq!(input.b_bar.shape(), [batch, steps, channels, states], "linear scan b_bar");
    assert_eq!(input.x.shape(), [batch, steps, channels], "linear scan x");
    assert_eq!(input.c.shape(), [batch, steps, states], "linear scan c");
    if let Some(h0) = input.h0 {
        assert_eq!(h0.shape(), [batch, channels, states], "linear scan h0");
    }
    let d = Dims { batch, steps, channels, states };
    let params = [steps.word(), channels.word(), states.word(), input.h0.is_some().word()];
    // What is absent is never read, but every binding needs a buffer.
    let inputs = [input.a_bar, input.b_bar, input.x, input.c, input.h0.unwrap_or(input.c)];
    let [y, h] = Launch::per_element(&SHADER, batch * channels, &params, &inputs)
        .run_all([&[batch, steps, channels], &[batch, channels, states]], || {
            in_blocks(d, |out| block(d, input, out))
        });
    Scan { y, h }
}

/// Fills a block's columns of y and returns its states [width, N].
fn block(d: Dims, input: &LinearScanInput<'_>, mut out: BlockRows<'_>) -> Vec<f32> {
    let BlockRows { batch, first, width, .. } = out;
    let (a_bar, b_bar) = (input.a_bar.f32s(), input.b_bar.f32s());
    let (x, c) = (input.x.f32s(), input.c.f32s());
    let mut h = match input.h0 {
        Some(h0) => h0.f32s()[(batch * d.channels + first) * d.states..][..width * d.states].to_vec(),
        None => vec![0.0; width * d.states],
    };
    for t in 0..d.steps {
        let row = batch * d.steps + t;
        let c = &c[row * d.states..][..d.states];
        for (channel, y) in out.row(t).iter_mut().enumerate() {
            let at = row * d.channels + first + channel;
            let a_bar = &a_bar[at * d.states..][..d.states];
            let b_bar = &b_bar[at * d.states..][..d.states];
            let h = &mut h[channel * d.states..][..d.states];
            let mut sum = 0.0;
            for (((h, a_bar), b_bar), c) in h.iter_mut().zip(a_bar).zip(b_bar).zip(c) {
                *h = a_bar * *h + b_bar * x[at];
                sum += c * *h;
            }
            *y = sum;
        }
    }
    h
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{self, close, each_engine};

    #[test]
    fn agrees_with_float64() {
        let shapes = [
            [1, 1, 1, 1],
            [2, 5, 3, 1],
            [3, 9, 40, 5],
            [2, 8, 65, 16],
            [1, 7, 6, 70],
            [1, 2_000, 3, 4],
            [2, 0, 5, 3],
            [2, 3, 4, 0],
            [2, 3, 0, 4],
        ];
        for shape in shapes {
            let [batch, steps, channels, states] = shape;
            let a_bar = testing::uniform(1, shape.iter().product());
            let b_bar = testing::normal(2, shape.iter().product());
            let x = testing::normal(3, batch * steps * channels);
            let c = testing::normal(4, batch * steps * states);
            let h0 = testing::normal(5, batch * channels * states);
            for with_h0 in [false, true] {
                let mut h: Vec<f64> = h0.iter().map(|&v| if with_h0 { f64::from(v) } else { 0.0 }).collect();
                let mut y = vec![0.0; x.len()];
                for at in 0..x.len() {
                    let (row, e) = (at / channels, at % channels);
                    for n in 0..states {
                        let h = &mut h[(row / steps * channels + e) * states + n];
                        *h = f64::from(a_bar[at * states + n]) * *h
                            + f64::from(b_bar[at * states + n]) * f64::from(x[at]);
                        y[at] += f64::from(c[row * states + n]) * *h;
                    }
                }
                each_engine(|engine| {
                    let t = |shape: &[usize], v: &[f32]| Tensor::from_f32(engine, shape, v.to_vec());
                    let h0 = with_h0.then(|| t(&[batch, channels, states], &h0));
                    let scan = linear_scan(&LinearScanInput {
                        a_bar: &t(&shape, &a_bar),
                        b_bar: &t(&shape, &b_bar),
                        x: &t(&[batch, steps, channels], &x),
                        c: &t(&[batch, steps, states], &c),
                        h0: h0.as_ref(),
                    });
                    // A decay of 1/2 on average forgets roundings; y sums up to 70 of them.
                    close(engine, &scan.y, &y, 2e-6);
                    close(engine, &scan.h, &h, 2e-6);
                });
            }
        }
    }
}
