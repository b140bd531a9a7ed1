//! What the command line accepts.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use clap::{ArgGroup, Args as Group, Parser, Subcommand};
use mppc::failure::Failure;
use mppc::gpu::EngineChoice;
use mppc::lab::limits::{self, Whole};
use mppc::lab::{CircuitSettings, CorpusPlan, HealthSettings, TrainPlan};

/// Do a Transformer and a Mamba learn the same features? Trains SAEs, correlates all their features (MPPC) and
/// reports, on the GPU or the processor.
///
/// MODEL is a directory in Hugging Face format, one of the built-in pair (tiny-neox, tiny-mamba), a name that
/// `mppc models` lists, or owner/name[@revision] of a repository on the Hugging Face hub, which is downloaded unless
/// it is in the cache. HF_ENDPOINT, HF_TOKEN, HF_HOME and HF_HUB_OFFLINE are honoured.
/// A corpus is `builtin`, a .txt, .jsonl or .parquet file, a folder of .parquet files, or hub:OWNER/NAME of a data set
/// on the hub, of which no more files are downloaded than are read: hub:OWNER/NAME[@REVISION][/CONFIG[/SPLIT]], by
/// default its split `train` as the hub has converted it to Parquet. Texts in Parquet are in the column `text` or the
/// only one of strings; another is named after a colon: FILE.parquet:COLUMN.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Args {
    /// Print one JSON object on standard output instead of text, and no progress.
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Where to compute: auto (a real GPU if there is one), gpu (any adapter, even a software one), cpu.
    #[arg(long, global = true, default_value = "auto")]
    pub(crate) engine: EngineChoice,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// List adapters with their limits, and say which engine would be used and why.
    Devices,
    /// List the models and SAEs that are known, what is in the cache, and how large it is.
    Models,
    /// Download a model or SAEs from the hub into the Hugging Face cache, in the state they have there now.
    Fetch(FetchArgs),
    /// Run a model on text or tokens and save what its hooks see.
    Run(RunArgs),
    /// Train SAEs, encode activations.
    #[command(subcommand)]
    Sae(SaeCommand),
    /// Correlate all features of one file with all features of another: MPPC in both directions.
    Correlate(CorrelateArgs),
    /// Reproduce MPPC on a pair of models (the built-in pair by default) and write a report directory.
    Reproduce(ReproduceArgs),
    /// Compare two models as a plan says, with every control; goes on where it was stopped.
    Compare(CompareArgs),
    /// Unite what several machines have worked out.
    Merge(MergeArgs),
    /// Take a model's induction circuit apart: A B … A, what comes next, and through which parts?
    #[command(subcommand)]
    Circuit(CircuitCommand),
    /// Print documents of a corpus as JSON lines.
    Corpus(CorpusArgs),
}

#[derive(Group)]
pub(crate) struct FetchArgs {
    /// A name that `mppc models` lists, or owner/name[@revision].
    pub(crate) model: String,
    /// Fetch the files that match instead of a model's; `*` stands for anything. For SAEs, say 'layers.3/*'.
    #[arg(long, value_name = "PATTERN", num_args = 1..)]
    pub(crate) include: Vec<String>,
}

#[derive(Group)]
#[command(group = ArgGroup::new("input").required(true).args(["text", "text_file", "tokens"]))]
pub(crate) struct RunArgs {
    /// Directory, built-in or known model, or owner/name[@revision] of the hub.
    pub(crate) model: String,
    /// Run on this text.
    #[arg(long)]
    pub(crate) text: Option<String>,
    /// Run on the text of this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) text_file: Option<PathBuf>,
    /// Run on token ids: a JSON list of lists of equal length.
    #[arg(long, value_name = "T.json")]
    pub(crate) tokens: Option<PathBuf>,
    /// Run prompts longer than the model was made to read, however long that takes.
    #[arg(long)]
    pub(crate) past_context: bool,
    /// Hook points to keep; `*` stands for anything. `logits` keeps the logits.
    #[arg(long, required_unless_present = "top", requires = "save", num_args = 1.., value_name = "PATTERN")]
    pub(crate) hook: Vec<String>,
    /// Where to save them, each under its name, f32 [batch, position, …].
    #[arg(long, requires = "hook", value_name = "OUT.safetensors")]
    pub(crate) save: Option<PathBuf>,
    /// Print the N likeliest next tokens after each prompt; rows of the vocabulary that no token has don't count.
    #[arg(long, value_name = "N", value_parser = whole(limits::TOP))]
    pub(crate) top: Option<usize>,
}

