//! A local stand-in for the Hugging Face hub: the same addresses, headers and hashes, over a folder.
//!
//! Below the root, `owner/name/` holds the files of a repository's `main`, and `owner/name@revision/` those of another
//! revision (a `/` in the revision is written `%2F`). Data sets lie below `datasets/` in the same way. What the network
//! and the hub can do wrong is set by [`Faults`], at the start, through [`Hub::faults`] or by `POST /_faults`. `GET
//! /_log` and [`Hub::log`] tell what was asked.
//!
//! Only for tests: it listens on this machine alone and takes no care of strangers.

mod faults;
mod files;
mod http;
mod log;
mod repo;
mod routes;

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

pub use faults::{Corrupt, Cut, Faults, Status};
pub use log::Entry;

use routes::State;

/// A running server. Dropped, it stops.
pub struct Hub {
    state: Arc<State>,
    port: u16,
    stop: Arc<AtomicBool>,
    doors: Vec<Door>,
}

/// A port and the thread that listens there.
struct Door {
    port: u16,
    thread: JoinHandle<()>,
}

impl Door {
    fn open(listener: TcpListener, state: &Arc<State>, stop: &Arc<AtomicBool>) -> io::Result<Self> {
        let port = listener.local_addr()?.port();
        let (state, stop) = (state.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            for connection in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = connection else { continue };
                let (state, stop) = (state.clone(), stop.clone());
                // An error of a connection is the client's to notice: it went away, or sent no HTTP.
                std::thread::spawn(move || drop(routes::converse(&state, &stop, stream)));
            }
        });
        Ok(Self { port, thread })
    }
}

impl Hub {
    /// Serves a folder on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When the folder is not there or the port cannot be had.
    pub fn serve(root: impl Into<PathBuf>) -> io::Result<Self> {
        Self::serve_on(root, 0)
    }

    /// As [`Hub::serve`], on this port (0 is any free one). Large files come from another port, and so from
    /// another origin, as the hub's come from a CDN.
    ///
    /// # Errors
    /// As [`Hub::serve`].
    pub fn serve_on(root: impl Into<PathBuf>, port: u16) -> io::Result<Self> {
        let root = root.into();
        if !root.is_dir() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("{} is no directory", root.display()),
            ));
        }
        let front = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        let cdn = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = front.local_addr()?.port();
        let state = Arc::new(State::new(root, format!("http://{}", cdn.local_addr()?)));
        let stop = Arc::new(AtomicBool::new(false));
        let doors = vec![Door::open(front, &state, &stop)?, Door::open(cdn, &state, &stop)?];
        Ok(Self { state, port, stop, doors })
    }

    /// A program that asks this hub, keeps what it gets in `home`, and knows nothing of the user's own settings.
    pub fn client(&self, program: &str, home: &Path) -> Command {
        let mut command = Command::new(program);
        for name in ["HF_TOKEN", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "HF_TOKEN_PATH"] {
            command.env_remove(name);
        }
        command.env("HF_HOME", home).env("HF_ENDPOINT", self.url()).env("NO_PROXY", "127.0.0.1");
        command
    }

    /// `http://127.0.0.1:PORT`, what `HF_ENDPOINT` should say.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Sets what goes wrong from now on, in place of what was set before.
    pub fn faults(&self, faults: Faults) {
        self.state.set_faults(faults);
    }

    /// The requests so far, in the order they came.
    pub fn log(&self) -> Vec<Entry> {
        self.state.log.entries()
    }

    /// Forgets the faults and the requests.
    pub fn reset(&self) {
        self.state.set_faults(Faults::default());
        self.state.log.clear();
    }

    /// Serves until the process ends.
    pub fn wait(mut self) {
        for door in self.doors.drain(..) {
            drop(door.thread.join());
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        for door in self.doors.drain(..) {
            // Wakes the listener, which then sees that it should stop.
            drop(TcpStream::connect((Ipv4Addr::LOCALHOST, door.port)));
            drop(door.thread.join());
        }
    }
}
