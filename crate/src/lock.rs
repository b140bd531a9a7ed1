//! One process at a time: a lock on a file, let go of when the process ends, however it ends.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::regular;

/// A lock that this process holds as long as this lives.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
    /// Whether the file goes with the lock.
    passing: bool,
}

impl Lock {
    /// Takes the lock whose file is `path`; none when another process has it. The file stays behind, empty.
    ///
    /// # Errors
    /// A file that cannot be opened: a link, for one, which is not followed.
    pub fn take(path: &Path) -> io::Result<Option<Self>> {
        Self::try_take(path, false)
    }

    /// The same with a file that is removed in the end, for a folder of the user's.
    ///
    /// # Errors
    /// As [`Lock::take`].
    pub fn take_for_now(path: &Path) -> io::Result<Option<Self>> {
        Self::try_take(path, true)
    }

    /// Takes the lock, waiting for another process if it must: `waiting` is called before that.
    ///
    /// # Errors
    /// A file that cannot be opened, or a wait that fails.
    pub fn wait(path: &Path, waiting: impl FnOnce()) -> io::Result<Self> {
        let file = regular::own(path)?;
        if is_held(&file) {
            waiting();
            file.lock()?;
        }
        Ok(Self { file, path: path.to_owned(), passing: false })
    }

    fn try_take(path: &Path, passing: bool) -> io::Result<Option<Self>> {
        loop {
            let file = regular::own(path)?;
            if is_held(&file) {
                return Ok(None);
            }
            // Its last owner may have removed it in between: a lock on a file without a name keeps nobody out.
            if is_there(&file, path)? {
                return Ok(Some(Self { file, path: path.to_owned(), passing }));
            }
        }
    }
}

/// Whether another process has the lock; takes it if none has. A file system without locks is one on which nobody else
/// can have this one.
fn is_held(file: &File) -> bool {
    matches!(file.try_lock(), Err(TryLockError::WouldBlock))
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While it is still held. A file that stays does no harm.
        if self.passing && is_there(&self.file, &self.path).unwrap_or(false) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(unix)]
fn is_there(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let open = file.metadata()?;
    Ok(std::fs::symlink_metadata(path)
        .is_ok_and(|there| (there.dev(), there.ino()) == (open.dev(), open.ino())))
}

/// Elsewhere an open file cannot be removed.
#[cfg(not(unix))]
fn is_there(_: &File, path: &Path) -> io::Result<bool> {
    Ok(path.exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("lock");
        std::fs::write(&path, "as it was").expect("written");
        let first = Lock::take(&path).expect("no error").expect("free");
        assert!(Lock::take(&path).expect("no error").is_none());
        drop(first);
        assert_eq!(std::fs::read(&path).expect("stays"), b"as it was");
        let passing = Lock::take_for_now(&path).expect("no error").expect("free again");
        assert!(Lock::take_for_now(&path).expect("no error").is_none());
        drop(passing);
        assert!(!path.exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_planted_link_is_not_followed() {
        let dir = tempfile::tempdir().expect("a folder");
        let (path, thesis) = (dir.path().join("lock"), dir.path().join("thesis"));
        std::fs::write(&thesis, "years of work").expect("written");
        std::os::unix::fs::symlink(&thesis, &path).expect("a link");
        assert!(Lock::take(&path).is_err() && Lock::take_for_now(&path).is_err());
        assert!(Lock::wait(&path, || panic!("nothing to wait for")).is_err());
        assert_eq!(std::fs::read(&thesis).expect("there"), b"years of work");
    }
}
