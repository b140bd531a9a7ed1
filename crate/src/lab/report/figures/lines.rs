//! Curves, and bars with intervals.

use plotters::prelude::*;

use super::canvas::{AXIS, svg};

/// A value, and its lower and upper end if it has an interval.
pub(super) type Value = (f64, Option<(f64, f64)>);

/// One curve: places from left to right, each with its value.
pub(super) struct Series<'a> {
    pub(super) label: &'a str,
    pub(super) color: RGBColor,
    pub(super) points: Vec<(f64, Value)>,
}

/// What the axes say.
pub(super) struct Axes<'a> {
    pub(super) title: &'a str,
    pub(super) x: &'a str,
    pub(super) y: &'a str,
    /// Whether the x axis is one of thousands of tokens, by powers.
    pub(super) log: bool,
}

/// Curves over one pair of axes, the y axis from 0 to 1.
pub(super) fn lines(axes: &Axes<'_>, series: &[Series<'_>]) -> String {
    let xs = || series.iter().flat_map(|s| s.points.iter().map(|p| p.0));
    let (low, high) = match (xs().fold(f64::INFINITY, f64::min), xs().fold(f64::NEG_INFINITY, f64::max)) {
        (low, high) if low < high => (low, high),
        // Axes of no extent would be divided without end. One point has room to its right; without any, 0 to 1 does.
        (low, _) if low.is_finite() => (low, low + low.abs().max(1.0)),
        _ => (0.1, 1.0),
    };
    svg((680, 340), |area| {
        area.fill(&WHITE)?;
        let mut builder = ChartBuilder::on(area);
        builder
            .margin(12)
            .caption(axes.title, ("sans-serif", 18))
            .x_label_area_size(40)
            .y_label_area_size(56);
        // The two charts have different types; what they draw is the same.
        macro_rules! draw {
            ($chart:expr, $labels:expr, $format:expr) => {{
                let mut chart = $chart;
                chart
                    .configure_mesh()
                    .disable_x_mesh()
                    .light_line_style(WHITE)
                    .x_desc(axes.x)
                    .y_desc(axes.y)
                    .x_labels($labels)
                    .x_label_formatter(&$format)
                    .label_style(AXIS)
                    .draw()?;
                for s in series {
                    let color = s.color;
                    for &(x, (_, interval)) in &s.points {
                        if let Some((low, high)) = interval {
                            chart
                                .draw_series(LineSeries::new([(x, low), (x, high)], color.stroke_width(2)))?;
                        }
                    }
                    chart
                        .draw_series(
                            LineSeries::new(s.points.iter().map(|p| (p.0, p.1.0)), color.stroke_width(2))
                                .point_size(3),
                        )?
                        .label(s.label)
                        .legend(move |(x, y)| PathElement::new([(x, y), (x + 12, y)], color.stroke_width(2)));
                }
                chart
                    .configure_series_labels()
                    .position(SeriesLabelPosition::LowerRight)
                    .background_style(WHITE.mix(0.85))
                    .border_style(BLACK.mix(0.2))
                    .label_font(AXIS)
                    .draw()
            }};
        }
        if axes.log {
            draw!(builder.build_cartesian_2d((low..high).log_scale(), 0.0..1.0)?, 3, |x: &f64| format!(
                "{x:.0}"
            ))
        } else {
            draw!(builder.build_cartesian_2d(low..high, 0.0..1.0)?, 11, |x: &f64| format!("{x:.1}"))
        }
    })
}

/// A row of [`bars`]: a name, and for each series a value with its interval, if there is one.
pub(super) struct Group {
    pub(super) name: String,
    pub(super) values: Vec<Option<Value>>,
}

/// Bars side by side in groups, the y axis from 0 to 1.
pub(super) fn bars(axes: &Axes<'_>, series: &[(&str, RGBColor)], groups: &[Group]) -> String {
    svg((680, 340), |area| {
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .caption(axes.title, ("sans-serif", 18))
            .x_label_area_size(40)
            .y_label_area_size(56)
            .build_cartesian_2d(0.0..groups.len() as f64, 0.0..1.0)?;
        let name = |x: &f64| {
            let middle = (x.fract() - 0.5).abs() < 0.01;
            let group = groups.get(*x as usize).filter(|_| middle);
            group.map_or_else(String::new, |group| group.name.clone())
        };
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(WHITE)
            .x_labels(2 * groups.len() + 1)
            .x_desc(axes.x)
            .y_desc(axes.y)
            .x_label_formatter(&name)
            .label_style(AXIS)
            .draw()?;
        let width = 0.8 / series.len().max(1) as f64;
        for (k, &(label, color)) in series.iter().enumerate() {
            let places = groups
                .iter()
                .enumerate()
                .filter_map(|(i, group)| Some((i as f64 + 0.1 + k as f64 * width, group.values[k]?)));
            let places: Vec<_> = places.collect();
            let bar = |&(x, (value, _)): &(f64, Value)| {
                Rectangle::new([(x, 0.0), (x + width * 0.92, value)], color.mix(0.55).filled())
            };
            chart.draw_series(places.iter().map(bar))?.label(label).legend(move |(x, y)| {
                Rectangle::new([(x, y - 5), (x + 12, y + 5)], color.mix(0.55).filled())
            });
            for &(x, (_, interval)) in &places {
                if let Some((low, high)) = interval {
                    let x = x + width * 0.46;
                    chart.draw_series(LineSeries::new([(x, low), (x, high)], BLACK.stroke_width(2)))?;
                }
            }
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.2))
            .label_font(AXIS)
            .draw()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_without_points_are_drawn() {
        let axes = |log| Axes { title: "t", x: "x", y: "y", log };
        let series = |points: &[(f64, Value)]| [Series { label: "s", color: BLACK, points: points.to_vec() }];
        for points in [&[][..], &[(7.0, (0.5, None))], &[(1.0, (0.5, Some((0.4, 0.6)))), (2.0, (0.25, None))]]
        {
            for log in [false, true] {
                let drawn = lines(&axes(log), &series(points));
                assert!(drawn.starts_with("<svg") && drawn.contains("</svg>"));
            }
        }
        let drawn =
            bars(&axes(false), &[("s", BLACK)], &[Group { name: "g".to_owned(), values: vec![None] }]);
        assert!(drawn.contains("</svg>"));
    }
}
