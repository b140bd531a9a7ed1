//! `mppc sae health`, and the warnings before unhealthy SAEs are correlated.

mod common;

use std::path::{Path, PathBuf};

use common::{fails, mppc, text, told};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

/// Standard output and standard error of a command that must succeed.
fn succeeds(args: &[&str]) -> (String, String) {
    told(&mut mppc(args))
}

/// A directory with a SAE of tiny-neox whose 32 features all fire on every token and reconstruct nothing.
fn sick(dir: &Path) -> PathBuf {
    let saes = dir.join("saes");
    let folder = saes.join("blocks.1.hook_resid_post");
    std::fs::create_dir_all(&folder).unwrap();
    let config = json!({
        "architecture": "standard", "d_in": 128, "d_sae": 32,
        "metadata": { "model_name": "tiny-neox", "hook_name": "blocks.1.hook_resid_post" },
    });
    std::fs::write(folder.join("cfg.json"), config.to_string()).unwrap();
    let bytes = |values: Vec<f32>| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let tensors = [
        ("W_enc", vec![128, 32], bytes(vec![0.0; 128 * 32])),
        ("b_enc", vec![32], bytes(vec![1.0; 32])),
        ("W_dec", vec![32, 128], bytes((0..32 * 128).map(|i| (i % 7) as f32 - 3.0).collect())),
        ("b_dec", vec![128], bytes(vec![0.0; 128])),
    ];
    let views = tensors
        .iter()
        .map(|(name, shape, data)| (*name, TensorView::new(Dtype::F32, shape.clone(), data).unwrap()));
    let file = safetensors::serialize(views, None).unwrap();
    std::fs::write(folder.join("sae_weights.safetensors"), file).unwrap();
    saes
}

const REASON: &str = "L0 is 32.0, more than a tenth of the 32 features (3.2)";

#[test]
fn one_command_measures_everything_and_saves_it() {
    let dir = tempfile::tempdir().unwrap();
    let save = dir.path().join("health.json");
    let args = ["sae", "health", "tiny-neox", "--tokens", "1200", "--engine", "cpu", "--json"];
    let (out, _) = succeeds(&[&args[..], &["--save", text(&save)]].concat());
    let report: Value = serde_json::from_str(&out).unwrap();
    let saved: Value = serde_json::from_slice(&std::fs::read(&save).unwrap()).unwrap();
    assert_eq!(report, saved);
    assert_eq!((report["model"].as_str(), report["engine"].as_str()), (Some("tiny-neox"), Some("cpu")));
    assert_eq!((&report["settings"]["tokens"], &report["settings"]["seed"]), (&json!(1200), &json!(2)));
    let saes = report["saes"].as_array().unwrap();
    assert_eq!(saes.len(), 4);
    for (layer, sae) in saes.iter().enumerate() {
        assert_eq!(sae["hook"], format!("blocks.{layer}.hook_resid_post"));
        assert_eq!(sae["flags"], json!([]), "the built-in SAEs are healthy");
        let health = &sae["health"];
        assert_eq!((&health["tokens"], &health["features"]), (&json!(1200), &json!(1024)));
        assert_eq!((&health["l0"], &health["l0_quantiles"]["median"]), (&json!(16.0), &json!(16.0)));
        let counts =
            |h: &Value| h["counts"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).sum::<u64>();
        // Every feature is in a bin or dead, and every row of the decoder has a norm and a nearest other.
        assert_eq!(counts(&health["density"]) + health["density"]["zero"].as_u64().unwrap(), 1024);
        for figure in ["norms", "nearest_cosine"] {
            assert_eq!(counts(&health["decoder"][figure]["histogram"]), 1024);
        }
        let s = &health["spliced"];
        let f = |name: &str| s[name].as_f64().unwrap();
        assert!(f("ce_clean") < f("ce_spliced") && f("ce_spliced") < f("ce_zero"), "{s}");
        assert!(0.0 < f("kl_spliced") && f("kl_spliced") < f("kl_zero"), "{s}");
        let recovered = (f("ce_zero") - f("ce_spliced")) / (f("ce_zero") - f("ce_clean"));
        assert!((f("ce_recovered") - recovered).abs() < 1e-12);
    }
}

#[test]
fn an_unhealthy_sae_is_named_before_it_is_correlated() {
    let dir = tempfile::tempdir().unwrap();
    let saes = sick(dir.path());
    let common = ["--engine", "cpu", "--tokens", "300"];

    let health = ["sae", "health", "tiny-neox", "--saes", text(&saes)];
    let (out, _) = succeeds(&[&health[..], &common].concat());
    assert!(out.contains(&format!("not healthy: blocks.1.hook_resid_post: {REASON}")), "{out}");
    assert!(out.contains("the explained variance is -"), "{out}");

    let report = dir.path().join("report");
    let reproduce =
        ["reproduce", "--a-saes", text(&saes), "--neuron-tokens", "100", "--save", text(&report), "--json"];
    let (out, told) = succeeds(&[&reproduce[..], &common].concat());
    let warning =
        format!("warning: the SAE of tiny-neox, blocks.1.hook_resid_post, is not healthy: {REASON}\n");
    assert_eq!(told, warning, "one warning, on standard error");
    let out: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(out["a"]["saes"][0]["flags"][0]["reason"], REASON);
    assert_eq!(out["b"]["saes"][0]["flags"], json!([]));
    assert!(std::fs::read_to_string(report.join("report.html")).unwrap().contains(REASON));

    // Codes in a file say the same of themselves.
    let (acts, codes) = (dir.path().join("acts.safetensors"), dir.path().join("codes.safetensors"));
    let hook = "blocks.1.hook_resid_post";
    succeeds(&["run", "tiny-neox", "--text", "Once upon a time", "--hook", hook, "--save", text(&acts)]);
    let sae = saes.join(hook);
    succeeds(&["sae", "encode", text(&sae), text(&acts), "--key", hook, "--save", text(&codes)]);
    let best = dir.path().join("best.safetensors");
    let (_, told) = succeeds(&["correlate", text(&codes), text(&codes), "--save", text(&best)]);
    let warning = format!("warning: the SAE of {} is not healthy: {REASON}", text(&codes));
    assert_eq!(told.lines().filter(|line| **line == *warning).count(), 2, "one for each side: {told}");
}

#[test]
fn a_place_that_cannot_be_written_is_said_first() {
    let args = ["sae", "health", "tiny-neox", "--save", "/nowhere/at/all/health.json"];
    let told = fails(&args);
    assert!(told.contains("the directory /nowhere/at/all does not exist; make it first"), "{told}");
}
