//! `report.html`: the report as a page that opens from disk, without a server or a script.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::figures::{self, Figure, Section};
use crate::lab::compare::{Direction, Feature, Matches, Matching, Report, Subject};
use crate::stats::Interval;
use crate::universality::Summary;

const STYLE: &str = "
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; \
background: #fff }
h1, h2 { line-height: 1.2 } h2 { margin-top: 2.5rem }
table { border-collapse: collapse; margin: 1rem 0 } \
th, td { padding: .3rem .7rem; border-bottom: 1px solid #ddd; text-align: right; vertical-align: top }
th:first-child, td:first-child, td.text { text-align: left } \
caption { text-align: left; color: #555; padding-bottom: .3rem }
mark { background: #ffe08a; padding: 0 .1em } \
.example { font-size: .9rem; white-space: pre-wrap; overflow-wrap: anywhere }
.warning { border-left: 3px solid #a3271b; padding-left: .7rem }
figure { margin: 1rem 0; overflow-x: auto } figcaption { color: #555 } \
code { font-size: .8rem; overflow-wrap: anywhere } svg { max-width: 100%; height: auto }
";

/// The whole page.
pub(super) fn page(report: &Report) -> String {
    let (a, b) = (&report.a, &report.b);
    let title = format!("{} and {}: how alike are their features?", a.name, b.name);
    let figures = figures::comparison(report);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (title) }
                p {
                    "Each feature of one model is correlated with every feature of the other over the same "
                    (report.tokens) " tokens (corpus: " (report.plan.corpus.source) ", seed "
                    (report.plan.corpus.seed) "). The best correlation it finds is its MPPC, the maximum pairwise "
                    "Pearson correlation."
                }
                h2 { "Summary" }
                (summaries(&report.a_to_b, a, b))
                (summaries(&report.b_to_a, b, a))
                p {
                    "Filtered features fire on at least " (report.plan.filter.min) " and at most "
                    (report.plan.filter.max) " of the tokens. In brackets: 95 % bootstrap intervals over the features."
                    @if report.neuron_tokens > 0 {
                        " The neuron baseline is computed on " (report.neuron_tokens) " tokens."
                    }
                }
                (drawn(&figures, Section::Distribution))
                h2 { "Layer by layer" }
                (depth(report))
                (drawn(&figures, Section::Layers))
                (trust(report, &figures))
                @if !report.a_to_b.complexity.is_empty() {
                    h2 { "Complexity" }
                    (complexity(report))
                    (drawn(&figures, Section::Complexity))
                }
                @if let Some(matching) = &report.matching { h2 { "One to one" } (matches(matching, a, b)) }
                @if let Some(likeness) = &report.likeness {
                    h2 { "The activations themselves" }
                    p {
                        "Over " (likeness.tokens) " tokens (RSA: " (likeness.rsa_tokens) " of them), between what the "
                        "SAEs of the two models read."
                    }
                    (drawn(&figures, Section::Likeness))
                }
                h2 { "SAEs" }
                (saes(a))
                (saes(b))
                h2 { "Best pairs" }
                (pairs(report))
                h2 { "How it was made" }
                p {
                    "mppc " (report.version) " on the " (report.engine) " engine (" (report.adapter) "), context "
                    (report.plan.corpus.context) ", batches of " (report.plan.corpus.batch) " documents"
                    @if report.plan.a.center_resid { ", A's residuals centred" }
                    @if report.plan.b.center_resid { ", B's residuals centred" } "."
                }
                @if !report.inputs.is_empty() {
                    table {
                        caption { "Files that went in" }
                        tr { th { "file" } th { "bytes" } th { "SHA-256" } }
                        @for i in &report.inputs {
                            tr { td { (i.name) } td { (i.bytes) } td.text { code { (i.sha256) } } }
                        }
                    }
                }
                table {
                    caption { "Wall time" }
                    @for t in &report.timings { tr { td { (t.stage) } td { (format!("{:.1} s", t.seconds)) } } }
                }
            }
        }
    }
    .into_string()
}

fn number(value: Option<f64>) -> String {
    value.filter(|v| v.is_finite()).map_or_else(|| "–".to_owned(), |v| format!("{v:.3}"))
}

/// The figures of a section.
fn drawn(figures: &[Figure], section: Section) -> Markup {
    html! {
        @for figure in figures.iter().filter(|figure| figure.section == section) {
            figure { (PreEscaped(&figure.svg)) figcaption { (figure.caption) "." } }
        }
    }
}

/// A figure with its interval.
fn with(value: Option<f64>, interval: Option<Interval>) -> String {
    match interval {
        Some(Interval { low, high }) => format!("{} [{low:.3}, {high:.3}]", number(value)),
        None => number(value),
    }
}

fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |v| format!("{:.1} %", v * 100.0))
}

fn summaries(direction: &Direction, from: &Subject, to: &Subject) -> Markup {
    let row = |name: &str, s: &Summary| {
        html! {
            tr {
                td { (name) }
                td { (s.count) }
                td { (with(s.mean, s.intervals.map(|i| i.mean))) }
                td { (with(s.median, s.intervals.map(|i| i.median))) }
                td { (percent(s.above_half)) }
            }
        }
    };
    html! {
        table {
            caption { (from.name) " → " (to.name) }
            tr { th { } th { "count" } th { "mean MPPC" } th { "median" } th { "above 0.5" } }
            @for (name, summary) in direction.summaries() { (row(name, summary)) }
            @for baseline in &direction.baselines {
                (row(&format!("{}: all features", baseline.kind.name()), &baseline.all))
                (row(&format!("{}: filtered", baseline.kind.name()), &baseline.filtered))
            }
        }
    }
}

