//! The figures of `report.html`, as SVG. (The page draws its own, which can be pointed at.)

use plotters::coord::Shift;
use plotters::element::{Rectangle, Text};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::Direction;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// Blue for features, orange for neurons, grey for the null: told apart also without colour vision.
const FEATURES: RGBColor = RGBColor(0x1f, 0x5f, 0xa8);
const NEURONS: RGBColor = RGBColor(0xd9, 0x7b, 0x0b);
const NULL: RGBColor = RGBColor(0x80, 0x80, 0x80);

fn svg(size: (u32, u32), draw: impl FnOnce(&Area<'_>) -> Drawn) -> String {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        // Writing into a string cannot fail, and the coordinates are ours.
        draw(&area).and_then(|()| area.present()).expect("an SVG in memory");
    }
    text
}

/// The distribution of MPPC over features, with its two baselines, as shares per bin of 0.02.
pub(super) fn histogram(direction: &Direction, from: &str, to: &str) -> String {
    let series = [
        (&direction.filtered, FEATURES, "SAE features"),
        (&direction.neurons, NEURONS, "neurons (baseline)"),
        (&direction.null, NULL, "features, tokens shuffled (null)"),
    ];
    let share = |count: usize, total: usize| count as f64 / total.max(1) as f64;
    let top =
        series.iter().flat_map(|(s, ..)| s.histogram.iter().map(|&n| share(n, s.count))).fold(0.01, f64::max);
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
            .label_style(("sans-serif", 13))
            .draw()?;
        for (summary, color, label) in series {
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
            .label_font(("sans-serif", 13))
            .draw()
    })
}

/// Mean best correlation of the features of each layer of A with the features of each layer of B.
pub(super) fn heat_map(direction: &Direction, from: &str, to: &str) -> String {
    let rows = direction.layer_mean.len();
    let cols = direction.layer_mean.first().map_or(0, Vec::len);
    let cell = 52;
    let (left, top) = (90, 70);
    let size = (left + cell * cols as i32 + 24, top + cell * rows as i32 + 20);
    let all = || direction.layer_mean.iter().flatten().flatten().copied();
    let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
    svg((size.0.max(320) as u32, size.1 as u32), |area| {
        area.fill(&WHITE)?;
        let centered = |size: i32| {
            ("sans-serif", size).into_font().into_text_style(area).pos(Pos::new(HPos::Center, VPos::Center))
        };
        let label = |text: String, at: (i32, i32), size: i32| {
            area.draw(&Text::new(text, at, centered(size).color(&BLACK)))
        };
        label(format!("layers of {to}"), (left + cell * cols as i32 / 2, 22), 15)?;
        let rotated = centered(15).transform(FontTransform::Rotate270);
        area.draw(&Text::new(format!("layers of {from}"), (20, top + cell * rows as i32 / 2), rotated))?;
        for col in 0..cols {
            label(col.to_string(), (left + cell * col as i32 + cell / 2, 52), 14)?;
        }
        for (row, values) in direction.layer_mean.iter().enumerate() {
            let y = top + cell * row as i32;
            label(row.to_string(), (left - 20, y + cell / 2), 14)?;
            for (col, &value) in values.iter().enumerate() {
                let x = left + cell * col as i32;
                let heat = match value {
                    Some(v) if high > low => (v - low) / (high - low),
                    Some(_) => 0.5,
                    None => 0.0,
                };
                area.draw(&Rectangle::new([(x, y), (x + cell - 2, y + cell - 2)], shade(heat).filled()))?;
                let ink = if heat > 0.55 { &WHITE } else { &BLACK };
                let text = value.map_or_else(|| "–".to_owned(), |v| format!("{v:.2}"));
                area.draw(&Text::new(text, (x + cell / 2, y + cell / 2), centered(13).color(ink)))?;
            }
        }
        Ok(())
    })
}

/// From nearly white to deep blue.
fn shade(heat: f64) -> RGBColor {
    let mix = |from: f64, to: f64| (from + (to - from) * heat.clamp(0.0, 1.0)) as u8;
    RGBColor(mix(240.0, 13.0), mix(245.0, 50.0), mix(250.0, 110.0))
}
