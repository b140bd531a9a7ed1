use super::super::{Best, CorrelationError};
use super::Candidates;
use crate::gpu::{GpuError, Tensor};
use crate::kernels::{Lines, Product, Running, best, collect, embed, matmul, sparsify, topk};

/// Bytes that a block of cosines may take.
const BLOCK_BYTES: usize = 64 << 20;

/// Which features of two SAEs write in the same directions.
#[derive(Debug, Clone, PartialEq)]
pub struct DecoderCosines {
    /// For each feature of A the feature of B whose decoder row has the largest cosine with its own (`mppc` holds
    /// the cosine). Rows of norm 0, or with a value that is not finite, have no direction: NaN, and nobody's best.
    pub a_to_b: Best,
    /// The same the other way.
    pub b_to_a: Best,
    /// For each feature of A its most similar features of B of positive cosine, as many as were asked for at most:
    /// what [`assignment`](super::assignment) takes.
    pub candidates: Candidates,
}

/// Rows that have a direction.
struct Directions {
    /// Of norm 1, [n, D].
    unit: Tensor,
    /// Which rows these are.
    rows: Vec<u32>,
    /// How many rows there are in all.
    all: usize,
}

impl Directions {
    async fn of(decoder: &Tensor) -> Result<Self, GpuError> {
        let (all, width) = decoder.rows_cols();
        let values = decoder.read_f32().await?;
        let (mut unit, mut rows) = (Vec::new(), Vec::new());
        for (i, row) in (0u32..).zip(values.chunks_exact(width.max(1))) {
            let norm = row.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>().sqrt();
            if norm > 0.0 && norm.is_finite() {
                unit.extend(row.iter().map(|&w| (f64::from(w) / norm) as f32));
                rows.push(i);
            }
        }
        Ok(Self { unit: Tensor::from_f32(decoder.engine(), &[rows.len(), width], unit), rows, all })
    }

    /// Spreads what was found for the rows that have a direction over all rows.
    fn spread(&self, found: Best, others: &Directions) -> Best {
        let mut best = Best { mppc: vec![f32::NAN; self.all], argmax: vec![-1; self.all] };
        for ((&i, cosine), j) in self.rows.iter().zip(found.mppc).zip(found.argmax) {
            if let Ok(j) = usize::try_from(j) {
                (best.mppc[i as usize], best.argmax[i as usize]) = (cosine, others.rows[j] as i32);
            }
        }
        best
    }
}

/// The best cosines between the rows of two decoders [Fa, D] and [Fb, D], both ways, and the `k` best of each row of
/// A (16 are plenty for an assignment). A block of rows of A is compared at a time; Fa × Fb cosines are never there
/// at once.
///
/// # Errors
/// When the widths differ, or the device fails.
pub async fn decoder_cosines(a: &Tensor, b: &Tensor, k: usize) -> Result<DecoderCosines, CorrelationError> {
    let (width_a, width_b) = (a.rows_cols().1, b.rows_cols().1);
    if width_a != width_b {
        return Err(CorrelationError::Widths { a: width_a, b: width_b });
    }
    let (a, b) = (Directions::of(a).await?, Directions::of(b).await?);
    let (rows, cols) = (a.rows.len(), b.rows.len());
    let block = (BLOCK_BYTES / 4 / cols.max(1)).max(1);
    let mut found = (Running::new(rows), Running::new(cols));
    let mut candidates = Candidates::new(b.all);
    let mut added = 0;
    for start in (0..rows).step_by(block) {
        let ids: Vec<u32> = (start..(start + block).min(rows)).map(|i| i as u32).collect();
        let ids = Tensor::from_u32(a.unit.engine(), &[ids.len()], ids);
        let some = embed(std::slice::from_ref(&a.unit), &ids); // [n, D]
        let cosines = matmul(&some, &b.unit, &Product::default()); // [n, Fb]
        offer(&cosines, start, &mut found).await?;
        let most = sparsify(&topk(&cosines, k)).await?;
        let values = most.values.read_f32().await?;
        for (&i, row) in a.rows[start..].iter().zip(0..most.rows()) {
            let entry = |e: usize| (b.rows[most.indices[e] as usize], values[e].min(1.0));
            let row: Vec<(u32, f32)> = most.row(row).map(entry).collect();
            // Rows without a direction have no candidates.
            let silent = i as usize - added;
            (0..silent).try_for_each(|_| candidates.push(&[])).map_err(malformed)?;
            candidates.push(&row).map_err(malformed)?;
            added += silent + 1;
        }
    }
    (added..a.all).try_for_each(|_| candidates.push(&[])).map_err(malformed)?;
    let (a_to_b, b_to_a) = (found.0.finish(), found.1.finish());
    Ok(DecoderCosines { a_to_b: a.spread(a_to_b, &b), b_to_a: b.spread(b_to_a, &a), candidates })
}

fn malformed(error: impl std::fmt::Display) -> CorrelationError {
    CorrelationError::Malformed(error.to_string())
}

/// Offers a block of cosines, whose first row is row `start`, to the best of its rows and of its columns.
async fn offer(x: &Tensor, start: usize, found: &mut (Running, Running)) -> Result<(), GpuError> {
    let (rows, cols) = x.rows_cols();
    let (by_row, by_column) = (best(x, Lines::Rows, 0), best(x, Lines::Columns, start));
    let by_row = collect(&by_row.read_u32().await?, rows);
    let by_column = collect(&by_column.read_u32().await?, cols);
    found.0.merge(start, &by_row);
    found.1.merge(0, &by_column);
    Ok(())
}
