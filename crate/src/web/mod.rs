//! The page's face: the lab behind wasm-bindgen, made for a module Worker.
//!
//! Everything that crosses is a typed value ([`Settings`], [`Progress`](crate::lab::Progress), [`Report`], [`Opened`], [`Failure`]);
//! the page's TypeScript uses the types generated from them.

#[cfg(feature = "bench")]
mod bench;
mod failure;
mod observer;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use js_sys::{Map, Uint8Array};
use serde::Serialize;
use wasm_bindgen::prelude::*;

use crate::checkpoint::{Bytes, Files};
use crate::corpus::Corpus;
use crate::gpu::{Engine, EngineChoice};
use crate::lab::{self, LabModel, Report, Settings};
pub use failure::Failure;
use observer::PageObserver;

#[wasm_bindgen(start)]
fn start() {
    console_error_panic_hook::set_once();
}

#[wasm_bindgen(typescript_custom_section)]
const CALLBACKS: &str = "export type OnProgress = (progress: Progress) => void;";

#[wasm_bindgen]
extern "C" {
    /// A function of the page that takes a [`Progress`](crate::lab::Progress).
    #[wasm_bindgen(typescript_type = "OnProgress")]
    pub type OnProgress;
}

/// Which engine was opened, and why.
#[derive(Debug, Clone, Serialize, tsify_next::Tsify)]
#[tsify(into_wasm_abi)]
pub struct Opened {
    /// `gpu` or `cpu`.
    pub engine: String,
    /// Name of the adapter, or of the processor engine.
    pub name: String,
    /// One sentence.
    pub why: String,
}

/// What a run does when nothing else is asked for.
#[wasm_bindgen(js_name = defaultSettings)]
pub fn default_settings() -> Settings {
    // A first answer in under a minute, also where there is no GPU.
    Settings { tokens: 20_000, neuron_tokens: 5_000, ..Settings::default() }
}

/// An open engine and the models given to it. One run at a time; [`Lab::cancel`] may come while it works.
#[wasm_bindgen]
pub struct Lab {
    engine: Engine,
    models: RefCell<BTreeMap<String, Rc<LabModel>>>,
    cancelled: Cell<bool>,
}

#[wasm_bindgen]
impl Lab {
    /// Opens an engine: `auto`, `gpu` or `cpu`.
    ///
    /// # Errors
    /// An unknown choice; no adapter or no device when the GPU was asked for.
    pub async fn open(engine: String) -> Result<Lab, Failure> {
        let choice: EngineChoice = engine.parse().map_err(|e: String| Failure::new("engine", &e))?;
        let engine = Engine::open(choice).await?;
        Ok(Self { engine, models: RefCell::default(), cancelled: Cell::new(false) })
    }

    /// Which engine this is.
    pub fn opened(&self) -> Opened {
        let report = self.engine.report();
        Opened { engine: report.engine.to_owned(), name: report.name, why: report.why }
    }

    /// Loads a model from its files: relative name to bytes, SAEs in the folder `saes`.
    ///
    /// # Errors
    /// A missing or broken file.
    #[wasm_bindgen(js_name = addModel)]
    pub fn add_model(
        &self,
        name: String,
        #[wasm_bindgen(unchecked_param_type = "Map<string, Uint8Array>")] files: &Map,
    ) -> Result<(), Failure> {
        let mut contents: Vec<(String, Bytes)> = Vec::new();
        files.for_each(&mut |bytes, path| {
            if let (Some(path), Ok(bytes)) = (path.as_string(), bytes.dyn_into::<Uint8Array>()) {
                contents.push((path, bytes.to_vec().into()));
            }
        });
        let files = Files::loose(name.clone(), contents);
        let model = LabModel::load(&self.engine, &name, &files, None)?;
        self.models.borrow_mut().insert(name, Rc::new(model));
        Ok(())
    }

    /// Correlates the features of model `a` with those of model `b`. `corpus` is the content of the file that
    /// the settings name, or nothing for the built-in corpus. `on_progress` is called at most ten times a
    /// second, and when a stage begins.
    ///
    /// # Errors
    /// A model that was not added, a corpus that cannot be used, a device that failed; `cancelled` after
    /// [`Lab::cancel`].
    pub async fn reproduce(
        &self,
        a: String,
        b: String,
        settings: Settings,
        corpus: Option<Vec<u8>>,
        on_progress: OnProgress,
    ) -> Result<Report, Failure> {
        self.cancelled.set(false);
        let corpus = match corpus {
            None => Corpus::builtin(settings.seed),
            Some(bytes) => Corpus::from_bytes(&settings.corpus, &bytes)?,
        };
        let (a, b) = (self.model(&a)?, self.model(&b)?);
        let observer = PageObserver::new(on_progress.unchecked_into(), &self.cancelled);
        Ok(lab::reproduce(&self.engine, (&a, &b), &corpus, settings, &observer).await?.report)
    }

    /// Asks the run to stop at its next step.
    pub fn cancel(&self) {
        self.cancelled.set(true);
    }
}

impl Lab {
    fn model(&self, name: &str) -> Result<Rc<LabModel>, Failure> {
        let missing = || Failure::new("model", &format!("{name} is not loaded; add the model first"));
        self.models.borrow().get(name).cloned().ok_or_else(missing)
    }
}
