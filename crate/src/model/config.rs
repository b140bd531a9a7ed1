//! `config.json`, read strictly: a needed key that is missing and a value that would change the arithmetic are
//! both refused by name.

use serde_json::{Map, Value};

use crate::checkpoint::{CheckpointError, Files};
use crate::failure::Failure;

/// The most that a size can be: 16,777,216, a hundred times what any published model has. Three of them multiplied by
/// small numbers stay below what 32 bits hold.
pub(super) const LARGEST: u64 = 1 << 24;

/// A `config.json` and the name messages give it.
pub(super) struct Config {
    label: String,
    map: Map<String, Value>,
}

impl Config {
    pub(super) fn read(files: &Files) -> Result<Self, CheckpointError> {
        Ok(Self { label: files.label("config.json"), map: files.json("config.json")? })
    }

    /// An error about this file.
    pub(super) fn error(&self, reason: impl Into<Failure>) -> CheckpointError {
        CheckpointError::Config { file: self.label.clone(), reason: reason.into() }
    }

    /// A value that is there and not null.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|v| !v.is_null())
    }

    fn needed(&self, key: &str) -> Result<&Value, CheckpointError> {
        self.get(key).ok_or_else(|| self.error(format!("the key {key} is missing")))
    }

    fn wrong(&self, key: &str, value: &Value, what: &str) -> CheckpointError {
        self.error(format!("{key} is {value}, which is no {what}"))
    }

    /// A positive whole number up to [`LARGEST`].
    pub(super) fn size(&self, key: &str) -> Result<usize, CheckpointError> {
        let value = self.needed(key)?;
        match value.as_u64() {
            Some(n @ 1..=LARGEST) => Ok(n as usize),
            Some(n) if n > 0 => Err(self.error(Failure::new(
                format!("{key} is {value}"),
                format!("no more than {LARGEST} can be right"),
            ))),
            _ => Err(self.wrong(key, value, "positive whole number")),
        }
    }

    pub(super) fn size_or(&self, key: &str, default: usize) -> Result<usize, CheckpointError> {
        if self.get(key).is_some() { self.size(key) } else { Ok(default) }
    }

    /// A finite number.
    pub(super) fn number(&self, key: &str) -> Result<f64, CheckpointError> {
        let value = self.needed(key)?;
        value.as_f64().filter(|v| v.is_finite()).ok_or_else(|| self.wrong(key, value, "number"))
    }

    pub(super) fn number_or(&self, key: &str, default: f64) -> Result<f64, CheckpointError> {
        if self.get(key).is_some() { self.number(key) } else { Ok(default) }
    }

    /// A number above 0 that single precision can hold as one, or a default.
    pub(super) fn positive_or(&self, key: &str, default: f64) -> Result<f32, CheckpointError> {
        let number = self.number_or(key, default)? as f32;
        match number.is_finite() && number > 0.0 {
            true => Ok(number),
            false => Err(self.wrong(key, self.needed(key)?, "number above 0 that single precision holds")),
        }
    }

    pub(super) fn flag_or(&self, key: &str, default: bool) -> Result<bool, CheckpointError> {
        match self.get(key) {
            None => Ok(default),
            Some(Value::Bool(b)) => Ok(*b),
            Some(value) => Err(self.wrong(key, value, "true or false")),
        }
    }

    /// Refuses a value other than those listed; absent is fine.
    pub(super) fn only(&self, key: &str, supported: &[&str]) -> Result<(), CheckpointError> {
        match self.get(key) {
            Some(value) if !value.as_str().is_some_and(|v| supported.contains(&v)) => {
                Err(self.error(Failure::new(
                    format!("{key} {value} is not supported"),
                    format!("only {} is", supported.join(" or ")),
                )))
            }
            _ => Ok(()),
        }
    }

    /// Refuses keys that would change the arithmetic in ways nobody has written; null, false, {} and [] are fine.
    pub(super) fn refuse(&self, keys: &[&str]) -> Result<(), CheckpointError> {
        for key in keys {
            let off = match self.get(key) {
                None | Some(Value::Bool(false)) => true,
                Some(Value::Object(o)) => o.is_empty(),
                Some(Value::Array(a)) => a.is_empty(),
                Some(_) => false,
            };
            if !off {
                return Err(self.error(format!("{key} {} is not supported", self.map[*key])));
            }
        }
        Ok(())
    }

    /// An object inside this one, as a config of its own whose messages name it.
    pub(super) fn inner(&self, key: &str) -> Result<Option<Config>, CheckpointError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Object(map)) => {
                Ok(Some(Config { label: format!("{}: {key}", self.label), map: map.clone() }))
            }
            Some(value) => Err(self.wrong(key, value, "object")),
        }
    }

    /// Names of the keys.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.map.keys().map(String::as_str)
    }
}
