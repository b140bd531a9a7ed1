//! Loading what other libraries wrote, and refusing what cannot be loaded.

use std::path::{Path, PathBuf};

use super::*;
use crate::gpu::Tensor;
use crate::kernels::testing::{close, each_engine};
use crate::sae::Architecture;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(name)
}

/// Golden SAE; the library; what it is; a convention that must be told.
const CASES: [(&str, Format, Architecture, &str); 22] = {
    use Architecture::{Gated, JumpRelu, Relu, TopK};
    use Format::{DictionaryLearning, LmSaes2024, LmSaes2025, SaeLens, Sparsify};
    [
        ("saelens-old-topk", SaeLens, TopK { k: 5 }, "b_dec is subtracted"),
        ("saelens-old-finetuned", SaeLens, Relu, "multiplied with scaling_factor before decoding"),
        ("saelens-checkpoint-average", SaeLens, Relu, "activations are multiplied with 0.625"),
        ("sparsify-topk/layers.1", Sparsify, TopK { k: 5 }, "b_dec is subtracted from the input (sparsify)"),
        ("sparsify-transcode/layers.1", Sparsify, TopK { k: 6 }, "b_dec is not subtracted from the input"),
        ("dictionary-learning-relu", DictionaryLearning, Relu, "decoder rows are scaled to norm 1"),
        ("dictionary-learning-relu-new", DictionaryLearning, Relu, "b_dec is not subtracted"),
        ("dictionary-learning-topk", DictionaryLearning, TopK { k: 5 }, "the 5 largest of a token stay"),
        ("dictionary-learning-batchtopk", DictionaryLearning, JumpRelu, "a feature fires above 0.4"),
        ("dictionary-learning-matryoshka", DictionaryLearning, JumpRelu, "only layer 1"),
        ("dictionary-learning-jumprelu", DictionaryLearning, JumpRelu, "b_dec is not subtracted"),
        ("dictionary-learning-gated", DictionaryLearning, Gated, "b_dec is subtracted"),
        ("lm-saes-2024-token-wise", LmSaes2024, Relu, "after b_dec is subtracted"),
        ("lm-saes-2024-token-wise-raw-input", LmSaes2024, Relu, "b_dec is not subtracted"),
        ("lm-saes-2024-dataset-wise", LmSaes2024, Relu, "average norm 6.25 to √D"),
        ("lm-saes-2024-none", LmSaes2024, Relu, "multiplied with feature_act_mask"),
        ("lm-saes-2024-jumprelu", LmSaes2024, JumpRelu, "the threshold 0.35 holds"),
        ("lm-saes-2025-relu", LmSaes2025, Relu, "each token is scaled to norm √D (token-wise)"),
        ("lm-saes-2025-topk", LmSaes2025, TopK { k: 6 }, "after scaling by decoder norms"),
        ("lm-saes-2025-batchtopk", LmSaes2025, TopK { k: 6 }, "in batches of one token"),
        ("lm-saes-2025-jumprelu", LmSaes2025, JumpRelu, "exp(log_jumprelu_threshold)"),
        ("lm-saes-2025-inference", LmSaes2025, JumpRelu, "b_dec is not subtracted"),
    ]
};

#[test]
fn agrees_with_the_libraries() {
    for (name, format, architecture, convention) in CASES {
        let files = Files::dir(golden(name));
        let read = SaeFile::read(&files).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!((read.format, read.config.architecture), (format, architecture), "{name}");
        assert!(read.conventions.iter().any(|c| c.contains(convention)), "{name}: {:?}", read.conventions);
        let hook = if read.transcoder { "blocks.1.hook_resid_pre" } else { "blocks.1.hook_resid_post" };
        assert_eq!(read.config.hook_name.as_deref(), Some(hook), "{name}");
        let reference = SafeFile::open(&golden(name).join("reference.safetensors")).expect("a golden file");
        let wide = |tensor| -> Vec<f64> {
            reference.f32s(tensor).expect("a golden tensor").into_iter().map(f64::from).collect()
        };
        let features = wide("features");
        each_engine(|engine| {
            let sae = read.clone().sae(engine);
            let shape = reference.shape("acts").expect("activations");
            let x = Tensor::from_f32(engine, shape, reference.f32s("acts").expect("activations"));
            let codes = pollster::block_on(sae.encode(&x)).expect("encode");
            let mut dense = vec![0.0; features.len()];
            for t in 0..codes.tokens() {
                let (indices, values) = codes.row(t);
                for (&j, &v) in indices.iter().zip(values) {
                    dense[t * codes.n_features + j as usize] = v;
                }
            }
            let fire = |values: &mut dyn Iterator<Item = f64>| -> Vec<usize> {
                values.enumerate().filter(|(_, v)| *v > 0.0).map(|(i, _)| i).collect()
            };
            let fired = fire(&mut dense.iter().map(|&v| f64::from(v)));
            assert_eq!(fired, fire(&mut features.iter().copied()), "{name}: which features fire");
            let got = Tensor::from_f32(engine, &[codes.tokens(), codes.n_features], dense);
            // Weights that conventions are folded into are rounded once more than the library's (6e-8), and sums
            // of 12 and of at most 40 products are f32 against float64: 1e-6 of values of size 1 to 10.
            close(engine, &got, &features, 1e-5);
            close(engine, &sae.decode_dense(&x).expect("decode"), &wide("reconstruction"), 1e-5);
        });
    }
}
