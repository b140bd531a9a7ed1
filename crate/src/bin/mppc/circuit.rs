//! `mppc circuit`: induction circuits taken apart.

use std::io::Write as _;
use std::path::Path;

use mppc::atomic;
use mppc::circuits::Mean;
use mppc::lab::{
    self, CircuitAsk, CircuitCell, CircuitName, CircuitReport, CircuitSettings, Deviation, InductionView,
    LabModel,
};
use serde_json::json;

use crate::args::{CircuitArgs, CircuitCommand, LookArgs, PaperArgs};
use crate::session::{Outcome, Session, writable, writable_dir};
use crate::{interrupt, models};

/// Runs a subcommand.
pub(crate) async fn run(session: &Session, command: &CircuitCommand) -> Outcome {
    let (name, args) = match command {
        CircuitCommand::HeadToLogit(args) => (Some(CircuitName::HeadToLogit), args),
        CircuitCommand::HeadToHead(args) => (Some(CircuitName::HeadToHead), args),
        CircuitCommand::StateToLogit(args) => (Some(CircuitName::StateToLogit), args),
        CircuitCommand::YToLogit(args) => (Some(CircuitName::YToLogit), args),
        CircuitCommand::SsmParts(args) => (Some(CircuitName::SsmParts), args),
        CircuitCommand::WritePosition(args) => (Some(CircuitName::WritePosition), args),
        CircuitCommand::ConvTaps(args) => (Some(CircuitName::ConvTaps), args),
        CircuitCommand::OffByOne(args) => (Some(CircuitName::OffByOne), args),
        CircuitCommand::All(args) => (None, args),
        CircuitCommand::Look(args) => return look(session, args).await,
        CircuitCommand::Paper(args) => return paper(session, args).await,
    };
    saved_to(args.save.as_deref())?;
    let model = load(session, &args.model)?;
    let settings = settings(args);
    let asked = match name {
        Some(experiment) => vec![CircuitAsk { model: &model, experiment, settings }],
        None => CircuitAsk::all(&model, &settings)?,
    };
    let reports = lab::circuits(&asked, &session.bars).await?;
    tell(session, &reports, args.save.as_deref())
}

fn saved_to(save: Option<&Path>) -> Outcome {
    save.map_or(Ok(()), writable_dir)
}

fn load(session: &Session, name: &str) -> Outcome<LabModel> {
    let files = models::files(name, session.out.json)?;
    interrupt::careful();
    Ok(LabModel::load_layers(&session.engine, name, &files, None, Some(&[]))?)
}

fn settings(args: &CircuitArgs) -> CircuitSettings {
    CircuitSettings {
        prompts: args.prompts,
        tokens: args.tokens,
        seed: args.seed,
        layer: args.layer,
        receiver: args.receiver,
        published: args.published,
        ..CircuitSettings::default()
    }
}

/// Interventions that are shown of each experiment: those that change most.
const SHOWN: usize = 8;

fn tell(session: &Session, reports: &[CircuitReport], save: Option<&Path>) -> Outcome {
    let mut lines = Vec::new();
    for report in reports {
        lines.extend(summary(report));
    }
    if let Some(dir) = save {
        lab::save_circuits(reports, dir)?;
        lines.push(format!("saved to {}", dir.display()));
    }
    let value = if let [one] = reports { json!(one) } else { json!(reports) };
    session.out.say(&lines.join("\n"), &value)
}

fn summary(report: &CircuitReport) -> Vec<String> {
    let CircuitSettings { prompts, tokens, seed, layer, receiver, .. } = &report.settings;
    let mut head = format!(
        "{} of {}: {prompts} prompts of {tokens} tokens, seed {seed}",
        report.experiment.name(),
        report.model
    );
    if report.experiment == CircuitName::WritePosition {
        head += &layer.map_or_else(String::new, |layer| format!(", layer {layer}"));
    }
    if report.experiment == CircuitName::HeadToHead {
        head +=
            &receiver.map_or_else(String::new, |[layer, head]| format!(", received by head {layer}.{head}"));
    }
    let clean = &report.clean;
    let mut lines = vec![
        head,
        format!(
            "  unchanged: logit {}, probability {}, difference {}",
            shown(clean.logit, 2),
            shown(clean.probability, 4),
            shown(clean.difference, 2)
        ),
        format!("  {:34} {:>24} {:>26} {:>24}", "change by", "logit", "probability", "difference"),
    ];
    let mut cells: Vec<&CircuitCell> = report.cells.iter().collect();
    // Few of them, such as positions, stay in their order.
    if cells.len() > SHOWN {
        cells.sort_by(|x, y| y.change.logit.mean.abs().total_cmp(&x.change.logit.mean.abs()));
    }
    for cell in cells.iter().take(SHOWN) {
        let c = &cell.change;
        lines.push(format!(
            "  {:34} {:>24} {:>26} {:>24}",
            cell.label,
            shown(c.logit, 2),
            shown(c.probability, 4),
            shown(c.difference, 2)
        ));
    }
    if cells.len() > SHOWN {
        lines.push(format!("  … {} more that change less", cells.len() - SHOWN));
    }
    lines
}

