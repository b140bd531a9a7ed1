//! A run seen from the page.

use std::cell::{Cell, RefCell};
use std::pin::Pin;

use js_sys::{Function, Promise};
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::MessageChannel;

use crate::lab::{Observer, Progress};

/// Progress is told at most this often (milliseconds): a page cannot show more.
const TELL_EVERY: f64 = 100.0;
/// The worker takes in messages this often (milliseconds): soon enough for Cancel to feel immediate, seldom
/// enough to cost nothing.
const BREATHE_EVERY: f64 = 50.0;

/// Tells the page, and asks whether it wants to stop.
pub(super) struct PageObserver<'a> {
    tell: Function,
    cancelled: &'a Cell<bool>,
    told: Cell<f64>,
    stage: RefCell<String>,
    breathed: Cell<f64>,
}

impl<'a> PageObserver<'a> {
    pub(super) fn new(tell: Function, cancelled: &'a Cell<bool>) -> Self {
        Self { tell, cancelled, told: Cell::new(0.0), stage: RefCell::default(), breathed: Cell::new(0.0) }
    }
}

impl Observer for PageObserver<'_> {
    fn progress(&self, progress: &Progress) {
        let now = js_sys::Date::now();
        let same_stage = *self.stage.borrow() == progress.stage;
        if same_stage && now - self.told.get() < TELL_EVERY {
            return;
        }
        self.told.set(now);
        self.stage.replace(progress.stage.clone());
        if let Ok(progress) = serde_wasm_bindgen::to_value(progress) {
            // What the page's callback throws is the page's to see in its console; the run goes on.
            let _ = self.tell.call1(&JsValue::NULL, &progress);
        }
    }

    fn cancelled(&self) -> bool {
        self.cancelled.get()
    }

    fn breathe(&self) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(async {
            if js_sys::Date::now() - self.breathed.get() >= BREATHE_EVERY {
                yield_now().await;
                self.breathed.set(js_sys::Date::now());
            }
        })
    }
}

/// Goes once around the worker's event loop. A message to oneself, since timers wait 4 ms when they nest.
async fn yield_now() {
    let around = Promise::new(&mut |resolve, _| {
        let Ok(channel) = MessageChannel::new() else {
            let _ = resolve.call0(&JsValue::NULL);
            return;
        };
        channel.port1().set_onmessage(Some(resolve.unchecked_ref()));
        let _ = channel.port2().post_message(&JsValue::NULL);
    });
    let _ = JsFuture::from(around).await;
}
