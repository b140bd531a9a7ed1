//! How results are printed.

/// Text for people, or one JSON object for machines.
pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Output {
    /// Prints one of the two.
    pub(crate) fn say(&self, text: &str, json: &serde_json::Value) {
        if self.json { println!("{json:#}") } else { println!("{text}") }
    }
}

/// Three digits, or a dash for nothing.
pub(crate) fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |v| format!("{v:.3}"))
}
