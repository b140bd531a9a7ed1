//! Codes as a safetensors file: `indptr` i64 [T + 1], `indices` u16 (i32 for more than 65,536 features) and `values`
//! f32 [entries], and the number of features in the metadata as `n_features`. Six bytes an entry: a layer of 24,576
//! features, 61 of them active, takes 374 MB for a million tokens.
//!
//! Others' files are read, too: integers of any type, values of any type of numbers, the names of torch
//! (`crow_indices`, `col_indices`, `values`) and of SciPy (`data`), and the number of features as the second of
//! `shape`.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensorError, SafeTensors, serialize};

use super::{Codes, SaeError};
use crate::checkpoint::{integers, numbers};

/// Features that u16 numbers.
const NARROW: usize = 1 << 16;

impl Codes {
    /// The most features that a file of codes may have, four times those of the largest SAEs of models of a billion
    /// parameters. Whoever correlates asks for some 700 bytes for each, however short the file is.
    pub const MOST_FEATURES: usize = 1 << 22;

    /// The file of these codes.
    ///
    /// # Errors
    /// When there are more than [`Codes::MOST_FEATURES`], or a value is not finite.
    pub fn to_safetensors(&self) -> Result<Vec<u8>, SaeError> {
        let fail = |reason: String| SaeError::Codes { file: "codes".to_owned(), reason };
        if self.n_features > Self::MOST_FEATURES {
            return Err(fail(too_many(self.n_features)));
        }
        if let Some((token, feature, value)) = self.not_finite() {
            return Err(fail(format!(
                "feature {feature} is {value} at token {token}, which cannot be saved"
            )));
        }
        self.file().map_err(|e| fail(e.to_string()))
    }

    /// The file, whatever the codes are.
    fn file(&self) -> Result<Vec<u8>, SafeTensorError> {
        let entries = self.indices.len();
        let indptr: Vec<u8> = self.indptr.iter().flat_map(|p| (*p as i64).to_le_bytes()).collect();
        let (dtype, indices): (Dtype, Vec<u8>) = if self.n_features <= NARROW {
            (Dtype::U16, self.indices.iter().flat_map(|j| (*j as u16).to_le_bytes()).collect())
        } else {
            (Dtype::I32, self.indices.iter().flat_map(|j| (*j as i32).to_le_bytes()).collect())
        };
        let values: Vec<u8> = self.values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let views = [
            ("indptr", TensorView::new(Dtype::I64, vec![self.indptr.len()], &indptr)?),
            ("indices", TensorView::new(dtype, vec![entries], &indices)?),
            ("values", TensorView::new(Dtype::F32, vec![self.values.len()], &values)?),
        ];
        let metadata = HashMap::from([("n_features".to_owned(), self.n_features.to_string())]);
        serialize(views, Some(metadata))
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
        let column = |names: &[&str], kind: &str| {
            let view = names.iter().find_map(|name| Some((name, tensors.tensor(name).ok()?)));
            let (name, view) = view.ok_or_else(|| format!("the tensor `{}` is missing", names[0]))?;
            let wrong = format!("the tensor `{name}` holds {:?} elements, not {kind}", view.dtype());
            match view.shape() {
                [_] => Ok((view.dtype(), view.data(), wrong)),
                shape => Err(format!("the tensor `{name}` has the shape {shape:?}, not one axis")),
            }
        };
        let whole = |names: &[&str]| {
            let (dtype, data, wrong) = column(names, "integers")?;
            integers(dtype, data).ok_or(wrong)
        };
        let said = header.metadata().as_ref().and_then(|m| m.get("n_features"));
        let n_features: usize = match said {
            Some(said) => {
                said.parse().map_err(|_| format!("the metadata `n_features` is {said:?}, not a number"))?
            }
            None => match whole(&["shape"]).ok().as_deref() {
                Some(&[_, features]) if features >= 0 => features as usize,
                _ => return Err("the metadata `n_features` is missing".to_owned()),
            },
        };
        if n_features > Self::MOST_FEATURES {
            return Err(too_many(n_features));
        }
        let indptr = whole(&["indptr", "crow_indices"])?;
        // Negative numbers become too large ones, which the checks refuse.
        let indptr = indptr.into_iter().map(|p| p as u64).collect();
        let indices = whole(&["indices", "col_indices"])?;
        let indices = indices.into_iter().map(|j| u32::try_from(j).unwrap_or(u32::MAX)).collect();
        let (dtype, values, wrong) = column(&["values", "data"], "numbers")?;
        let values = numbers(dtype, values).ok_or(wrong)?;
        let codes = Self { n_features, indptr, indices, values };
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

fn too_many(features: usize) -> String {
    format!("{features} features are more than the {} that codes may have", Codes::MOST_FEATURES)
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
            let bytes = codes.file().expect("a file");
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
            (file(Some("3"), Dtype::F32), "the tensor `indptr` holds F32 elements, not integers"),
            (
                file(Some("2147483647"), Dtype::I64),
                "2147483647 features are more than the 4194304 that codes may have",
            ),
            (file(Some("3"), Dtype::I64), "the tensor `indices` is missing"),
        ] {
            assert_eq!(error, format!("f: not a file of codes: {reason}"));
        }
    }

