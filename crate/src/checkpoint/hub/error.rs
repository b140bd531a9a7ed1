//! What can go wrong between the hub and the cache.

use std::path::PathBuf;

use thiserror::Error;

use super::size::human;
use crate::words::echo;

/// A repository could not be had.
#[derive(Debug, Error)]
pub enum HubError {
    /// No name of a repository.
    #[error("{} is no repository of the hub; write owner/name or owner/name@revision", echo(.0))]
    Name(String),
    /// No name of a data set.
    #[error("{} is no data set of the hub; write hub:OWNER/NAME[@REVISION][/CONFIG[/SPLIT]]", echo(.0))]
    DataSetName(String),
    /// No such config or split, or several.
    #[error("{repo} has {problem}; its {what}s are {}: name one, as in hub:{example}", some(known))]
    Choice {
        /// Repository.
        repo: String,
        /// What is wrong.
        problem: String,
        /// `config` or `split`.
        what: &'static str,
        /// Those that there are.
        known: Vec<String>,
        /// How one is named.
        example: String,
    },
    /// A data set that is nowhere in Parquet.
    #[error("{repo} has no .parquet files at {revision}; name a revision that has some, or another data set")]
    NoParquet {
        /// Repository.
        repo: String,
        /// The revision.
        revision: String,
    },
    /// A data set without the branch of converted files.
    #[error(
        "the hub has not converted {repo} to Parquet (it has no branch refs/convert/parquet); if it has .parquet files \
         of its own, use hub:{repo}@main"
    )]
    NotConverted {
        /// Repository.
        repo: String,
    },
    /// The cache has no more files, and nobody says whether there are more.
    #[error(
        "the files of {repo} in {} are used up, and only the hub knows whether there are more; ask for fewer tokens, or \
         unset HF_HUB_OFFLINE and check the network",
        cache.display()
    )]
    UsedUp {
        /// Repository.
        repo: String,
        /// The cache.
        cache: PathBuf,
    },
    /// Not there, and not to be downloaded.
    #[error(
        "{repo} is not complete in {}, and HF_HUB_OFFLINE forbids downloads; unset it, or bring the files there",
        cache.display()
    )]
    Offline {
        /// Repository.
        repo: String,
        /// The cache.
        cache: PathBuf,
    },
    /// No connection.
    #[error(
        "{url} cannot be reached: {reason}; check the network and HF_ENDPOINT, then run the command again"
    )]
    Unreachable {
        /// Address.
        url: String,
        /// Why.
        reason: String,
    },
    /// The hub answers with an error that is not about the repository.
    #[error("the hub answers {status} to {url}; try again later")]
    Status {
        /// Address.
        url: String,
        /// HTTP status.
        status: u16,
    },
    /// Not on the hub, or not for everybody.
    #[error(
        "{endpoint} has no repository {repo}, or it is private; check the name, or give a token that may read it in HF_TOKEN"
    )]
    NoRepo {
        /// Repository.
        repo: String,
        /// Address of the hub.
        endpoint: String,
    },
    /// No such branch, tag or commit.
    #[error("{repo} has no revision {revision}{}", others(known))]
    NoRevision {
        /// Repository.
        repo: String,
        /// What was asked for.
        revision: String,
        /// Branches and tags there are.
        known: Vec<String>,
    },
    /// No such file.
    #[error("{repo} has no file {}; name one that it has", echo(file))]
    NoFile {
        /// Repository.
        repo: String,
        /// The file.
        file: String,
    },
    /// Terms to accept first.
    #[error(
        "{repo} is open only to those who accepted its terms; accept them at {endpoint}/{repo} and give your token in HF_TOKEN"
    )]
    Gated {
        /// Repository.
        repo: String,
        /// Address of the hub.
        endpoint: String,
    },
    /// The token is no good.
    #[error("the hub refuses the token from {source_of_token}; make a new one at {endpoint}/settings/tokens")]
    Token {
        /// Where the token was found.
        source_of_token: String,
        /// Address of the hub.
        endpoint: String,
    },
    /// Not a model.
    #[error(
        "{repo} has no config.json, so it is no model; choose files with --include, say --include '{example}'; it has {}",
        some(has)
    )]
    NoModel {
        /// Repository.
        repo: String,
        /// A pattern that would match.
        example: String,
        /// Files it has.
        has: Vec<String>,
    },
    /// A model without weights, as when they are on another branch.
    #[error("{repo} has no weights{}", others(known))]
    NoWeights {
        /// Repository and revision.
        repo: String,
        /// Branches and tags there are.
        known: Vec<String>,
    },
    /// Weights that are only a pickle.
    #[error(
        "{repo} has only {file}, a pickle, which can run code when opened, so nothing was downloaded; use a repository \
         with model.safetensors, or download it with `hf download {} --local-dir DIR` and convert it: {}",
        repo.replace('@', " --revision "),
        crate::checkpoint::error::convert("DIR")
    )]
    Pickle {
        /// Repository.
        repo: String,
        /// The file.
        file: String,
    },
    /// Patterns that match nothing.
    #[error("nothing in {repo} matches {}; it has {}", echo(&patterns.join(" or ")), some(has))]
    NoMatch {
        /// Repository.
        repo: String,
        /// The patterns.
        patterns: Vec<String>,
        /// Files it has.
        has: Vec<String>,
    },
    /// An index that names a file which is not there.
    #[error(
        "{repo} is incomplete: its {index} names {}, which it does not have; tell its owner",
        echo(shard)
    )]
    Shard {
        /// Repository.
        repo: String,
        /// The index.
        index: String,
        /// The missing file.
        shard: String,
    },
    /// An answer that makes no sense.
    #[error(
        "the answer of {} cannot be used: {}; is HF_ENDPOINT a Hugging Face hub?",
        echo(url),
        echo(reason)
    )]
    Answer {
        /// Address.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// Twice not the bytes the hub promises.
    #[error(
        "{file} of {repo} arrived damaged twice: its hash is {found}, but the hub states {expected}; nothing of it was \
         kept; try again later or over another network"
    )]
    Damaged {
        /// Repository.
        repo: String,
        /// The file.
        file: String,
        /// Hash stated.
        expected: String,
        /// Hash of what came.
        found: String,
    },
    /// The connection breaks again and again.
    #[error(
        "{file}: the connection broke {attempts} times in a row ({reason}); {} of {} are kept: run the command again to go on from there",
        human(*done), human(*total)
    )]
    Cut {
        /// The file.
        file: String,
        /// Attempts without a step forward.
        attempts: u32,
        /// The last reason.
        reason: String,
        /// Bytes there are.
        done: u64,
        /// Bytes there should be.
        total: u64,
    },
    /// A transfer that hardly moves.
    #[error(
        "{}: the hub has all but stopped ({reason}); {} of {} are kept: run the command again later to go on from there",
        echo(file), human(*done), human(*total)
    )]
    Stalled {
        /// The file.
        file: String,
        /// What came.
        reason: String,
        /// Bytes there are.
        done: u64,
        /// Bytes there should be.
        total: u64,
    },
    /// Not enough space for what is to come.
    #[error(
        "{} has {} free, but {} are to be downloaded; free some space, or set HF_HOME to a folder on another disk",
        place.display(), human(*free), human(*needed)
    )]
    Space {
        /// The cache.
        place: PathBuf,
        /// Bytes free.
        free: u64,
        /// Bytes to come.
        needed: u64,
    },
    /// The disk or the quota was full before the end.
    #[error(
        "no space is left for {} ({source}); nothing of it was kept; free {} or set HF_HOME to a folder on another disk",
        file.display(), human(*needed)
    )]
    Full {
        /// Where it was to be.
        file: PathBuf,
        /// Bytes it takes.
        needed: u64,
        /// What the system says.
        source: std::io::Error,
    },
    /// Somebody asked it to stop. What has arrived is kept.
    #[error("cancelled")]
    Cancelled,
    /// The cache cannot be read or written.
    #[error("{}: {source}", file.display())]
    Io {
        /// File or folder.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// A few names, and how many more there are.
fn some(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| echo(name)).collect();
    match names.len() {
        0 => "no files".to_owned(),
        n if n <= SHOWN => shown.join(", "),
        n => format!("{} and {} more", shown.join(", "), n - SHOWN),
    }
}

fn others(known: &[String]) -> String {
    match known {
        [] => "; name another with owner/name@revision".to_owned(),
        known => format!("; it has the revisions {}: name one with owner/name@revision", some(known)),
    }
}
