//! The built-in pair of models.

use std::collections::BTreeMap;

use include_dir::{Dir, include_dir};

use super::{Bytes, Files};

static NEOX: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../models/tiny-neox");
static MAMBA: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../models/tiny-mamba");

/// Files of `tiny-neox` or `tiny-mamba`, or nothing for any other name.
pub fn embedded(name: &str) -> Option<Files> {
    fn collect(dir: &'static Dir<'static>, files: &mut BTreeMap<String, Bytes>) {
        for file in dir.files() {
            files.insert(file.path().to_string_lossy().replace('\\', "/"), file.contents().into());
        }
        dir.dirs().for_each(|d| collect(d, files));
    }
    let dir = match name {
        "tiny-neox" => &NEOX,
        "tiny-mamba" => &MAMBA,
        _ => return None,
    };
    let mut files = BTreeMap::new();
    collect(dir, &mut files);
    Some(Files::loose(name, files))
}
