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

    let me = ("HOME", "/home/me");
    let cache = |vars: &[(&str, &str)]| settings(&[&[me], vars].concat()).cache;
    assert_eq!(cache(&[]), std::path::Path::new("/home/me/.cache/huggingface/hub"));
    assert_eq!(cache(&[("HF_HOME", "~/hf")]), std::path::Path::new("/home/me/hf/hub"));
    assert_eq!(cache(&[("HF_HOME", "${HOME}/$D"), ("D", "d")]), std::path::Path::new("/home/me/d/hub"));
    assert_eq!(cache(&[("XDG_CACHE_HOME", "$HOME/c")]), std::path::Path::new("/home/me/c/huggingface/hub"));
    for name in ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"] {
        assert_eq!(cache(&[(name, "~/$D"), ("D", "d")]), std::path::Path::new("/home/me/d"));
    }

    let home = tempfile::tempdir().expect("temporary folder");
    std::fs::write(home.path().join("token"), "hf_stored\n").expect("token file");
    let home = home.path().to_str().expect("UTF-8");
    let token = |vars: &[(&str, &str)]| settings(vars).token.map(|t| t.value);
    assert_eq!(token(&[("HF_HOME", home)]).as_deref(), Some("hf_stored"));
    assert_eq!(token(&[("HF_HOME", "~"), ("HOME", home)]).as_deref(), Some("hf_stored"));
    assert_eq!(token(&[("HF_TOKEN_PATH", "$X/token"), ("X", home)]).as_deref(), Some("hf_stored"));
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

/// A repository `o/m` of a small file and weights of 5,000 bytes, and an empty cache.
fn world() -> (tempfile::TempDir, ::hub::Hub, Hub) {
    let root = tempfile::tempdir().expect("temporary folder");
    std::fs::create_dir_all(root.path().join("o/m")).expect("folder");
    std::fs::write(root.path().join("o/m/config.json"), "{}").expect("file");
    std::fs::write(root.path().join("o/m/model.safetensors"), vec![7; 5000]).expect("file");
    let server = ::hub::Hub::serve(root.path()).expect("a free port");
    let settings =
        Settings { endpoint: server.url(), token: None, cache: root.path().join("hub"), offline: false };
    (root, server, Hub::new(settings))
}

#[test]
fn a_stall_is_an_error_and_what_came_is_kept() {
    let (_root, server, mut hub) = world();
    hub.patience = std::time::Duration::from_millis(1_500);
    server.faults(::hub::Faults { rate: Some(2), ..Default::default() });
    let name = RepoName::parse("o/m").expect("a name");
    let weights = Want::Files(vec!["*.safetensors".to_owned()]);
    let started = std::time::Instant::now();
    let error = hub.fetch(&name, &weights, &mut |_| {}).expect_err("two bytes a second");
    assert!(started.elapsed().as_secs() < 20, "{error}");
    let HubError::Stalled { done, total: 5000, .. } = error else { panic!("{error}") };
    assert!(done > 0, "nothing was kept");
    let line = error.to_string();
    assert!(line.contains("of 5.0 kB are kept: run the command again"), "{line}");
    // The next run goes on from there.
    server.reset();
    let fetched = hub.fetch(&name, &weights, &mut |_| {}).expect("a good hub");
    assert_eq!(fetched.downloaded, 5000 - done);
    let range = server.log().iter().find_map(|entry| entry.range.clone());
    assert_eq!(range, Some(format!("bytes={done}-")));
}

#[test]
fn a_slow_hub_is_no_stall() {
    let (_root, server, mut hub) = world();
    hub.patience = std::time::Duration::from_millis(300);
    server.faults(::hub::Faults { rate: Some(4_000), ..Default::default() });
    let fetched = hub.fetch(&RepoName::parse("o/m").expect("a name"), &Want::Model, &mut |_| {});
    assert_eq!(fetched.expect("it comes on").downloaded, 5002);
}