    /// A file of these tensors.
    fn others(tensors: &[(&str, Dtype, Vec<u8>)]) -> Vec<u8> {
        let views = tensors.iter().map(|(name, dtype, data)| {
            let len = data.len() * 8 / dtype.bitsize();
            (*name, TensorView::new(*dtype, vec![len], data).expect("a view"))
        });
        serialize(views, None).expect("a file")
    }

    #[test]
    fn other_libraries_types_and_names_are_the_same_codes() {
        macro_rules! bytes {
            ($type:ty, $values:expr) => {
                $values.iter().flat_map(|v| (*v as $type).to_le_bytes()).collect::<Vec<u8>>()
            };
        }
        let Codes { indptr, indices, values, n_features } = example();
        let shape = ("shape", Dtype::I64, bytes!(i64, [3usize, n_features]));
        let half = |v: &f32| half::f16::from_f32(*v).to_le_bytes();
        for tensors in [
            // SciPy's CSR, torch's, and what else somebody may have.
            [
                ("indptr", Dtype::I32, bytes!(i32, indptr)),
                ("indices", Dtype::I32, bytes!(i32, indices)),
                ("data", Dtype::F64, bytes!(f64, values)),
            ],
            [
                ("crow_indices", Dtype::I64, bytes!(i64, indptr)),
                ("col_indices", Dtype::I64, bytes!(i64, indices)),
                ("values", Dtype::F16, values.iter().flat_map(half).collect()),
            ],
            [
                ("indptr", Dtype::U64, bytes!(u64, indptr)),
                ("indices", Dtype::U8, bytes!(u8, indices)),
                ("values", Dtype::F32, bytes!(f32, values)),
            ],
        ] {
            let file = others(&[&tensors[..], std::slice::from_ref(&shape)].concat());
            assert_eq!(Codes::from_safetensors("f", &file).expect("codes"), example());
        }
    }

    #[test]
    fn sizes_that_lie_ask_for_no_memory() {
        let huge = bytemuck::bytes_of(&[0i64, i64::MAX]).to_vec();
        let (none, shape) = (Vec::new(), bytemuck::bytes_of(&[1i64, 4]).to_vec());
        let file = others(&[
            ("indptr", Dtype::I64, huge),
            ("indices", Dtype::U64, none.clone()),
            ("values", Dtype::F32, none),
            ("shape", Dtype::I64, shape),
        ]);
        let error = Codes::from_safetensors("f", &file).expect_err("no entries").to_string();
        assert!(error.contains("`indptr` does not end with the number of entries, 0"), "{error}");
    }

    #[test]
    fn infinite_codes_are_not_written() {
        for (e, told) in [
            (0, "feature 0 is inf at token 0"),
            (1, "feature 4 is inf at token 0"),
            (2, "feature 2 is inf at token 2"),
        ] {
            let mut codes = example();
            codes.values[e] = f32::INFINITY;
            let error = codes.to_safetensors().expect_err("not finite").to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
