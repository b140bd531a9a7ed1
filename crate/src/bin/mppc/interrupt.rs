//! Ctrl-C, and being asked to end (SIGTERM): a run puts away what it has before it ends, and says how to go on.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use mppc::failure::Failure;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

use crate::output::Outcome;
use crate::screen;

/// The signal that came; 0 before.
static SIGNAL: LazyLock<Arc<AtomicUsize>> = LazyLock::new(Arc::default);
/// Whether there is something to be put away before the end.
static CAREFUL: AtomicBool = AtomicBool::new(false);
/// How long a signal may wait while nothing is to be put away.
const LOOK: Duration = Duration::from_millis(20);

/// From now on the first signal ends the command with a line that ends in `how`, and as soon as it may; the second one
/// ends it at once.
///
/// # Errors
/// When the system takes no handlers.
pub(crate) fn listen(how: String) -> Outcome {
    let failed = |e| format!("signals cannot be received: {e}");
    let came = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the second signal finds what the first one has left.
        flag::register_conditional_shutdown(signal, 128 + signal, came.clone()).map_err(failed)?;
        flag::register(signal, came.clone()).map_err(failed)?;
        flag::register_usize(signal, SIGNAL.clone(), signal as usize).map_err(failed)?;
    }
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(LOOK);
            if let Some(signal) = came_with() {
                if !CAREFUL.load(Ordering::SeqCst) {
                    say(signal, &how);
                    low_level::exit(128 + signal);
                }
                return;
            }
        }
    });
    Ok(())
}

/// From now on a signal does not end the process: whoever asks [`asked`] does.
pub(crate) fn careful() {
    CAREFUL.store(true, Ordering::SeqCst);
}

/// Whether a signal came.
pub(crate) fn asked() -> bool {
    came_with().is_some()
}

fn came_with() -> Option<i32> {
    match SIGNAL.load(Ordering::SeqCst) {
        0 => None,
        signal => Some(signal as i32),
    }
}

/// How a command ends that failed so, if that is because a signal came.
pub(crate) fn ended(failure: &Failure, how: Option<&str>) -> Option<ExitCode> {
    let signal = came_with().filter(|_| failure.code == Failure::CANCELLED)?;
    say(signal, how?);
    Some(ExitCode::from(128 + signal as u8))
}

fn say(signal: i32, how: &str) {
    let name = if signal == SIGINT { "Ctrl-C" } else { "SIGTERM" };
    screen::say(&format!("stopped by {name}: {how}"));
}