#[derive(Subcommand)]
pub(crate) enum SaeCommand {
    /// Train an SAE on the activations of one hook, or one for every hook that matches, in one pass over the model.
    Train(Box<TrainArgs>),
    /// Encode saved activations into sparse codes.
    Encode(EncodeArgs),
    /// Show what SAE files hold: format, architecture, sizes, hook, and the conventions that reading them takes.
    Info(InfoArgs),
    /// Write an SAE of any format in SAELens's, with its conventions folded into the weights.
    Convert(ConvertArgs),
    /// Measure how healthy SAEs are: L0, explained variance, dead features, decoder, loss and divergence when spliced
    /// in.
    Health(HealthArgs),
}

#[derive(Group)]
#[command(group = ArgGroup::new("kind").required(true).multiple(true)
    .args(["topk", "batchtopk", "jumprelu", "gated", "l1"]))]
pub(crate) struct TrainArgs {
    /// Directory, built-in or known model, or owner/name[@revision] of the hub.
    pub(crate) model: String,
    /// Hook to read, heads side by side; with `*` (say, blocks.*.hook_resid_post) one SAE for each match.
    #[arg(long)]
    pub(crate) hook: String,
    /// builtin, a .txt, .jsonl or .parquet file, a folder of .parquet files, or hub:OWNER/NAME.
    #[arg(long, default_value = "builtin")]
    pub(crate) corpus: String,
    /// Tokens to train on.
    #[arg(long, value_parser = whole(limits::TOKENS))]
    pub(crate) tokens: usize,
    /// Number of features.
    #[arg(long, value_parser = whole(limits::FEATURES))]
    pub(crate) features: usize,
    /// TopK: keep the K largest activations of a token. Several numbers, here and below, train several SAEs of a
    /// hook at once: --topk 16,32,64.
    #[arg(long, value_name = "K", value_delimiter = ',', value_parser = whole(limits::FEATURES))]
    pub(crate) topk: Vec<usize>,
    /// BatchTopK: keep K activations of a token on average over a batch.
    #[arg(long, value_name = "K", value_delimiter = ',', value_parser = whole(limits::FEATURES))]
    pub(crate) batchtopk: Vec<usize>,
    /// JumpReLU: a learned threshold for each feature; LAMBDA is what an active feature costs, as a share of the
    /// variance (say, 0.002).
    #[arg(long, value_name = "LAMBDA", value_delimiter = ',', value_parser = coefficient)]
    pub(crate) jumprelu: Vec<f64>,
    /// Gated, with a penalty of this weight on the gates (say, 0.002).
    #[arg(long, value_name = "LAMBDA", value_delimiter = ',', value_parser = coefficient)]
    pub(crate) gated: Vec<f64>,
    /// ReLU with an L1 penalty of this weight, as in the paper (say, 0.01).
    #[arg(long, value_name = "LAMBDA", value_delimiter = ',', value_parser = coefficient)]
    pub(crate) l1: Vec<f64>,
    /// Seeds of the weights, to train the same SAE several times [default: the one of --seed].
    #[arg(long, value_name = "SEED", value_delimiter = ',', value_parser = seed)]
    pub(crate) sae_seeds: Vec<u64>,
    /// Of the tokens, fine-tune the decoder on the last N without a penalty, against shrinkage (--l1 only).
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = whole(limits::MAYBE_TOKENS))]
    pub(crate) fine_tune: usize,
    /// Silence features that hardly fire on the N tokens after, as the paper's library does (--l1 only).
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = whole(limits::MAYBE_TOKENS))]
    pub(crate) prune: usize,
    /// A feature that has not fired for N tokens is dead.
    #[arg(long, value_name = "N", default_value_t = TrainPlan::default().dead_after)]
    #[arg(value_parser = whole(limits::TOKENS))]
    pub(crate) dead_after: usize,
    /// Leave dead features dead: no auxiliary loss, no resampling.
    #[arg(long)]
    pub(crate) no_revive: bool,
    /// Seconds between two checkpoints. The same command again goes on from the last one.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = seconds)]
    pub(crate) checkpoint_every: u64,
    /// Learning rate.
    #[arg(long, default_value_t = TrainPlan::default().lr, value_parser = rate)]
    pub(crate) lr: f64,
    /// Tokens in a training step.
    #[arg(long, default_value_t = TrainPlan::default().batch, value_parser = whole(limits::STEP))]
    pub(crate) batch: usize,
    /// Seed of the initialisation, the shuffling and the built-in corpus.
    #[arg(long, default_value_t = TrainPlan::default().seed, value_parser = seed)]
    pub(crate) seed: u64,
    /// Documents are cut to this many tokens.
    #[arg(long, default_value_t = TrainPlan::default().context, value_parser = whole(limits::CONTEXT))]
    pub(crate) context: usize,
    /// Save weights as 16-bit floats.
    #[arg(long)]
    pub(crate) f16: bool,
    /// Directory to save to, in SAELens format; with several SAEs, one folder each, named after the hook.
    #[arg(long, value_name = "DIR")]
    pub(crate) save: PathBuf,
}

