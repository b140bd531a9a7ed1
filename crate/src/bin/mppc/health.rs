//! `mppc sae health`: how healthy SAEs are.

use std::io::Write as _;

use mppc::atomic;
use mppc::checkpoint::Files;
use mppc::lab::{self, HealthReport, HealthSettings, LabModel, SaeHealth};
use mppc::sae::Quantiles;
use serde_json::json;

use crate::args::HealthArgs;
use crate::output::number;
use crate::session::{Outcome, Session, writable};
use crate::{corpora, interrupt, models, sae_info};

pub(crate) async fn run(session: &Session, args: &HealthArgs) -> Outcome {
    if let Some(save) = &args.save {
        writable(save)?;
    }
    let files = models::files(&args.model, session.out.json)?;
    let saes = args.saes.as_ref().map(Files::dir);
    let subject = LabModel::load(&session.engine, &args.model, &files, saes.as_ref())?;
    sae_info::tell(&subject, session.out.json);
    let corpus = corpora::open(&args.corpus, args.seed, session.out.json)?;
    let settings = HealthSettings {
        corpus: corpus.spec().to_owned(),
        seed: args.seed,
        tokens: args.tokens,
        context: args.context,
        ..HealthSettings::default()
    };
    interrupt::careful();
    let report = lab::health(&subject, &subject.saes, &corpus, settings, &session.bars).await?;
    let mut told = tables(&report);
    if let Some(save) = &args.save {
        let mut bytes = serde_json::to_vec_pretty(&report).map_err(|e| e.to_string())?;
        bytes.push(b'\n');
        atomic::write(save, |file| file.write_all(&bytes))
            .map_err(|e| format!("{} cannot be written: {e}", save.display()))?;
        told += &format!("\nsaved to {}", save.display());
    }
    session.out.say(&told, &json!(report))
}

/// Three tables, one row an SAE, and then what to be warned of.
fn tables(report: &HealthReport) -> String {
    let heads = [
        format!(
            "{:>8} {:>6} {:>6} {:>6} {:>9} {:>6} {:>9} {:>7} {:>7}",
            "features", "L0", "5 %", "95 %", "expl.var.", "FVU", "MSE", "dead", "always"
        ),
        format!(
            "{:>7} {:>7} {:>7} {:>9} {:>7} {:>7} {:>9}",
            "CE", "CE SAE", "CE zero", "recovered", "KL SAE", "KL zero", "recovered"
        ),
        format!("{:>6} {:>6} {:>6}  {:>6} {:>6} {:>6}", "5 %", "median", "95 %", "5 %", "median", "95 %"),
    ];
    let titles = [
        format!("{} on {} tokens: codes and reconstruction", report.model, report.settings.tokens),
        "what the model predicts with the reconstruction, or zeros, in place (nats)".to_owned(),
        "decoder: norms of its rows; cosine of each with its nearest other".to_owned(),
    ];
    let mut lines = Vec::new();
    for ((title, head), row) in titles.iter().zip(&heads).zip([reconstruction, predictions, decoder]) {
        lines.push(title.clone());
        lines.push(format!("  {:30} {head}", "hook"));
        lines.extend(report.saes.iter().map(|s| format!("  {:30} {}", s.hook, row(s))));
    }
    for s in &report.saes {
        lines.extend(s.flags.iter().map(|flag| format!("not healthy: {}: {}", s.hook, flag.reason)));
    }
    lines.join("\n")
}

fn reconstruction(s: &SaeHealth) -> String {
    let h = &s.health;
    let quantile = |of: fn(&Quantiles) -> f64| h.l0_quantiles.as_ref().map_or(f64::NAN, of);
    format!(
        "{:8} {:6.1} {:6} {:6} {:9.3} {:6.3} {:9.3e} {:6.1}% {:6.1}%",
        h.features,
        h.l0,
        quantile(|q| q.p5),
        quantile(|q| q.p95),
        h.explained_variance,
        h.fvu,
        h.mse,
        h.dead * 100.0,
        h.always_on * 100.0
    )
}

fn predictions(s: &SaeHealth) -> String {
    let Some(p) = &s.health.spliced else { return "no predictions".to_owned() };
    let recovered = [p.ce_recovered, p.kl_recovered].map(number);
    format!(
        "{:7.3} {:7.3} {:7.3} {:>9} {:7.3} {:7.3} {:>9}",
        p.ce_clean, p.ce_spliced, p.ce_zero, recovered[0], p.kl_spliced, p.kl_zero, recovered[1]
    )
}

fn decoder(s: &SaeHealth) -> String {
    let Some(d) = &s.health.decoder else { return String::new() };
    let three = |q: &Option<Quantiles>| {
        let [a, b, c] = q.map_or([None; 3], |q| [q.p5, q.median, q.p95].map(Some)).map(number);
        format!("{a:>6} {b:>6} {c:>6}")
    };
    format!("{}  {}", three(&d.norms.quantiles), three(&d.nearest_cosine.quantiles))
}
