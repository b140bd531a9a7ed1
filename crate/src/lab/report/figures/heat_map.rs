//! A figure for each pair of layers.

use plotters::element::{Rectangle, Text};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::canvas::svg;

/// Values of rows and columns that are layers.
pub(super) struct HeatMap<'a> {
    /// What the rows are, and their numbers.
    pub(super) rows: (&'a str, &'a [usize]),
    /// What the columns are, and their numbers.
    pub(super) columns: (&'a str, &'a [usize]),
    /// By row and column.
    pub(super) values: &'a [Vec<Option<f64>>],
}

impl HeatMap<'_> {
    /// Draws it, the smallest value nearly white and the largest deep blue.
    pub(super) fn draw(&self) -> String {
        let (rows, cols) = (self.rows.1.len() as i32, self.columns.1.len() as i32);
        let cell = 52;
        let (left, top) = (90, 70);
        let size = (left + cell * cols + 24, top + cell * rows + 20);
        let all = || self.values.iter().flatten().flatten().copied();
        let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
        svg((size.0.max(320) as u32, size.1 as u32), |area| {
            area.fill(&WHITE)?;
            let centered = |size: i32| {
                ("sans-serif", size)
                    .into_font()
                    .into_text_style(area)
                    .pos(Pos::new(HPos::Center, VPos::Center))
            };
            let label = |text: String, at: (i32, i32), size: i32| {
                area.draw(&Text::new(text, at, centered(size).color(&BLACK)))
            };
            label(self.columns.0.to_owned(), (left + cell * cols / 2, 22), 15)?;
            let rotated = centered(15).transform(FontTransform::Rotate270);
            area.draw(&Text::new(self.rows.0.to_owned(), (20, top + cell * rows / 2), rotated))?;
            for (col, number) in (0..).zip(self.columns.1) {
                label(number.to_string(), (left + cell * col + cell / 2, 52), 14)?;
            }
            for ((row, number), values) in (0..).zip(self.rows.1).zip(self.values) {
                let y = top + cell * row;
                label(number.to_string(), (left - 20, y + cell / 2), 14)?;
                for (col, &value) in (0..).zip(values) {
                    let x = left + cell * col;
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
}

/// From nearly white to deep blue.
fn shade(heat: f64) -> RGBColor {
    let mix = |from: f64, to: f64| (from + (to - from) * heat.clamp(0.0, 1.0)) as u8;
    RGBColor(mix(240.0, 13.0), mix(245.0, 50.0), mix(250.0, 110.0))
}
