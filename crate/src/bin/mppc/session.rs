//! What commands share: the engine, how to speak, and what is checked before hours of work.

use std::path::Path;

use mppc::gpu::Engine;

use crate::output::{Output, saved_to};
use crate::progress::Bars;

/// Any error, as its one line.
pub(crate) type Outcome<T = ()> = Result<T, String>;

/// What commands share: the engine's choice and how to speak.
pub(crate) struct Session {
    pub(crate) engine: Engine,
    pub(crate) out: Output,
    pub(crate) bars: Bars,
}

pub(crate) fn text<E: std::fmt::Display>(e: E) -> String {
    e.to_string()
}

/// Refuses before hours of work a file that could not be saved after them.
pub(crate) fn writable(path: &Path) -> Outcome {
    if path.is_dir() {
        return Err(format!("{} is a directory; name a file", path.display()));
    }
    saved_to(path);
    in_a_folder(path)
}

fn in_a_folder(path: &Path) -> Outcome {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match parent.is_dir() {
        true => Ok(()),
        false => Err(format!(
            "{}: the directory {} does not exist; make it first",
            path.display(),
            parent.display()
        )),
    }
}

/// The same of a directory.
pub(crate) fn writable_dir(path: &Path) -> Outcome {
    if path.exists() && !path.is_dir() {
        return Err(format!("{} is a file; name a directory", path.display()));
    }
    in_a_folder(path)
}
