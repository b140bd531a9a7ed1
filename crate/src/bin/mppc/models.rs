//! Models by name: the built-in pair, directories, and repositories of the hub.

use std::path::Path;

use mppc::checkpoint::hub::{CachedRepo, Hub, HubError, RepoName, Settings, Want, human};
use mppc::checkpoint::{BUILT_IN, Files, Known, embedded, known, without_bom};
use mppc::failure::{Fails as _, Failure};
use mppc::model::architecture;
use mppc::regular;
use mppc::sae::formats;
use mppc::words::{echo, meant};
use serde_json::{Map, Value, json};

use crate::args::FetchArgs;
use crate::download::Watcher;
use crate::output::Output;
use crate::session::Outcome;

/// Files of a model: one of the built-in pair, a directory, a known model, or a repository, which is downloaded
/// unless it is in the cache.
pub(crate) fn files(name: &str, quiet: bool) -> Outcome<Files> {
    if let Some(files) = embedded(name) {
        return Ok(files);
    }
    if Path::new(name).is_dir() {
        return Ok(Files::dir(name));
    }
    let unknown = |_| {
        let meant = meant(name, BUILT_IN.into_iter().chain(known().iter().map(|k| k.alias.as_str())));
        let nothing = format!(
            "{} is no directory, no built-in model ({}), no model that `mppc models` lists and no owner/name of the hub",
            echo(name),
            BUILT_IN.join(", ")
        );
        Failure::new(nothing, "check the name").advised(&meant)
    };
    let (repo, _) = address(name).map_err(unknown)?;
    let hub = Hub::new(Settings::from_env());
    let watcher = Watcher::new(repo.to_string(), quiet);
    let fetched = hub.get(&repo, &Want::Model, &mut |e| watcher.see(&e)).map_err(|e| explained(&repo, &e))?;
    watcher.finish();
    Ok(Files::dir(fetched.path))
}

/// The repository that a name stands for, and what the list of known models says of it.
fn address(name: &str) -> Result<(RepoName, Option<&'static Known>), HubError> {
    match known().iter().find(|k| k.alias == name) {
        Some(found) => Ok((RepoName::parse(&found.address())?, Some(found))),
        None => {
            let repo = RepoName::parse(name)?;
            let found = known().iter().find(|k| k.address() == repo.to_string());
            Ok((repo, found))
        }
    }
}

/// An error, and what to use instead if that is known.
fn explained(repo: &RepoName, error: &HubError) -> Failure {
    let instead = known().iter().find(|k| k.repo == repo.repo).and_then(|k| k.instead.as_ref());
    match (error, instead) {
        (HubError::Pickle { .. } | HubError::NoWeights { .. }, Some(instead)) => {
            error.failure().advised(instead)
        }
        _ => error.failure(),
    }
}

/// `mppc fetch`.
pub(crate) fn fetch(args: &FetchArgs, out: Output) -> Outcome {
    let aliases = || known().iter().map(|k| k.alias.as_str());
    let (repo, entry) =
        address(&args.model).map_err(|e| e.failure().advised(&meant(&args.model, aliases())))?;
    let include = match (&args.include[..], entry) {
        ([], Some(entry)) => entry.include.clone(),
        (given, _) => given.to_vec(),
    };
    let want = if include.is_empty() { Want::Model } else { Want::Files(include) };
    let hub = Hub::new(Settings::from_env());
    let watcher = Watcher::new(repo.to_string(), out.json);
    let fetched = hub.fetch(&repo, &want, &mut |e| watcher.see(&e)).map_err(|e| explained(&repo, &e))?;
    watcher.finish();
    let did = match fetched.downloaded {
        0 => "already there".to_owned(),
        n => format!("{} downloaded", human(n)),
    };
    out.say(
        &format!("{repo}: {did}, commit {}\n{}", fetched.commit, fetched.path.display()),
        &json!({
            "repo": repo.repo, "revision": repo.revision, "commit": fetched.commit,
            "path": fetched.path, "downloaded": fetched.downloaded,
        }),
    )
}

/// `mppc models`.
pub(crate) fn list(out: Output) -> Outcome {
    let hub = Hub::new(Settings::from_env());
    let cached = hub.cached()?;
    let mut text = format!("{:24} {:9} {:>9} {:>9}  {}", "name", "kind", "size", "cached", "what");
    let mut rows = Vec::new();
    let describe = |c: &CachedRepo| {
        json!({
            "revision": c.name.revision, "path": c.path, "bytes": c.bytes,
            "complete": c.complete || kind(c) == Some("sae"),
        })
    };
    for entry in known() {
        let here: Vec<&CachedRepo> = cached.iter().filter(|c| c.name.repo == entry.repo).collect();
        let size = entry.bytes.map_or_else(|| "–".to_owned(), human);
        let there =
            if here.is_empty() { "–".to_owned() } else { human(here.iter().map(|c| c.bytes).sum()) };
        text += &format!("\n{:24} {:9} {size:>9} {there:>9}  {}", entry.alias, entry.kind, entry.about);
        let mut row = json!(entry);
        row["cached"] = here.iter().map(|c| describe(c)).collect();
        rows.push(row);
    }
    let listed = |c: &CachedRepo| known().iter().any(|k| k.repo == c.name.repo);
    for one in cached.iter().filter(|c| !listed(c)) {
        let Some(kind) = kind(one) else { continue };
        let what = if one.complete || kind == "sae" { "in the cache" } else { "in the cache, incomplete" };
        text += &format!("\n{:24} {kind:9} {:>9} {:>9}  {what}", one.name.to_string(), "–", human(one.bytes));
        rows.push(json!({ "alias": null, "repo": one.name.repo, "kind": kind, "cached": [describe(one)] }));
    }
    for one in cached.iter().filter(|c| kind(c).is_some()) {
        text += &format!("\n{}: {}", one.name, one.path.display());
    }
    let place = &hub.settings().cache;
    text += &format!("\ncache: {}", place.display());
    out.say(&text, &json!({ "cache": place, "models": rows }))
}

/// Bytes of a configuration that is looked into, at most.
const MOST_CONFIG: u64 = 16 << 20;

/// What a repository in the cache is, if the lab can do anything with it.
fn kind(cached: &CachedRepo) -> Option<&'static str> {
    let has = |file: &str| cached.files.binary_search_by(|path| path.as_str().cmp(file)).is_ok();
    let config = || regular::read_within(&cached.path.join("config.json"), MOST_CONFIG).ok();
    let object = |bytes: Vec<u8>| serde_json::from_slice::<Map<String, Value>>(without_bom(&bytes)).ok();
    if let Some(config) = Some("config.json").filter(|name| has(name)).and_then(|_| object(config()?)) {
        let model_type = config.get("model_type").and_then(|v| v.as_str());
        if let Some(found) = architecture(model_type, |key| config.contains_key(key)) {
            return Some(found.model_type);
        }
    }
    let is_sae = |path: &String| formats::is_config(path, has);
    cached.files.iter().any(is_sae).then_some("sae")
}
