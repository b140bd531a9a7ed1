//! Standard error: bars, and lines above them.

use std::sync::LazyLock;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget};
use mppc::words;

/// All bars that are on the screen: a download may begin in the middle of a training.
static ALL: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Puts a bar below the others.
pub(crate) fn shown(bar: ProgressBar) -> ProgressBar {
    ALL.add(bar)
}

/// Takes a bar from the screen.
pub(crate) fn remove(bar: &ProgressBar) {
    bar.finish_and_clear();
    ALL.remove(bar);
}

/// Leaves the bars as they are: what is printed from now on stays, too.
pub(crate) fn settle() {
    ALL.set_draw_target(ProgressDrawTarget::hidden());
}

/// Prints a line on standard error, above the bars, which are drawn again below it.
pub(crate) fn say(line: &str) {
    let line = words::visible(line);
    ALL.suspend(|| eprintln!("{line}"));
}
