//! `mppc compare`, `mppc reproduce`, which is one plan of it, and `mppc merge`.

use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use mppc::checkpoint::Files;
use mppc::failure::Failure;
use mppc::lab::{
    self, Baseline, Bill, ComparePlan, Compared, Comparison, FolderStore, Inputs, LabModel, MemoryStore,
    Report, SideInputs, SidePlan, Store as _,
};
use mppc::universality::Summary;
use mppc::words::echo;
use serde_json::json;

use crate::args::{CompareArgs, MergeArgs, ReproduceArgs};
use crate::output::{Output, number};
use crate::screen::say;
use crate::session::{Outcome, Session, writable_dir};
use crate::{corpora, interrupt, models, sae_info};

/// `mppc compare`.
pub(crate) async fn compare(session: &Session, args: &CompareArgs) -> Outcome {
    let none = || Failure::new("no plan is named", "give one, or see --example");
    let file = args.plan.as_ref().ok_or_else(none)?;
    let name = file.display().to_string();
    let plan = read(file).map_err(|e| format!("{} cannot be read: {e}", echo(&name)))?;
    let plan = ComparePlan::from_toml(&name, &plan)?;
    writable_dir(&args.save)?;
    let place = store_of(args);
    let mut store = FolderStore::open(&place)?;
    let parts = Parts::load(session, plan)?;
    let what = parts.comparison(session);
    interrupt::careful();
    if args.dry_run {
        let bill = what.bill(&mut store, &session.bars).await?;
        return session.out.say(&table(&bill), &bill_json(&bill));
    }
    if let Some(shards) = &args.shards {
        return encode(session, &what, shards.clone(), (&mut store, &place)).await;
    }
    let compared = what.run(&mut store, &session.bars).await?;
    tell(session, &compared, &args.save)
}

/// `mppc compare --example` and `--schema`; false where neither is asked for.
pub(crate) fn shown(args: &CompareArgs, out: Output) -> Outcome<bool> {
    if args.example {
        let plan = lab::example_plan();
        let json = ComparePlan::from_toml("the example", &plan)?;
        out.say(plan.trim_end(), &json!(json))?;
    }
    if args.schema {
        let schema = lab::plan_schema();
        out.say(&format!("{schema:#}"), &schema)?;
    }
    Ok(args.example || args.schema)
}

/// The text of a plan, which may also come through a pipe.
fn read(path: &Path) -> std::io::Result<String> {
    const MOST: u64 = 1 << 20;
    let mut text = String::new();
    std::fs::File::open(path)?.take(MOST + 1).read_to_string(&mut text)?;
    match text.len() as u64 > MOST {
        true => Err(std::io::Error::other("it is longer than a plan can be, 1 MiB")),
        false => Ok(text),
    }
}

/// Where a comparison keeps what it has worked out.
pub(crate) fn store_of(args: &CompareArgs) -> PathBuf {
    match (&args.store, &args.plan) {
        (Some(store), _) => store.clone(),
        (None, Some(plan)) => plan.with_extension("store"),
        (None, None) => PathBuf::new(),
    }
}

/// `mppc reproduce`.
pub(crate) async fn reproduce(session: &Session, args: &ReproduceArgs) -> Outcome {
    writable_dir(&args.save)?;
    let mut plan = ComparePlan::reproduce(&args.a, &args.b);
    let name = |dir: &PathBuf| dir.display().to_string();
    plan.a = SidePlan { saes: args.a_saes.as_ref().map(name), center_resid: args.center_resid, ..plan.a };
    plan.b.saes = args.b_saes.as_ref().map(name);
    plan.corpus.source.clone_from(&args.corpus);
    (plan.corpus.tokens, plan.corpus.context, plan.corpus.seed) = (args.tokens, args.context, args.seed);
    plan.controls.seed = args.seed;
    plan.controls.neuron_tokens = args.neuron_tokens.unwrap_or(args.tokens);
    let parts = Parts::load(session, plan)?;
    interrupt::careful();
    let compared = parts.comparison(session).run(&mut MemoryStore::default(), &session.bars).await;
    tell(session, &compared?, &args.save)
}