#[derive(Group)]
pub(crate) struct EncodeArgs {
    /// Directory of an SAE of SAELens, sparsify, Language-Model-SAEs or (converted) dictionary_learning.
    pub(crate) sae_dir: PathBuf,
    /// Activations, numbers of any type [.., d_in] (as `mppc run` saves them); of heads, [B, T, H, d], the SAE's own or
    /// all.
    pub(crate) acts: PathBuf,
    /// Name of the tensor in that file.
    #[arg(long, value_name = "NAME")]
    pub(crate) key: String,
    /// Where to save the codes: rows by token, indptr i64, indices u16 (i32 beyond 65,536 features), values f32.
    #[arg(long, value_name = "CODES.safetensors")]
    pub(crate) save: PathBuf,
}

#[derive(Group)]
pub(crate) struct InfoArgs {
    /// Directory of one SAE, or of several.
    pub(crate) dir: PathBuf,
}

#[derive(Group)]
pub(crate) struct ConvertArgs {
    /// Directory of one SAE.
    pub(crate) sae_dir: PathBuf,
    /// Save weights as 16-bit floats.
    #[arg(long)]
    pub(crate) f16: bool,
    /// Directory to save to.
    #[arg(long, value_name = "DIR")]
    pub(crate) save: PathBuf,
}

#[derive(Group)]
pub(crate) struct HealthArgs {
    /// Directory, built-in or known model, or owner/name[@revision] of the hub.
    pub(crate) model: String,
    /// SAEs: a directory with one folder each. The built-in pair brings its own.
    #[arg(long, value_name = "DIR")]
    pub(crate) saes: Option<PathBuf>,
    /// builtin, a .txt, .jsonl or .parquet file, a folder of .parquet files, or hub:OWNER/NAME.
    #[arg(long, default_value_t = HealthSettings::default().corpus)]
    pub(crate) corpus: String,
    /// Tokens to measure on.
    #[arg(long, default_value_t = HealthSettings::default().tokens, value_parser = whole(limits::TOKENS))]
    pub(crate) tokens: usize,
    /// Seed of the built-in corpus.
    #[arg(long, default_value_t = HealthSettings::default().seed, value_parser = seed)]
    pub(crate) seed: u64,
    /// Documents are cut to this many tokens.
    #[arg(long, default_value_t = HealthSettings::default().context, value_parser = whole(limits::CONTEXT))]
    pub(crate) context: usize,
    /// File to save every figure to: distributions, settings, reasons to be warned.
    #[arg(long, value_name = "FILE.json")]
    pub(crate) save: Option<PathBuf>,
}

