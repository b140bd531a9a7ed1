//! SAEs trained in the page.

use std::io::{self, Write};
use std::rc::Rc;

use js_sys::{Function, Uint8Array};
use serde::Serialize;
use wasm_bindgen::prelude::*;
use web_sys::FileSystemSyncAccessHandle;

use super::observer::PageObserver;
use super::stored::{Reading, StoredFile};
use super::{Lab, OnProgress};
use crate::checkpoint::{Bytes, SafeFile};
use crate::corpus::Corpus;
use crate::failure::Failure;
use crate::lab::{
    self, Checkpoint, Checkpoints, CurvePoint, LabError, LeftTraining, Observer, Progress, TrainPlan,
    TrainWatch,
};
use crate::sae::{Storage, TrainStats};

#[wasm_bindgen(typescript_custom_section)]
const CALLBACKS: &str = "export type OnPoint = (point: CurvePoint) => void;
/** Where checkpoints go. What was committed last must survive whatever happens before the next commit. */
export interface Keeper {
  /** Seconds between two checkpoints. */
  every: number;
  begin(): void;
  write(bytes: Uint8Array): void;
  commit(): void;
}";

#[wasm_bindgen]
extern "C" {
    /// A function of the page that takes a [`CurvePoint`].
    #[wasm_bindgen(typescript_type = "OnPoint")]
    pub type OnPoint;
    /// What keeps checkpoints.
    #[wasm_bindgen(typescript_type = "Keeper")]
    pub type Keeper;
    #[wasm_bindgen(method, getter, structural)]
    fn every(this: &Keeper) -> f64;
    #[wasm_bindgen(method, structural, catch)]
    fn begin(this: &Keeper) -> Result<(), JsValue>;
    #[wasm_bindgen(method, structural, catch)]
    fn write(this: &Keeper, bytes: Uint8Array) -> Result<(), JsValue>;
    #[wasm_bindgen(method, structural, catch)]
    fn commit(this: &Keeper) -> Result<(), JsValue>;
}

/// A SAE that the page may keep: SAELens's two files.
#[derive(Debug, Clone, Serialize, tsify_next::Tsify)]
#[tsify(into_wasm_abi)]
pub struct TrainedSae {
    /// The hook it reads.
    pub hook: String,
    /// Kind, number and seed.
    pub recipe: String,
    /// Content of `cfg.json`.
    pub config: String,
    /// Content of `sae_weights.safetensors`.
    #[serde(with = "serde_bytes")]
    #[tsify(type = "Uint8Array")]
    pub weights: Vec<u8>,
    /// What its training read last.
    pub stats: TrainStats,
}

/// All that a training gave.
#[derive(Debug, Clone, Serialize, tsify_next::Tsify)]
#[tsify(into_wasm_abi)]
pub struct TrainedSaes {
    /// By hook, then by recipe.
    pub saes: Vec<TrainedSae>,
}

#[wasm_bindgen]
impl Lab {
    /// Trains SAEs of a model on the built-in corpus. `from` is the checkpoint of a run that was stopped; `keeper`
    /// keeps new ones.
    ///
    /// # Errors
    /// A model that was not added, impossible settings, a checkpoint of another run, a storage or a device that failed;
    /// `cancelled` after [`Lab::cancel`], when a checkpoint has been kept.
    #[wasm_bindgen(js_name = trainSaes)]
    pub async fn train_saes(
        &self,
        model: String,
        plan: TrainPlan,
        from: Option<FileSystemSyncAccessHandle>,
        keeper: Keeper,
        watch: TrainCallbacks,
    ) -> Result<TrainedSaes, Failure> {
        self.cancelled.set(false);
        let model = self.model(&model)?;
        let corpus = Corpus::builtin(plan.seed);
        let from = from.map(checkpoint_of).transpose()?;
        let observer = PageObserver::new(watch.progress.unchecked_into(), &self.cancelled);
        let watch = Watching { observer, point: watch.point.unchecked_into() };
        let every = keeper.every();
        let mut write = |checkpoint: &Checkpoint| keep(&keeper, checkpoint);
        let checkpoints = Checkpoints { from, inputs: Vec::new(), every, write: &mut write };
        let mut saes = Vec::new();
        for one in lab::train(&model, &corpus, &plan, &watch, Some(checkpoints)).await? {
            let (config, weights) = one.sae.to_files(Storage::F32).await.map_err(LabError::from)?;
            saes.push(TrainedSae {
                hook: one.sae.config.hook_name.clone().unwrap_or_default(),
                recipe: one.recipe.to_string(),
                config: String::from_utf8_lossy(&config).into_owned(),
                weights,
                stats: one.stats,
            });
        }
        Ok(TrainedSaes { saes })
    }
}

