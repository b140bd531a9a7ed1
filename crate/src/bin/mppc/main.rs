//! The command line of the MPPC lab. (Cargo builds binaries for the tests in the browser, too: there it is empty.)

#![cfg_attr(target_arch = "wasm32", no_main)]
#![cfg(not(target_arch = "wasm32"))]

mod args;
mod circuit;
mod commands;
mod compare;
mod corpora;
mod correlate;
mod download;
mod health;
mod interrupt;
mod models;
mod output;
mod progress;
mod run;
mod sae_info;
mod tensors;
mod train;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    // Mesa's device chooser looks for a desktop session, and complains on standard error where there is none.
    // We choose the device ourselves.
    // SAFETY: nothing else runs yet.
    #[cfg(target_os = "linux")]
    unsafe {
        std::env::set_var("NODEVICE_SELECT", "1");
    }
    mppc::memory::keep_freed();
    let args = args::Args::parse(); // a usage error exits with 2
    let how = interrupt::how_to_go_on(&args.command);
    let listening = how.clone().map_or(Ok(()), interrupt::listen);
    match listening.and_then(|()| pollster::block_on(commands::run(args))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            if let Some(code) = interrupt::ended(&e, how.as_deref()) {
                return code;
            }
            // One line whatever the cause: an error may quote several.
            let line: Vec<&str> = e.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
            eprintln!("error: {}", line.join(" "));
            ExitCode::FAILURE
        }
    }
}
