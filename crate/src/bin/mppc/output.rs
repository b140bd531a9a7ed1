//! How results are printed.

use std::io::{ErrorKind, Write};

use mppc::words::{visible, visible_json};

/// Text for people, or one JSON object for machines.
#[derive(Clone, Copy)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Output {
    /// Prints one of the two. A reader who has seen enough (`mppc … | head`) is no error. Names in files may hold what a
    /// terminal would obey; it is shown instead.
    pub(crate) fn say(&self, text: &str, json: &serde_json::Value) -> Result<(), String> {
        crate::progress::settle();
        let mut out = std::io::stdout().lock();
        let written = match self.json {
            true => writeln!(out, "{}", visible_json(&format!("{json:#}"))),
            false => writeln!(out, "{}", visible(text)),
        };
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

/// A table as CSV, with a line of names. Texts from outside are to be [guarded](mppc::words::cell).
pub(crate) fn csv(names: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Vec<u8> {
    let mut out = csv::Writer::from_writer(Vec::new());
    out.write_record(names).expect("a table in memory");
    rows.into_iter().for_each(|row| out.write_record(row).expect("a table in memory"));
    out.into_inner().expect("a table in memory")
}