/// Who hears of a training.
#[wasm_bindgen]
pub struct TrainCallbacks {
    progress: OnProgress,
    point: OnPoint,
}

#[wasm_bindgen]
impl TrainCallbacks {
    /// Two functions of the page.
    #[wasm_bindgen(constructor)]
    pub fn new(progress: OnProgress, point: OnPoint) -> Self {
        Self { progress, point }
    }
}

/// The settings that a training begins with, before anybody changes one.
#[wasm_bindgen(js_name = defaultTrainPlan)]
pub fn default_train_plan() -> TrainPlan {
    TrainPlan::default()
}

/// What a checkpoint says of the run that left it.
///
/// # Errors
/// When it is none.
#[wasm_bindgen(js_name = leftTraining)]
pub fn left_training(file: FileSystemSyncAccessHandle) -> Result<LeftTraining, Failure> {
    Ok(LeftTraining::read(&checkpoint_of(file)?)?)
}

fn checkpoint_of(handle: FileSystemSyncAccessHandle) -> Result<SafeFile, Failure> {
    let failed = |e: io::Error| Failure::from(format!("the checkpoint cannot be read: {e}")).coded("storage");
    let file = StoredFile::new(handle, Rc::new(Reading::default())).map_err(failed)?;
    let file = SafeFile::parse("the checkpoint", Bytes::Elsewhere(Rc::new(file)));
    Ok(file.map_err(LabError::from)?)
}

/// Hands a checkpoint over piece by piece.
fn keep(keeper: &Keeper, checkpoint: &Checkpoint) -> Result<(), LabError> {
    let mut out = Pieces { keeper };
    let kept = keeper
        .begin()
        .map_err(|e| thrown(&e))
        .and_then(|()| checkpoint.write_to(&mut out))
        .and_then(|()| keeper.commit().map_err(|e| thrown(&e)));
    kept.map_err(|e| {
        let advice = "delete a stored model or SAE, or free room on the disk, then resume the training";
        LabError::refused(format!("the checkpoint cannot be kept ({e})"), advice)
    })
}

struct Pieces<'a> {
    keeper: &'a Keeper,
}

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.keeper.write(Uint8Array::from(bytes)).map_err(|e| thrown(&e))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn thrown(value: &JsValue) -> io::Error {
    let message = js_sys::Reflect::get(value, &"message".into()).ok().and_then(|m| m.as_string());
    io::Error::other(message.unwrap_or_else(|| "the storage failed".to_owned()))
}

struct Watching<'a> {
    observer: PageObserver<'a>,
    point: Function,
}

impl Observer for Watching<'_> {
    fn progress(&self, progress: &Progress) {
        self.observer.progress(progress);
    }

    fn cancelled(&self) -> bool {
        self.observer.cancelled()
    }

    fn breathe(&self) -> std::pin::Pin<Box<dyn Future<Output = ()> + '_>> {
        self.observer.breathe()
    }
}

impl TrainWatch for Watching<'_> {
    fn point(&self, point: &CurvePoint) {
        if let Ok(point) = serde_wasm_bindgen::to_value(point) {
            // What the page's callback throws is the page's to see in its console; the run goes on.
            let _ = self.point.call1(&JsValue::NULL, &point);
        }
    }
}
