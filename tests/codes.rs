//! Activations and codes from anywhere, as `mppc correlate` and `mppc sae encode` take them.

mod common;

use std::path::Path;

use common::{fails, mppc, succeeds, text};
use safetensors::SafeTensors;

/// A safetensors file of these tensors.
fn tensors(path: &Path, tensors: &[(&str, safetensors::Dtype, &[usize], Vec<u8>)]) {
    let views = tensors.iter().map(|(name, dtype, shape, data)| {
        (*name, safetensors::tensor::TensorView::new(*dtype, shape.to_vec(), data).unwrap())
    });
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

#[test]
fn correlate_takes_every_type_of_number() {
    use safetensors::Dtype::{F16, F32, F64, I32, I64, U8};
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    // 40 tokens of 3 features, small whole numbers that every type has.
    let values: Vec<u8> = (0..120u32).map(|i| (i * i * 7 % 11 / 4) as u8).collect();
    macro_rules! bytes {
        ($type:ty, $values:expr) => {
            $values.iter().flat_map(|v| (*v as $type).to_le_bytes()).collect::<Vec<u8>>()
        };
    }
    // f16 of 0, 1 and 2.
    let half = values.iter().flat_map(|v| [0u16, 0x3c00, 0x4000][*v as usize].to_le_bytes()).collect();
    let shape = [40, 3];
    let acts = [
        (F32, bytes!(f32, values)),
        (F64, bytes!(f64, values)),
        (F16, half),
        (I32, bytes!(i32, values)),
        (U8, values.clone()),
    ];
    let active: Vec<usize> = (0..120).filter(|i| values[*i] > 0).collect();
    let starts: Vec<usize> = (0..=40).map(|t| active.iter().filter(|i| **i < 3 * t).count()).collect();
    let (columns, data): (Vec<_>, Vec<_>) = active.iter().map(|i| (i % 3, values[*i])).unzip();
    let n = active.len();
    let mut sides = Vec::new();
    for (dtype, bytes) in acts {
        let path = file(&format!("{dtype:?}"));
        tensors(&path, &[("acts", dtype, &shape, bytes)]);
        sides.push(path);
    }
    let (scipy, torch) = (file("scipy"), file("torch"));
    tensors(
        &scipy,
        &[
            ("indptr", I32, &[41], bytes!(i32, starts)),
            ("indices", I32, &[n], bytes!(i32, columns)),
            ("data", F64, &[n], bytes!(f64, data)),
            ("shape", I64, &[2], bytes!(i64, shape)),
        ],
    );
    tensors(
        &torch,
        &[
            ("crow_indices", I64, &[41], bytes!(i64, starts)),
            ("col_indices", I64, &[n], bytes!(i64, columns)),
            ("values", F32, &[n], bytes!(f32, data)),
            ("shape", I64, &[2], bytes!(i64, shape)),
        ],
    );
    sides.extend([scipy, torch]);
    let saved = |side: &Path| -> Vec<f32> {
        let out = file("out.safetensors");
        succeeds(&["correlate", text(side), text(&sides[0]), "--save", text(&out), "--engine", "cpu"]);
        let bytes = std::fs::read(&out).unwrap();
        let best = SafeTensors::deserialize(&bytes).unwrap();
        let best = best.tensor("a_to_b.mppc").unwrap();
        best.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
    };
    let want = saved(&sides[0]);
    assert!(want.len() == 3 && want.iter().all(|rho| (rho - 1.0).abs() < 1e-6), "{want:?}");
    for side in &sides[1..] {
        let got = saved(side);
        assert!(got.iter().zip(&want).all(|(g, w)| (g - w).abs() < 1e-6), "{side:?}: {got:?} {want:?}");
    }
}

#[test]
fn correlate_refuses_sizes_in_one_line() {
    use safetensors::Dtype::{F32, I64};
    let dir = tempfile::tempdir().unwrap();
    let good = dir.path().join("good");
    tensors(&good, &[("acts", F32, &[3, 2], vec![0; 24])]);
    let (bad, out) = (dir.path().join("bad"), dir.path().join("out"));
    let refused = |shape: &[usize], told: &str| {
        tensors(&bad, &[("acts", F32, shape, vec![0; 4 * shape.iter().product::<usize>()])]);
        for args in [[text(&bad), text(&good)], [text(&good), text(&bad)], [text(&bad), text(&bad)]] {
            let args = [&["correlate"][..], &args, &["--save", text(&out), "--engine", "cpu"]];
            let error = fails(&args.concat());
            assert!(error.contains(told), "{shape:?}: {error}\n  lacks {told}");
        }
    };
    let few = "a correlation needs at least 2";
    for shape in [&[0, 1 << 62][..], &[0, 1 << 31], &[0, 2], &[1, 2]] {
        refused(shape, few);
    }
    for shape in [&[1 << 62, 0][..], &[0, 0], &[6], &[1, 3, 2]] {
        refused(shape, "[tokens, features] is needed");
    }
    // Codes of no tokens, of one, of no features, of more features than there may be.
    let zeros = |n: usize| vec![0u8; 8 * n];
    for (tokens, features, told) in [
        (0, 5, few),
        (1, 5, few),
        (2, 0, "there are no features"),
        (2, 2_147_483_647, "more than the 4194304 that codes may have"),
        (2, i64::MAX as usize, "more than the 4194304 that codes may have"),
    ] {
        let shape = [tokens, features].iter().flat_map(|n| (*n as i64).to_le_bytes()).collect();
        tensors(
            &bad,
            &[
                ("indptr", I64, &[tokens + 1], zeros(tokens + 1)),
                ("indices", I64, &[0], zeros(0)),
                ("values", F32, &[0], zeros(0)),
                ("shape", I64, &[2], shape),
            ],
        );
        let error = fails(&["correlate", text(&bad), text(&good), "--save", text(&out), "--engine", "cpu"]);
        assert!(error.contains(told), "{tokens} {features}: {error}");
    }
}

/// Activations with their heads apart, as `mppc run` saves them, and an SAE of one of them.
#[test]
fn encode_takes_the_head_that_an_sae_reads() {
    use safetensors::Dtype::F32;
    let dir = tempfile::tempdir().unwrap();
    let (hook, acts) = ("blocks.0.attn.hook_z", dir.path().join("acts"));
    succeeds(&["run", "tiny-neox", "--text", "Once upon a time", "--hook", hook, "--save", text(&acts)]);
    let bytes = std::fs::read(&acts).unwrap();
    let all = SafeTensors::deserialize(&bytes).unwrap();
    let z = all.tensor(hook).unwrap();
    let &[batch, len, heads, d] = z.shape() else { panic!("{:?}", z.shape()) };
    let head = 2;
    let of_head: Vec<u8> =
        z.data().chunks(4 * d).skip(head).step_by(heads).flat_map(|row| row.iter().copied()).collect();
    let by_hand = dir.path().join("by_hand");
    tensors(&by_hand, &[("acts", F32, &[batch, len, d], of_head)]);

    let sae = dir.path().join("sae");
    std::fs::create_dir(&sae).unwrap();
    let f = 8;
    let number = |i: usize| (((i * 2_654_435_761) >> 7) % 1_000) as f32 / 500.0 - 1.0;
    let floats = |n: usize| (0..n).flat_map(|i| number(i).to_le_bytes()).collect::<Vec<u8>>();
    tensors(
        &sae.join("sae_weights.safetensors"),
        &[
            ("W_enc", F32, &[d, f], floats(d * f)),
            ("b_enc", F32, &[f], floats(f)),
            ("W_dec", F32, &[f, d], floats(f * d)),
            ("b_dec", F32, &[d], floats(d)),
        ],
    );
    let codes = |acts: &Path, key: &str, head: serde_json::Value| {
        let config = serde_json::json!({
            "architecture": "standard", "d_in": d, "d_sae": f,
            "metadata": { "hook_name": hook, "hook_head_index": head },
        });
        std::fs::write(sae.join("cfg.json"), config.to_string()).unwrap();
        let out = dir.path().join("codes");
        let args =
            ["sae", "encode", text(&sae), text(acts), "--key", key, "--save", text(&out), "--engine", "cpu"];
        let output = mppc(&args).output().unwrap();
        output.status.success().then(|| std::fs::read(&out).unwrap()).ok_or(output.stderr)
    };
    let got = codes(&acts, hook, head.into()).expect("codes");
    assert!(got == codes(&by_hand, "acts", serde_json::Value::Null).expect("codes"), "the same file");
    assert!(got != codes(&acts, hook, 1.into()).expect("codes"), "of another head");
    for (index, told) in
        [(heads.into(), "reads head 4"), (serde_json::Value::Null, "does not say which of these 4")]
    {
        let error = String::from_utf8(codes(&acts, hook, index).expect_err("refused")).unwrap();
        assert!(error.contains(told) && error.lines().count() == 1, "{error}");
    }
}
