//! Why something was not done, as every face tells it: what is wrong, and what to do about it. Every error of the lab
//! becomes a [`Failure`]; each says its two texts in one place ([`Fails`]), and they are joined in one place only.

use std::fmt;

use serde::Serialize;

/// What is wrong, and what to do about it. Printed as `message; advice`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct Failure {
    /// A word for programs: `engine`, `model`, `corpus`, `run` or `cancelled`.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do; empty where that goes without saying.
    pub advice: String,
}

impl Failure {
    /// The code of what somebody asked to stop.
    pub const CANCELLED: &'static str = "cancelled";

    /// One with the code `run`.
    pub fn new(message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { code: "run", message: message.into(), advice: advice.into() }
    }

    /// What was asked to stop.
    pub fn cancelled() -> Self {
        Self { code: Self::CANCELLED, ..Self::from("cancelled") }
    }

    /// The same with another code.
    #[must_use]
    pub fn coded(self, code: &'static str) -> Self {
        Self { code, ..self }
    }

    /// The same about `place`, which its message then begins with.
    #[must_use]
    pub fn at(self, place: impl fmt::Display) -> Self {
        Self { message: format!("{place}: {}", self.message), ..self }
    }

    /// The same with something more to do; nothing changes where that is empty.
    #[must_use]
    pub fn advised(mut self, more: &str) -> Self {
        if !self.advice.is_empty() && !more.is_empty() {
            self.advice.push_str("; ");
        }
        self.advice.push_str(more);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if self.advice.is_empty() { Ok(()) } else { write!(f, "; {}", self.advice) }
    }
}

impl std::error::Error for Failure {}

/// Without advice.
impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::new(message, "")
    }
}

/// Without advice.
impl From<&str> for Failure {
    fn from(message: &str) -> Self {
        Self::new(message, "")
    }
}

/// An error of the lab.
pub trait Fails {
    /// What is told of it.
    fn failure(&self) -> Failure;
}

impl<E: Fails> From<E> for Failure {
    fn from(error: E) -> Self {
        error.failure()
    }
}

/// Errors that are printed as their [`Failure`] is.
macro_rules! printed {
    ($($error:ty),+) => {
        $(impl std::fmt::Display for $error {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                $crate::failure::Fails::failure(self).fmt(f)
            }
        })+
    };
}
pub(crate) use printed;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_and_advice_are_joined_here() {
        let failure = Failure::new("there is no k; of all", "give one");
        assert_eq!(failure.to_string(), "there is no k; of all; give one");
        assert_eq!(failure.clone().at("a file").to_string(), "a file: there is no k; of all; give one");
        assert_eq!(failure.clone().advised("did you mean l?").advice, "give one; did you mean l?");
        assert_eq!((failure.clone().advised(""), failure.clone().coded("run")), (failure.clone(), failure));
        assert_eq!(Failure::from("no").advised("give one"), Failure::new("no", "give one"));
        assert_eq!(Failure::cancelled().to_string(), "cancelled");
    }
}
