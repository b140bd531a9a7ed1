use std::collections::BTreeMap;

use super::listing::Listing;
use super::*;

fn settings(vars: &[(&str, &str)]) -> Settings {
    let vars: BTreeMap<&str, &str> = vars.iter().copied().collect();
    Settings::read(|name| vars.get(name).map(|v| (*v).to_owned()))
}

#[test]
fn the_environment_is_read_as_hugging_face_reads_it() {
    let plain = settings(&[]);
    assert_eq!(plain.endpoint, "https://huggingface.co");
    assert!(plain.cache.ends_with(".cache/huggingface/hub") && !plain.offline);
    assert!(settings(&[("XDG_CACHE_HOME", "/x")]).cache.ends_with("x/huggingface/hub"));
    assert!(settings(&[("HF_HOME", "/h"), ("XDG_CACHE_HOME", "/x")]).cache.ends_with("h/hub"));
    assert!(settings(&[("HF_HUB_CACHE", "/c"), ("HF_HOME", "/h")]).cache.ends_with("c"));
    assert_eq!(settings(&[("HF_ENDPOINT", "http://mirror/")]).endpoint, "http://mirror");
    assert!(settings(&[("HF_HUB_OFFLINE", "yes")]).offline);
    assert!(!settings(&[("HF_HUB_OFFLINE", "0")]).offline);

    let home = tempfile::tempdir().expect("temporary folder");
    std::fs::write(home.path().join("token"), "hf_stored\n").expect("token file");
    let home = home.path().to_str().expect("UTF-8");
    let token = |vars: &[(&str, &str)]| settings(vars).token.map(|t| t.value);
    assert_eq!(token(&[("HF_HOME", home)]).as_deref(), Some("hf_stored"));
    assert_eq!(token(&[("HF_HOME", home), ("HF_TOKEN", " hf_given ")]).as_deref(), Some("hf_given"));
    assert_eq!(token(&[("HF_HOME", home), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]), None);
}

#[test]
fn only_names_of_repositories_are_taken() {
    let name = RepoName::parse("EleutherAI/pythia-1.4b@step1000").expect("a name");
    assert_eq!((name.repo.as_str(), name.revision.as_str()), ("EleutherAI/pythia-1.4b", "step1000"));
    assert_eq!(RepoName::parse("a/b").expect("a name").to_string(), "a/b");
    assert_eq!(RepoName::parse("a/b@refs/pr/1").expect("a name").to_string(), "a/b@refs/pr/1");
    assert!(RepoName::parse(&format!("a/b@{}", "0".repeat(40))).expect("a name").is_pinned());
    for wrong in
        ["a", "a/b/c", "/b", "a/", "../b", "a/..", "a/b@", "a/b@..", "a/b@x/../y", "a/b@/x", "a b/c", "~/b"]
    {
        assert!(RepoName::parse(wrong).is_err(), "{wrong}");
    }
}

/// A hub that lies must not make us write outside the cache.
#[test]
fn listings_that_lead_out_of_the_cache_are_refused() {
    let parse = |sha: &str, path: &str, blob: &str| {
        let one = serde_json::json!({ "rfilename": path, "size": 1, "blobId": blob });
        let info = serde_json::json!({ "sha": sha, "siblings": [one] });
        Listing::parse(info.to_string().as_bytes())
    };
    let sound = "0123456789abcdef0123456789abcdef01234567";
    assert!(parse(sound, "a/b.json", sound).is_ok());
    for path in ["../x", "/etc/x", "a/../../x", "a//b", "a\\b", "C:x", ""] {
        assert!(parse(sound, path, sound).is_err(), "{path}");
    }
    assert!(parse("../x", "a", sound).is_err());
    assert!(parse(sound, "a", "../x").is_err());
    assert!(
        Listing::parse(
            br#"{"sha":"0123456789abcdef0123456789abcdef01234567","siblings":[{"rfilename":"a"}]}"#
        )
        .is_err()
    );
    assert!(Listing::parse(b"<html>").is_err());
}

#[test]
fn what_does_not_fit_is_refused_before_it_is_downloaded() {
    let root = tempfile::tempdir().expect("temporary folder");
    let cache = tempfile::tempdir().expect("temporary folder");
    std::fs::create_dir_all(root.path().join("o/m")).expect("folder");
    std::fs::write(root.path().join("o/m/config.json"), "{}").expect("file");
    std::fs::write(root.path().join("o/m/model.safetensors"), vec![0; 5000]).expect("file");
    let server = ::hub::Hub::serve(root.path()).expect("a free port");
    let settings =
        Settings { endpoint: server.url(), token: None, cache: cache.path().join("hub"), offline: false };
    let name = RepoName::parse("o/m").expect("a name");
    let mut hub = Hub::new(settings);
    hub.free = |_| Ok(5001);
    let error = hub.fetch(&name, &Want::Model, &mut |_| {}).expect_err("5002 bytes do not fit");
    let line = error.to_string();
    assert!(line.contains("has 5.0 kB free") && line.contains("HF_HOME"), "{line}");
    assert!(server.log().iter().all(|e| e.path.starts_with("/api/")), "something was downloaded");
    assert!(!cache.path().join("hub/models--o--m").exists());
    hub.free = |_| Ok(5002);
    let fetched = hub.fetch(&name, &Want::Model, &mut |_| {}).expect("it fits");
    assert_eq!(fetched.downloaded, 5002);
    // The part that is there needs no space.
    hub.free = |_| Ok(0);
    hub.fetch(&name, &Want::Model, &mut |_| {}).expect("nothing is to be downloaded");
}

#[test]
fn the_known_models_are_sound() {
    let known = crate::checkpoint::known();
    let mut aliases: Vec<&str> = known.iter().map(|k| k.alias.as_str()).collect();
    aliases.sort_unstable();
    aliases.dedup();
    assert_eq!(aliases.len(), known.len(), "an alias names two");
    for one in known {
        RepoName::parse(&one.address()).unwrap_or_else(|e| panic!("{}: {e}", one.alias));
        assert!(["gpt_neox", "mamba", "sae"].contains(&one.kind.as_str()), "{}", one.alias);
        assert_eq!(
            one.kind == "sae",
            !one.include.is_empty(),
            "{}: SAEs, and only they, say what to fetch",
            one.alias
        );
        assert!(one.bytes.is_none() || one.source.is_some(), "{}: where is its size from?", one.alias);
    }
}
