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
    /// `gpt_neox`, `mamba` or `sae`.
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