#[derive(Group)]
pub(crate) struct CorrelateArgs {
    /// Codes (indptr, indices, values, as `sae encode`, SciPy and torch have them) or dense `acts` [T, F], of any type.
    pub(crate) a: PathBuf,
    /// The same for the other side, over the same T tokens.
    pub(crate) b: PathBuf,
    /// Where to save a_to_b.mppc, a_to_b.argmax, b_to_a.mppc, b_to_a.argmax.
    #[arg(long, value_name = "OUT.safetensors")]
    pub(crate) save: PathBuf,
    /// Also by the arithmetic of the paper's script (codes in bf16, raw moments in f32, dead features kept), to see
    /// the difference; saved under published.*. On the processor; codes only.
    #[arg(long)]
    pub(crate) published: bool,
}

#[derive(Group)]
pub(crate) struct ReproduceArgs {
    /// First model.
    #[arg(long, default_value = "tiny-neox")]
    pub(crate) a: String,
    /// Its SAEs, one folder each; the built-in pair brings its own.
    #[arg(long, value_name = "DIR")]
    pub(crate) a_saes: Option<PathBuf>,
    /// Second model.
    #[arg(long, default_value = "tiny-mamba")]
    pub(crate) b: String,
    /// Its SAEs.
    #[arg(long, value_name = "DIR")]
    pub(crate) b_saes: Option<PathBuf>,
    /// builtin, a .txt, .jsonl or .parquet file, a folder of .parquet files, or hub:OWNER/NAME.
    #[arg(long, default_value_t = CorpusPlan::default().source)]
    pub(crate) corpus: String,
    /// Tokens to correlate over.
    #[arg(long, default_value_t = CorpusPlan::default().tokens, value_parser = whole(limits::COMPARED_TOKENS))]
    pub(crate) tokens: usize,
    /// Tokens for the neuron baseline, if not all of them: it takes most of the time.
    #[arg(long, value_name = "N", value_parser = whole(limits::SOME_TOKENS))]
    pub(crate) neuron_tokens: Option<usize>,
    /// Seed of the built-in corpus and of the shuffle.
    #[arg(long, default_value_t = CorpusPlan::default().seed, value_parser = seed)]
    pub(crate) seed: u64,
    /// Documents are cut to this many tokens, BOS included.
    #[arg(long, default_value_t = CorpusPlan::default().context, value_parser = whole(limits::CONTEXT))]
    pub(crate) context: usize,
    /// Take the mean over d_model from A's residuals first, as the paper's script does.
    #[arg(long)]
    pub(crate) center_resid: bool,
    /// Report directory: report.json, CSV tables, report.html.
    #[arg(long, value_name = "DIR", default_value = "report")]
    pub(crate) save: PathBuf,
}

/// A plan is a TOML file. It names two models; all else may be left out:
///
/// [a]
/// model = "pythia-160m"   # as MODEL elsewhere
/// saes = "saes/pythia"    # else those beside the weights
///
/// [b]
/// model = "mamba-130m"
///
/// [corpus]
/// source = "hub:Skylion007/openwebtext"
/// tokens = 1_000_000
///
/// `mppc compare --example` prints a plan with every key, its meaning, its range and its default; `--schema` prints a
/// JSON Schema, by which editors complete plans.
///
/// What is worked out is kept in the store, so that a run that was killed goes on, and a plan with one layer or control
/// more computes only that. Machines can share the work: each with --shards, or with some layers in its plan; then
/// `mppc merge`, and once more without --shards.
#[derive(Group)]
#[command(verbatim_doc_comment)]
pub(crate) struct CompareArgs {
    /// The plan.
    #[arg(required_unless_present_any = ["example", "schema"])]
    pub(crate) plan: Option<PathBuf>,
    /// Print a whole plan, every key with its default, and do nothing else.
    #[arg(long, conflicts_with_all = ["plan", "schema"])]
    pub(crate) example: bool,
    /// Print a JSON Schema of plans, and do nothing else.
    #[arg(long, conflicts_with = "plan")]
    pub(crate) schema: bool,
    /// Folder for codes and correlations [default: the plan's name with .store].
    #[arg(long, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,
    /// Report directory: report.json, report.html, tables, figures.
    #[arg(long, value_name = "DIR", default_value = "report")]
    pub(crate) save: PathBuf,
    /// Only encode these shards of the tokens, the last one excluded: 0..4.
    #[arg(long, value_name = "FROM..TO", value_parser = shards, conflicts_with = "dry_run")]
    pub(crate) shards: Option<std::ops::Range<usize>>,
    /// Try a little of each stage, and say what the run would cost in time, memory and disk.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Reads a number of a range; what is wrong with another says the range.
fn whole(range: Whole) -> impl Fn(&str) -> Result<usize, Failure> + Clone + Send + Sync {
    move |text| {
        let number = range.parse(text)?;
        usize::try_from(number).map_err(|_| "this machine cannot count so far".into())
    }
}

fn seed(text: &str) -> Result<u64, Failure> {
    limits::SEED.parse(text)
}

fn seconds(text: &str) -> Result<u64, Failure> {
    limits::SECONDS.parse(text)
}

/// Reads what an active feature costs.
fn coefficient(text: &str) -> Result<f64, String> {
    between(text, 0.0..=1e6, "0 to 1000000")
}

/// Reads a learning rate.
fn rate(text: &str) -> Result<f64, String> {
    between(text, 1e-12..=1e3, "1e-12 to 1000")
}

fn between(text: &str, range: RangeInclusive<f64>, told: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| format!("a number is needed, {told}"))
}

