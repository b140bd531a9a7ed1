//! Files that appear whole or not at all.
//!
//! A file is written under a temporary name beside its place, synced, and renamed: a reader, or a run that was
//! killed half-way, sees the old file or the new one and nothing between.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use tempfile::{Builder, TempPath};

/// What temporary names begin and end with.
const PREFIX: &str = ".mppc-";
const SUFFIX: &str = ".part";

/// A file that is written and synced, and waits to take its place. Dropped, it vanishes.
#[derive(Debug)]
pub struct Staged {
    from: TempPath,
    to: PathBuf,
}

impl Staged {
    /// Puts the file in its place, over an older one.
    ///
    /// # Errors
    /// When it cannot be renamed; the older file is still there then.
    pub fn commit(self) -> io::Result<()> {
        self.from.persist(&self.to).map_err(|e| e.error)
    }
}

/// Writes what will be `path`, without touching `path` yet: to replace several files together, stage all of
/// them and then commit all of them. Missing folders are made.
///
/// # Errors
/// What `write` returns, and what the file system says.
pub fn stage(path: &Path, write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>) -> io::Result<Staged> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder)?;
    let mut builder = Builder::new();
    builder.prefix(PREFIX).suffix(SUFFIX);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        // Temporary files are private by default; this one will be an ordinary file (the umask still holds).
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let (file, from) = builder.tempfile_in(folder)?.into_parts();
    let mut out = BufWriter::new(&file);
    write(&mut out)?;
    out.flush()?;
    drop(out);
    file.sync_all()?;
    Ok(Staged { from, to: path.to_owned() })
}

/// Removes what a killed process may have left in a folder: files that never took their place.
///
/// # Errors
/// When the folder cannot be read, or such a file not removed.
pub fn sweep(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(PREFIX) && name.ends_with(SUFFIX) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Writes `path` whole or not at all. Missing folders are made.
///
/// # Errors
/// What `write` returns, and what the file system says; `path` is untouched then.
pub fn write(path: &Path, write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>) -> io::Result<()> {
    stage(path, write)?.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("deep/er/file.txt");
        write(&path, |out| out.write_all(b"old")).expect("first write");
        let failed = write(&path, |out| {
            out.write_all(b"new, but not all of")?;
            Err(io::Error::other("disk full"))
        });
        assert_eq!(failed.expect_err("must fail").to_string(), "disk full");
        assert_eq!(std::fs::read(&path).expect("still there"), b"old");
        let names = std::fs::read_dir(path.parent().expect("has a parent")).expect("listing");
        assert_eq!(names.count(), 1, "a temporary file was left behind");
    }

    #[test]
    fn staged_files_appear_on_commit() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("file");
        let staged = stage(&path, |out| out.write_all(b"x")).expect("stage");
        assert!(!path.exists());
        staged.commit().expect("commit");
        assert_eq!(std::fs::read(&path).expect("there"), b"x");
    }
}
