//! What all figures are drawn on and with.

use plotters::coord::Shift;
use plotters::prelude::*;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// Blue for features, orange for neurons, grey for the null, green for random SAEs: told apart also without colour
/// vision.
pub(super) const FEATURES: RGBColor = RGBColor(0x1f, 0x5f, 0xa8);
pub(super) const NEURONS: RGBColor = RGBColor(0xd9, 0x7b, 0x0b);
pub(super) const RANDOM: RGBColor = RGBColor(0x4a, 0x9a, 0x6a);
pub(super) const NULL: RGBColor = RGBColor(0x80, 0x80, 0x80);
/// Font of axes and legends.
pub(super) const AXIS: (&str, i32) = ("sans-serif", 13);

/// An SVG of a size.
pub(super) fn svg(size: (u32, u32), draw: impl FnOnce(&Area<'_>) -> Drawn) -> String {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        // Writing into a string cannot fail, and the coordinates are ours.
        draw(&area).and_then(|()| area.present()).expect("an SVG in memory");
    }
    text
}
