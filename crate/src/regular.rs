//! Files that somebody else may have put there, opened only when they are regular files: opening a pipe waits for
//! whoever writes into it, and opening a device may do things.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::path::Path;

/// What a thing that is no regular file is refused with.
fn refused() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file")
}

/// Whether [`open`] or [`own`] refused a thing for what it is.
pub fn is_refusal(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidInput && error.raw_os_error().is_none()
}

/// Opens a regular file for reading; links are followed.
///
/// # Errors
/// Anything else than a regular file, and what the file system says.
pub fn open(path: &Path) -> io::Result<File> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(refused());
    }
    let mut options = OpenOptions::new();
    options.read(true);
    flags(&mut options, false);
    checked(options.open(path)?)
}

/// The content of a regular file; links are followed.
///
/// # Errors
/// As [`open`].
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = open(path)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// As [`read`], of a file of at most `most` bytes.
///
/// # Errors
/// As [`open`]; `FileTooLarge` beyond that.
pub fn read_within(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // Not the size that is stated: files of /proc have none, and others grow.
    open(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let what = format!("it is longer than {most} bytes, the most that is read of such a file");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
    }
    Ok(bytes)
}

/// As [`read`], as text.
///
/// # Errors
/// As [`open`], and bytes that are no UTF-8.
pub fn read_to_string(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
}

/// Opens a file of our own in a folder of our own for reading and writing, and makes it if there is none. What is in it
/// stays. A link in its place is not followed: whoever has put it there chose the file that it leads to.
///
/// # Errors
/// Anything else than a regular file, and what the file system says.
pub fn own(path: &Path) -> io::Result<File> {
    if std::fs::symlink_metadata(path).is_ok_and(|there| !there.is_file()) {
        return Err(refused());
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    flags(&mut options, true);
    checked(options.open(path)?)
}

/// Between the look and the opening another thing may have come: nothing waits for it, and no link is followed.
#[cfg(unix)]
fn flags(options: &mut OpenOptions, own: bool) {
    use std::os::unix::fs::OpenOptionsExt as _;
    options.custom_flags(libc::O_NONBLOCK | if own { libc::O_NOFOLLOW } else { 0 });
}

#[cfg(not(unix))]
fn flags(_: &mut OpenOptions, _: bool) {}

fn checked(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() { Ok(file) } else { Err(refused()) }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// Makes a pipe that nobody writes into.
    pub(crate) fn pipe(path: &Path) {
        let made = std::process::Command::new("mkfifo").arg(path).status().expect("mkfifo is there");
        assert!(made.success());
    }

    #[test]
    fn what_is_no_file_is_refused_at_once() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = |name: &str| dir.path().join(name);
        pipe(&path("pipe"));
        symlink("pipe", path("to_pipe")).expect("a link");
        for name in ["pipe", "to_pipe", "."] {
            assert!(is_refusal(&open(&path(name)).expect_err(name)), "{name}");
            assert!(is_refusal(&own(&path(name)).expect_err(name)), "{name}");
        }
        assert!(!is_refusal(&open(&path("nothing")).expect_err("nothing is there")));
        assert!(is_refusal(&open(Path::new("/dev/zero")).expect_err("a device")));
    }

    #[test]
    fn links_are_followed_to_read_and_not_to_own() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("file"), "kept").expect("written");
        symlink("file", path("link")).expect("a link");
        symlink("new", path("loose")).expect("a link");
        assert_eq!(read_to_string(&path("link")).expect("a file"), "kept");
        assert!(is_refusal(&own(&path("link")).expect_err("a link")));
        assert!(is_refusal(&own(&path("loose")).expect_err("a link to nothing")));
        assert!(!path("new").exists());
        own(&path("file")).expect("a file");
        assert_eq!(read_to_string(&path("file")).expect("a file"), "kept");
    }

    #[test]
    fn no_more_is_read_than_is_wanted() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("file");
        std::fs::write(&path, "text").expect("written");
        assert_eq!(read_within(&path, 4).expect("a file"), b"text");
        assert_eq!(read_within(&path, 3).expect_err("too long").kind(), io::ErrorKind::FileTooLarge);
        assert!(is_refusal(&read_within(Path::new("/dev/zero"), 3).expect_err("a device")));
        assert_eq!(read_within(&path, u64::MAX).expect("a file"), b"text");
    }
}
