//! `report.html`: the report as a page that opens from disk, without a server or a script.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::figures;
use super::{Direction, Feature, Report, Subject};
use crate::universality::Summary;

const STYLE: &str = "
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; background: #fff }
h1, h2 { line-height: 1.2 } h2 { margin-top: 2.5rem }
table { border-collapse: collapse; margin: 1rem 0 } th, td { padding: .3rem .7rem; border-bottom: 1px solid #ddd; text-align: right; vertical-align: top }
th:first-child, td:first-child, td.text { text-align: left } caption { text-align: left; color: #555; padding-bottom: .3rem }
mark { background: #ffe08a; padding: 0 .1em } .example { font-size: .9rem; white-space: pre-wrap; overflow-wrap: anywhere }
.warning { border-left: 3px solid #a3271b; padding-left: .7rem }
figure { margin: 1rem 0; overflow-x: auto } svg { max-width: 100%; height: auto }
";

/// The whole page.
pub(super) fn page(report: &Report) -> String {
    let (a, b) = (&report.a, &report.b);
    let title = format!("{} and {}: how alike are their features?", a.name, b.name);
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
                    (report.settings.tokens) " tokens (corpus: " (report.settings.corpus) ", seed "
                    (report.settings.seed) "). The best correlation it finds is its MPPC, the maximum pairwise Pearson "
                    "correlation. Two baselines stand beside it: neurons instead of features, and the same features "
                    "with the other model's tokens shuffled."
                }
                h2 { "Summary" }
                (summaries(&report.a_to_b, a, b))
                (summaries(&report.b_to_a, b, a))
                p {
                    "Filtered features fire on at least " (report.settings.min_density) " and at most "
                    (report.settings.max_density) " of the tokens. The neuron baseline is computed on "
                    (report.settings.neuron_tokens) " tokens."
                }
                h2 { "Distribution" }
                figure { (PreEscaped(figures::histogram(&report.a_to_b, &a.name, &b.name))) }
                figure { (PreEscaped(figures::histogram(&report.b_to_a, &b.name, &a.name))) }
                h2 { "Layer by layer" }
                p {
                    "Mean over the filtered features of a layer (row) of their best correlation within a layer of the "
                    "other model (column). Spearman correlation of a feature's layer with its partner's layer: "
                    (number(report.a_to_b.depth_spearman)) " from " (a.name) ", "
                    (number(report.b_to_a.depth_spearman)) " from " (b.name) "."
                }
                figure { (PreEscaped(figures::heat_map(&report.a_to_b, &a.name, &b.name))) }
                figure { (PreEscaped(figures::heat_map(&report.b_to_a, &b.name, &a.name))) }
                h2 { "SAEs" }
                (saes(a))
                (saes(b))
                h2 { "Best pairs" }
                (pairs(report))
                h2 { "How it was made" }
                p {
                    "mppc " (report.version) " on the " (report.engine) " engine (" (report.adapter) "), context "
                    (report.settings.context) ", batches of " (report.settings.batch) " documents"
                    @if report.settings.center_resid { ", A's residuals centred" } "."
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

fn summaries(direction: &Direction, from: &Subject, to: &Subject) -> Markup {
    let row = |name: &str, s: &Summary| {
        html! {
            tr {
                td { (name) }
                td { (s.count) }
                td { (number(s.mean)) }
                td { (number(s.median)) }
                td { (s.above_half.map_or_else(|| "–".to_owned(), |v| format!("{:.1} %", v * 100.0))) }
            }
        }
    };
    html! {
        table {
            caption { (from.name) " → " (to.name) }
            tr { th { } th { "count" } th { "mean MPPC" } th { "median" } th { "above 0.5" } }
            (row("all features with variance", &direction.all))
            (row("filtered features", &direction.filtered))
            (row("neurons (baseline)", &direction.neurons))
            (row("filtered features, tokens shuffled (null)", &direction.null))
        }
    }
}

fn saes(subject: &Subject) -> Markup {
    html! {
        table {
            caption { (subject.name) " (" (subject.architecture) ", " (subject.layers) " layers, width " (subject.d_model) ")" }
            tr { th { "hook" } th { "features" } th { "L0" } th { "dead here" } th { "filtered" } }
            @for s in &subject.saes {
                tr { td { (s.hook) } td { (s.features) } td { (format!("{:.1}", s.l0)) } td { (s.dead) } td { (s.kept) } }
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
