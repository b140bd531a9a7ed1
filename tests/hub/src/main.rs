//! `hub ROOT [--port N] [--faults JSON]`: serves a folder as the Hugging Face hub would, until it is killed.

use std::io::Write as _;
use std::process::ExitCode;

use hub::{Faults, Hub};
use lexopt::Arg::{Long, Value};
use lexopt::ValueExt as _;

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = lexopt::Parser::from_env();
    let (mut root, mut port, mut faults) = (None, 0, Faults::default());
    while let Some(arg) = args.next()? {
        match arg {
            Long("port") => port = args.value()?.parse()?,
            Long("faults") => faults = serde_json::from_str(&args.value()?.string()?)?,
            Value(value) if root.is_none() => root = Some(value),
            _ => return Err(arg.unexpected().into()),
        }
    }
    let root = root.ok_or("hub ROOT [--port N] [--faults JSON]: ROOT is missing")?;
    let hub = Hub::serve_on(root, port)?;
    hub.faults(faults);
    println!("{}", hub.url());
    std::io::stdout().flush()?;
    hub.wait();
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}
