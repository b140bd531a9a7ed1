//! Checkpoints of trainings.

use std::cell::OnceCell;

use mppc::checkpoint::{SafeFile, embedded};
use mppc::corpus::Corpus;
use mppc::gpu::Engine;
use mppc::lab::{Checkpoints, LabModel, LeftTraining, Recipe, Silent, TrainPlan, train};
use mppc::sae::SaeKind;
use mppc::sae::kinds::{Relu, TopK};

use crate::{Folder, resealed};

const FILE: &str = "training.safetensors";

thread_local! {
    static MODEL: OnceCell<LabModel> = const { OnceCell::new() };
}

fn plan() -> TrainPlan {
    let recipe = |kind| Recipe { kind, seed: 1 };
    TrainPlan {
        recipes: vec![recipe(SaeKind::TopK(TopK { k: 4 })), recipe(SaeKind::Relu(Relu { l1: 0.01 }))],
        batch: 32,
        context: 32,
        ..TrainPlan::new("blocks.0.hook_resid_post", SaeKind::TopK(TopK { k: 4 }), 16, 96)
    }
}

/// Runs the plan, from a checkpoint if there is one; returns the first that it leaves.
fn run(from: Option<SafeFile>) -> (bool, Option<Vec<u8>>) {
    let mut first = None;
    let mut write = |checkpoint: &mppc::lab::Checkpoint| {
        let mut bytes = Vec::new();
        checkpoint.write_to(&mut bytes).expect("into memory");
        first.get_or_insert(bytes);
        Ok(())
    };
    let checkpoints = Checkpoints { from, inputs: Vec::new(), every: 0.0, write: &mut write };
    let done = MODEL.with(|model| {
        let model = model.get_or_init(|| {
            let files = embedded("tiny-neox").expect("built in");
            LabModel::load(&Engine::cpu(), "tiny-neox", &files, None).expect("a model")
        });
        let corpus = Corpus::builtin(1);
        pollster::block_on(train(model, &corpus, &plan(), &Silent, Some(checkpoints))).is_ok()
    });
    (done, first)
}

pub(crate) fn good() -> Vec<Folder> {
    let (done, first) = run(None);
    assert!(done, "the plan runs");
    vec![Folder::from([(FILE.to_owned(), first.expect("a checkpoint"))])]
}

/// Goes on from a checkpoint, as it is and with the right checksum.
pub(crate) fn read(input: &Folder) -> bool {
    let Some(bytes) = input.get(FILE) else { return false };
    let go_on = |bytes: Vec<u8>| {
        let Ok(file) = SafeFile::parse("fuzz", bytes.into()) else { return false };
        let _ = LeftTraining::read(&file);
        run(Some(file)).0
    };
    match resealed(bytes) {
        Some(sealed) if sealed != *bytes => go_on(bytes.clone()) || go_on(sealed),
        _ => go_on(bytes.clone()),
    }
}
