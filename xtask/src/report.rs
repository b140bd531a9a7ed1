//! The full report of the built-in pair: across architectures, the skylines of SAE seeds, and its induction circuits;
//! `docs/report` and the README have what comes out.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::shell::{self, cargo, root};

const BEGIN: &str = "<!-- report: written by `cargo xtask report` -->";
const END: &str = "<!-- end of report -->";
const CIRCUITS: &str = "<!-- circuits: written by `cargo xtask report` -->";
const END_CIRCUITS: &str = "<!-- end of circuits -->";
/// Prompts of the circuit experiments.
const PROMPTS: &str = "256";

/// The comparisons, by the names of their plans.
const PLANS: [&str; 3] = ["pair", "neox-seeds", "mamba-seeds"];
/// Figures of the first that are kept.
const FIGURES: [&str; 7] = [
    "distribution_a_to_b",
    "distribution_b_to_a",
    "layers_a_to_b",
    "partners_a_to_b",
    "convergence",
    "complexity",
    "cka",
];
/// The models, and the seed of their second SAEs.
const MODELS: [&str; 2] = ["tiny-neox", "tiny-mamba"];
const SEED: &str = "4";

/// Trains what is missing, compares, and writes the README's section and its figures.
pub(crate) fn run() -> Result<()> {
    shell::run(&mut cargo(["build", "--release", "-p", "mppc", "--bin", "mppc"]))?;
    let work = shell::target().join("report");
    std::fs::create_dir_all(work.join("saes"))?;
    std::fs::create_dir_all(work.join("circuits"))?;
    for model in MODELS {
        train(model, &work.join("saes").join(model))?;
    }
    let docs = root().join("docs/report");
    let mut reports = Vec::new();
    for name in PLANS {
        let save = work.join(name);
        let mut compare = mppc();
        compare.arg("compare").arg(format!("docs/report/{name}.toml"));
        compare.arg("--store").arg(work.join("store")).arg("--save").arg(&save);
        shell::run(&mut compare)?;
        let report =
            std::fs::read(save.join("report.json")).with_context(|| format!("the report of {name}"))?;
        reports.push(serde_json::from_slice::<Value>(&report)?);
    }
    for figure in FIGURES {
        let name = format!("{figure}.svg");
        std::fs::copy(work.join(PLANS[0]).join(&name), docs.join(&name)).with_context(|| name)?;
    }
    write(&root().join("README.md"), (BEGIN, END), &section(&reports))?;
    circuits(&work)
}

/// The circuits of the built-in pair, for the README.
fn circuits(work: &Path) -> Result<()> {
    let place = work.join("circuits");
    let mut text = String::new();
    for model in MODELS {
        let save = place.join(model);
        let mut all = mppc();
        all.args(["circuit", "all", model, "--prompts", PROMPTS]).arg("--save").arg(&save);
        shell::run(&mut all)?;
        let read = |name: &str| -> Result<Value> {
            let path = save.join(format!("{name}.json"));
            Ok(serde_json::from_slice(&std::fs::read(&path).with_context(|| path.display().to_string())?)?)
        };
        let graph = format!("circuit-{model}.svg");
        std::fs::copy(save.join("circuit.svg"), root().join("docs/report").join(&graph))?;
        text += &format!("\n![The induction circuit of {model}](docs/report/{graph})\n");
        text += &match model {
            "tiny-neox" => heads(&read("head-to-logit")?, &read("head-to-head")?),
            _ => states(&save, [&read("state-to-logit")?, &read("conv-taps")?, &read("off-by-one")?])?,
        };
    }
    write(&root().join("README.md"), (CIRCUITS, END_CIRCUITS), &format!("{text}\n"))
}

/// The rows of an experiment, the largest losses first.
fn strongest(report: &Value, most: usize) -> Vec<&Value> {
    let change = |cell: &Value| cell["change"]["logit"]["mean"].as_f64().unwrap_or(0.0);
    let mut cells: Vec<&Value> = report["cells"].as_array().into_iter().flatten().collect();
    cells.sort_by(|x, y| change(x).total_cmp(&change(y)));
    cells.truncate(most);
    cells
}

fn table(report: &Value, title: &str, cells: &[&Value]) -> String {
    let clean = &report["clean"];
    let mut text = format!(
        "\n| {title} (unchanged: logit {}, probability {}) | logit | probability |\n|---|--:|--:|\n",
        number(&clean["logit"]["mean"]),
        clean["probability"]["mean"].as_f64().map_or_else(String::new, |p| format!("{p:.4}"))
    );
    for cell in cells {
        let shown = |figure: &str| {
            let mean = &cell["change"][figure];
            let interval = &mean["interval"];
            let digits = if figure == "probability" { 4 } else { 3 };
            let number = |v: &Value| v.as_f64().map_or_else(|| "–".to_owned(), |v| format!("{v:.digits$}"));
            format!("{} [{}, {}]", number(&mean["mean"]), number(&interval["low"]), number(&interval["high"]))
        };
        let label = cell["label"].as_str().unwrap_or("?");
        text += &format!("| {label} | {} | {} |\n", shown("logit"), shown("probability"));
    }
    text
}

