//! Codes as a safetensors file: `indptr` i64 [T + 1], `indices` u16 (i32 for more than 65,536 features) and `values`
//! f32 [entries], and the number of features in the metadata as `n_features`. Six bytes an entry: a layer of 24,576
//! features, 61 of them active, takes 374 MB for a million tokens.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensorError, SafeTensors, serialize};

use super::{Codes, SaeError};

/// Features that u16 numbers.
const NARROW: usize = 1 << 16;

impl Codes {
    /// The file of these codes.
    ///
    /// # Errors
    /// When a feature's index does not fit into 31 bits.
    pub fn to_safetensors(&self) -> Result<Vec<u8>, SaeError> {
        let fail = |reason: String| SaeError::Codes { file: "codes".to_owned(), reason };
        if self.n_features > i32::MAX as usize {
            return Err(fail(format!("{} features are more than the format can number", self.n_features)));
        }
        let entries = self.indices.len();
        let indptr: Vec<u8> = self.indptr.iter().flat_map(|p| (*p as i64).to_le_bytes()).collect();
        let (dtype, indices): (Dtype, Vec<u8>) = if self.n_features <= NARROW {
            (Dtype::U16, self.indices.iter().flat_map(|j| (*j as u16).to_le_bytes()).collect())
        } else {
            (Dtype::I32, self.indices.iter().flat_map(|j| (*j as i32).to_le_bytes()).collect())
        };
        let values: Vec<u8> = self.values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let views = || -> Result<Vec<u8>, SafeTensorError> {
            let views = [
                ("indptr", TensorView::new(Dtype::I64, vec![self.indptr.len()], &indptr)?),
                ("indices", TensorView::new(dtype, vec![entries], &indices)?),
                ("values", TensorView::new(Dtype::F32, vec![self.values.len()], &values)?),
            ];
            let metadata = HashMap::from([("n_features".to_owned(), self.n_features.to_string())]);
            serialize(views, Some(metadata))
        };
        views().map_err(|e| fail(e.to_string()))
    }

    /// Reads a file of codes; `file` is its name in errors. Everything is checked: row boundaries rise from 0
    /// to the number of entries, indices rise within a row and are below `n_features`, values are finite.
    ///
    /// # Errors
    /// [`SaeError::Codes`], with what is wrong and where.
    pub fn from_safetensors(file: &str, bytes: &[u8]) -> Result<Self, SaeError> {
        Self::read(bytes).map_err(|reason| SaeError::Codes { file: file.to_owned(), reason })
    }

