//! `cargo xtask lab | test | web | picture | report | bench`: set up what is missing, build, serve, test, measure.

mod bench;
mod page;
mod report;
mod setup;
mod shell;
mod test;

use std::process::ExitCode;

use anyhow::{Result, bail};

const HELP: &str = "\
Usage: cargo xtask COMMAND

  lab [--port N] [--open]   Set up what is missing, build the page and serve it on this machine only
                            (port 4173, or the next free one)
  test [--full]             Set up what is missing and run every test; --full also checks licences
                            and runs long prompts on the software adapter
  web                       Build the page into web/dist, a folder of static files
  picture                   Build the page and take the README's picture of it, docs/page.png
  report                    Compare the built-in pair with every control, and its SAEs with those of another seed,
                            which are trained; write the README's section and docs/report (ten minutes)
  bench [CASE...]           Measure, and keep the results in benches/runs: kernels and model unless said
    --list                  List the cases
    --peers                 All cases, those with other people's programs too
    --gpu                   kernels, model and torch, on this machine's adapter too
    --table                 Write the tables of BENCHMARKS.md from the newest runs
  help                      This text

With CI=true a missing tool fails `test`; without it, the step that needs the tool is skipped and says so.
";

enum Command {
    Help,
    Lab { port: Option<u16>, open: bool },
    Test { full: bool },
    Web,
    Picture,
    Report,
    Bench(bench::BenchArgs),
}

fn parse() -> Result<Command> {
    use lexopt::prelude::*;
    let mut parser = lexopt::Parser::from_env();
    let mut command = match parser.next()? {
        Some(Value(name)) => match name.to_str() {
            Some("lab") => Command::Lab { port: None, open: false },
            Some("test") => Command::Test { full: false },
            Some("web") => Command::Web,
            Some("picture") => Command::Picture,
            Some("report") => Command::Report,
            Some("bench") => Command::Bench(bench::BenchArgs::default()),
            Some("help") => Command::Help,
            _ => bail!("{name:?} is not a command; `cargo xtask help` lists them"),
        },
        Some(Long("help") | Short('h')) | None => Command::Help,
        Some(other) => return Err(other.unexpected().into()),
    };
    while let Some(arg) = parser.next()? {
        match (&mut command, arg) {
            (Command::Lab { port, .. }, Long("port")) => *port = Some(parser.value()?.parse()?),
            (Command::Lab { open, .. }, Long("open")) => *open = true,
            (Command::Test { full }, Long("full")) => *full = true,
            (Command::Bench(how), Long("list")) => how.list = true,
            (Command::Bench(how), Long("peers")) => how.peers = true,
            (Command::Bench(how), Long("gpu")) => how.gpu = true,
            (Command::Bench(how), Long("table")) => how.table = true,
            (Command::Bench(how), Value(name)) => how.cases.push(name.to_string_lossy().into_owned()),
            (_, Long("help") | Short('h')) => return Ok(Command::Help),
            (_, arg) => return Err(arg.unexpected().into()),
        }
    }
    Ok(command)
}

fn run(command: &Command) -> Result<()> {
    match command {
        Command::Help => print!("{HELP}"),
        Command::Lab { port, open } => page::serve(*port, *open)?,
        Command::Test { full } => test::run(*full)?,
        Command::Web => page::build()?,
        Command::Picture => page::picture()?,
        Command::Report => report::run()?,
        Command::Bench(how) => bench::run(how)?,
    }
    Ok(())
}

fn main() -> ExitCode {
    let command = match parse() {
        Ok(command) => command,
        Err(e) => {
            eprintln!("error: {e:#}");
            return ExitCode::from(2);
        }
    };
    match run(&command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}