fn heads(to_logit: &Value, to_head: &Value) -> String {
    let receiver = &to_head["settings"]["receiver"];
    let title = format!("tiny-neox: head at B, through head {}.{}", receiver[0], receiver[1]);
    table(to_logit, "tiny-neox: head at the last position", &strongest(to_logit, 5))
        + &table(to_head, &title, &strongest(to_head, 3))
}

fn states(save: &Path, [states, taps, offsets]: [&Value; 3]) -> Result<String> {
    let mut text = table(states, "tiny-mamba: last state of a layer", &strongest(states, 8));
    // Where the two layers write that matter most.
    for cell in strongest(states, 2) {
        let layer = cell["layer"].to_string();
        let place = save.join(format!("layer-{layer}"));
        let mut write = mppc();
        write.args(["circuit", "write-position", "tiny-mamba", "--prompts", PROMPTS, "--layer", &layer]);
        shell::run(write.arg("--save").arg(&place))?;
        let report: Value = serde_json::from_slice(&std::fs::read(place.join("write-position.json"))?)?;
        let cells: Vec<&Value> = report["cells"].as_array().into_iter().flatten().take(4).collect();
        text += &table(
            &report,
            &format!("tiny-mamba, layer {layer}: write at a position (A at 0, B at 1)"),
            &cells,
        );
    }
    text += &table(taps, "tiny-mamba: taps of a convolution at B or behind it", &strongest(taps, 6));
    Ok(text + &table(offsets, "tiny-mamba: a convolution changed everywhere", &strongest(offsets, 5)))
}

fn mppc() -> std::process::Command {
    let mut mppc = std::process::Command::new(shell::target().join("release/mppc"));
    // Figures are those of one engine, whatever the machine has.
    mppc.args(["--engine", "cpu"]).current_dir(root());
    mppc
}

/// SAEs as the built-in ones were trained (`models/README.md`), from another seed.
fn train(model: &str, save: &PathBuf) -> Result<()> {
    if save.is_dir() {
        return Ok(());
    }
    let mut train = mppc();
    train.args([
        "sae",
        "train",
        model,
        "--hook",
        "blocks.*.hook_resid_post",
        "--corpus",
        "builtin",
        "--seed",
        "3",
    ]);
    train.args([
        "--sae-seeds",
        SEED,
        "--tokens",
        "1000000",
        "--features",
        "1024",
        "--topk",
        "16",
        "--lr",
        "0.01",
    ]);
    shell::run(train.arg("--save").arg(save))
}

/// Puts a text between the two marks.
fn write(path: &Path, (begin, end): (&str, &str), section: &str) -> Result<()> {
    let text = std::fs::read_to_string(path)?;
    let missing = |mark: &str| format!("{} has no line {mark}", path.display());
    let (before, rest) = text.split_once(begin).with_context(|| missing(begin))?;
    let (_, after) = rest.split_once(end).with_context(|| missing(end))?;
    std::fs::write(path, format!("{before}{begin}\n{section}{end}{after}"))?;
    println!("{} is written", path.display());
    Ok(())
}

/// One column: a comparison, one way.
struct Column<'a> {
    title: String,
    direction: &'a Value,
    /// The key of a share of this column's features.
    share: &'static str,
    report: &'a Value,
}

/// A row of the table: its name, and its value in a column.
type Row = (&'static str, fn(&Column<'_>) -> String);

