//! How results are printed.

use std::io::{ErrorKind, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use mppc::failure::Failure;
use mppc::words::{visible, visible_json};

/// Whatever went wrong is printed as its one line.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// Whether standard output is for what is saved, alone.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Notes that something is saved to `path`: if that is standard output, what is told goes elsewhere.
pub(crate) fn saved_to(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::{fd::AsFd as _, unix::fs::MetadataExt as _};
        let open = std::io::stdout().as_fd().try_clone_to_owned().map(std::fs::File::from);
        let open = open.and_then(|file| file.metadata());
        if let (Ok(there), Ok(open)) = (std::fs::metadata(path), open)
            && (there.dev(), there.ino()) == (open.dev(), open.ino())
        {
            TAKEN.store(true, Ordering::SeqCst);
        }
    }
    #[cfg(not(unix))]
    let _ = path;
}

/// Text for people, or one JSON object for machines.
#[derive(Clone, Copy)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Output {
    /// Prints one of the two. A reader who has seen enough (`mppc … | head`) is no error. Names in files may hold what
    /// a terminal would obey; it is shown instead.
    pub(crate) fn say(&self, text: &str, json: &serde_json::Value) -> Outcome {
        crate::screen::settle();
        let mut out: Box<dyn Write> = match TAKEN.load(Ordering::SeqCst) {
            true => Box::new(std::io::stderr().lock()),
            false => Box::new(std::io::stdout().lock()),
        };
        let written = match self.json {
            true => writeln!(out, "{}", visible_json(&format!("{json:#}"))),
            false => writeln!(out, "{}", visible(text)),
        };
        match written {
            Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(format!("standard output: {e}").into()),
            _ => Ok(()),
        }
    }
}

/// Three digits, or a dash for nothing.
pub(crate) fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |v| format!("{v:.3}"))
}

/// A table as CSV, with a line of names. Texts from outside are to be [guarded](mppc::words::cell).
pub(crate) fn csv(names: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Vec<u8> {
    let mut out = csv::Writer::from_writer(Vec::new());
    out.write_record(names).expect("a table in memory");
    rows.into_iter().for_each(|row| out.write_record(row).expect("a table in memory"));
    out.into_inner().expect("a table in memory")
}
