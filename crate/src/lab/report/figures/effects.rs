//! What interventions change: bars down from zero, with intervals.

use plotters::prelude::*;

use super::canvas::{AXIS, FEATURES, svg};

/// A bar: its name, its value, and the ends of its interval.
pub(super) struct Effect {
    pub(super) name: String,
    pub(super) value: f64,
    pub(super) interval: Option<(f64, f64)>,
}

/// Bars side by side, as many as there are effects; zero is a line.
pub(super) fn effects(title: &str, y: &str, effects: &[Effect]) -> String {
    let ends = || {
        effects
            .iter()
            .flat_map(|e| [e.value, e.interval.map_or(e.value, |i| i.0), e.interval.map_or(e.value, |i| i.1)])
    };
    let (low, high) = (ends().fold(0.0f64, f64::min), ends().fold(0.0f64, f64::max));
    let room = ((high - low) * 0.06).max(1e-3);
    let width = (120 + 22 * effects.len() as u32).clamp(480, 1_600);
    svg((width, 420), |area| {
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .caption(title, ("sans-serif", 18))
            .x_label_area_size(130)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..effects.len() as f64, low - room..high + room)?;
        let name = |x: &f64| {
            let middle = (x.fract() - 0.5).abs() < 0.01;
            let effect = effects.get(*x as usize).filter(|_| middle);
            effect.map_or_else(String::new, |effect| effect.name.clone())
        };
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(WHITE)
            .x_labels(2 * effects.len() + 1)
            .y_desc(y)
            .x_label_formatter(&name)
            .x_label_style(("sans-serif", 12).into_font().transform(FontTransform::Rotate90))
            .label_style(AXIS)
            .x_label_style(("sans-serif", 12).into_font().transform(FontTransform::Rotate90))
            .draw()?;
        chart
            .draw_series(LineSeries::new([(0.0, 0.0), (effects.len() as f64, 0.0)], BLACK.stroke_width(1)))?;
        let bar = |(i, e): (usize, &Effect)| {
            let x = i as f64;
            Rectangle::new([(x + 0.12, 0.0), (x + 0.88, e.value)], FEATURES.mix(0.55).filled())
        };
        chart.draw_series(effects.iter().enumerate().map(bar))?;
        for (i, effect) in effects.iter().enumerate() {
            if let Some((low, high)) = effect.interval {
                let x = i as f64 + 0.5;
                chart.draw_series(LineSeries::new([(x, low), (x, high)], BLACK.stroke_width(2)))?;
            }
        }
        Ok(())
    })
}
