//! Whether a transfer still comes on.

use std::time::{Duration, Instant};

/// Bytes a second, over the time that is waited: less is a stall, at which a model would take days.
const LEAST: u64 = 1_000;

/// Counts what comes in each stretch of time. A connection that sends a byte now and then never runs into the time
/// that a read may take.
pub(super) struct Pace {
    patience: Duration,
    since: Instant,
    bytes: u64,
}

impl Pace {
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience, since: Instant::now(), bytes: 0 }
    }

    /// Takes in what came just now, and says what is wrong if far too little came.
    pub(super) fn check(&mut self, bytes: usize) -> Result<(), String> {
        self.bytes += bytes as u64;
        let (elapsed, came) = (self.since.elapsed(), self.bytes);
        if elapsed < self.patience {
            return Ok(());
        }
        (self.since, self.bytes) = (Instant::now(), 0);
        if came as f64 >= LEAST as f64 * elapsed.as_secs_f64() {
            return Ok(());
        }
        Err(format!("only {came} bytes came in {:.0} seconds", elapsed.as_secs_f64().ceil()))
    }
}
