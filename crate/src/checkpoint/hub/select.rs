//! Which files of a repository are needed.

use wildmatch::WildMatch;

use super::HubError;
use super::listing::{Listing, Remote};
use crate::checkpoint::without_bom;

/// What to get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Want {
    /// What running a model takes: its config, its weights in safetensors, its tokenizer.
    Model,
    /// Files whose path matches one of these patterns (`*` stands for anything); pickles never.
    Files(Vec<String>),
}

pub(super) const CONFIG: &str = "config.json";
pub(super) const SINGLE: &str = "model.safetensors";
pub(super) const INDEX: &str = "model.safetensors.index.json";
/// Bytes of an index, at most.
pub(super) const MOST_INDEX: u64 = 256 << 20;
/// Fetched where there are such: the tokenizer, and what names BOS, EOS and PAD.
pub(super) const OPTIONAL: [&str; 4] =
    ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json"];

fn is_pickle(path: &str) -> bool {
    [".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"].iter().any(|end| path.ends_with(end))
}

pub(super) fn matches(patterns: &[String], path: &str) -> bool {
    patterns.iter().any(|p| WildMatch::new(p).matches(path))
}

/// Everything but the weights, and where those begin: one file, or an index.
pub(super) fn model<'a>(repo: &str, listing: &'a Listing) -> Result<(Vec<&'a Remote>, &'a Remote), HubError> {
    let repo = || repo.to_owned();
    let config = listing.get(CONFIG).ok_or_else(|| {
        let has = listing.names();
        let example =
            has.iter().find_map(|p| p.rsplit_once('/')).map_or("*.safetensors", |(folder, _)| folder);
        let example = if example.contains('*') { example.to_owned() } else { format!("{example}/*") };
        HubError::NoModel { repo: repo(), example, has: has.clone() }
    })?;
    let weights = match listing.get(SINGLE).or_else(|| listing.get(INDEX)) {
        Some(found) => found,
        None => {
            let weights = |f: &&Remote| f.path.starts_with("pytorch_model") && is_pickle(&f.path);
            return Err(match listing.files.iter().find(weights) {
                Some(pickle) => HubError::Pickle { repo: repo(), file: pickle.path.clone() },
                None => HubError::NoWeights { repo: repo(), known: Vec::new() },
            });
        }
    };
    let mut files = vec![config];
    files.extend(OPTIONAL.iter().filter_map(|name| listing.get(name)));
    Ok((files, weights))
}

/// Names of the shards in an index, each once.
pub(super) fn shards(index: &[u8]) -> Result<Vec<String>, String> {
    let index: serde_json::Value = serde_json::from_slice(without_bom(index)).map_err(|e| e.to_string())?;
    let map = index["weight_map"].as_object().ok_or("it has no object weight_map")?;
    let mut names = Vec::new();
    for value in map.values() {
        names.push(value.as_str().ok_or("weight_map holds a value that is no file name")?.to_owned());
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// The files that match.
pub(super) fn matching<'a>(
    repo: &str,
    listing: &'a Listing,
    patterns: &[String],
) -> Result<Vec<&'a Remote>, HubError> {
    let (pickles, files): (Vec<&Remote>, Vec<&Remote>) =
        listing.files.iter().filter(|f| matches(patterns, &f.path)).partition(|f| is_pickle(&f.path));
    match (files.is_empty(), pickles.first()) {
        (false, _) => Ok(files),
        (true, Some(pickle)) => Err(HubError::Pickle { repo: repo.to_owned(), file: pickle.path.clone() }),
        (true, None) => Err(HubError::NoMatch {
            repo: repo.to_owned(),
            patterns: patterns.to_vec(),
            has: listing.names(),
        }),
    }
}