/// What is no file of the cache is passed over: nothing is waited for, nothing is followed in a circle.
#[cfg(unix)]
#[test]
fn odd_caches_are_listed() {
    use std::os::unix::fs::symlink;
    let (root, _server, hub) = world();
    let name = RepoName::parse("o/m").expect("a name");
    let sound = hub.fetch(&name, &Want::Model, &mut |_| {}).expect("a good hub");
    let before = hub.cached().expect("a cache");
    assert_eq!((before.len(), before[0].bytes, before[0].complete), (1, 5002, true));

    let cache = root.path().join("hub");
    let pipe = |path: &std::path::Path| {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        assert!(std::process::Command::new("mkfifo").arg(path).status().expect("mkfifo").success());
    };
    // In the sound repository: links in circles, to itself and to above, a pipe, a dead link, a deep tree.
    symlink(&sound.path, sound.path.join("again")).expect("a link");
    symlink("..", sound.path.join("up")).expect("a link");
    symlink("self", sound.path.join("self")).expect("a link");
    symlink("nowhere", sound.path.join("dead.json")).expect("a link");
    pipe(&sound.path.join("pipe.json"));
    std::fs::create_dir_all(sound.path.join("d/".repeat(200))).expect("deep");
    pipe(&cache.join("models--o--m/refs/pipe"));
    symlink("/dev/zero", cache.join("models--o--m/refs/zero")).expect("a link");
    let after = hub.cached().expect("a cache");
    assert_eq!(after, before);

    // Repositories that are none.
    let commit = "0".repeat(40);
    pipe(&cache.join(format!("models--o--pipe/snapshots/{commit}/config.json")));
    pipe(&cache.join(format!("models--o--index/snapshots/{commit}/model.safetensors.index.json")));
    pipe(&cache.join("models--o--only"));
    std::fs::create_dir_all(cache.join("models--o--loop/snapshots")).expect("made");
    symlink(".", cache.join(format!("models--o--loop/snapshots/{commit}"))).expect("a link");
    std::fs::write(cache.join("models--o--file"), "no folder").expect("written");
    symlink("models--o--link", cache.join("models--o--link")).expect("a link");
    let all = hub.cached().expect("a cache");
    assert_eq!(all.iter().filter(|one| one.complete).collect::<Vec<_>>(), before.iter().collect::<Vec<_>>());
    assert!(all.iter().filter(|one| !one.complete).all(|one| one.bytes == 0), "{all:?}");

    // A pipe where a download would be written is an error, and nothing waits.
    let (root, _server, hub) = world();
    hub.fetch(&name, &Want::Files(vec!["config.json".to_owned()]), &mut |_| {}).expect("a good hub");
    let locks = root.path().join("hub/.locks/models--o--m");
    let blob = hub.cached().expect("a cache")[0].path.join("config.json");
    let hash = std::fs::read_link(&blob).expect("a link").file_name().expect("a hash").to_owned();
    let lock = locks.join(format!("{}.lock", hash.to_string_lossy()));
    std::fs::remove_file(&lock).expect("a lock");
    pipe(&lock);
    let told = hub.fetch(&name, &Want::Model, &mut |_| {}).expect_err("a pipe").to_string();
    assert!(told.contains("it is no regular file"), "{told}");
}

#[test]
fn answers_of_unexpected_form_are_refused_in_a_line() {
    let sha = "0123456789abcdef0123456789abcdef01234567";
    for siblings in [
        r#"[{"rfilename": "a", "size": -1, "blobId": "0123456789abcdef0123456789abcdef01234567"}]"#,
        r#"[{"rfilename": "a", "size": 1e30, "blobId": "0123456789abcdef0123456789abcdef01234567"}]"#,
        r#"[{"rfilename": 7}]"#,
        r#"[["a"]]"#,
        r#"{"a": 1}"#,
        r#"[{"rfilename": "a\u001b[2J", "size": 1, "blobId": "0123456789abcdef0123456789abcdef01234567"}]"#,
    ] {
        let json = format!(r#"{{"sha": "{sha}", "siblings": {siblings}}}"#);
        let reason = Listing::parse(json.as_bytes()).expect_err(siblings);
        assert!(!reason.contains(['\n', '\u{1b}']), "{reason}");
        let error = HubError::Answer { url: format!("http://x/{}", "a".repeat(9_000)), reason };
        assert!(error.to_string().chars().count() < 600, "{error}");
    }
    // Found by their paths, in whatever order they came.
    let one =
        |path: &str| format!(r#"{{"rfilename": "{path}", "size": 18446744073709551615, "blobId": "{sha}"}}"#);
    let json = format!(r#"{{"sha": "{sha}", "siblings": [{}, {}, {}]}}"#, one("b"), one("a/c"), one("a"));
    let listing = Listing::parse(json.as_bytes()).expect("an odd hub, but sound");
    for path in ["a", "a/c", "b"] {
        assert_eq!(listing.get(path).map(|file| file.size), Some(u64::MAX), "{path}");
    }
    assert!(listing.get("c").is_none());
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
        assert_eq!(
            one.kind == "sae",
            !one.include.is_empty(),
            "{}: SAEs, and only they, say what to fetch",
            one.alias
        );
        assert!(one.bytes.is_none() || one.source.is_some(), "{}: where is its size from?", one.alias);
    }
}
