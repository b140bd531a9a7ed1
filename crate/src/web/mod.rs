//! The page's face: the lab behind wasm-bindgen, made for a module Worker.
//!
//! Everything that crosses is a typed value ([`ComparePlan`], [`Progress`](crate::lab::Progress), [`Report`],
//! [`Opened`], [`Failure`]); the page's TypeScript uses the types generated from them.

#[cfg(feature = "bench")]
mod bench;
mod observer;
mod stored;
mod train;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use js_sys::{Array, Map, Uint8Array, WebAssembly};
use serde::Serialize;
use wasm_bindgen::prelude::*;

use crate::checkpoint::{Bytes, Files};
use crate::corpus::Corpus;
use crate::failure::Failure;
use crate::gpu::{Engine, EngineChoice};
use crate::lab::{
    self, CircuitSettings, ComparePlan, Comparison, HealthReport, HealthSettings, InductionPair, Inputs,
    LabModel, MemoryStore, Prompted, Report,
};
#[cfg(feature = "bench")]
pub use bench::bench_matmul;
use observer::PageObserver;
use stored::{Reading, StoredFile};
pub use train::{TrainCallbacks, TrainedSae, TrainedSaes, default_train_plan, left_training};

#[wasm_bindgen(start)]
fn start() {
    console_error_panic_hook::set_once();
}

#[wasm_bindgen(typescript_custom_section)]
const CALLBACKS: &str = "export type OnProgress = (progress: Progress) => void;
export type OnRead = (bytes: number) => void;";