/// The README's tables.
fn section(reports: &[Value]) -> String {
    let mut columns = Vec::new();
    for (i, report) in reports.iter().enumerate() {
        let name = |side: &str| report[side]["name"].as_str().unwrap_or("?").to_owned();
        let title = match i {
            0 => [format!("{} → {}", name("a"), name("b")), format!("{} → {}", name("b"), name("a"))],
            _ => [format!("{}, two SAE seeds", name("a")), String::new()],
        };
        let directions = [("a_to_b", "share_of_a"), ("b_to_a", "share_of_b")];
        for (title, (direction, share)) in title.into_iter().zip(directions) {
            // A skyline says the same both ways.
            if !title.is_empty() {
                columns.push(Column { title, direction: &report[direction], share, report });
            }
        }
    }
    let mut text = format!("\n| |{}\n", cells(&columns, |c| c.title.clone()));
    text += &format!("|---|{}\n", "--:|".repeat(columns.len()));
    let rows: &[Row] = &[
        ("features with variance", |c| c.direction["all"]["count"].to_string()),
        ("their mean MPPC", |c| mean(&c.direction["all"])),
        ("filtered features", |c| c.direction["filtered"]["count"].to_string()),
        ("**their mean MPPC**", |c| format!("**{}**", mean(&c.direction["filtered"]))),
        ("their median", |c| number(&c.direction["filtered"]["median"])),
        ("above 0.5", |c| percent(&c.direction["filtered"]["above_half"])),
        ("neurons", |c| mean(&c.direction["neurons"])),
        ("B's SAEs on rotated activations", |c| mean(&baseline(c, "rotated", "filtered"))),
        ("random SAEs in B's place", |c| mean(&baseline(c, "random", "filtered"))),
        ("null, tokens shuffled", |c| mean(&baseline(c, "shuffled", "filtered"))),
        ("null, tokens shifted", |c| mean(&baseline(c, "shifted", "filtered"))),
        ("found at a false discovery rate of 5 %", |c| percent(&c.direction["significance"]["q_below_5"])),
        ("halves of the tokens: Spearman", |c| number(&c.direction["halves"]["spearman"])),
        ("halves: the same partner", |c| percent(&c.direction["halves"]["same_partner"])),
        ("each other's best", |c| percent(&c.report["matching"]["mutual"][c.share])),
        ("one to one, mean", |c| number(&c.report["matching"]["one_to_one"]["mean"])),
        ("decoders one to one, mean cosine", |c| decoders(&c.report["matching"]["decoders"])),
        ("Spearman(ℓ, ℓ*)", |c| number(&c.direction["depth"]["spearman"])),
        ("mean \\|ℓ/L − ℓ*/L'\\|", |c| number(&c.direction["depth"]["distance"])),
        ("the same by chance", |c| number(&c.direction["depth"]["distance_by_chance"])),
    ];
    for (name, value) in rows {
        text += &format!("| {name} |{}\n", cells(&columns, value));
    }
    text += "\nMean MPPC of the filtered features by the context that a feature's best ground-truth tag takes \
             (F1 at least 0.5; in brackets how many):\n\n";
    text += &format!("| |{}\n|---|{}\n", cells(&columns, |c| c.title.clone()), "--:|".repeat(columns.len()));
    for (row, name) in ["the token", "n-gram", "phrase", "long range", "no tag"].into_iter().enumerate() {
        let value = |c: &Column<'_>| {
            let summary = &c.direction["complexity"][row]["summary"];
            format!("{} ({})", mean(summary), summary["count"])
        };
        text += &format!("| {name} |{}\n", cells(&columns, value));
    }
    text += "\n![Distribution of MPPC, tiny-neox in tiny-mamba](docs/report/distribution_a_to_b.svg)\n";
    text += "![Layers of tiny-neox and of tiny-mamba](docs/report/layers_a_to_b.svg)\n";
    text += "![Mean MPPC over fewer tokens](docs/report/convergence.svg)\n";
    text += "![MPPC by complexity](docs/report/complexity.svg)\n\n";
    text
}

fn baseline(column: &Column<'_>, kind: &str, which: &str) -> Value {
    let all = column.direction["baselines"].as_array();
    let found = all.into_iter().flatten().find(|baseline| baseline["kind"] == kind);
    found.map_or(Value::Null, |baseline| baseline[which].clone())
}

fn cells(columns: &[Column<'_>], value: impl Fn(&Column<'_>) -> String) -> String {
    columns.iter().map(|column| format!(" {} |", value(column))).collect()
}

fn number(value: &Value) -> String {
    value.as_f64().map_or_else(|| "–".to_owned(), |v| format!("{v:.3}"))
}

fn percent(value: &Value) -> String {
    value.as_f64().map_or_else(|| "–".to_owned(), |v| format!("{:.1} %", v * 100.0))
}

/// A mean with half of its 95 % interval.
fn mean(summary: &Value) -> String {
    let interval = &summary["intervals"]["mean"];
    match (interval["low"].as_f64(), interval["high"].as_f64()) {
        (Some(low), Some(high)) => format!("{} ± {:.3}", number(&summary["mean"]), (high - low) / 2.0),
        _ => number(&summary["mean"]),
    }
}

/// Mean over the SAEs.
fn decoders(matches: &Value) -> String {
    let values: Vec<f64> =
        matches.as_array().into_iter().flatten().filter_map(|m| m["matched"].as_f64()).collect();
    if values.is_empty() {
        "–".to_owned()
    } else {
        format!("{:.3}", values.iter().sum::<f64>() / values.len() as f64)
    }
}
