//! How results are printed.

/// Text for people, or one JSON object for machines.
pub struct Output {
    pub json: bool,
}

impl Output {
    /// Prints one of the two.
    pub fn say(&self, text: &str, json: &serde_json::Value) {
        if self.json { println!("{json:#}") } else { println!("{text}") }
    }
}

/// Three digits, or a dash for nothing.
pub fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |v| format!("{v:.3}"))
}
