//! `mppc sae encode`: activations to codes.

use std::io::Write as _;

use mppc::atomic;
use mppc::checkpoint::{Files, SafeFile};
use mppc::failure::Failure;
use mppc::gpu::Tensor;
use mppc::sae::{SaeError, SaeFile};
use serde_json::json;

use crate::args::EncodeArgs;
use crate::sae_info;
use crate::session::{Outcome, Session, writable};

/// Encodes one tensor of a file and saves its codes.
pub(crate) async fn run(session: &Session, args: &EncodeArgs) -> Outcome {
    writable(&args.save)?;
    let read = SaeFile::read(&Files::dir(&args.sae_dir))?;
    sae_info::warn(&read.notes, &args.sae_dir);
    let (format, conventions) = (read.format, read.conventions.clone());
    let sae = read.sae(&session.engine);
    let file = SafeFile::open(&args.acts)?;
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
    let x = Tensor::from_f32(&session.engine, &shape, file.numbers(&args.key)?);
    // A row is a token: [batch, position, d_in] becomes batch × position rows.
    let x = sae.config.activations(&x).map_err(|e| match e {
        SaeError::Width { d_in, width, .. } => {
            let sae = args.sae_dir.display();
            format!("{} is {width} wide, but the SAE in {sae} is {d_in} wide", place()).into()
        }
        other => Failure::from(other).at(place()),
    })?;
    let codes = sae.encode(&x).await?;
    let bytes = codes.to_safetensors()?;
    atomic::write(&args.save, |file| file.write_all(&bytes))
        .map_err(|e| format!("{}: {e}", args.save.display()))?;
    let l0 = codes.indices.len() as f64 / codes.tokens().max(1) as f64;
    session.out.say(
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