fn depth(report: &Report) -> Markup {
    let row = |from: &Subject, direction: &Direction| {
        html! {
            tr {
                td { (from.name) }
                td { (number(direction.depth.spearman)) }
                td { (number(direction.depth.distance)) }
                td { (number(direction.depth.distance_by_chance)) }
            }
        }
    };
    html! {
        table {
            caption { "Depth of a filtered feature and of its partner: ℓ of L layers and ℓ* of L'" }
            tr { th { "features of" } th { "Spearman(ℓ, ℓ*)" } th { "mean |ℓ/L − ℓ*/L'|" } th { "the same by chance" } }
            (row(&report.a, &report.a_to_b))
            (row(&report.b, &report.b_to_a))
        }
    }
}

/// Whether the figures can be believed: p-values, halves, fewer tokens.
fn trust(report: &Report, figures: &[Figure]) -> Markup {
    let both = [(&report.a, &report.a_to_b), (&report.b, &report.b_to_a)];
    let shown = both.iter().any(|(_, d)| d.significance.is_some() || d.halves.is_some());
    html! {
        @if shown { h2 { "How far to trust it" } }
        @for (from, d) in both {
            @if let Some(s) = &d.significance {
                p {
                    (from.name) ": " (percent(Some(s.p_below_5))) " of " (s.tested) " features have p < 0.05, and "
                    (percent(Some(s.q_below_5))) " are found at a false discovery rate of 0.05. Behind each p-value "
                    "are at least " (s.draws) " null maxima: those of its own feature, which are exact, and of its "
                    "neighbours by density, which stand in for more of them."
                }
            }
            @if let Some(h) = &d.halves {
                p {
                    (from.name) ", one half of the tokens against the other: mean MPPC " (number(h.means[0])) " and "
                    (number(h.means[1])) ", Spearman correlation " (number(h.spearman)) " over " (h.count)
                    " features, mean difference " (number(h.difference)) ", the same partner for "
                    (percent(h.same_partner)) "."
                }
            }
        }
        (drawn(figures, Section::Trust))
    }
}

fn complexity(report: &Report) -> Markup {
    html! {
        @for (from, direction) in [(&report.a, &report.a_to_b), (&report.b, &report.b_to_a)] {
            table {
                caption {
                    "Filtered features of " (from.name) " by the context that their best ground-truth tag takes "
                    "(F1 at least " (direction.complexity.first().map_or(0.0, |c| c.least_f1)) ")"
                }
                tr { th { "context" } th { "features" } th { "mean MPPC" } th { "median" } }
                @for c in &direction.complexity {
                    tr {
                        td { (figures::names(c.context).in_words) }
                        td { (c.summary.count) }
                        td { (with(c.summary.mean, c.summary.intervals.map(|i| i.mean))) }
                        td { (number(c.summary.median)) }
                    }
                }
            }
        }
    }
}

fn matches(matching: &Matching, a: &Subject, b: &Subject) -> Markup {
    let row = |name: &str, m: &Matches| {
        html! {
            tr {
                td { (name) }
                td { (m.count) }
                td { (percent(m.share_of_a)) }
                td { (percent(m.share_of_b)) }
                td { (number(m.mean)) }
                td { (percent(m.above_half)) }
            }
        }
    };
    html! {
        table {
            caption { "Pairs of features, none in two of them" }
            tr {
                th { } th { "pairs" } th { "of " (a.name) } th { "of " (b.name) } th { "mean correlation" }
                th { "above 0.5" }
            }
            (row("each other's best", &matching.mutual))
            (row("assignment of the largest sum", &matching.one_to_one))
        }
        @if !matching.decoders.is_empty() {
            table {
                caption { "One-to-one matches by decoder cosine, of each SAE with the one that it is most alike" }
                tr {
                    th { "layer of " (a.name) } th { "layer of " (b.name) } th { "mean best cosine" }
                    th { "mean matched cosine" } th { "matched above 0.7" } th { "same as by MPPC" }
                }
                @for d in &matching.decoders {
                    tr {
                        td { (d.a) }
                        td { (d.b) }
                        td { (number(d.best)) }
                        td { (number(d.matched)) }
                        td { (percent(Some(d.above_07))) }
                        td { (percent(d.same_as_mppc)) }
                    }
                }
            }
        }
    }
}

fn saes(subject: &Subject) -> Markup {
    html! {
        table {
            caption {
                (subject.name) " (" (subject.architecture) ", " (subject.layers) " layers, width " (subject.d_model) ")"
            }
            tr { th { "hook" } th { "features" } th { "L0" } th { "dead here" } th { "filtered" } }
            @for s in &subject.saes {
                tr {
                    td { (s.hook) } td { (s.features) } td { (format!("{:.1}", s.l0)) } td { (s.dead) } td { (s.kept) }
                }
            }
        }
        @for s in &subject.saes {
            @for flag in &s.flags { p.warning { (s.hook) " is not healthy: " (flag.reason) "." } }
        }
    }
}

fn pairs(report: &Report) -> Markup {
    let examples = |f: &Feature| {
        html! {
            @for e in f.top.iter().take(4) {
                div.example { (e.before) mark { (e.token) } (e.after) }
            }
        }
    };
    let place = |f: &Feature| format!("layer {}, feature {}", f.layer, f.index);
    html! {
        table {
            tr { th { "MPPC" } th { (report.a.name) } th { (report.b.name) } }
            @for pair in &report.pairs {
                tr {
                    td { (format!("{:.3}", pair.mppc)) }
                    td.text { (place(&pair.a)) (examples(&pair.a)) }
                    td.text { (place(&pair.b)) (examples(&pair.b)) }
                }
            }
        }
    }
}