    fn read(bytes: &[u8]) -> Result<Self, String> {
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| e.to_string())?;
        let tensors = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
        let features = header.metadata().as_ref().and_then(|m| m.get("n_features"));
        let features = features.ok_or("the metadata `n_features` is missing")?;
        let n_features: usize = features
            .parse()
            .map_err(|_| format!("the metadata `n_features` is {features:?}, not a number"))?;
        if n_features > i32::MAX as usize {
            return Err(format!("the metadata `n_features` is {n_features}, more than 2^31 - 1"));
        }
        let column = |name: &str, dtypes: &[Dtype]| {
            let view = tensors.tensor(name).map_err(|_| format!("the tensor `{name}` is missing"))?;
            let dtype = view.dtype();
            if !dtypes.contains(&dtype) {
                return Err(format!(
                    "the tensor `{name}` holds {dtype:?} elements instead of {:?}",
                    dtypes[0]
                ));
            }
            match view.shape() {
                [_] => Ok((dtype, view.data())),
                shape => Err(format!("the tensor `{name}` has the shape {shape:?}, not one axis")),
            }
        };
        let indptr = column("indptr", &[Dtype::I64])?.1.as_chunks().0.iter().map(|&b| i64::from_le_bytes(b));
        // Negative numbers become too large ones, which the checks refuse.
        let indices: Vec<u32> = match column("indices", &[Dtype::I32, Dtype::U16])? {
            (Dtype::I32, data) => data.as_chunks().0.iter().map(|&b| i32::from_le_bytes(b) as u32).collect(),
            (_, data) => data.as_chunks().0.iter().map(|&b| u32::from(u16::from_le_bytes(b))).collect(),
        };
        let values = column("values", &[Dtype::F32])?.1.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b));
        let codes = Self {
            n_features,
            indptr: indptr.map(|p| p as u64).collect(),
            indices,
            values: values.collect(),
        };
        codes.check()?;
        Ok(codes)
    }

    fn check(&self) -> Result<(), String> {
        let entries = self.indices.len();
        if self.values.len() != entries {
            return Err(format!("{entries} `indices` but {} `values`", self.values.len()));
        }
        if self.indptr.first() != Some(&0) {
            return Err("`indptr` does not start with 0".to_owned());
        }
        if let Some(t) = self.indptr.windows(2).position(|w| w[0] > w[1]) {
            return Err(format!("`indptr` falls after token {t}"));
        }
        if self.indptr.last() != Some(&(entries as u64)) {
            return Err(format!("`indptr` does not end with the number of entries, {entries}"));
        }
        for t in 0..self.tokens() {
            let (indices, values) = self.row(t);
            if indices.windows(2).any(|w| w[0] >= w[1]) {
                return Err(format!("the `indices` of token {t} do not rise"));
            }
            if let Some(&last) = indices.last().filter(|&&j| j as usize >= self.n_features) {
                return Err(format!(
                    "token {t} has the feature {last}, but `n_features` is {}",
                    self.n_features
                ));
            }
            if let Some(value) = values.iter().find(|v| !v.is_finite()) {
                return Err(format!("a value of token {t} is {value}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Codes {
        Codes {
            n_features: 5,
            indptr: vec![0, 2, 2, 3],
            indices: vec![0, 4, 2],
            values: vec![0.5, 1.25, 3.0],
        }
    }

    #[test]
    fn reads_what_it_writes() {
        let many = |n_features| Codes { n_features, indices: vec![0, 65_535, 40_000], ..example() };
        let empty = Codes { indptr: vec![0; 3], ..Codes::new(1) };
        for codes in [example(), Codes::new(7), empty, many(65_536), many(65_537)] {
            let bytes = codes.to_safetensors().expect("a file");
            let file = SafeTensors::deserialize(&bytes).expect("a file");
            let wide = file.tensor("indices").expect("indices").dtype() == Dtype::I32;
            assert_eq!(wide, codes.n_features > 65_536);
            assert_eq!(Codes::from_safetensors("f", &bytes).expect("codes"), codes);
        }
    }

    #[test]
    fn damaged_codes_are_one_line_errors() {
        let error = |change: &dyn Fn(&mut Codes)| {
            let mut codes = example();
            change(&mut codes);
            let bytes = codes.to_safetensors().expect("a file");
            Codes::from_safetensors("c.safetensors", &bytes).expect_err("damaged").to_string()
        };
        for (error, needle) in [
            (error(&|c| c.n_features = 4), "token 0 has the feature 4, but `n_features` is 4"),
            (error(&|c| c.indices.swap(0, 1)), "the `indices` of token 0 do not rise"),
            (error(&|c| c.indices[1] = 0), "the `indices` of token 0 do not rise"),
            (error(&|c| c.indices[2] = 65_535), "token 2 has the feature 65535"),
            (
                error(&|c| (c.n_features, c.indices[2]) = (70_000, u32::MAX)),
                "token 2 has the feature 4294967295",
            ),
            (error(&|c| c.indptr[0] = 1), "`indptr` does not start with 0"),
            (error(&|c| c.indptr.clear()), "`indptr` does not start with 0"),
            (error(&|c| c.indptr[1] = 3), "`indptr` falls after token 1"),
            (error(&|c| c.indptr[1] = u64::MAX), "`indptr` falls after token 1"),
            (error(&|c| c.indptr[3] = 2), "`indptr` does not end with the number of entries, 3"),
            (error(&|c| c.values[2] = f32::NAN), "a value of token 2 is NaN"),
        ] {
            let reason = error.strip_prefix("c.safetensors: not a file of codes: ");
            assert!(reason.is_some_and(|reason| reason.starts_with(needle)), "{error}\n  lacks {needle}");
        }
        let uneven = Codes { values: vec![1.0], ..example() };
        assert_eq!(uneven.check(), Err("3 `indices` but 1 `values`".to_owned()));
        let bytes = example().to_safetensors().expect("a file");
        for cut in 0..bytes.len() {
            assert!(Codes::from_safetensors("f", &bytes[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn other_files_are_refused() {
        let file = |metadata: Option<&str>, dtype| {
            let data = [0u8; 8];
            let views =
                [("indptr", TensorView::new(dtype, vec![8 / (dtype.bitsize() / 8)], &data).expect("a view"))];
            let metadata = metadata.map(|n| HashMap::from([("n_features".to_owned(), n.to_owned())]));
            let bytes = serialize(views, metadata).expect("a file");
            Codes::from_safetensors("f", &bytes).expect_err("not codes").to_string()
        };
        for (error, reason) in [
            (file(None, Dtype::I64), "the metadata `n_features` is missing"),
            (file(Some("many"), Dtype::I64), "the metadata `n_features` is \"many\", not a number"),
            (file(Some("3"), Dtype::I32), "the tensor `indptr` holds I32 elements instead of I64"),
            (file(Some("3"), Dtype::I64), "the tensor `indices` is missing"),
        ] {
            assert_eq!(error, format!("f: not a file of codes: {reason}"));
        }
    }
}