fn shards(text: &str) -> Result<std::ops::Range<usize>, String> {
    let number = |text: &str| whole(limits::SOME_TOKENS)(text).ok();
    let parsed = text.split_once("..").and_then(|(from, to)| Some(number(from)?..number(to)?));
    parsed.filter(|range: &std::ops::Range<usize>| !range.is_empty()).ok_or_else(|| {
        let range = limits::SOME_TOKENS;
        format!("two numbers are needed, {range}, the smaller one first, as in 0..4 for the first four")
    })
}

/// Prompts are random tokens with A somewhere in the first half, B behind it, and A again at the end; neither occurs
/// anywhere else. Every intervention is a run in which one part of the model comes from a corrupted prompt; told is
/// what B's logit changes by, with a 95 % bootstrap interval over prompts.
#[derive(Subcommand)]
pub(crate) enum CircuitCommand {
    /// Transformer: each head's hook_z at the last position from an unrelated prompt, all other heads there frozen.
    HeadToLogit(CircuitArgs),
    /// Transformer: each earlier head's hook_z at B, through one receiving head, from an unrelated prompt.
    HeadToHead(CircuitArgs),
    /// Mamba: each layer's last state rebuilt from a prompt with another B, all other layers' frozen.
    StateToLogit(CircuitArgs),
    /// Mamba: each layer's y at the last position from a prompt with another end, other layers' frozen.
    YToLogit(CircuitArgs),
    /// Mamba: x, Δ, B, C or the gate of each layer, at every position, from a prompt with another B.
    SsmParts(CircuitArgs),
    /// Mamba: one position's write into a layer's last state from a prompt with another B. A is at 0, B at 1.
    WritePosition(CircuitArgs),
    /// Mamba: taps of each layer's convolution at B, and behind it, from a prompt with another A and B.
    ConvTaps(CircuitArgs),
    /// Mamba: each layer's convolution without one tap, with taps that read later, or its SSM fed sooner.
    OffByOne(CircuitArgs),
    /// All experiments of the model's kind, and the circuit that they show as a graph.
    All(CircuitArgs),
    /// Look inside at one prompt: attention or hidden attention, scores, logit lens and attribution, writes, taps; no
    /// intervention.
    Look(LookArgs),
    /// The paper's experiments on Pythia-160M and Mamba-130M, published numbers beside measured ones.
    Paper(PaperArgs),
}

