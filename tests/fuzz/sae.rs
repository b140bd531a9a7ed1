//! SAEs of every library.

use mppc::gpu::{Engine, Tensor};
use mppc::sae::{SaeFile, formats};

use crate::{Folder, files, golden};

/// One folder for each form, as small as they come.
pub(crate) fn good() -> Vec<Folder> {
    let names = [
        "dictionary-learning-batchtopk",
        "dictionary-learning-gated",
        "dictionary-learning-relu",
        "lm-saes-2024-dataset-wise",
        "lm-saes-2024-jumprelu",
        "lm-saes-2025-jumprelu",
        "lm-saes-2025-topk",
        "saelens-checkpoint-average",
        "saelens-gated-layer-norm",
        "saelens-old-topk",
        "saelens-standard-expected-average",
        "saelens-topk-norm-rescale",
        "sparsify-topk/layers.1",
        "sparsify-transcode/layers.1",
    ];
    let read = |name: &&str| {
        let mut folder = golden(name, &[]);
        folder.retain(|name, _| name != "reference.safetensors");
        folder
    };
    names.iter().map(read).collect()
}

/// Finds the SAE, reads it, and encodes and decodes two tokens.
pub(crate) fn read(input: &Folder) -> bool {
    let files = files(input);
    let _ = formats::find(&files);
    let Ok(file) = SaeFile::read(&files) else { return false };
    let _ = (file.decoder_norms(), file.config.to_json(&file.weights.activation));
    let width = file.config.d_in;
    let engine = Engine::cpu();
    let sae = file.sae(&engine);
    let x = Tensor::from_f32(&engine, &[2, width], (0..2 * width).map(|i| (i % 7) as f32 - 3.0).collect());
    let codes = pollster::block_on(sae.encode(&x));
    if let Ok(codes) = &codes {
        assert!(codes.values.iter().all(|v| v.is_finite()), "codes that are no numbers");
    }
    true
}
