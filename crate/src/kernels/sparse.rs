//! Sparse matrices on an engine: for each row its entries, by ascending column.

use crate::gpu::{Engine, Tensor};

/// A sparse matrix, in compressed rows. Where its entries are is known to the host and to the device; what they are
/// lives on the device.
#[derive(Debug, Clone)]
pub struct Sparse {
    /// Number of columns.
    pub cols: usize,
    /// Where each row's entries begin, [rows + 1].
    pub indptr: Vec<u32>,
    /// Column of each entry, ascending within a row.
    pub indices: Vec<u32>,
    /// Each entry, [entries].
    pub values: Tensor,
    /// The same as `indptr`, on the device.
    pub(super) device_indptr: Tensor,
    /// The same as `indices`, on the device.
    pub(super) device_indices: Tensor,
}

impl Sparse {
    /// A matrix from its parts.
    ///
    /// # Panics
    /// When the lengths do not fit.
    pub fn new(cols: usize, indptr: Vec<u32>, indices: Vec<u32>, values: Tensor) -> Self {
        assert_eq!(indptr.last().map(|&n| n as usize), Some(indices.len()), "sparse indptr");
        assert_eq!(indices.len(), values.len(), "sparse values");
        let engine = values.engine();
        let device_indptr = Tensor::from_u32(engine, &[indptr.len()], indptr.clone());
        let device_indices = Tensor::from_u32(engine, &[indices.len()], indices.clone());
        Self { cols, indptr, indices, values, device_indptr, device_indices }
    }

    /// A matrix without rows.
    pub fn empty(engine: &Engine, cols: usize) -> Self {
        Self::new(cols, vec![0], Vec::new(), Tensor::from_f32(engine, &[0], Vec::new()))
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.indptr.len() - 1
    }

    /// Number of entries.
    pub fn entries(&self) -> usize {
        self.indices.len()
    }

    /// Where the entries of row `r` are.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn row(&self, r: usize) -> std::ops::Range<usize> {
        self.indptr[r] as usize..self.indptr[r + 1] as usize
    }

    /// The same places with other values.
    ///
    /// # Panics
    /// When the number of entries differs.
    pub fn with_values(&self, values: Tensor) -> Self {
        assert_eq!(values.len(), self.entries(), "sparse values");
        Self { values, ..self.clone() }
    }

    /// The rows of all `parts`, one after the other.
    ///
    /// # Panics
    /// When there is no part, or their columns differ in number.
    pub fn concat(parts: Vec<Sparse>) -> Self {
        let mut parts = parts;
        if parts.len() == 1 {
            return parts.remove(0);
        }
        let cols = parts.first().expect("at least one part").cols;
        let (mut indptr, mut indices) = (vec![0], Vec::new());
        for part in &parts {
            assert_eq!(part.cols, cols, "sparse columns");
            let before = indices.len() as u32;
            indptr.extend(part.indptr[1..].iter().map(|s| s + before));
            indices.extend_from_slice(&part.indices);
        }
        let joined = |of: fn(&Sparse) -> &Tensor| {
            Tensor::concat(&parts.iter().map(|part| of(part).clone()).collect::<Vec<_>>())
        };
        let values = joined(|part| &part.values);
        let device_indptr = Tensor::from_u32(values.engine(), &[indptr.len()], indptr.clone());
        let device_indices = joined(|part| &part.device_indices);
        Self { cols, indptr, indices, values, device_indptr, device_indices }
    }
}

/// Where rows with these numbers of entries begin, and where the last ends.
pub(super) fn indptr(counts: impl Iterator<Item = u32>) -> Vec<u32> {
    let ends = counts.scan(0, |end, count| {
        *end += count;
        Some(*end)
    });
    std::iter::once(0).chain(ends).collect()
}

/// The entries of a sparse matrix by column: what the gradient of a feature's weights is a sum over.
#[derive(Debug, Clone)]
pub struct ByColumn {
    /// The columns that have entries, ascending.
    pub columns: Vec<u32>,
    /// Where each of these columns' entries begin, [columns + 1].
    pub indptr: Vec<u32>,
    /// Row and place (in the matrix) of each entry, by ascending row within a column, [entries, 2].
    pub entries: Tensor,
    /// The same as `columns`, on the device.
    pub(super) device_columns: Tensor,
    /// The same as `indptr`, on the device.
    pub(super) device_indptr: Tensor,
}

impl ByColumn {
    /// Sorts by counting: entries + columns steps.
    pub fn new(matrix: &Sparse) -> Self {
        let mut next = vec![0u32; matrix.cols + 1];
        for &c in &matrix.indices {
            next[c as usize + 1] += 1;
        }
        let touched = (0..matrix.cols as u32).filter(|&c| next[c as usize + 1] > 0);
        let columns: Vec<u32> = touched.collect();
        let indptr = indptr(columns.iter().map(|&c| next[c as usize + 1]));
        for (&c, &start) in columns.iter().zip(&indptr) {
            next[c as usize] = start;
        }
        let mut entries = vec![[0u32; 2]; matrix.entries()];
        for r in 0..matrix.rows() {
            for e in matrix.row(r) {
                let place = &mut next[matrix.indices[e] as usize];
                entries[*place as usize] = [r as u32, e as u32];
                *place += 1;
            }
        }
        let t = |shape: &[usize], v: Vec<u32>| Tensor::from_u32(matrix.values.engine(), shape, v);
        let entries = t(&[matrix.entries(), 2], entries.into_flattened());
        let device_columns = t(&[columns.len()], columns.clone());
        let device_indptr = t(&[indptr.len()], indptr.clone());
        Self { columns, indptr, entries, device_columns, device_indptr }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::each_engine;

    #[test]
    fn concatenates_and_transposes() {
        each_engine(|engine| {
            let part = |indptr: &[u32], columns: &[u32], values: &[f32]| {
                let values = Tensor::from_f32(engine, &[values.len()], values.to_vec());
                Sparse::new(5, indptr.to_vec(), columns.to_vec(), values)
            };
            let all = Sparse::concat(vec![
                part(&[0, 2, 2], &[1, 4], &[1.0, 2.0]),
                part(&[0], &[], &[]),
                part(&[0, 1, 3], &[4, 0, 1], &[3.0, 4.0, 5.0]),
            ]);
            assert_eq!((all.rows(), all.entries()), (4, 5));
            assert_eq!(all.indptr, [0, 2, 2, 3, 5]);
            let values = pollster::block_on(all.values.read_f32()).expect("readback");
            assert_eq!(values, [1.0, 2.0, 3.0, 4.0, 5.0]);
            let by = ByColumn::new(&all);
            assert_eq!((&by.columns[..], &by.indptr[..]), (&[0, 1, 4][..], &[0, 1, 3, 5][..]));
            let entries = pollster::block_on(by.entries.read_u32()).expect("readback");
            assert_eq!(entries, [3, 3, 0, 0, 3, 4, 0, 1, 2, 2]);
        });
    }

    #[test]
    fn nothing_is_a_matrix_too() {
        each_engine(|engine| {
            let by = ByColumn::new(&Sparse::empty(engine, 3));
            assert_eq!((by.columns.len(), by.indptr), (0, vec![0]));
        });
    }
}
