//! Figures, as SVG. (The page draws its own, which can be pointed at.)

mod canvas;
mod circuits;
mod comparison;
mod effects;
mod graph;
mod heat_map;
mod histogram;
mod lines;

pub(super) use circuits::{circuit, circuits};
pub(super) use comparison::{Figure, Section, comparison, names};
