//! `standin MODEL DIR`: writes a stand-in's directory and prints the SHA-256 of its weights.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use standin::{Element, Kind, Standin};

const HELP: &str = "\
Usage: standin MODEL DIR [OPTIONS]

Write a checkpoint of the shapes of MODEL (pythia-160m or mamba-130m) with seeded random weights.

  --dtype f16|bf16|f32   Element type; the real one's if not said (f16 for pythia-160m, f32 for mamba-130m)
  --seed N               Seed of the values (0)
  --shards N             Number of weights files (1)
  --layers N             Fewer (or more) layers than the real model
  --original             mamba-130m: the layout of the state-spaces repository
  --tokenizer FILE       A tokenizer.json to copy, in place of one that knows bytes alone
  --bin-only             Only an (empty) pytorch_model.bin, in place of safetensors
";

fn parse() -> Result<Option<(Standin, PathBuf)>> {
    use lexopt::prelude::*;
    let mut parser = lexopt::Parser::from_env();
    let (mut kind, mut dir) = (None, None);
    let (mut element, mut layers, mut original) = (None, None, false);
    let mut standin = Standin::new(Kind::Pythia160m);
    while let Some(arg) = parser.next()? {
        match arg {
            Long("help") | Short('h') => return Ok(None),
            Long("dtype") => {
                element = Some(match parser.value()?.to_str() {
                    Some("f16") => Element::F16,
                    Some("bf16") => Element::Bf16,
                    Some("f32") => Element::F32,
                    _ => bail!("--dtype is f16, bf16 or f32"),
                });
            }
            Long("seed") => standin.seed = parser.value()?.parse()?,
            Long("shards") => standin.shards = parser.value()?.parse()?,
            Long("layers") => layers = Some(parser.value()?.parse()?),
            Long("original") => original = true,
            Long("tokenizer") => standin.tokenizer = Some(parser.value()?.into()),
            Long("bin-only") => standin.only_pickle = true,
            Value(name) if kind.is_none() => {
                kind = Some(match name.to_str() {
                    Some("pythia-160m") => Kind::Pythia160m,
                    Some("mamba-130m") => Kind::Mamba130m,
                    _ => bail!("{name:?} is no model; pythia-160m and mamba-130m are"),
                });
            }
            Value(place) if dir.is_none() => dir = Some(PathBuf::from(place)),
            other => return Err(other.unexpected().into()),
        }
    }
    let (Some(kind), Some(dir)) = (kind, dir) else { bail!("MODEL and DIR are needed; see standin --help") };
    standin.kind = match (kind, original) {
        (Kind::Mamba130m, true) => Kind::Mamba130mOriginal,
        (Kind::Pythia160m, true) => bail!("--original is a layout of mamba-130m"),
        (kind, _) => kind,
    };
    standin.element = element.unwrap_or(kind.usual_type());
    standin.layers = layers.unwrap_or(kind.layers());
    Ok(Some((standin, dir)))
}

fn run() -> Result<()> {
    let Some((standin, dir)) = parse()? else {
        print!("{HELP}");
        return Ok(());
    };
    for file in standin.write(&dir)? {
        println!("{}  {}", file.sha256, file.name);
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}
