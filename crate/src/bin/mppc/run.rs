//! `mppc run`: a model on text or tokens.

use std::path::Path;

use mppc::checkpoint::{Files, without_bom};
use mppc::corpus::{Tokenize, Tokenizer};
use mppc::model::{Likely, Logits, Model, Output, Plan, Prompts, likeliest};
use serde_json::{Value, json};

use crate::args::RunArgs;
use crate::models;
use crate::screen::say;
use crate::session::{Outcome, Session, writable};
use crate::tensors::{self, Named};

pub(crate) async fn run(session: &Session, args: &RunArgs) -> Outcome {
    if let Some(save) = &args.save {
        writable(save)?;
    }
    let files = models::files(&args.model, session.out.json)?;
    let prompts = prompts(args, &files)?;
    // Only a tokenizer knows which rows of the vocabulary are padding.
    let tokenizer = args.top.map(|_| Tokenizer::read(&files)).transpose()?;
    let model = Model::load(&session.engine, &args.model, &files)?;
    let (logits, keep): (Vec<_>, Vec<_>) = args.hook.iter().cloned().partition(|h| h == "logits");
    let plan = Plan { keep, logits: !logits.is_empty() || args.top.is_some(), ..Plan::default() };
    for note in model.notes() {
        say(&format!("warning: {}: {note}", args.model));
    }
    if !args.past_context {
        model.check_length(prompts.len, "or allow it with --past-context")?;
    }
    let output = model.run(&prompts, plan)?;

    let (mut lines, mut told) = (Vec::new(), json!({ "engine": session.engine.report() }));
    if let (Some(n), Some(tokenizer), Some(logits)) = (args.top, &tokenizer, &output.logits) {
        let top = next_tokens(&model, &prompts, (logits, tokenizer), n).await?;
        lines.extend(top.iter().enumerate().map(|(prompt, next)| table(prompt, next, tokenizer)));
        let as_json = |l: &Likely| {
            let token = tokenizer.decode(&[l.id]);
            json!({ "id": l.id, "token": token, "logit": l.logit, "probability": l.probability })
        };
        told["top"] = top.iter().map(|next| next.iter().map(as_json).collect::<Value>()).collect();
    }
    if let Some(save) = &args.save {
        let named = kept(&model, &prompts, &output, !logits.is_empty()).await?;
        tensors::save(save, &named, &[("model", &args.model)])?;
        lines.extend(named.iter().map(|n| format!("{} {:?}", n.name, n.shape)));
        lines.push(format!("saved to {}", save.display()));
        told["saved"] = json!(save);
        told["tensors"] = Value::Object(named.iter().map(|n| (n.name.clone(), json!(n.shape))).collect());
    }
    session.out.say(&lines.join("\n"), &told)
}

/// What is saved: the hooks, and the logits if they were asked for.
async fn kept(model: &Model, prompts: &Prompts, output: &Output, logits: bool) -> Outcome<Vec<Named>> {
    let points = model.hooks(prompts.batch, prompts.len);
    let masked = |name: &str| points.iter().any(|point| point.name == name && point.masked());
    let mut named = Vec::new();
    for (name, tensor) in &output.hooks {
        let values = tensor.read_f32().await?;
        if !masked(name) {
            model.check_finite(prompts, name, &values).await?;
        }
        named.push(Named::f32(name, tensor.shape(), &values));
    }
    if let Some(all) = output.logits.as_ref().filter(|_| logits) {
        let values = all.read().await?;
        model.check_finite(prompts, "logits", &values).await?;
        named.push(Named::f32("logits", &all.shape(), &values));
    }
    Ok(named)
}

/// The likeliest tokens after each prompt.
async fn next_tokens(
    model: &Model,
    prompts: &Prompts,
    (logits, tokenizer): (&Logits, &Tokenizer),
    n: usize,
) -> Outcome<Vec<Vec<Likely>>> {
    let [batch, len, rows] = logits.shape();
    let real = tokenizer.real_vocabulary(rows);
    let mut all = Vec::with_capacity(batch);
    for b in 0..batch {
        let last = (b + 1) * len - 1;
        let row = logits.at(last..last + 1).read_f32().await?;
        model.check_finite(prompts, "logits", &row).await?;
        all.push(likeliest(&row, real, n));
    }
    Ok(all)
}

fn table(prompt: usize, next: &[Likely], tokenizer: &Tokenizer) -> String {
    let mut lines = vec![format!("after prompt {prompt}: id, logit, probability, token")];
    for l in next {
        let token = tokenizer.decode(&[l.id]);
        lines.push(format!("  {:6} {:9.4} {:8.3} %  {token:?}", l.id, l.logit, l.probability * 100.0));
    }
    lines.join("\n")
}

/// The prompts of `mppc run`.
fn prompts(args: &RunArgs, files: &Files) -> Outcome<Prompts> {
    let read =
        |path: &Path| std::fs::read(path).map_err(|e| format!("{} cannot be read: {e}", path.display()));
    let words = match (&args.text, &args.text_file, &args.tokens) {
        (Some(text), ..) => text.clone(),
        (None, Some(path), _) => String::from_utf8(read(path)?).map_err(|e| {
            format!("{} is not UTF-8 from byte {}", path.display(), e.utf8_error().valid_up_to())
        })?,
        (None, None, Some(path)) => {
            let wrong = |e: &dyn std::fmt::Display| {
                format!("{} is no JSON list of lists of token ids of equal length: {e}", path.display())
            };
            let rows: Vec<Vec<u32>> =
                serde_json::from_slice(without_bom(&read(path)?)).map_err(|e| wrong(&e))?;
            let len = rows.first().map_or(0, Vec::len);
            if let Some(i) = rows.iter().position(|r| r.len() != len) {
                return Err(wrong(&format!("list {i} has {} ids, the first has {len}", rows[i].len())).into());
            }
            return Ok(Prompts { batch: rows.len(), len, ids: rows.concat() });
        }
        (None, None, None) => unreachable!("clap asks for one of them"),
    };
    let ids = Tokenizer::read(files)?.encode(&words)?.ids;
    Ok(Prompts { batch: 1, len: ids.len(), ids })
}