/// `mppc merge`.
pub(crate) fn merge(args: &MergeArgs, out: Output) -> Outcome {
    let mut into = FolderStore::open(&args.into)?;
    let (mut copied, mut same, mut damaged) = (0, 0, Vec::new());
    for place in &args.stores {
        if !place.is_dir() {
            return Err(Failure::new(
                format!("{} is no folder", place.display()),
                "give stores of `mppc compare`",
            ));
        }
        let merged = into.merge(&FolderStore::open(place)?)?;
        copied += merged.copied;
        same += merged.same;
        damaged.extend(merged.damaged);
    }
    into.damaged().iter().for_each(|line| say(&format!("warning: {line}")));
    damaged.iter().for_each(|file| say(&format!("warning: {} is damaged; it was left out", file.display())));
    let left_out = if damaged.is_empty() { String::new() } else { format!(", {} left out", damaged.len()) };
    out.say(
        &format!("{copied} files copied to {}, {same} were there{left_out}", args.into.display()),
        &json!({ "into": args.into, "copied": copied, "same": same, "damaged": damaged }),
    )
}

/// What a plan names, loaded.
struct Parts {
    a: LabModel,
    b: LabModel,
    corpus: mppc::corpus::Corpus,
    plan: ComparePlan,
    inputs: Inputs,
}

impl Parts {
    fn load(session: &Session, mut plan: ComparePlan) -> Outcome<Self> {
        let side = |side: &SidePlan| -> Outcome<(LabModel, SideInputs)> {
            let files = models::files(&side.model, session.out.json)?;
            let saes = side.saes.as_ref().map(Files::dir);
            let layers = side.layers.as_deref();
            let model = LabModel::load_layers(&session.engine, &side.model, &files, saes.as_ref(), layers);
            let model = model?;
            sae_info::tell(&model, session.out.json);
            let inputs = SideInputs::of(&model, &files, saes.as_ref())?;
            Ok((model, inputs))
        };
        let ((a, of_a), (b, of_b)) = (side(&plan.a)?, side(&plan.b)?);
        let corpus = corpora::open(&plan.corpus.source, plan.corpus.seed, session.out.json)?;
        // Of a data set with its commit.
        plan.corpus.source = corpus.spec().to_owned();
        let inputs = Inputs { a: of_a, b: of_b, corpus: lab::corpus_inputs(&corpus)? };
        Ok(Self { a, b, corpus, plan, inputs })
    }

    fn comparison<'s>(&'s self, session: &'s Session) -> Comparison<'s> {
        Comparison {
            engine: &session.engine,
            a: &self.a,
            b: &self.b,
            corpus: &self.corpus,
            plan: self.plan.clone(),
            inputs: self.inputs.clone(),
        }
    }
}

async fn encode(
    session: &Session,
    what: &Comparison<'_>,
    shards: Range<usize>,
    (store, place): (&mut FolderStore, &Path),
) -> Outcome {
    let encoded = what.encode(shards, store, &session.bars).await?;
    let Range { start, end } = encoded.shards;
    session.out.say(
        &format!(
            "encoded shards {start} to {} of {} ({} tokens in all) into {}",
            end - 1,
            encoded.of,
            encoded.tokens,
            place.display()
        ),
        &json!({ "from": start, "to": end, "shards": encoded.of, "tokens": encoded.tokens, "store": place }),
    )
}

