//! Keys of a configuration, each with an error that names file and key.

use serde_json::{Map, Value};

use crate::checkpoint::{json, without_bom};
use crate::sae::SaeError;

/// A JSON object in a file.
#[derive(Clone, Copy)]
pub(super) struct Keys<'a> {
    /// Name of the file in errors.
    pub(super) file: &'a str,
    /// Whose configuration it is.
    pub(super) form: &'static str,
    /// The object.
    pub(super) map: &'a Map<String, Value>,
}

/// The JSON object in a file.
pub(super) fn object(file: &str, bytes: &[u8]) -> Result<Map<String, Value>, SaeError> {
    let reason = |e: serde_json::Error| match serde_json::from_slice::<Value>(without_bom(bytes)) {
        Ok(_) => "it is another kind of value".to_owned(),
        Err(_) => e.to_string(),
    };
    json::object(bytes).map_err(|e| SaeError::Json { file: file.to_owned(), reason: reason(e) })
}

impl Keys<'_> {
    /// A key holds something impossible.
    pub(super) fn bad(&self, key: &'static str, value: &Value, expected: impl Into<String>) -> SaeError {
        SaeError::BadKey {
            file: self.file.to_owned(),
            key,
            value: value.to_string(),
            expected: expected.into(),
        }
    }

    /// A key asks for arithmetic that is not implemented.
    pub(super) fn unsupported(&self, key: &'static str, value: &Value, supported: &'static str) -> SaeError {
        SaeError::Unsupported { file: self.file.to_owned(), key, value: value.to_string(), supported }
    }

    /// A key is missing.
    pub(super) fn missing(&self, key: &'static str) -> SaeError {
        SaeError::MissingKey { file: self.file.to_owned(), key, form: self.form }
    }

    /// A value that is there and not null.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|v| !v.is_null())
    }

    /// A value as a size.
    pub(super) fn positive(&self, key: &'static str, value: &Value) -> Result<usize, SaeError> {
        // The bound keeps sizes in bytes and element numbers on the device far from overflowing. Some writers
        // make whole numbers floats.
        let whole = value.as_u64().or_else(|| value.as_f64().filter(|n| n.fract() == 0.0).map(|n| n as u64));
        let size = whole.filter(|n| (1..1 << 31).contains(n));
        size.map(|n| n as usize).ok_or_else(|| self.bad(key, value, "a positive integer below 2^31"))
    }

    /// Refuses to keep more of a token's features than there are.
    pub(super) fn at_most(&self, key: &'static str, k: usize, features: usize) -> Result<(), SaeError> {
        match k <= features {
            true => Ok(()),
            false => Err(self.bad(key, &k.into(), format!("at most the number of features, {features}"))),
        }
    }

    /// A size that must be there.
    pub(super) fn size(&self, key: &'static str) -> Result<usize, SaeError> {
        self.positive(key, self.map.get(key).ok_or_else(|| self.missing(key))?)
    }

    /// A switch.
    pub(super) fn flag(&self, key: &'static str, default: bool) -> Result<bool, SaeError> {
        match self.get(key) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(self.bad(key, other, "true or false")),
        }
    }

    /// A word, or a default.
    pub(super) fn word<'k>(&'k self, key: &'static str, default: &'k str) -> Result<&'k str, SaeError> {
        match self.get(key) {
            None => Ok(default),
            Some(Value::String(word)) => Ok(word),
            Some(other) => Err(self.bad(key, other, "a string")),
        }
    }

    /// A string that may be missing or of another kind.
    pub(super) fn name(&self, key: &str) -> Option<String> {
        self.get(key).and_then(Value::as_str).map(str::to_owned)
    }

    /// A finite number above zero.
    pub(super) fn factor(&self, key: &'static str, value: &Value) -> Result<f64, SaeError> {
        let number = value.as_f64().filter(|n| n.is_finite() && *n > 0.0);
        number.ok_or_else(|| self.bad(key, value, "a finite number above 0"))
    }

    /// Refuses a switch that is on.
    pub(super) fn refuse(&self, key: &'static str) -> Result<(), SaeError> {
        match self.flag(key, false)? {
            true => Err(self.unsupported(key, &Value::Bool(true), "false")),
            false => Ok(()),
        }
    }

    /// `width` times an expansion factor.
    pub(super) fn expanded(&self, key: &'static str, width: usize) -> Result<usize, SaeError> {
        let value = self.map.get(key).ok_or_else(|| self.missing(key))?;
        // As the libraries round: down.
        let features = self.factor(key, value)? * width as f64;
        match (1.0..2147483648.0).contains(&features) {
            true => Ok(features as usize),
            false => Err(self.bad(key, value, "a factor that gives 1 to 2^31 features")),
        }
    }
}
