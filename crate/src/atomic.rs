//! Files that appear whole or not at all.
//!
//! A file is written under a temporary name beside its place, synced, and renamed: a reader, or a run that was killed
//! half-way, sees the old file or the new one and nothing between. The new file has the mode of the old one, and a link
//! keeps leading to it. What is no file (a pipe, a device, standard output) cannot be replaced: it is written into,
//! once everything is there.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, BufWriter, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use tempfile::{Builder, TempPath};

/// What temporary names begin and end with.
const PREFIX: &str = ".mppc-";
const SUFFIX: &str = ".part";
/// Links that lead to links, at most: as many as Linux follows.
const LINKS: usize = 40;

/// A file that is written and synced, and waits to take its place. Dropped, it vanishes.
#[derive(Debug)]
pub struct Staged(Waiting);

#[derive(Debug)]
enum Waiting {
    /// To be renamed.
    Beside { from: TempPath, to: PathBuf },
    /// To be copied into what is no file.
    For { from: File, to: PathBuf },
}

impl Staged {
    /// Puts the file in its place, over an older one.
    ///
    /// # Errors
    /// When it cannot be renamed; the older file is still there then. When what is no file cannot be written into.
    pub fn commit(self) -> io::Result<()> {
        match self.0 {
            Waiting::Beside { from, to } => from.persist(&to).map_err(|e| e.error),
            Waiting::For { mut from, to } => {
                from.rewind()?;
                let mut to = into(&to)?;
                io::copy(&mut from, &mut to)?;
                to.flush()
            }
        }
    }
}

/// Writes what will be `path`, without touching `path` yet: to replace several files together, stage all of
/// them and then commit all of them. Missing folders are made. A link stays, and the file it leads to is replaced.
///
/// # Errors
/// What `write` returns, and what the file system says.
pub fn stage(path: &Path, write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>) -> io::Result<Staged> {
    match target(path)? {
        Destination::File(to) => beside(to, write),
        Destination::Descriptor(_) | Destination::Other => {
            let from = tempfile::tempfile()?;
            filled(&from, write)?;
            Ok(Staged(Waiting::For { from, to: path.to_owned() }))
        }
    }
}

/// Writes `path` whole or not at all, as [`stage`] does.
///
/// # Errors
/// What `write` returns, and what the file system says; `path` is untouched then, if it is a file.
pub fn write(path: &Path, write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>) -> io::Result<()> {
    stage(path, write)?.commit()
}

/// Writes `path`, a file of our own in a folder of our own, whole or not at all. A link in its place is replaced:
/// whoever has put it there chose the file that it leads to.
///
/// # Errors
/// As [`write()`]; `path` is untouched then.
pub fn replace(path: &Path, write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>) -> io::Result<()> {
    beside(path.to_owned(), write)?.commit()
}

/// Makes a folder for results, if it is not there, and [sweeps](sweep) it.
///
/// # Errors
/// When it cannot be made or read, or a file in it not be removed.
pub fn folder(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    sweep(folder)
}

/// Removes what a killed process may have left in a folder: files that never took their place.
///
/// # Errors
/// When the folder cannot be read, or such a file not be removed.
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

fn filled(file: &File, write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::new(file);
    write(&mut out)?;
    out.flush()
}

fn beside(to: PathBuf, write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>) -> io::Result<Staged> {
    let folder = match to.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder)?;
    let old = std::fs::symlink_metadata(&to).ok().filter(Metadata::is_file);
    let mut builder = Builder::new();
    builder.prefix(PREFIX).suffix(SUFFIX);
    #[cfg(unix)]
    if old.is_none() {
        use std::os::unix::fs::PermissionsExt as _;
        // Temporary files are private by default; this one will be an ordinary file (the umask still holds).
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let (file, from) = builder.tempfile_in(folder)?.into_parts();
    filled(&file, write)?;
    if let Some(old) = &old {
        keep_rights(&file, old)?;
    }
    file.sync_all()?;
    Ok(Staged(Waiting::Beside { from, to }))
}

/// Gives a file the owner, as far as one may, and the mode of the one whose place it takes.
#[cfg(unix)]
fn keep_rights(file: &File, old: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
    let new = file.metadata()?;
    let differs = (new.uid(), new.gid()) != (old.uid(), old.gid());
    // Only root can give a file away. To another owner's group or to nobody else's rights it must not lead.
    let ours = !differs || fchown(file, Some(old.uid()), Some(old.gid())).is_ok();
    let mode = old.mode() & if ours { 0o7777 } else { 0o777 };
    file.set_permissions(std::fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn keep_rights(_: &File, _: &Metadata) -> io::Result<()> {
    Ok(())
}

/// What a path leads to.
enum Destination {
    /// A file, or nothing yet: here, behind all links.
    File(PathBuf),
    /// A descriptor of this process, as `/dev/stdout` and `/dev/fd/3` name them. Even if it is a file, it is open, and
    /// what comes belongs where the descriptor is in it.
    Descriptor(i32),
    /// Another thing that cannot be replaced.
    Other,
}

fn target(path: &Path) -> io::Result<Destination> {
    let mut place = path.to_owned();
    for _ in 0..LINKS {
        let number = |folder: &str| place.strip_prefix(folder).ok()?.to_str()?.parse().ok();
        if let Some(number) = number("/proc/self/fd").or_else(|| number("/dev/fd")).filter(|_| path.exists())
        {
            return Ok(Destination::Descriptor(number));
        }
        match std::fs::read_link(&place) {
            Ok(to) => place = place.parent().unwrap_or(Path::new("")).join(to),
            // No link, or nothing there.
            Err(_) => {
                return match std::fs::metadata(&place) {
                    Ok(there) if there.is_dir() => Err(io::Error::from(io::ErrorKind::IsADirectory)),
                    Ok(there) if !there.is_file() => Ok(Destination::Other),
                    _ => Ok(Destination::File(place)),
                };
            }
        }
    }
    Err(io::Error::other("it is a link that leads nowhere"))
}

/// Opens for writing what is no file.
fn into(path: &Path) -> io::Result<File> {
    #[cfg(unix)]
    if let Destination::Descriptor(number) = target(path)? {
        // SAFETY: it was just found open, and nothing closes descriptors that this program was given.
        let open = unsafe { std::os::fd::BorrowedFd::borrow_raw(number) };
        return Ok(open.try_clone_to_owned()?.into());
    }
    OpenOptions::new().write(true).open(path)
}

#[cfg(test)]
#[path = "atomic_tests.rs"]
mod tests;
