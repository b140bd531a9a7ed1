//! One step of Adam on the rows that a sparse batch touches, gradient and all.

use super::adam::Rates;
use super::{AdamStep, ByColumn, par, vectors};
use crate::gpu::{Backend, Launch, Shader, Tensor, Word, shader};

static SHADER: Shader = shader!("sparse_adam", "per_group", "reduce");

/// What a step on the touched rows needs beside the parameters: row j's gradient is the sum of
/// `weights`[e, part] · `table`[r] over the entries e = (r, j).
#[derive(Debug, Clone, Copy)]
pub struct SparseAdam<'a> {
    /// The entries, by the row that they touch.
    pub by: &'a ByColumn,
    /// [entries, W].
    pub weights: &'a Tensor,
    /// Which of the W is meant.
    pub part: usize,
    /// [R, D].
    pub table: &'a Tensor,
    /// [F]: adds so much times the row itself to its gradient.
    pub along: Option<&'a Tensor>,
    /// Whether each touched row is brought to norm 1 afterwards.
    pub unit: bool,
    /// For each touched row, how many steps it has rested since it was touched last: 0 if that was the step before.
    /// Its moments are decayed for them, as Adam does when a gradient is zero; the row itself does not move while
    /// it rests.
    pub rested: &'a [u32],
}

/// Moves the touched rows of `param` [F, D] against their gradient; `m` and `v` are its moments. The other rows,
/// and their moments, are not even read.
///
/// # Panics
/// When the shapes do not fit.
pub fn sparse_adam([param, m, v]: [&mut Tensor; 3], what: &SparseAdam<'_>, step: &AdamStep) {
    let (_, cols) = param.rows_cols();
    let (entries, width) = what.weights.rows_cols();
    assert_eq!([m.len(), v.len()], [param.len(); 2], "sparse_adam moments");
    assert_eq!(
        (entries, what.table.rows_cols().1),
        (what.by.entries.rows_cols().0, cols),
        "sparse_adam table"
    );
    assert_eq!(what.rested.len(), what.by.columns.len(), "sparse_adam rested");
    assert!(what.along.is_none_or(|along| along.len() == param.rows_cols().0), "sparse_adam along");
    let rates = step.rates();
    let decays = what
        .rested
        .iter()
        .map(|&gap| [step.beta1.powi(gap as i32) as f32, step.beta2.powi(gap as i32) as f32]);
    let engine = param.engine().clone();
    match engine.backend() {
        Backend::Cpu => {
            // Which touched row a row is.
            let mut lines = vec![u32::MAX; param.rows_cols().0];
            for (l, &row) in what.by.columns.iter().enumerate() {
                lines[row as usize] = l as u32;
            }
            let decays: Vec<[f32; 2]> = decays.collect();
            let values = [param.f32s_mut(), m.f32s_mut(), v.f32s_mut()];
            par::rows3(values, cols, |row, values| {
                if let Some(&decay) = decays.get(lines[row] as usize) {
                    twin(values, what, lines[row] as usize, decay, &rates);
                }
            });
        }
        Backend::Gpu(_) => {
            [&mut *param, &mut *m, &mut *v].into_iter().for_each(Tensor::unshare);
            let mut lines: Vec<[u32; 4]> = what
                .by
                .columns
                .iter()
                .zip(&what.by.indptr)
                .zip(decays)
                .map(|((&row, &start), [first, second])| [row, start, first.to_bits(), second.to_bits()])
                .collect();
            lines.push([0, what.by.indptr[what.by.columns.len()], 0, 0]);
            let lines = Tensor::from_u32(&engine, &[lines.len(), 4], lines.into_flattened());
            let shape = [cols, width, what.part].map(Word::word);
            let options = [what.along.is_some(), what.unit].map(Word::word);
            let params = [&shape[..], &options, &rates.words()].concat();
            // What is absent is never read, but every binding needs a buffer.
            let along = what.along.unwrap_or(what.weights);
            let inputs = [&lines, &what.by.entries, what.weights, what.table, along];
            Launch::per_group(&SHADER, what.by.columns.len(), &params, &inputs).record(&[param, m, v]);
        }
    }
}

