//! Corpora by name, and `mppc corpus`.

use std::io::{self, BufWriter, Write};

use mppc::checkpoint::hub::{Hub, Settings};
use mppc::corpus::{Corpus, write_jsonl};
use mppc::lab;
use serde_json::json;

use crate::args::CorpusArgs;
use crate::download::Watcher;
use crate::interrupt;
use crate::screen::say;
use crate::session::Outcome;

/// What `--corpus` names.
pub(crate) fn open(spec: &str, seed: u64, quiet: bool) -> Outcome<Corpus> {
    let watcher = Watcher::new(spec.to_owned(), quiet);
    let watch = Box::new(move |event: mppc::checkpoint::hub::Event<'_>| watcher.see(&event));
    let hub = Hub::new(Settings::from_env()).stopping(interrupt::asked);
    Ok(lab::open_corpus(spec, seed, hub, watch)?)
}

/// `mppc corpus`.
pub(crate) fn print(args: &CorpusArgs, quiet: bool) -> Outcome {
    let corpus = open(&args.corpus, args.seed, quiet)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let written = match corpus.generator() {
        // With the tags that hold in them.
        Some(_) => write_jsonl(&mut out, args.seed, args.documents),
        None => {
            corpus.note().iter().for_each(|note| say(&format!("warning: {note}")));
            let (mut written, mut count) = (Ok(()), 0);
            for document in corpus.documents().take(args.documents) {
                let line = json!({ "text": document? });
                written = writeln!(out, "{line}");
                if written.is_err() {
                    break;
                }
                count += 1;
            }
            if written.is_ok() && count < args.documents {
                say(&format!("note: these are all {count} documents of {}", corpus.name()));
            }
            written
        }
    };
    match written.and_then(|()| out.flush()) {
        // Whoever reads has seen enough (`mppc corpus | head`).
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|e| format!("standard output: {e}").into()),
    }
}
