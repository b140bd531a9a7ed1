//! How far a run is, on standard error.

use std::cell::RefCell;
use std::collections::BTreeSet;

use indicatif::{ProgressBar, ProgressStyle};
use mppc::lab::{CurvePoint, Observer, Progress, TrainWatch};
use mppc::words;

use crate::interrupt;
use crate::screen::{say, shown};

/// One bar, renewed for each stage; silent where standard error is no terminal. Warnings are printed everywhere.
pub(crate) struct Bars {
    bar: RefCell<Option<(String, ProgressBar)>>,
    curve: RefCell<Vec<CurvePoint>>,
    /// Warnings that were printed: each once, however many runs give it.
    warned: RefCell<BTreeSet<String>>,
    quiet: bool,
}

impl Bars {
    pub(crate) fn new(quiet: bool) -> Self {
        Self { bar: RefCell::new(None), curve: RefCell::default(), warned: RefCell::default(), quiet }
    }

    /// Every point of the training curves so far.
    pub(crate) fn curve(&self) -> Vec<CurvePoint> {
        self.curve.borrow().clone()
    }
}

impl Observer for Bars {
    fn progress(&self, p: &Progress) {
        let mut slot = self.bar.borrow_mut();
        for line in &p.warnings {
            if self.warned.borrow_mut().insert(line.clone()) {
                say(&format!("warning: {line}"));
            }
        }
        if self.quiet {
            return;
        }
        if slot.as_ref().is_none_or(|(stage, _)| *stage != p.stage) {
            if let Some((_, old)) = slot.take() {
                old.finish();
            }
            let template = "{prefix:>7} {msg:32} {bar:30} {pos}/{len} ({eta} left)";
            let style =
                ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = shown(ProgressBar::new(p.total as u64).with_style(style));
            bar.set_prefix(format!("[{}/{}]", p.stage_index, p.stages));
            bar.set_message(format!("{} ({})", words::echo(&p.stage), p.unit));
            *slot = Some((p.stage.clone(), bar));
        }
        if let Some((_, bar)) = slot.as_ref() {
            bar.set_position(p.done as u64);
            if p.done >= p.total {
                bar.finish();
            }
        }
    }

    fn cancelled(&self) -> bool {
        interrupt::asked()
    }
}

impl TrainWatch for Bars {
    fn point(&self, point: &CurvePoint) {
        if let Some((_, bar)) = self.bar.borrow().as_ref() {
            let s = &point.stats;
            bar.set_message(format!(
                "L0 {:.1}, EV {:.3}, dead {:.1} %",
                s.l0,
                s.explained_variance,
                s.dead * 100.0
            ));
        }
        self.curve.borrow_mut().push(point.clone());
    }
}
