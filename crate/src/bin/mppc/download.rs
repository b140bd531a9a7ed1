//! How downloads are told.

use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::{ProgressBar, ProgressStyle};
use mppc::checkpoint::hub::{Event, human};
use mppc::words::echo;

use crate::screen::{remove, say, shown};

/// Tells on standard error how a download goes.
pub(crate) struct Watcher {
    repo: String,
    quiet: bool,
    bar: Mutex<Option<(String, ProgressBar)>>,
}

impl Watcher {
    pub(crate) fn new(repo: String, quiet: bool) -> Self {
        Self { repo, quiet, bar: Mutex::new(None) }
    }

    pub(crate) fn see(&self, event: &Event<'_>) {
        match event {
            Event::Note(text) => {
                self.finish();
                say(&format!("{}: {text}", self.repo));
            }
            _ if self.quiet => {}
            Event::Start { files, bytes, to } => {
                self.finish();
                let word = if *files == 1 { "file" } else { "files" };
                say(&format!(
                    "downloading {}: {files} {word}, {} to {}",
                    self.repo,
                    human(*bytes),
                    to.display()
                ));
            }
            Event::Bytes { file, done, total } => {
                let mut slot = self.bar();
                if slot.as_ref().is_none_or(|(name, _)| name != file) {
                    let template = "{msg:32} {bar:30} {decimal_bytes}/{decimal_total_bytes} \
                                    ({decimal_bytes_per_sec}, {eta} left)";
                    let style = ProgressStyle::with_template(template)
                        .unwrap_or_else(|_| ProgressStyle::default_bar());
                    let bar = shown(ProgressBar::new(*total).with_style(style).with_message(echo(file)));
                    // What an earlier run has left is no speed of this one.
                    bar.reset_eta();
                    if let Some((_, old)) = slot.replace(((*file).to_owned(), bar)) {
                        remove(&old);
                    }
                }
                if let Some((_, bar)) = slot.as_ref() {
                    bar.set_position(*done);
                }
                if done == total
                    && let Some((_, bar)) = slot.take()
                {
                    remove(&bar);
                }
            }
        }
    }

    fn bar(&self) -> MutexGuard<'_, Option<(String, ProgressBar)>> {
        self.bar.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn finish(&self) {
        if let Some((_, bar)) = self.bar().take() {
            remove(&bar);
        }
    }
}
