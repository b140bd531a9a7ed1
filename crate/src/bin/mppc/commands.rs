//! Which command does what, and how to go on when it was stopped.

use mppc::gpu::Engine;

use crate::args::{Args, Command, SaeCommand};
use crate::output::Output;
use crate::progress::Bars;
use crate::session::{Outcome, Session};
use crate::{circuit, compare, corpora, correlate, devices, encode, health, models, run, sae_info, train};

/// Runs a command.
pub(crate) async fn execute(args: Args) -> Outcome {
    let out = Output { json: args.json };
    match &args.command {
        // These need no engine before they begin.
        Command::Corpus(a) => return corpora::print(a, out.json),
        Command::Models => return models::list(out),
        Command::Merge(a) => return compare::merge(a, out),
        Command::Compare(a) if compare::shown(a, out)? => return Ok(()),
        Command::Fetch(a) => return models::fetch(a, out),
        Command::Devices => return devices::list(&args, out).await,
        Command::Sae(SaeCommand::Info(a)) => return sae_info::info(a, out),
        Command::Sae(SaeCommand::Convert(a)) => return sae_info::convert(a, out).await,
        _ => {}
    }
    let engine = Engine::open(args.engine).await?;
    let session = Session { engine, out, bars: Bars::new(args.json) };
    match args.command {
        Command::Run(a) => run::run(&session, &a).await,
        Command::Sae(SaeCommand::Train(a)) => train::run(&session, &a).await,
        Command::Sae(SaeCommand::Encode(a)) => encode::run(&session, &a).await,
        Command::Sae(SaeCommand::Health(a)) => health::run(&session, &a).await,
        Command::Correlate(a) => correlate::run(&session, &a).await,
        Command::Circuit(a) => circuit::run(&session, &a).await,
        Command::Compare(a) => compare::compare(&session, &a).await,
        Command::Reproduce(a) => compare::reproduce(&session, &a).await,
        Command::Corpus(_)
        | Command::Devices
        | Command::Merge(_)
        | Command::Models
        | Command::Fetch(_)
        | Command::Sae(SaeCommand::Info(_) | SaeCommand::Convert(_)) => {
            unreachable!("answered above")
        }
    }
}

/// What the user of a long command may do after it was stopped; none for commands that simply end.
pub(crate) fn how_to_go_on(command: &Command) -> Option<String> {
    let nothing = || "nothing of it is kept".to_owned();
    match command {
        Command::Sae(SaeCommand::Train(args)) => Some(format!(
            "the same command goes on from the checkpoint in {}, if it had made a step",
            args.save.display()
        )),
        Command::Compare(args) => {
            Some(format!("the same command goes on from what is in {}", compare::store_of(args).display()))
        }
        Command::Fetch(_) => Some("the same command goes on from what has arrived".to_owned()),
        Command::Reproduce(_) => {
            Some("nothing of it is kept; `mppc compare` keeps what it has worked out and goes on".to_owned())
        }
        Command::Circuit(_) | Command::Sae(SaeCommand::Health(_)) => Some(nothing()),
        _ => None,
    }
}
