//! The built-in pair of models.

use std::collections::BTreeMap;

use include_dir::{Dir, include_dir};

use super::{Bytes, Files};

static NEOX: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../models/tiny-neox");
static MAMBA: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../models/tiny-mamba");

/// Names of the built-in pair: a Transformer and a Mamba.
pub const BUILT_IN: [&str; 2] = ["tiny-neox", "tiny-mamba"];

/// Files of one of the [built-in pair](BUILT_IN), or nothing for any other name.
pub fn embedded(name: &str) -> Option<Files> {
    fn collect(dir: &'static Dir<'static>, files: &mut BTreeMap<String, Bytes>) {
        for file in dir.files() {
            files.insert(file.path().to_string_lossy().replace('\\', "/"), file.contents().into());
        }
        dir.dirs().for_each(|d| collect(d, files));
    }
    let (_, dir) = BUILT_IN.into_iter().zip([&NEOX, &MAMBA]).find(|(built_in, _)| *built_in == name)?;
    let mut files = BTreeMap::new();
    collect(dir, &mut files);
    Some(Files::loose(name, files))
}
