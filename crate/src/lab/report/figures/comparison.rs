//! The figures of a comparison.

use plotters::prelude::RGBColor;

use super::canvas::{FEATURES, NEURONS};
use super::heat_map::HeatMap;
use super::histogram::histogram;
use super::lines::{Axes, Group, Series, bars, lines};
use crate::corpus::Context;
use crate::lab::compare::{Complexity, Converging, Direction, LayerPairs, Report, Subject};

/// A figure of a report.
pub(in crate::lab::report) struct Figure {
    /// Name of its file.
    pub(in crate::lab::report) name: String,
    /// The section that it belongs to.
    pub(in crate::lab::report) section: Section,
    /// What it shows.
    pub(in crate::lab::report) caption: String,
    /// The figure.
    pub(in crate::lab::report) svg: String,
}

/// Sections of a report that have figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lab::report) enum Section {
    Distribution,
    Layers,
    Trust,
    Complexity,
    Likeness,
}

/// All figures for which the report has numbers.
pub(in crate::lab::report) fn comparison(report: &Report) -> Vec<Figure> {
    let (a, b) = (&report.a, &report.b);
    let mut figures = Vec::new();
    for (key, from, to, direction) in [("a_to_b", a, b, &report.a_to_b), ("b_to_a", b, a, &report.b_to_a)] {
        figures.push(Figure {
            name: format!("distribution_{key}"),
            section: Section::Distribution,
            caption: format!("MPPC of the features of {}", from.name),
            svg: histogram(direction, &from.name, &to.name),
        });
        figures.extend(layers(key, (from, to), direction));
    }
    let both = [(a, &report.a_to_b, FEATURES), (b, &report.b_to_a, NEURONS)];
    figures.push(above(both));
    if !report.a_to_b.convergence.is_empty() {
        figures.push(convergence(both));
    }
    if !report.a_to_b.complexity.is_empty() {
        figures.push(complexity(both));
    }
    figures.extend(likeness(report));
    figures
}

fn numbers(subject: &Subject) -> Vec<usize> {
    subject.saes.iter().map(|sae| sae.layer).collect()
}

fn layers(key: &str, (from, to): (&Subject, &Subject), direction: &Direction) -> [Figure; 2] {
    let map = |values: &[Vec<Option<f64>>]| {
        let (rows, columns) = (format!("layers of {}", from.name), format!("layers of {}", to.name));
        HeatMap { rows: (&rows, &numbers(from)), columns: (&columns, &numbers(to)), values }.draw()
    };
    let share = |row: &Vec<usize>| {
        let all: usize = row.iter().sum();
        row.iter().map(|&n| (all > 0).then(|| n as f64 / all as f64)).collect()
    };
    let shares: Vec<Vec<Option<f64>>> = direction.best_layer.iter().map(share).collect();
    [
        Figure {
            name: format!("layers_{key}"),
            section: Section::Layers,
            caption: "Mean over the filtered features of a layer (row) of their best correlation within a layer of \
                      the other model (column)"
                .to_owned(),
            svg: map(&direction.layer_mean),
        },
        Figure {
            name: format!("partners_{key}"),
            section: Section::Layers,
            caption: "Share of the filtered features of a layer (row) whose best partner is in a layer of the other \
                      model (column)"
                .to_owned(),
            svg: map(&shares),
        },
    ]
}

type Both<'a> = [(&'a Subject, &'a Direction, RGBColor); 2];

fn above(both: Both<'_>) -> Figure {
    let series = both.map(|(subject, direction, color)| Series {
        label: &subject.name,
        color,
        points: direction
            .above
            .thresholds
            .iter()
            .zip(&direction.above.shares)
            .map(|(t, s)| (f64::from(*t), (*s, None)))
            .collect(),
    });
    let axes = Axes {
        title: "How many features are matched",
        x: "threshold",
        y: "share of features above it",
        log: false,
    };
    Figure {
        name: "above".to_owned(),
        section: Section::Distribution,
        caption: "Share of the filtered features with an MPPC above a threshold".to_owned(),
        svg: lines(&axes, &series),
    }
}

fn convergence(both: Both<'_>) -> Figure {
    let series = both.map(|(subject, direction, color)| {
        let point = |c: &Converging| Some((c.tokens as f64, (c.mean?, c.interval.map(|i| (i.low, i.high)))));
        Series {
            label: &subject.name,
            color,
            points: direction.convergence.iter().filter_map(point).collect(),
        }
    });
    let axes = Axes { title: "Are there enough tokens?", x: "tokens", y: "mean MPPC", log: true };
    Figure {
        name: "convergence".to_owned(),
        section: Section::Trust,
        caption: "Mean MPPC of the filtered features over the first tokens, with 95 % intervals".to_owned(),
        svg: lines(&axes, &series),
    }
}

/// What a context is called.
pub(in crate::lab::report) struct ContextNames {
    pub(in crate::lab::report) short: &'static str,
    pub(in crate::lab::report) in_words: &'static str,
}

/// The names of a context; none stands for features that no tag tells.
pub(in crate::lab::report) fn names(context: Option<Context>) -> ContextNames {
    let (short, in_words) = match context {
        Some(Context::Token) => ("token", "the token itself"),
        Some(Context::Ngram) => ("n-gram", "the one or two before it"),
        Some(Context::Phrase) => ("phrase", "the phrase or line"),
        Some(Context::LongRange) => ("long range", "many tokens earlier"),
        None => ("no tag", "no tag tells"),
    };
    ContextNames { short, in_words }
}

fn complexity(both: Both<'_>) -> Figure {
    let group = |(row, of_a): (usize, &Complexity)| Group {
        name: names(of_a.context).short.to_owned(),
        values: both
            .iter()
            .map(|(_, direction, _)| {
                let summary = &direction.complexity[row].summary;
                Some((summary.mean?, summary.intervals.map(|i| (i.mean.low, i.mean.high))))
            })
            .collect(),
    };
    let groups: Vec<Group> = both[0].1.complexity.iter().enumerate().map(group).collect();
    let axes = Axes {
        title: "MPPC by complexity",
        x: "context that the feature's best tag takes",
        y: "mean MPPC",
        log: false,
    };
    let series = both.map(|(subject, _, color)| (subject.name.as_str(), color));
    Figure {
        name: "complexity".to_owned(),
        section: Section::Complexity,
        caption:
            "Mean MPPC of the filtered features by the context that their best tag takes, with 95 % intervals"
                .to_owned(),
        svg: bars(&axes, &series, &groups),
    }
}

fn likeness(report: &Report) -> Vec<Figure> {
    let Some(likeness) = &report.likeness else { return Vec::new() };
    let (rows, columns) = (format!("layers of {}", report.a.name), format!("layers of {}", report.b.name));
    let figure = |(name, caption, values): (&str, &str, &LayerPairs)| Figure {
        name: name.to_owned(),
        section: Section::Likeness,
        caption: caption.to_owned(),
        svg: HeatMap { rows: (&rows, &numbers(&report.a)), columns: (&columns, &numbers(&report.b)), values }
            .draw(),
    };
    let figures = [
        ("cka", "Linear CKA", &likeness.cka),
        ("cka_debiased", "Linear CKA, debiased", &likeness.cka_debiased),
        ("svcca", "SVCCA", &likeness.svcca),
        ("pwcca", "PWCCA", &likeness.pwcca),
        ("rsa", "RSA", &likeness.rsa),
    ];
    figures.map(figure).into()
}
