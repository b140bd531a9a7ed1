//! What experiments found, as files for people: a page that opens without a server, figures, tables.

mod circuits;
mod comparison;
mod figures;
mod html;
mod tables;

pub use circuits::{save_circuits, save_paper};
pub use comparison::save;
