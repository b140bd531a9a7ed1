//! One file from the hub into the cache: resumed, verified, whole or not at all.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::HubError;
use super::RepoName;
use super::cache::RepoCache;
use super::client::{Client, RequestError, header};
use super::digest::Hasher;
use super::listing::Remote;
use crate::lock::Lock;
use crate::regular;

/// What a download tells while it runs.
#[derive(Debug)]
pub enum Event<'a> {
    /// It begins.
    Start {
        /// Files of the repository that are needed, those already here among them.
        files: usize,
        /// Bytes to come.
        bytes: u64,
        /// The folder in which they will be found.
        to: &'a Path,
    },
    /// A file has come this far.
    Bytes {
        /// Its path in the repository.
        file: &'a str,
        /// Bytes there.
        done: u64,
        /// Its size.
        total: u64,
    },
    /// Something worth a line.
    Note(&'a str),
}

/// Attempts in a row that bring nothing new before it is given up.
const ATTEMPTS: u32 = 5;

/// What a download needs to know.
pub(super) struct Download<'a> {
    pub(super) client: &'a Client<'a>,
    pub(super) name: &'a RepoName,
    pub(super) place: &'a RepoCache,
    pub(super) commit: &'a str,
    pub(super) remote: &'a Remote,
    /// Whether somebody wants it to stop.
    pub(super) stop: fn() -> bool,
}

/// A file that grows until it is whole, and the hash of what it has.
struct Partial {
    path: PathBuf,
    file: File,
    hasher: Hasher,
    done: u64,
    /// Bytes that came over the network.
    received: u64,
}

/// How a transfer ended that did not fail for good.
enum Ended {
    Whole,
    Broken(String),
}

