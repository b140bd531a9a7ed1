//! Loading what SAELens wrote, saving what it can read, and refusing what neither can.

use std::path::{Path, PathBuf};

use safetensors::SafeTensors;

use super::*;
use crate::gpu::Tensor;
use crate::kernels::testing::{close, each_engine};
use crate::sae::formats::saelens::CONFIG as CONFIG_FILE;
use crate::sae::{ActivationFn, SaeConfig, SaeWeights};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(name)
}

fn floats(file: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    let view = file.tensor(name).expect("a golden tensor");
    view.data().as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect()
}

/// Codes as a dense matrix [tokens, F].
fn dense(codes: &crate::sae::Codes) -> Vec<f32> {
    let mut out = vec![0.0; codes.tokens() * codes.n_features];
    for t in 0..codes.tokens() {
        let (indices, values) = codes.row(t);
        for (&j, &v) in indices.iter().zip(values) {
            out[t * codes.n_features + j as usize] = v;
        }
    }
    out
}

#[test]
fn agrees_with_saelens() {
    for name in [
        "saelens-standard",
        "saelens-standard-expected-average",
        "saelens-standard-layer-norm",
        "saelens-standard-raw-input",
        "saelens-topk",
        "saelens-topk-norm-rescale",
        "saelens-jumprelu",
        "saelens-jumprelu-norm-rescale",
        "saelens-gated",
        "saelens-gated-layer-norm",
        "saelens-batchtopk",
    ] {
        let bytes = std::fs::read(golden(name).join("reference.safetensors")).expect("a golden file");
        let reference = SafeTensors::deserialize(&bytes).expect("a golden file");
        let wide = |name| floats(&reference, name).into_iter().map(f64::from).collect::<Vec<_>>();
        each_engine(|engine| {
            let sae = Sae::load(engine, &Files::dir(golden(name))).expect("a golden SAE");
            let shape = reference.tensor("acts").expect("activations").shape().to_vec();
            let x = Tensor::from_f32(engine, &shape, floats(&reference, "acts"));
            let codes = pollster::block_on(sae.encode(&x)).expect("encode");
            let active = floats(&reference, "features").into_iter().enumerate().filter(|(_, v)| *v > 0.0);
            let active: Vec<usize> = active.map(|(i, _)| i).collect();
            let fired = dense(&codes);
            let fired = fired.iter().enumerate().filter(|(_, v)| **v > 0.0).map(|(i, _)| i);
            assert_eq!(fired.collect::<Vec<_>>(), active, "{name}: which features fire");
            let got = Tensor::from_f32(engine, &[codes.tokens(), codes.n_features], dense(&codes));
            // Products of 23 and of at most 61 terms in f32 against SAELens in f64: 1e-6 of values of size 1
            // to 10, and the rounding of the normalised input.
            close(engine, &got, &wide("features"), 1e-5);
            close(engine, &sae.decode_dense(&x).expect("decode"), &wide("reconstruction"), 1e-5);
        });
    }
}

fn small(engine: &Engine) -> Sae {
    small_of(engine, ActivationFn::TopK { k: 2 })
}

fn small_of(engine: &Engine, activation: ActivationFn<Vec<f32>>) -> Sae {
    let config = SaeConfig {
        model_name: Some("tiny-neox".to_owned()),
        hook_name: Some("blocks.0.hook_resid_post".to_owned()),
        ..SaeConfig::new(2, 3)
    };
    let weights = SaeWeights {
        w_enc: vec![1.0, 0.1, -0.5, 0.25, 2.0, 3.0],
        b_enc: vec![0.5, 0.0, -1.0],
        w_dec: vec![1.0, 0.0, 0.0, 1.0, 0.6, 0.8],
        b_dec: vec![0.25, -0.125],
        activation,
    };
    Sae::new(engine, config, weights)
}

#[test]
fn a_saved_sae_is_the_same_sae() {
    let folder = tempfile::tempdir().expect("temporary folder");
    each_engine(|engine| {
        let gated = ActivationFn::Gated { b_mag: vec![0.5, 1.0, -0.25], r_mag: vec![0.125, -2.0, 0.0] };
        let all = [
            (ActivationFn::Relu, Storage::F32),
            (ActivationFn::TopK { k: 2 }, Storage::F32),
            (ActivationFn::TopK { k: 2 }, Storage::F16),
            (ActivationFn::JumpRelu { threshold: vec![0.5, 0.0, 0.75] }, Storage::F32),
            (gated, Storage::F32),
        ];
        for (activation, storage) in all {
            let sae = small_of(engine, activation);
            let path = folder.path().join("a/b");
            pollster::block_on(sae.save(&path, storage)).expect("save");
            let back = Sae::load(engine, &Files::dir(&path)).expect("load");
            assert_eq!(back.config, sae.config);
            let (got, want) = (pollster::block_on(back.weights()), pollster::block_on(sae.weights()));
            let (got, mut want) = (got.expect("weights"), want.expect("weights"));
            if storage == Storage::F16 {
                for values in [&mut want.w_enc, &mut want.b_enc, &mut want.w_dec, &mut want.b_dec] {
                    values.iter_mut().for_each(|v| *v = half::f16::from_f32(*v).to_f32());
                }
            }
            assert_eq!(got, want);
            assert_eq!(std::fs::read_dir(&path).expect("listing").count(), 2);
        }
    });
}

