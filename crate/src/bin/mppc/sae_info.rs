//! `mppc sae info` and `mppc sae convert`, and the conventions that other commands tell.

use std::path::Path;

use mppc::checkpoint::Files;
use mppc::failure::Failure;
use mppc::gpu::Engine;
use mppc::lab::LabModel;
use mppc::sae::{Format, Heads, SaeConfig, SaeError, SaeFile, Storage, formats};
use serde_json::{Value, json};

use crate::args::{ConvertArgs, InfoArgs};
use crate::output::Output;
use crate::screen::say;
use crate::session::{Outcome, writable_dir};

/// What the files of one SAE, or of several, hold.
pub(crate) fn info(args: &InfoArgs, out: Output) -> Outcome {
    let place = Files::dir(&args.dir);
    if !args.dir.is_dir() {
        return Err(Failure::new(
            format!("{} is no directory", args.dir.display()),
            "give the folder of an SAE, or of several",
        ));
    }
    let found = formats::find(&place)?;
    if found.is_empty() {
        return Err(SaeError::NotSae { place: place.place() }.into());
    }
    let (mut texts, mut rows) = (Vec::new(), Vec::new());
    for (path, files) in &found {
        let sae = SaeFile::read(files)?;
        let name = if path.is_empty() { files.place() } else { path.clone() };
        texts.push(described(&name, &sae));
        rows.push(row(&name, &sae));
    }
    out.say(&texts.join("\n\n"), &json!(rows))
}

/// Writes an SAE in SAELens's form. Nothing is computed but the folding, so the processor does.
pub(crate) async fn convert(args: &ConvertArgs, out: Output) -> Outcome {
    writable_dir(&args.save)?;
    let read = SaeFile::read(&Files::dir(&args.sae_dir))?;
    warn(&read.notes, &args.sae_dir);
    let (format, conventions) = (read.format, read.conventions.clone());
    let storage = if args.f16 { Storage::F16 } else { Storage::F32 };
    read.sae(&Engine::cpu()).save(&args.save, storage).await?;
    out.say(
        &format!("{}saved to {}", told(format, &conventions), args.save.display()),
        &json!({ "saved": args.save, "format": format.name(), "conventions": conventions }),
    )
}

fn described(name: &str, sae: &SaeFile) -> String {
    let config = &sae.config;
    let (least, most) = sae.decoder_norms();
    let mut lines = vec![
        name.to_owned(),
        format!("  format         {}", sae.format.name()),
        format!("  architecture   {}", architecture(sae)),
        format!("  width          D {}, F {} ({:.1} × D)", config.d_in, config.d_sae, expansion(config)),
        format!("  model          {}", config.model_name.as_deref().unwrap_or("not said")),
        format!("  hook           {}{}", config.hook_name.as_deref().unwrap_or("not said"), heads(config)),
        format!("  normalisation  {}", config.normalize.name()),
        format!("  decoder norms  {least:.4} to {most:.4}"),
    ];
    if sae.transcoder {
        lines.push("  transcoder     it predicts another place than it reads".to_owned());
    }
    lines.extend(sae.notes.iter().map(|note| format!("  note           {note}")));
    lines.push("  conventions".to_owned());
    lines.extend(sae.conventions.iter().map(|c| format!("    {c}")));
    lines.push("  tensors".to_owned());
    let longest = sae.tensors.iter().map(|t| t.name.len()).max().unwrap_or(0);
    lines
        .extend(sae.tensors.iter().map(|t| format!("    {:longest$}  {:4}  {:?}", t.name, t.dtype, t.shape)));
    lines.join("\n")
}

fn row(name: &str, sae: &SaeFile) -> Value {
    let config = &sae.config;
    let (least, most) = sae.decoder_norms();
    let activation = &sae.weights.activation;
    json!({
        "path": name, "format": sae.format.name(), "architecture": activation.name(), "k": activation.k(),
        "d_in": config.d_in, "d_sae": config.d_sae, "model": config.model_name, "hook": config.hook_name,
        "normalization": config.normalize.name(), "transcoder": sae.transcoder,
        "apply_b_dec_to_input": config.apply_b_dec_to_input, "decoder_norms": [least, most],
        "head": config.heads.one(), "conventions": sae.conventions, "notes": sae.notes, "tensors": sae.tensors,
    })
}

fn architecture(sae: &SaeFile) -> String {
    let activation = &sae.weights.activation;
    let k = activation.k().map(|k| format!(", k {k}")).unwrap_or_default();
    format!("{}{k}", activation.name())
}

/// What it reads of a hook with heads, where that is said.
fn heads(config: &SaeConfig) -> String {
    match config.heads {
        Heads::Flat => String::new(),
        Heads::Reshaped => ", all heads side by side".to_owned(),
        Heads::One(head) => format!(", head {head}"),
    }
}

fn expansion(config: &SaeConfig) -> f64 {
    config.d_sae as f64 / config.d_in as f64
}

/// The conventions of an SAE that is not in the lab's own form, as lines.
pub(crate) fn told(format: Format, conventions: &[String]) -> String {
    if format == Format::SaeLens {
        return String::new();
    }
    let lines: Vec<String> = conventions.iter().map(|c| format!("  {c}\n")).collect();
    format!("{}:\n{}", format.name(), lines.concat())
}

/// Tells on standard error what to know of an SAE that is used by itself.
pub(crate) fn warn(notes: &[String], sae: &Path) {
    for note in notes {
        eprintln!("warning: the SAE in {}: {note}", sae.display());
    }
}

/// Tells on standard error which conventions a model's SAEs were read with; those of several that are alike once.
pub(crate) fn tell(subject: &LabModel, quiet: bool) {
    if quiet {
        return;
    }
    let mut seen: Vec<String> = Vec::new();
    for sae in &subject.saes {
        let lines = told(sae.format, &sae.conventions);
        if !lines.is_empty() && !seen.contains(&lines) {
            say(format!("{}: {lines}", sae.name()).trim_end());
            seen.push(lines);
        }
    }
}