impl Download<'_> {
    /// Gets the file, unless it is there, and returns how many bytes came. `watch` is told how far it is.
    pub(super) fn run(&self, watch: &mut dyn FnMut(Event<'_>)) -> Result<u64, HubError> {
        let blob = self.place.blob(&self.remote.hash);
        let lock = self.place.lock(&self.remote.hash);
        for folder in [blob.parent(), lock.parent()].into_iter().flatten() {
            fs::create_dir_all(folder).map_err(|e| self.failed(folder, e))?;
        }
        // Held until the file is there.
        let waiting = || {
            watch(Event::Note(&format!("waiting for another process that downloads {}", self.remote.path)));
        };
        let _guard = Lock::wait(&lock, waiting).map_err(|e| self.failed(&lock, e))?;
        let received = match is_whole(&blob, self.remote.size) {
            true => 0,
            false => self.transfer(&blob, watch)?,
        };
        self.place
            .link(self.commit, &self.remote.path, &self.remote.hash)
            .map_err(|e| self.failed(&self.place.snapshot(self.commit).join(&self.remote.path), e))?;
        Ok(received)
    }

    /// Two tries to get the bytes whose hash is right.
    fn transfer(&self, blob: &Path, watch: &mut dyn FnMut(Event<'_>)) -> Result<u64, HubError> {
        let path = incomplete(blob);
        let expected = self.remote.hash.hex();
        let mut received = 0;
        for again in [false, true] {
            let partial = self.fill(&path, watch)?;
            received += partial.received;
            let found = partial.hasher.finish();
            if found == expected {
                partial.file.sync_all().map_err(|e| self.failed(&path, e))?;
                drop(partial.file);
                fs::rename(&path, blob).map_err(|e| self.failed(blob, e))?;
                return Ok(received);
            }
            drop(partial.file);
            fs::remove_file(&path).map_err(|source| HubError::Io { file: path.clone(), source })?;
            if again {
                return Err(HubError::Damaged {
                    repo: self.name.to_string(),
                    file: self.remote.path.clone(),
                    expected: expected.to_owned(),
                    found,
                });
            }
            let file = &self.remote.path;
            watch(Event::Note(&format!("{file} arrived damaged (its hash is wrong); fetching it again")));
        }
        unreachable!("the second try returns")
    }

    /// Brings the partial file to its full size. A failure leaves what is of use to the next run.
    fn fill(&self, path: &Path, watch: &mut dyn FnMut(Event<'_>)) -> Result<Partial, HubError> {
        let mut partial = self.open(path)?;
        match self.connect(&mut partial, watch) {
            Ok(()) => Ok(partial),
            Err(e) => {
                // A full disk is no place for half a file.
                if partial.done == 0 || matches!(e, HubError::Full { .. }) {
                    drop(partial.file);
                    drop(fs::remove_file(path));
                }
                Err(e)
            }
        }
    }

    /// As many connections as it takes.
    fn connect(&self, partial: &mut Partial, watch: &mut dyn FnMut(Event<'_>)) -> Result<(), HubError> {
        let (mut attempt, mut best) = (1, partial.done);
        loop {
            watch(Event::Bytes { file: &self.remote.path, done: partial.done, total: self.remote.size });
            if partial.done == self.remote.size {
                return Ok(());
            }
            if (self.stop)() {
                return Err(HubError::Cancelled);
            }
            self.client.wait(attempt);
            let Ended::Broken(reason) = self.receive(partial, watch)? else { continue };
            attempt = if partial.done > best { 2 } else { attempt + 1 };
            best = best.max(partial.done);
            if attempt > ATTEMPTS {
                return Err(HubError::Cut {
                    file: self.remote.path.clone(),
                    attempts: ATTEMPTS,
                    reason,
                    done: partial.done,
                    total: self.remote.size,
                });
            }
        }
    }

    /// Opens what an earlier run, or Python, has left, and hashes it.
    fn open(&self, path: &Path) -> Result<Partial, HubError> {
        if fs::symlink_metadata(path).is_ok_and(|there| !there.is_file() && !there.is_dir()) {
            // Nobody's download: a link would lead the bytes elsewhere.
            fs::remove_file(path).map_err(|e| self.failed(path, e))?;
        }
        let mut file = regular::own(path).map_err(|e| self.failed(path, e))?;
        let mut hasher = Hasher::new(&self.remote.hash, self.remote.size);
        let io = |source| HubError::Io { file: path.to_owned(), source };
        let mut done = file.metadata().map_err(io)?.len();
        if done > self.remote.size {
            file.set_len(0).map_err(io)?;
            done = 0;
        }
        let mut buffer = vec![0; 1 << 20];
        let mut left = done;
        while left > 0 {
            let n = buffer.len().min(left as usize);
            file.read_exact(&mut buffer[..n]).map_err(io)?;
            hasher.update(&buffer[..n]);
            left -= n as u64;
        }
        Ok(Partial { path: path.to_owned(), file, hasher, done, received: 0 })
    }

    /// One connection's worth of bytes.
    fn receive(&self, partial: &mut Partial, watch: &mut dyn FnMut(Event<'_>)) -> Result<Ended, HubError> {
        let url = self.client.file_url(self.name, self.commit, &self.remote.path);
        let mut response = match self.client.get(self.name, &url, partial.done) {
            Ok(response) => response,
            Err(RequestError::Passing(e)) => return Ok(Ended::Broken(e.to_string())),
            Err(RequestError::Final(e)) => return Err(e),
        };
        let continues = response.status() == 206 && {
            let range = header(&response, "content-range").unwrap_or_default();
            range == format!("bytes {}-{}/{}", partial.done, self.remote.size - 1, self.remote.size)
        };
        if !continues && partial.done > 0 {
            // The server does not continue where we stopped: all of it again.
            self.start_over(partial)?;
            if response.status() != 200 {
                return Ok(Ended::Broken(format!("the hub answers {} to a range", response.status())));
            }
        }
        let (mut body, mut pace) = (response.body_mut().as_reader(), self.client.pace());
        let mut buffer = vec![0; 256 << 10];
        loop {
            let n = match body.read(&mut buffer) {
                Ok(0) if partial.done == self.remote.size => return Ok(Ended::Whole),
                Ok(0) => return Ok(Ended::Broken("it ended early".to_owned())),
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Ok(Ended::Broken(e.to_string())),
            };
            if partial.done + n as u64 > self.remote.size {
                self.start_over(partial)?;
                return Ok(Ended::Broken(format!("more than the {} bytes stated came", self.remote.size)));
            }
            partial.file.write_all(&buffer[..n]).map_err(|e| self.failed(&partial.path, e))?;
            partial.hasher.update(&buffer[..n]);
            partial.done += n as u64;
            partial.received += n as u64;
            watch(Event::Bytes { file: &self.remote.path, done: partial.done, total: self.remote.size });
            // Another connection would get as little: what is slow is not broken.
            let left = partial.done < self.remote.size;
            pace.check(n).or_else(|reason| if left { Err(self.stalled(partial, reason)) } else { Ok(()) })?;
            if (self.stop)() {
                return Err(HubError::Cancelled);
            }
        }
    }

    fn stalled(&self, partial: &Partial, reason: String) -> HubError {
        let (file, total) = (self.remote.path.clone(), self.remote.size);
        HubError::Stalled { file, reason, done: partial.done, total }
    }

    fn start_over(&self, partial: &mut Partial) -> Result<(), HubError> {
        let emptied = partial.file.set_len(0).and_then(|()| partial.file.seek(SeekFrom::Start(0)));
        emptied.map_err(|e| self.failed(&partial.path, e))?;
        partial.hasher = Hasher::new(&self.remote.hash, self.remote.size);
        partial.done = 0;
        Ok(())
    }

    /// What a failed write means.
    fn failed(&self, file: &Path, source: io::Error) -> HubError {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        match source.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => {
                HubError::Full { file: file.to_owned(), needed: self.remote.size, source }
            }
            _ => HubError::Io { file: file.to_owned(), source },
        }
    }
}

/// Where a blob grows.
fn incomplete(blob: &Path) -> PathBuf {
    let mut name = blob.as_os_str().to_owned();
    name.push(".incomplete");
    PathBuf::from(name)
}

pub(super) fn is_whole(blob: &Path, size: u64) -> bool {
    fs::metadata(blob).is_ok_and(|m| m.is_file() && m.len() == size)
}

/// Bytes of a file that are still to come.
pub(super) fn missing(blob: &Path, size: u64) -> u64 {
    if is_whole(blob, size) {
        return 0;
    }
    size - fs::metadata(incomplete(blob)).map_or(0, |m| m.len()).min(size)
}
