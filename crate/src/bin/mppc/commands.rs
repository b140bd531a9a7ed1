//! Which command does what, and how to go on when it was stopped.

use std::io::Write;

use mppc::atomic;
use mppc::checkpoint::{Files, SafeFile};
use mppc::failure::Failure;
use mppc::gpu::{Engine, Tensor, adapters};
use mppc::sae::{SaeError, SaeFile};
use serde_json::json;

use crate::args::{Args, Command, EncodeArgs, SaeCommand};
use crate::circuit;
use crate::compare;
use crate::corpora;
use crate::correlate;
use crate::models;
use crate::output::Output;
use crate::progress::Bars;
use crate::sae_info;
use crate::session::{Outcome, Session, text, writable};

/// Runs a command.
pub(crate) async fn run(args: Args) -> Outcome {
    let out = Output { json: args.json };
    match &args.command {
        // These need no engine before they begin.
        Command::Corpus(a) => return corpora::print(a, out.json),
        Command::Models => return models::list(out),
        Command::Merge(a) => return compare::merge(a, out),
        Command::Compare(a) if compare::shown(a, out)? => return Ok(()),
        Command::Fetch(a) => return models::fetch(a, out),
        Command::Devices => return devices(&args, out).await,
        Command::Sae(SaeCommand::Info(a)) => return sae_info::info(a, out),
        Command::Sae(SaeCommand::Convert(a)) => return sae_info::convert(a, out).await,
        _ => {}
    }
    let engine = Engine::open(args.engine).await?;
    let session = Session { engine, out, bars: Bars::new(args.json) };
    match args.command {
        Command::Run(a) => session.run(&a).await,
        Command::Sae(SaeCommand::Train(a)) => session.train(&a).await,
        Command::Sae(SaeCommand::Encode(a)) => session.encode(&a).await,
        Command::Sae(SaeCommand::Health(a)) => session.health(&a).await,
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

async fn devices(args: &Args, out: Output) -> Outcome {
    let all = adapters().await;
    let engine = Engine::open(args.engine).await?;
    let used = engine.report();
    let mut text = String::new();
    for a in &all {
        let mib = |bytes: u64| bytes >> 20;
        text += &format!(
            "{}\n  {} · {} · {}{}\n  bindings to {} MiB, buffers to {} MiB, workgroup memory {} KiB, {} invocations\n  \
             f16 {}, subgroups {}, timestamps {}\n",
            a.name,
            a.backend,
            a.kind,
            a.driver,
            if a.software { " · software" } else { "" },
            mib(a.max_binding),
            mib(a.max_buffer),
            a.workgroup_memory >> 10,
            a.workgroup_invocations,
            yes(a.shader_f16),
            yes(a.subgroups),
            yes(a.timestamps),
        );
    }
    if all.is_empty() {
        text += "no adapter found\n";
    }
    text += &format!("engine: {} ({}), because {}", used.engine, used.name, used.why);
    out.say(&text, &json!({ "adapters": all, "engine": used }))
}

fn yes(flag: bool) -> &'static str {
    if flag { "yes" } else { "no" }
}

impl Session {
    async fn encode(&self, args: &EncodeArgs) -> Outcome {
        writable(&args.save)?;
        let read = SaeFile::read(&Files::dir(&args.sae_dir)).map_err(text)?;
        sae_info::warn(&read.notes, &args.sae_dir);
        let (format, conventions) = (read.format, read.conventions.clone());
        let sae = read.sae(&self.engine);
        let file = SafeFile::open(&args.acts).map_err(text)?;
        let shape = file
            .shape(&args.key)
            .ok_or_else(|| {
                let other = format!("it has {}", file.names().join(", "));
                Failure::new(format!("{} has no tensor {}", file.label(), args.key), other)
            })?
            .to_vec();
        let place = || format!("{}: tensor {}", file.label(), args.key);
        if shape.contains(&0) {
            return Err(format!("{} has the shape {shape:?}, which holds no token", place()).into());
        }
        let x = Tensor::from_f32(&self.engine, &shape, file.numbers(&args.key).map_err(text)?);
        // A row is a token: [batch, position, d_in] becomes batch × position rows.
        let x = sae.config.activations(&x).map_err(|e| match e {
            SaeError::Width { d_in, width, .. } => {
                let sae = args.sae_dir.display();
                format!("{} is {width} wide, but the SAE in {sae} is {d_in} wide", place()).into()
            }
            other => Failure::from(other).at(place()),
        })?;
        let codes = sae.encode(&x).await.map_err(text)?;
        let bytes = codes.to_safetensors().map_err(text)?;
        atomic::write(&args.save, |file| file.write_all(&bytes))
            .map_err(|e| format!("{}: {e}", args.save.display()))?;
        let l0 = codes.indices.len() as f64 / codes.tokens().max(1) as f64;
        self.out.say(
            &format!(
                "{}{} tokens, {} features, L0 {l0:.2}\nsaved to {}",
                sae_info::told(format, &conventions),
                codes.tokens(),
                codes.n_features,
                args.save.display()
            ),
            &json!({
                "saved": args.save, "tokens": codes.tokens(), "features": codes.n_features, "l0": l0,
                "format": format.name(), "conventions": conventions,
            }),
        )
    }
}
