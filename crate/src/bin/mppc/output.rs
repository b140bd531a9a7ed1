//! How results are printed.

use std::io::{ErrorKind, Write};

/// Text for people, or one JSON object for machines.
pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Output {
    /// Prints one of the two. A reader who has seen enough (`mppc … | head`) is no error.
    pub(crate) fn say(&self, text: &str, json: &serde_json::Value) -> Result<(), String> {
        crate::progress::settle();
        let mut out = std::io::stdout().lock();
        let written = if self.json { writeln!(out, "{json:#}") } else { writeln!(out, "{text}") };
        match written {
            Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(format!("standard output: {e}")),
            _ => Ok(()),
        }
    }
}

/// Three digits, or a dash for nothing.
pub(crate) fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |v| format!("{v:.3}"))
}