fn twin([param, m, v]: [&mut [f32]; 3], what: &SparseAdam<'_>, line: usize, decay: [f32; 2], r: &Rates) {
    let entries = what.by.entries.u32s().as_chunks::<2>().0;
    let range = what.by.indptr[line] as usize..what.by.indptr[line + 1] as usize;
    let width = what.weights.rows_cols().1;
    let weight = |place: u32| what.weights.f32s()[place as usize * width + what.part];
    let terms: Vec<(f32, usize)> =
        entries[range].iter().map(|&[row, place]| (weight(place), row as usize)).collect();
    let mut grad = vec![0.0; param.len()];
    vectors::add_rows(&mut grad, &terms, what.table.f32s());
    let norm = |row: &[f32]| vectors::sum(row, |w| w * w).sqrt();
    if let Some(along) = what.along {
        let along = along.f32s()[what.by.columns[line] as usize];
        vectors::zip(&mut grad, param, |g, w| g + along * w);
    }
    let (keep1, new1) = (r.beta1 * decay[0], 1.0 - r.beta1);
    let (keep2, new2) = (r.beta2 * decay[1], 1.0 - r.beta2);
    vectors::zip(m, &grad, |m, g| keep1 * m + new1 * g);
    vectors::zip(v, &grad, |v, g| keep2 * v + new2 * g * g);
    vectors::zip2(param, m, v, |w, m, v| w - r.rate * m / (v.sqrt() * r.root + r.eps));
    if what.unit {
        let norm = norm(param);
        let factor = if norm > 0.0 { 1.0 / norm } else { 1.0 };
        vectors::map(param, |w| w * factor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{self, close, each_engine, sparse};

    /// Adam by the book on a dense gradient; a row without entries rests.
    #[derive(Clone)]
    struct Reference {
        w: Vec<f64>,
        m: Vec<f64>,
        v: Vec<f64>,
    }

    #[test]
    fn agrees_with_float64() {
        for (rows, features, cols, along, unit) in
            [(1, 1, 1, 0.0, false), (9, 7, 5, 0.3, false), (30, 70, 130, 0.0, true), (0, 3, 4, 0.1, true)]
        {
            let start = testing::normal(1, features * cols);
            let mut want = Reference {
                w: start.iter().map(|&v| f64::from(v)).collect(),
                m: vec![0.0; start.len()],
                v: vec![0.0; start.len()],
            };
            let mut last = vec![0u32; features];
            let steps: Vec<(Vec<f32>, Vec<f32>)> = (0..4)
                .map(|s| {
                    (testing::mostly_zeros(10 + s, rows * features), testing::normal(20 + s, rows * cols))
                })
                .collect();
            let mut rested = Vec::new();
            for (t, (codes, table)) in (1u32..).zip(&steps) {
                rested.push(Vec::new());
                for j in 0..features {
                    let active: Vec<usize> = (0..rows).filter(|r| codes[r * features + j] != 0.0).collect();
                    if active.is_empty() {
                        continue;
                    }
                    let gap = t - last[j] - 1;
                    last[j] = t;
                    rested[t as usize - 1].push(gap);
                    let row = j * cols..(j + 1) * cols;
                    for i in row.clone() {
                        let of = |r: &usize| {
                            f64::from(codes[r * features + j] * 1.0) * f64::from(table[r * cols + i % cols])
                        };
                        let g = active.iter().map(of).sum::<f64>() + along * j as f64 * want.w[i];
                        want.m[i] = 0.9f64.powi(gap as i32 + 1) * want.m[i] + 0.1 * g;
                        want.v[i] = 0.999f64.powi(gap as i32 + 1) * want.v[i] + 0.001 * g * g;
                        let mc = want.m[i] / (1.0 - 0.9f64.powi(t as i32));
                        let vc = want.v[i] / (1.0 - 0.999f64.powi(t as i32));
                        want.w[i] -= 0.01 * mc / (vc.sqrt() + 1e-8);
                    }
                    if unit {
                        let norm = want.w[row.clone()].iter().map(|w| w * w).sum::<f64>().sqrt();
                        want.w[row].iter_mut().for_each(|w| *w /= norm);
                    }
                }
            }
            each_engine(|engine| {
                let shape = [features, cols];
                let original = Tensor::from_f32(engine, &shape, start.clone());
                let mut state =
                    [original.clone(), Tensor::zeros(engine, &shape), Tensor::zeros(engine, &shape)];
                for ((t, (codes, table)), rested) in (1..).zip(&steps).zip(&rested) {
                    let codes = sparse(engine, codes, features);
                    // The weight is the second of two; the first must not matter.
                    let values = pollster::block_on(codes.values.read_f32()).expect("readback");
                    let weights: Vec<f32> = values.iter().flat_map(|&v| [f32::NAN, v]).collect();
                    let own = (0..features).map(|j| (along * j as f64) as f32).collect();
                    let own = Tensor::from_f32(engine, &[features], own);
                    let what = SparseAdam {
                        by: &ByColumn::new(&codes),
                        weights: &Tensor::from_f32(engine, &[values.len(), 2], weights),
                        part: 1,
                        table: &Tensor::from_f32(engine, &[rows, cols], table.clone()),
                        along: (along != 0.0).then_some(&own),
                        unit,
                        rested,
                    };
                    let step = AdamStep { lr: 0.01, beta1: 0.9, beta2: 0.999, eps: 1e-8, step: t };
                    let [w, m, v] = &mut state;
                    sparse_adam([w, m, v], &what, &step);
                }
                // As for dense Adam: steps of 0.01 with a relative error of 1e-4 at worst, four times.
                close(engine, &state[0], &want.w, 4e-6);
                close(engine, &state[1], &want.m, 4e-6);
                let kept = pollster::block_on(original.read_f32()).expect("readback");
                assert_eq!(kept, start, "a shared tensor was changed");
            });
        }
    }
}
