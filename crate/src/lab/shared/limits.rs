//! Ranges of whole numbers that people give, on the command line and in plans: what is beyond them is a slip of the
//! hand, and is refused before memory is asked for.

use std::fmt;
use std::ops::RangeInclusive;

use crate::failure::Failure;

/// The whole numbers from one to another, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whole {
    least: u64,
    most: u64,
}

impl Whole {
    const fn new(least: u64, most: u64) -> Self {
        Self { least, most }
    }

    /// The largest of them.
    pub(in crate::lab) const fn most(&self) -> usize {
        self.most as usize
    }

    fn holds(&self, number: u64) -> bool {
        (self.least..=self.most).contains(&number)
    }

    /// Refuses a number, by its name, that is none of them.
    ///
    /// # Errors
    /// `tokens is 7, but must be 1 to 5`.
    pub fn check(&self, name: &str, number: u64) -> Result<(), Failure> {
        match self.holds(number) {
            true => Ok(()),
            false => Err(format!("{name} is {number}, but must be {self}").into()),
        }
    }

    /// Reads one of them.
    ///
    /// # Errors
    /// Everything else; the message has the range.
    pub fn parse(&self, text: &str) -> Result<u64, Failure> {
        let number = text.parse().ok().filter(|number| self.holds(*number));
        number.ok_or_else(|| format!("a whole number is needed, {self}").into())
    }
}

impl From<Whole> for RangeInclusive<u64> {
    fn from(range: Whole) -> Self {
        range.least..=range.most
    }
}

impl fmt::Display for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.least, self.most)
    }
}

/// Refuses the first of some settings, by name, that is out of its range.
pub(in crate::lab) fn check<const N: usize>(settings: [(&str, usize, Whole); N]) -> Result<(), Failure> {
    settings.into_iter().try_for_each(|(name, value, range)| range.check(name, value as u64))
}

/// Seeds: what TOML can write.
pub const SEED: Whole = Whole::new(0, i64::MAX as u64);
/// Numbers of layers, and of heads.
pub const LAYER: Whole = Whole::new(0, 9_999);
/// Tokens that are streamed through.
pub const TOKENS: Whole = Whole::new(1, 1_000_000_000_000);
/// Tokens of a stage that may be left out.
pub const MAYBE_TOKENS: Whole = Whole::new(0, 1_000_000_000_000);
/// Tokens of a comparison, which lie in memory.
pub const COMPARED_TOKENS: Whole = Whole::new(2, 1_000_000_000);
/// Those of a part of it.
pub const SOME_TOKENS: Whole = Whole::new(0, 1_000_000_000);
/// Tokens that a document is cut to.
pub const CONTEXT: Whole = Whole::new(1, 1 << 20);
/// Documents in a batch, which goes through the model at once.
pub const DOCUMENTS: Whole = Whole::new(1, 4_096);
/// Tokens in a step of a training, sixteen times as many of which lie in memory.
pub const STEP: Whole = Whole::new(1, 65_536);
/// Features of an SAE, and how many of them are active.
pub const FEATURES: Whole = Whole::new(1, 1 << 24);
/// Nulls of a comparison.
pub const NULLS: Whole = Whole::new(0, 1_000);
/// Null maxima behind a p-value.
pub const DRAWS: Whole = Whole::new(0, 1_000_000);
/// Prompts of a circuit experiment, whose answers are kept.
pub const PROMPTS: Whole = Whole::new(1, 1_000_000);
/// Tokens of such a prompt: A, B, something, A.
pub const PROMPT: Whole = Whole::new(4, 65_536);
/// Tokens of a prompt that is looked into: patterns hold its square.
pub const LOOKED_AT: Whole = Whole::new(4, 128);
/// Groups of channels.
pub const GROUPS: Whole = Whole::new(1, 65_536);
/// Likeliest tokens that are told.
pub const TOP: Whole = Whole::new(1, 1_000_000);
/// Documents that are printed.
pub const PRINTED: Whole = Whole::new(0, 1_000_000_000_000);
/// Seconds between two checkpoints: up to a year.
pub const SECONDS: Whole = Whole::new(0, 31_536_000);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_is_said() {
        assert_eq!(PROMPT.parse("64"), Ok(64));
        for wrong in ["3", "65537", "18446744073709551615", "18446744073709551616", "-4", "6.4", "", "1e3"] {
            let told = PROMPT.parse(wrong).expect_err(wrong);
            assert_eq!(told.to_string(), "a whole number is needed, 4 to 65536");
        }
        assert_eq!(PROMPT.check("tokens", 7), Ok(()));
        assert_eq!(PROMPT.check("tokens", 1), Err("tokens is 1, but must be 4 to 65536".into()));
    }
}