/// A mean with its interval.
fn shown(mean: Mean, digits: usize) -> String {
    match mean.interval {
        Some(i) => format!("{:.digits$} [{:.digits$}, {:.digits$}]", mean.mean, i.low, i.high),
        None => format!("{:.digits$}", mean.mean),
    }
}

async fn look(session: &Session, args: &LookArgs) -> Outcome {
    args.save.as_deref().map_or(Ok(()), writable)?;
    let model = load(session, &args.model)?;
    let settings = CircuitSettings {
        tokens: args.tokens,
        seed: args.seed,
        groups: args.groups,
        ..CircuitSettings::default()
    };
    let view = lab::induction_view(&model, args.text.as_deref(), &settings, &session.bars).await?;
    let mut lines = seen(&view);
    if let Some(path) = &args.save {
        let bytes = serde_json::to_vec(&view).map_err(|e| e.to_string())?;
        atomic::write(path, |file| file.write_all(&bytes)).map_err(|e| format!("{}: {e}", path.display()))?;
        lines.push(format!("saved to {}", path.display()));
    }
    session.out.say(&lines.join("\n"), &json!(view))
}

fn seen(view: &InductionView) -> Vec<String> {
    let unit = if view.hidden { "layer" } else { "head" };
    let name = |layer: usize, n: usize| {
        if view.units == 1 { format!("{unit} {layer}") } else { format!("{unit} {layer}.{n}") }
    };
    let words: String = view.tokens.iter().map(|token| token.text.as_str()).collect();
    let next: Vec<String> =
        view.next.iter().map(|n| format!("{:?} {:.1} %", n.text, n.probability * 100.0)).collect();
    let mut lines = vec![format!("{}: {words:?}", view.model), format!("  next: {}", next.join(", "))];
    let lens: Vec<String> = view.lens.iter().map(|p| format!("{p:.4}")).collect();
    lines.push(format!(
        "  probability of {:?} before each layer and at the end: {}",
        view.answer.text,
        lens.join(", ")
    ));
    let mut parts = view.attribution.clone();
    parts.sort_by(|x, y| y.logit.abs().total_cmp(&x.logit.abs()));
    let parts: Vec<String> =
        parts.iter().take(SHOWN).map(|p| format!("{} {:+.2}", p.part, p.logit)).collect();
    lines.push(format!("  its logit is made of: {}, …", parts.join(", ")));
    lines.push(format!(
        "  {:14} {:>16} {:>16} {:>16}",
        "attention", "prefix matching", "previous token", "duplicate token"
    ));
    let mut scores = view.scores.clone();
    scores.sort_by(|x, y| y.prefix_matching.total_cmp(&x.prefix_matching));
    for s in scores.iter().take(SHOWN) {
        lines.push(format!(
            "  {:14} {:>16.3} {:>16.3} {:>16.3}",
            name(s.layer, s.unit),
            s.prefix_matching,
            s.previous_token,
            s.duplicate_token
        ));
    }
    for (layer, shares) in view.taps.iter().enumerate() {
        let shares: Vec<String> = shares.iter().map(|share| format!("{:.0} %", share * 100.0)).collect();
        lines.push(format!("  layer {layer}, taps from the token itself back: {}", shares.join(", ")));
    }
    lines
}

async fn paper(session: &Session, args: &PaperArgs) -> Outcome {
    saved_to(args.save.as_deref())?;
    let [a, b] = [load(session, &args.a)?, load(session, &args.b)?];
    let paper = lab::paper([&a, &b], (args.prompts, args.seed), &session.bars).await?;
    let mut lines = vec![format!(
        "{:15} {:>6} {:28} {:12} {:>10} {:>26} {:>10}",
        "experiment", "tokens", "", "change of", "published", "measured", "deviation"
    )];
    lines.extend(paper.rows.iter().map(line));
    if let Some(dir) = &args.save {
        lab::save_paper(&paper, dir)?;
        lines.push(format!("saved to {}", dir.display()));
    }
    session.out.say(&lines.join("\n"), &json!(paper.rows))
}

fn line(row: &Deviation) -> String {
    let digits = if row.figure == "probability" { 4 } else { 2 };
    format!(
        "{:15} {:>6} {:28} {:12} {:>10.digits$} {:>26} {:>10.digits$}",
        row.experiment.name(),
        row.tokens,
        row.label,
        row.figure,
        row.published,
        shown(row.measured, digits),
        row.deviation()
    )
}
