//! Models and SAEs that the lab knows of: a data file, so that nothing in the code depends on a name.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

/// A repository of the hub that the lab can use, or cannot yet.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// A short name for it on the command line.
    pub alias: String,
    /// `owner/name`.
    pub repo: String,
    /// A branch, where the files are not on `main`.
    #[serde(default)]
    pub revision: Option<String>,
    /// Its `model_type`, or `sae`.
    pub kind: String,
    /// What it is, and what it is in the paper.
    pub about: String,
    /// Number of parameters.
    #[serde(default)]
    pub parameters: Option<u64>,
    /// Type in which the weights are stored.
    #[serde(default)]
    pub dtype: Option<String>,
    /// Bytes to download, about.
    #[serde(default)]
    pub bytes: Option<u64>,
    /// Where the numbers come from.
    #[serde(default)]
    pub source: Option<String>,
    /// Licence, as an SPDX identifier.
    #[serde(default)]
    pub licence: Option<String>,
    /// Which files to fetch, for a repository that is no model.
    #[serde(default)]
    pub include: Vec<String>,
    /// Why it cannot be used as it is, and what can.
    #[serde(default)]
    pub instead: Option<String>,
}

impl Known {
    /// `owner/name`, with its revision if that is not `main`.
    pub fn address(&self) -> String {
        match &self.revision {
            None => self.repo.clone(),
            Some(revision) => format!("{}@{revision}", self.repo),
        }
    }
}

static KNOWN: LazyLock<Vec<Known>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../models/known.json")).expect("a test reads the same file")
});

/// All of them, in the order of the file.
pub fn known() -> &'static [Known] {
    &KNOWN
}

/// Whether two names are of the same model, as far as names tell: owners, revisions, folders above, the hub's cache
/// and case do not matter, nor do the sizes that EleutherAI once named Pythia by.
pub fn same_model(one: &str, other: &str) -> bool {
    plain(one) == plain(other)
}

/// What is left of a model's name.
fn plain(name: &str) -> String {
    const RENAMED: [(&str, &str); 8] = [
        ("19m", "70m"),
        ("125m", "160m"),
        ("350m", "410m"),
        ("800m", "1b"),
        ("1.3b", "1.4b"),
        ("2.7b", "2.8b"),
        ("6.7b", "6.9b"),
        ("13b", "12b"),
    ];
    // `models--OWNER--NAME/snapshots/COMMIT` in the hub's cache.
    let mut parts = name.split(['/', '\\']).filter(|part| !matches!(*part, "" | "."));
    let cached = parts.clone().find_map(|part| part.strip_prefix("models--")?.rsplit("--").next());
    let last = cached.or_else(|| parts.next_back()).unwrap_or_default();
    let last = last.split('@').next().unwrap_or_default().to_lowercase().replace('_', "-");
    // The same weights in transformers' layout.
    let last = last.strip_suffix("-hf").unwrap_or(&last);
    match last.strip_prefix("pythia-") {
        Some(size) => {
            let (number, rest) =
                size.split_once('-').map_or((size, ""), |(number, _)| size.split_at(number.len()));
            let now = RENAMED.iter().find(|(before, _)| *before == number).map_or(number, |(_, now)| now);
            format!("pythia-{now}{rest}")
        }
        None => last.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_one_model_are_the_same() {
        for (one, other) in [
            ("EleutherAI/pythia-160m", "pythia-160m"),
            ("EleutherAI/pythia-160m@step1000", "Pythia-160M"),
            ("pythia-125m-deduped", "EleutherAI/pythia-160m-deduped"),
            ("state-spaces/mamba-130m", "mamba-130m-hf"),
            ("/home/me/tiny_neox/", "tiny-neox"),
            ("./models/tiny-neox", "C:\\models\\tiny-neox"),
            ("/c/hub/models--EleutherAI--pythia-70m/snapshots/0123abcd", "pythia-70m"),
        ] {
            assert!(same_model(one, other) && same_model(other, one), "{one} {other}");
        }
        for known in known() {
            assert!(same_model(&known.address(), &known.repo), "{known:?}");
        }
    }

    #[test]
    fn names_of_others_are_not() {
        for (one, other) in [
            ("pythia-160m", "pythia-160m-deduped"),
            ("pythia-160m", "pythia-70m"),
            ("pythia-1b", "pythia-12b"),
            ("tiny-neox", "tiny-mamba"),
            ("gpt2", "tiny-neox"),
        ] {
            assert!(!same_model(one, other), "{one} {other}");
        }
    }
}
