//! Sparse codes, and dense activations.

use mppc::checkpoint::SafeFile;
use mppc::gpu::Engine;
use mppc::sae::{Codes, code_flags};
use mppc::universality::{correlate, from_dense, moments, published, shift_tokens, shuffle_tokens};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::Folder;

const TOKENS: usize = 12;
const FEATURES: usize = 5;

/// Features that fire now and then, one that never does and one that always does.
fn acts() -> Vec<f32> {
    let value = |i: usize| match i % FEATURES {
        0 => 0.0,
        1 => 1.0 + i as f32,
        j => ((i * i + j) % 7).saturating_sub(3) as f32,
    };
    (0..TOKENS * FEATURES).map(value).collect()
}

pub(crate) fn good() -> Vec<Folder> {
    let folder = |bytes: Vec<u8>| Folder::from([("codes.safetensors".to_owned(), bytes)]);
    let codes = from_dense(FEATURES, &acts());
    let many = Codes { n_features: 70_000, ..codes.clone() };
    let bytes: Vec<u8> = acts().iter().flat_map(|v| v.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, vec![TOKENS, FEATURES], &bytes).expect("a tensor");
    let dense = safetensors::serialize([("acts", view)], None).expect("a file");
    let sparse = |codes: &Codes| folder(codes.to_safetensors().expect("a file"));
    vec![sparse(&codes), sparse(&many), folder(dense)]
}

/// Reads one side of `mppc correlate` and correlates it with good codes, in both places.
pub(crate) fn read(input: &Folder) -> bool {
    let Some(bytes) = input.get("codes.safetensors") else { return false };
    let codes = match Codes::from_safetensors("fuzz", bytes) {
        Ok(codes) => codes,
        Err(_) => {
            let Ok(file) = SafeFile::parse("fuzz", bytes.clone().into()) else { return false };
            let Some(&[_, features]) = file.shape("acts") else { return false };
            let Ok(values) = file.f32s("acts") else { return false };
            if features == 0 {
                return false;
            }
            from_dense(features, &values)
        }
    };
    let other = from_dense(FEATURES, &acts());
    let engine = Engine::cpu();
    let _ = (moments(&codes), code_flags(&codes), shuffle_tokens(&codes, 1), shift_tokens(&codes, 1));
    for (a, b) in [(&codes, &other), (&other, &codes)] {
        let exact = pollster::block_on(correlate(&engine, a, b));
        let _ = published(a, b);
        let Ok(exact) = exact else { continue };
        let all = exact.a_to_b.mppc.iter().chain(&exact.b_to_a.mppc);
        assert!(all.clone().all(|r| r.is_nan() || r.abs() <= 1.0 + 1e-5), "a correlation beyond 1");
    }
    true
}