/// Saves the report and prints its summary.
fn tell(session: &Session, compared: &Compared, save: &Path) -> Outcome {
    lab::save(compared, save)?;
    let report = &compared.report;
    let mut lines = Vec::new();
    for (from, to, d) in [(&report.a, &report.b, &report.a_to_b), (&report.b, &report.a, &report.b_to_a)] {
        lines.push(format!("{} → {}, {} tokens", from.name, to.name, report.tokens));
        lines.push(format!(
            "  {:42} {:>7} {:>10} {:>8} {:>10}",
            "", "count", "mean MPPC", "median", "above 0.5"
        ));
        lines.extend(d.summaries().map(|(name, summary)| row(name, summary)));
        lines.extend(d.baselines.iter().flat_map(baseline));
        if let Some(s) = &d.significance {
            lines.push(format!(
                "  {:.1} % of {} features found at a false discovery rate of 0.05",
                s.q_below_5 * 100.0,
                s.tested
            ));
        }
        lines.push(format!(
            "  depth: Spearman(ℓ, ℓ*) {}, mean |ℓ/L − ℓ*/L'| {} ({} by chance)",
            number(d.depth.spearman),
            number(d.depth.distance),
            number(d.depth.distance_by_chance)
        ));
    }
    lines.extend(matches(report));
    lines.push(format!("report: {}", save.join("report.html").display()));
    session.out.say(&lines.join("\n"), &json!(report))
}

fn row(name: &str, s: &Summary) -> String {
    let share = s.above_half.map_or_else(|| "–".into(), |v| format!("{:.1} %", v * 100.0));
    format!("  {name:42} {:>7} {:>10} {:>8} {share:>10}", s.count, number(s.mean), number(s.median))
}

fn baseline(baseline: &Baseline) -> [String; 2] {
    let name = baseline.kind.name();
    [row(&format!("{name}, all"), &baseline.all), row(&format!("{name}, filtered"), &baseline.filtered)]
}

fn matches(report: &Report) -> Option<String> {
    let matching = report.matching.as_ref()?;
    let (mutual, one) = (&matching.mutual, &matching.one_to_one);
    Some(format!(
        "{} pairs are each other's best (mean {}); one to one, {} pairs (mean {})",
        mutual.count,
        number(mutual.mean),
        one.count,
        number(one.mean)
    ))
}

/// Seconds as people say them.
fn time(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{s:.1} s"),
        s if s < 5_400.0 => format!("{:.1} min", s / 60.0),
        s => format!("{:.1} h", s / 3_600.0),
    }
}

fn size(bytes: f64) -> String {
    if bytes < 1e9 { format!("{:.1} MB", bytes / 1e6) } else { format!("{:.2} GB", bytes / 1e9) }
}

fn table(bill: &Bill) -> String {
    let mut lines = vec![format!(
        "{} tokens in {} shards; L0 {:.1} and {:.1}; a pair of layers takes {}",
        bill.tokens,
        bill.shards,
        bill.l0[0],
        bill.l0[1],
        time(bill.pair_seconds)
    )];
    lines.push(format!("  {:28} {:>22} {:>10} {:>10} {:>10}", "still to do", "", "time", "disk", "memory"));
    for c in &bill.charges {
        let units = format!("{} {}", c.units, c.unit);
        let (time, disk, memory) = (time(c.seconds), size(c.disk), size(c.memory));
        lines.push(format!("  {:28} {units:>22} {time:>10} {disk:>10} {memory:>10}", c.stage));
    }
    let (total, disk, memory) = (time(bill.seconds()), size(bill.disk()), size(bill.memory()));
    lines.push(format!("  {:28} {:>22} {total:>10} {disk:>10} {memory:>10}", "in all", ""));
    lines.push(
        "Memory is beside models and SAEs. A little of each stage was tried, the rest is arithmetic."
            .to_owned(),
    );
    lines.join("\n")
}

fn bill_json(bill: &Bill) -> serde_json::Value {
    let mut value = json!(bill);
    value["seconds"] = json!(bill.seconds());
    value["disk"] = json!(bill.disk());
    value["memory"] = json!(bill.memory());
    value
}