#[wasm_bindgen]
extern "C" {
    /// A function of the page that takes a [`Progress`](crate::lab::Progress).
    #[wasm_bindgen(typescript_type = "OnProgress")]
    pub type OnProgress;
    /// A function of the page that takes a number of bytes.
    #[wasm_bindgen(typescript_type = "OnRead")]
    pub type OnRead;
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

/// What a run of two models does when nothing else is asked for.
#[wasm_bindgen(js_name = defaultPlan)]
pub fn default_plan(a: &str, b: &str) -> ComparePlan {
    let mut plan = ComparePlan::reproduce(a, b);
    // A first answer in under a minute, also where there is no GPU.
    (plan.corpus.tokens, plan.controls.neuron_tokens) = (20_000, 5_000);
    plan
}

/// What circuit experiments do when nothing else is asked for: a first answer in seconds, also where there is no GPU.
#[wasm_bindgen(js_name = defaultCircuitSettings)]
pub fn default_circuit_settings() -> CircuitSettings {
    CircuitSettings { prompts: 32, tokens: 32, ..CircuitSettings::default() }
}

/// What SAEs are measured on when nothing else is asked for: half of what the command line takes.
#[wasm_bindgen(js_name = defaultHealthSettings)]
pub fn default_health_settings() -> HealthSettings {
    HealthSettings { tokens: 10_000, ..HealthSettings::default() }
}

/// Bytes of memory that WebAssembly has taken. It never gives any back, so this is also the most it has needed.
#[wasm_bindgen(js_name = wasmBytes)]
pub fn wasm_bytes() -> f64 {
    let memory: WebAssembly::Memory = wasm_bindgen::memory().unchecked_into();
    js_sys::Reflect::get(&memory.buffer(), &"byteLength".into())
        .ok()
        .and_then(|n| n.as_f64())
        .unwrap_or(f64::NAN)
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
        let choice: EngineChoice = engine.parse()?;
        let engine = Engine::open(choice).await?;
        Ok(Self { engine, models: RefCell::default(), cancelled: Cell::new(false) })
    }

    /// Which engine this is.
    pub fn opened(&self) -> Opened {
        let report = self.engine.report();
        Opened { engine: report.engine.to_owned(), name: report.name, why: report.why }
    }

    /// Whether its device has failed. The models on it are lost with it: open another lab.
    pub fn failed(&self) -> bool {
        self.engine.failed()
    }

    /// Loads a model from its files: relative name to bytes, or to a handle of the browser's storage, which is
    /// read tensor by tensor and may be closed afterwards. SAEs are in the folder `saes`. `on_read` is told now
    /// and then how many bytes have been read of the handles.
    ///
    /// # Errors
    /// A missing or broken file.
    #[wasm_bindgen(js_name = addModel)]
    pub fn add_model(
        &self,
        name: String,
        #[wasm_bindgen(unchecked_param_type = "Map<string, Uint8Array | FileSystemSyncAccessHandle>")]
        files: &Map,
        on_read: Option<OnRead>,
    ) -> Result<(), Failure> {
        let reading = Rc::new(Reading::new(on_read.map(JsCast::unchecked_into)));
        let mut contents: Vec<(String, Bytes)> = Vec::new();
        for entry in files.entries().into_iter().flatten() {
            let entry: Array = entry.unchecked_into();
            let path = entry.get(0).as_string().unwrap_or_default();
            let wrong = |what: &str| Failure::from(format!("{name}/{path} {what}")).coded("model");
            let bytes = match entry.get(1).dyn_into::<Uint8Array>() {
                Ok(bytes) => bytes.to_vec().into(),
                Err(other) => {
                    let handle = other.dyn_into().map_err(|_| wrong("is neither bytes nor a handle"))?;
                    let file = StoredFile::new(handle, reading.clone());
                    let file = file.map_err(|e| wrong(&format!("cannot be read: {e}")))?;
                    Bytes::Elsewhere(Rc::new(file))
                }
            };
            contents.push((path, bytes));
        }
        let model = LabModel::load(&self.engine, &name, &Files::loose(name.clone(), contents), None)?;
        self.models.borrow_mut().insert(name, Rc::new(model));
        Ok(())
    }

    /// Lets go of a model and its memory on the engine.
    #[wasm_bindgen(js_name = removeModel)]
    pub fn remove_model(&self, name: &str) {
        self.models.borrow_mut().remove(name);
    }

    /// Runs one text through a model and returns its tokens and the `top` likeliest next ones.
    ///
    /// # Errors
    /// A model that was not added, a text without a token or with too many, a device that failed.
    pub async fn prompt(&self, model: String, text: String, top: usize) -> Result<Prompted, Failure> {
        let model = self.model(&model)?;
        Ok(lab::prompt(&model, &text, top).await?)
    }

    /// Correlates the features of the plan's two models, which were added under their names. `corpus` is the content
    /// of the file that the plan names, or nothing for the built-in corpus. `on_progress` is called at most ten
    /// times a second, and when a stage begins.
    ///
    /// # Errors
    /// A model that was not added, a corpus that cannot be used, a device that failed; `cancelled` after
    /// [`Lab::cancel`].
    pub async fn compare(
        &self,
        plan: ComparePlan,
        corpus: Option<Vec<u8>>,
        on_progress: OnProgress,
    ) -> Result<Report, Failure> {
        self.cancelled.set(false);
        let corpus = match corpus {
            None => Corpus::builtin(plan.corpus.seed),
            Some(bytes) => Corpus::from_bytes(&plan.corpus.source, &bytes)?,
        };
        let (a, b) = (self.model(&plan.a.model)?, self.model(&plan.b.model)?);
        let observer = PageObserver::new(on_progress.unchecked_into(), &self.cancelled);
        let inputs = Inputs::default();
        let what = Comparison { engine: &self.engine, a: &a, b: &b, corpus: &corpus, plan, inputs };
        Ok(what.run(&mut MemoryStore::default(), &observer).await?.report)
    }

    /// Measures how healthy a model's SAEs are, on the built-in corpus.
    ///
    /// # Errors
    /// As [`Lab::compare`], and a model without SAEs.
    #[wasm_bindgen(js_name = saeHealth)]
    pub async fn sae_health(
        &self,
        model: String,
        settings: HealthSettings,
        on_progress: OnProgress,
    ) -> Result<HealthReport, Failure> {
        self.cancelled.set(false);
        let corpus = Corpus::builtin(settings.seed);
        let model = self.model(&model)?;
        let observer = PageObserver::new(on_progress.unchecked_into(), &self.cancelled);
        Ok(lab::health(&model, &model.saes, &corpus, settings, &observer).await?)
    }

    /// Looks into the first of the models with attention heads and the first with a recurrence, at a text, or at a
    /// planted A B … A where there is none, and takes their circuits apart.
    ///
    /// # Errors
    /// As [`Lab::prompt`]; models of which none has heads or a recurrence, a text that is too long to look at, sizes
    /// that no prompt can have.
    pub async fn induction(
        &self,
        models: Vec<String>,
        text: Option<String>,
        settings: CircuitSettings,
        on_progress: OnProgress,
    ) -> Result<InductionPair, Failure> {
        self.cancelled.set(false);
        let models = models.iter().map(|name| self.model(name)).collect::<Result<Vec<_>, _>>()?;
        let models: Vec<&LabModel> = models.iter().map(|model| &**model).collect();
        let observer = PageObserver::new(on_progress.unchecked_into(), &self.cancelled);
        Ok(lab::induction_pair(&models, text.as_deref(), &settings, &observer).await?)
    }

    /// Asks the run to stop at its next step.
    pub fn cancel(&self) {
        self.cancelled.set(true);
    }
}

impl Lab {
    fn model(&self, name: &str) -> Result<Rc<LabModel>, Failure> {
        let missing = || Failure::new(format!("{name} is not loaded"), "add the model first").coded("model");
        self.models.borrow().get(name).cloned().ok_or_else(missing)
    }
}