#[test]
fn a_failed_save_leaves_the_old_sae() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let engine = Engine::cpu();
    pollster::block_on(small(&engine).save(folder.path(), Storage::F32)).expect("save");
    let before = std::fs::read(folder.path().join(WEIGHTS_FILE)).expect("weights");
    let mut broken = small(&engine);
    broken.w_enc = Tensor::from_f32(&engine, &[2, 3], vec![0.0, f32::NAN, 0.0, 0.0, 0.0, 0.0]);
    let error = pollster::block_on(broken.save(folder.path(), Storage::F32)).expect_err("NaN");
    assert!(error.to_string().contains("`W_enc` holds NaN at element 1"), "{error}");
    broken.w_enc = Tensor::from_f32(&engine, &[2, 3], vec![1e6; 6]);
    let error = pollster::block_on(broken.save(folder.path(), Storage::F16)).expect_err("too large for f16");
    assert!(error.to_string().contains("`W_enc` holds 1000000 at element 0"), "{error}");
    assert_eq!(std::fs::read(folder.path().join(WEIGHTS_FILE)).expect("weights"), before);
}

/// The two files of an SAE, in memory.
fn in_memory(config: Vec<u8>, weights: Vec<u8>) -> Files {
    let files = [(CONFIG_FILE, config), (WEIGHTS_FILE, weights)];
    Files::loose("dir", files.map(|(name, bytes)| (name.to_owned(), bytes.into())))
}

/// The small SAE's files after a change of the weights' bytes, and the error they give.
fn error_of(change: impl FnOnce(&mut Vec<u8>)) -> String {
    let engine = Engine::cpu();
    let (config, mut weights) = pollster::block_on(small(&engine).to_files(Storage::F32)).expect("files");
    change(&mut weights);
    Sae::load(&engine, &in_memory(config, weights)).expect_err("damaged").to_string()
}

/// A file of these tensors, in the given types, all bytes `fill`.
fn file_of(tensors: &[(&str, safetensors::Dtype, &[usize])], fill: u8) -> Vec<u8> {
    let data: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, dtype, shape)| vec![fill; shape.iter().product::<usize>() * dtype.bitsize() / 8])
        .collect();
    let views = tensors.iter().zip(&data).map(|((name, dtype, shape), data)| {
        (*name, safetensors::tensor::TensorView::new(*dtype, shape.to_vec(), data).expect("a view"))
    });
    safetensors::serialize(views, None).expect("a file")
}

#[test]
fn damaged_weights_are_one_line_errors() {
    use safetensors::Dtype::{F16, F32, I32};
    let prefix = "dir/sae_weights.safetensors";
    let swap = |from: &'static str, to: &'static str| {
        move |bytes: &mut Vec<u8>| {
            assert_eq!(from.len(), to.len());
            let at = bytes.windows(from.len()).position(|w| w == from.as_bytes()).expect("in the header");
            bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        }
    };
    let shapes: [(&str, safetensors::Dtype, &[usize]); 4] =
        [("W_enc", F32, &[2, 3]), ("b_enc", F32, &[3]), ("W_dec", F32, &[3, 2]), ("b_dec", F32, &[2])];
    let with = |i: usize, tensor| {
        let mut shapes = shapes;
        shapes[i] = tensor;
        file_of(&shapes, 0)
    };
    for (error, needle) in [
        (error_of(Vec::clear), "is not a sound safetensors file: it has only 0 bytes"),
        (error_of(|b| b.truncate(20)), "is not a sound safetensors file: its header claims"),
        (error_of(|b| b.truncate(b.len() - 1)), "its header promises"),
        (error_of(|b| b.push(0)), "its header promises"),
        (error_of(|b| b[..8].fill(0xff)), "its header claims 18446744073709551615 bytes"),
        (error_of(swap("[2,3]", "[9,9]")), "is not a sound safetensors file"),
        (error_of(swap("\"data_offsets\":[0,", "\"data_offsets\":[4,")), "is not a sound safetensors file"),
        (error_of(swap("W_enc", "X_enc")), "has no tensor W_enc"),
        (error_of(swap("[2,3]", "[3,2]")), "tensor W_enc has shape [3, 2], but the config asks for [2, 3]"),
        (
            error_of(|b| *b = with(1, ("b_enc", I32, &[3]))),
            "tensor b_enc is I32; F32, F16 or BF16 can be read",
        ),
        (
            error_of(|b| *b = with(1, ("b_enc", F16, &[4]))),
            "tensor b_enc has shape [4], but the config asks for [3]",
        ),
        (error_of(|b| *b = file_of(&shapes, 0xff)), "tensor W_enc holds NaN at element 0"),
        (
            error_of(|b| {
                let end = b.len();
                b[end - 4..].copy_from_slice(&f32::NEG_INFINITY.to_le_bytes());
            }),
            "holds -inf at element",
        ),
    ] {
        assert!(error.starts_with(prefix) && error.contains(needle), "{error}\n  lacks {needle}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn missing_files_are_named() {
    let error = Sae::load(&Engine::cpu(), &Files::dir("no/such/dir")).expect_err("missing").to_string();
    assert!(error.starts_with("no/such/dir has no cfg.json"), "{error}");
}

#[test]
fn other_widths_are_refused() {
    let engine = Engine::cpu();
    let x = Tensor::zeros(&engine, &[4, 5]);
    let error = pollster::block_on(small(&engine).encode(&x)).expect_err("another width").to_string();
    assert!(error.contains("reads activations of width 2, but these have width 5"), "{error}");
}
