//! The command line of the MPPC lab. (Cargo builds binaries for the tests in the browser, too: there it is empty.)

#![cfg_attr(target_arch = "wasm32", no_main)]
#![cfg(not(target_arch = "wasm32"))]

mod args;
mod circuit;
mod commands;
mod compare;
mod corpora;
mod correlate;
mod devices;
mod download;
mod encode;
mod health;
mod interrupt;
mod models;
mod output;
mod progress;
mod run;
mod sae_info;
mod screen;
mod session;
mod tensors;
mod train;

use std::process::ExitCode;

use clap::Parser;
use mppc::words;

fn main() -> ExitCode {
    // Mesa's device chooser looks for a desktop session, and complains on standard error where there is none.
    // We choose the device ourselves.
    // SAFETY: nothing else runs yet.
    #[cfg(target_os = "linux")]
    unsafe {
        std::env::set_var("NODEVICE_SELECT", "1");
    }
    mppc::memory::keep_freed();
    let args = args::Args::try_parse().unwrap_or_else(|error| refuse(&error));
    let how = commands::how_to_go_on(&args.command);
    let listening = how.clone().map_or(Ok(()), interrupt::listen);
    match listening.and_then(|()| pollster::block_on(commands::execute(args))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(code) = interrupt::ended(&failure, how.as_deref()) {
                return code;
            }
            // One line whatever the cause: an error may quote several.
            eprintln!("error: {}", words::line(&failure.to_string()));
            ExitCode::FAILURE
        }
    }
}

/// Says what is wrong with the arguments, or the help that was asked for, and ends: with 2, or 0.
fn refuse(error: &clap::Error) -> ! {
    // What it repeats may be something that a terminal would obey, or that has no end.
    let sound = |arg: std::ffi::OsString| {
        let arg = arg.to_string_lossy();
        words::echo(&arg) == arg
    };
    if error.exit_code() == 0 || std::env::args_os().all(sound) {
        error.exit();
    }
    let told = error.render().to_string();
    eprintln!("{}", told.lines().map(words::shortened).collect::<Vec<_>>().join("\n"));
    std::process::exit(error.exit_code());
}
