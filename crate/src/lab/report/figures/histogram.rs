//! The distribution of MPPC.

use plotters::element::Rectangle;
use plotters::prelude::*;

use super::canvas::{AXIS, FEATURES, NEURONS, NULL, RANDOM, svg};
use crate::lab::compare::{BaselineKind, Direction};

/// The distribution of MPPC over features, with its two baselines, as shares per bin of 0.02.
pub(super) fn histogram(direction: &Direction, from: &str, to: &str) -> String {
    let random = direction.baselines.iter().find(|baseline| baseline.kind == BaselineKind::Random);
    let series = [
        (&direction.filtered, FEATURES, "SAE features"),
        (&direction.neurons, NEURONS, Direction::NEURONS),
        (&direction.null, NULL, "features, tokens shuffled (null)"),
        (random.map_or(&direction.null, |random| &random.filtered), RANDOM, BaselineKind::Random.name()),
    ];
    let series = &series[..if random.is_some() { 4 } else { 3 }];
    let series = || series.iter().filter(|(summary, ..)| summary.count > 0);
    let share = |count: usize, total: usize| count as f64 / total.max(1) as f64;
    let top =
        series().flat_map(|(s, ..)| s.histogram.iter().map(|&n| share(n, s.count))).fold(0.01, f64::max);
    svg((680, 340), |area| {
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .caption(format!("Best match of {from} in {to}"), ("sans-serif", 18))
            .x_label_area_size(40)
            .y_label_area_size(56)
            .build_cartesian_2d(0.0..1.0, 0.0..top * 1.05)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(WHITE)
            .x_desc("MPPC: correlation with the best partner")
            .y_desc("share of units")
            .y_label_formatter(&|y| format!("{:.0} %", y * 100.0))
            .label_style(AXIS)
            .draw()?;
        for &(summary, color, label) in series() {
            let bins = summary.histogram.len() as f64;
            let bars = summary.histogram.iter().enumerate().map(|(i, &n)| {
                let (x0, x1) = (i as f64 / bins, (i + 1) as f64 / bins);
                Rectangle::new([(x0, 0.0), (x1, share(n, summary.count))], color.mix(0.35).filled())
            });
            chart
                .draw_series(bars)?
                .label(label)
                .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], color.mix(0.6).filled()));
            if let Some(mean) = summary.mean {
                let line = [(mean.max(0.0), 0.0), (mean.max(0.0), top)];
                chart.draw_series(LineSeries::new(line, color.stroke_width(2)))?;
            }
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperMiddle)
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.2))
            .label_font(AXIS)
            .draw()
    })
}