#[derive(Group, Clone)]
pub(crate) struct CircuitArgs {
    /// Directory, built-in or known model, or owner/name[@revision] of the hub.
    pub(crate) model: String,
    /// Number of prompts.
    #[arg(long, default_value_t = CircuitSettings::default().prompts, value_parser = whole(limits::PROMPTS))]
    pub(crate) prompts: usize,
    /// Tokens of each.
    #[arg(long, default_value_t = CircuitSettings::default().tokens, value_parser = whole(limits::PROMPT))]
    pub(crate) tokens: usize,
    /// Seed of the prompts.
    #[arg(long, default_value_t = CircuitSettings::default().seed, value_parser = seed)]
    pub(crate) seed: u64,
    /// Layer to take apart (ssm-parts, write-position, conv-taps, off-by-one) [default: the one whose state matters
    /// most, or all].
    #[arg(long, value_parser = whole(limits::LAYER))]
    pub(crate) layer: Option<usize>,
    /// Head that receives (head-to-head) [default: the one that matters most].
    #[arg(long, value_name = "LAYER.HEAD", value_parser = head)]
    pub(crate) receiver: Option<[usize; 2]>,
    /// write-position as in the paper's notebook, which pairs the corrupted decay of position p+1 with the write of p.
    #[arg(long)]
    pub(crate) published: bool,
    /// Directory for JSON (every prompt's answers), CSV and SVG.
    #[arg(long, value_name = "DIR")]
    pub(crate) save: Option<PathBuf>,
}

fn head(text: &str) -> Result<[usize; 2], String> {
    let number = |text: &str| whole(limits::LAYER)(text).ok();
    let parsed = text.split_once('.').and_then(|(layer, head)| Some([number(layer)?, number(head)?]));
    parsed.ok_or_else(|| format!("a layer and a head are needed, as in 5.0, each {}", limits::LAYER))
}

#[derive(Group)]
pub(crate) struct LookArgs {
    /// Directory, built-in or known model, or owner/name[@revision] of the hub.
    pub(crate) model: String,
    /// Text to look at; else random tokens with A B … A in them.
    #[arg(long)]
    pub(crate) text: Option<String>,
    /// Tokens of the random prompt, and of those that scores are over.
    #[arg(long, default_value_t = 48, value_parser = whole(limits::LOOKED_AT))]
    pub(crate) tokens: usize,
    /// Seed of random prompts.
    #[arg(long, default_value_t = CircuitSettings::default().seed, value_parser = seed)]
    pub(crate) seed: u64,
    /// Groups of a Mamba's channels to look at apart.
    #[arg(long, default_value_t = CircuitSettings::default().groups, value_parser = whole(limits::GROUPS))]
    pub(crate) groups: usize,
    /// File for everything: patterns, scores, lens, attribution, writes, taps.
    #[arg(long, value_name = "FILE.json")]
    pub(crate) save: Option<PathBuf>,
}

#[derive(Group)]
pub(crate) struct PaperArgs {
    /// The Transformer.
    #[arg(long, default_value = "pythia-160m")]
    pub(crate) a: String,
    /// The Mamba.
    #[arg(long, default_value = "mamba-130m")]
    pub(crate) b: String,
    /// Number of prompts of each experiment (the paper has 65,536 of most).
    #[arg(long, default_value_t = CircuitSettings::default().prompts, value_parser = whole(limits::PROMPTS))]
    pub(crate) prompts: usize,
    /// Seed of the prompts.
    #[arg(long, default_value_t = CircuitSettings::default().seed, value_parser = seed)]
    pub(crate) seed: u64,
    /// Directory for the experiments and comparison.csv.
    #[arg(long, value_name = "DIR")]
    pub(crate) save: Option<PathBuf>,
}

#[derive(Group)]
pub(crate) struct MergeArgs {
    /// Stores.
    #[arg(required = true, num_args = 1..)]
    pub(crate) stores: Vec<PathBuf>,
    /// Store that takes them in; it may have things already.
    #[arg(long, value_name = "DIR")]
    pub(crate) into: PathBuf,
}

#[derive(Group)]
pub(crate) struct CorpusArgs {
    /// builtin, a .txt, .jsonl or .parquet file, a folder of .parquet files, or hub:OWNER/NAME.
    #[arg(default_value = "builtin")]
    pub(crate) corpus: String,
    /// How many documents.
    #[arg(long, default_value_t = 1, value_parser = whole(limits::PRINTED))]
    pub(crate) documents: usize,
    /// Seed of the built-in corpus; the same seed gives the same text for ever.
    #[arg(long, default_value_t = 1, value_parser = seed)]
    pub(crate) seed: u64,
}
