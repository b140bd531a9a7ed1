//! What commands share: the engine, how to speak, and what is checked before hours of work.

use std::path::Path;

use mppc::failure::Failure;
use mppc::gpu::Engine;

pub(crate) use crate::output::Outcome;
use crate::output::{Output, saved_to};
use crate::progress::Bars;

/// What commands share: the engine's choice and how to speak.
pub(crate) struct Session {
    pub(crate) engine: Engine,
    pub(crate) out: Output,
    pub(crate) bars: Bars,
}

/// Refuses before hours of work a file that could not be saved after them.
pub(crate) fn writable(path: &Path) -> Outcome {
    if path.is_dir() {
        return Err(Failure::new(format!("{} is a directory", path.display()), "name a file"));
    }
    saved_to(path);
    in_a_folder(path)
}

fn in_a_folder(path: &Path) -> Outcome {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match parent.is_dir() {
        true => Ok(()),
        false => Err(Failure::new(
            format!("{}: the directory {} does not exist", path.display(), parent.display()),
            "make it first",
        )),
    }
}

/// The same of a directory.
pub(crate) fn writable_dir(path: &Path) -> Outcome {
    if path.exists() && !path.is_dir() {
        return Err(Failure::new(format!("{} is a file", path.display()), "name a directory"));
    }
    in_a_folder(path)
}
