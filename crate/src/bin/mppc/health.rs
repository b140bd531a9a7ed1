//! `mppc sae health`: how healthy SAEs are.

use mppc::checkpoint::Files;
use mppc::corpus::Corpus;
use mppc::lab::{self, LabModel};
use serde_json::json;

use crate::args::HealthArgs;
use crate::commands::{Outcome, Session, text};
use crate::models;
use crate::output::number;
use crate::sae_info;

impl Session {
    pub(crate) async fn health(&self, args: &HealthArgs) -> Outcome {
        let files = models::files(&args.model, self.out.json)?;
        let saes = args.saes.as_ref().map(Files::dir);
        let subject = LabModel::load(&self.engine, &args.model, &files, saes.as_ref()).map_err(text)?;
        sae_info::tell(&subject, self.out.json);
        let corpus = Corpus::open(&args.corpus, args.seed).map_err(text)?;
        let all =
            lab::health(&subject, &corpus, (args.tokens, args.context), &self.bars).await.map_err(text)?;
        let mut lines = vec![format!(
            "{:32} {:>6} {:>9} {:>7} {:>8} {:>8} {:>8} {:>8} {:>10}",
            "hook", "L0", "expl.var.", "dead", "always", "CE", "CE SAE", "CE zero", "recovered"
        )];
        for (hook, h) in &all {
            lines.push(format!(
                "{hook:32} {:6.1} {:9.3} {:6.1}% {:7.1}% {:>8} {:>8} {:>8} {:>10}",
                h.l0,
                h.explained_variance,
                h.dead * 100.0,
                h.always_on * 100.0,
                number(h.ce_clean),
                number(h.ce_spliced),
                number(h.ce_zero),
                number(h.ce_recovered)
            ));
        }
        let rows: Vec<_> = all.iter().map(|(hook, h)| json!({ "hook": hook, "health": h })).collect();
        self.out.say(&lines.join("\n"), &json!(rows))
    }
}
