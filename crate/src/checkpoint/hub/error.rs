//! What can go wrong between the hub and the cache.

use std::path::PathBuf;

use thiserror::Error;

use super::size::human;
use crate::failure::{Fails, Failure, printed};
use crate::words::echo;

/// A repository could not be had.
#[derive(Debug, Error)]
pub enum HubError {
    /// No name of a repository.
    Name(String),
    /// No name of a data set.
    DataSetName(String),
    /// No such config or split, or several.
    Choice {
        /// Repository.
        repo: String,
        /// What is wrong.
        problem: String,
        /// Those that there are, and how one is named.
        advice: String,
        /// Which one may have been meant; empty where none is like it.
        meant: String,
    },
    /// A data set that is nowhere in Parquet.
    NoParquet {
        /// Repository.
        repo: String,
        /// The revision.
        revision: String,
    },
    /// A data set without the branch of converted files.
    NotConverted {
        /// Repository.
        repo: String,
    },
    /// The cache has no more files, and nobody says whether there are more.
    UsedUp {
        /// Repository.
        repo: String,
        /// The cache.
        cache: PathBuf,
    },
    /// Not there, and not to be downloaded.
    Offline {
        /// Repository.
        repo: String,
        /// The cache.
        cache: PathBuf,
    },
    /// No connection.
    Unreachable {
        /// Address.
        url: String,
        /// Why.
        reason: String,
    },
    /// The hub answers with an error that is not about the repository.
    Status {
        /// Address.
        url: String,
        /// HTTP status.
        status: u16,
    },
    /// Not on the hub, or not for everybody.
    NoRepo {
        /// Repository.
        repo: String,
        /// Address of the hub.
        endpoint: String,
    },
    /// No such branch, tag or commit.
    NoRevision {
        /// Repository.
        repo: String,
        /// What was asked for.
        revision: String,
        /// Branches and tags there are.
        known: Vec<String>,
    },
    /// No such file.
    NoFile {
        /// Repository.
        repo: String,
        /// The file.
        file: String,
    },
    /// Terms to accept first.
    Gated {
        /// Repository.
        repo: String,
        /// Address of the hub.
        endpoint: String,
    },
    /// The token is no good.
    Token {
        /// Where the token was found.
        source_of_token: String,
        /// Address of the hub.
        endpoint: String,
    },
    /// Not a model.
    NoModel {
        /// Repository.
        repo: String,
        /// A pattern that would match.
        example: String,
        /// Files it has.
        has: Vec<String>,
    },
    /// A model without weights, as when they are on another branch.
    NoWeights {
        /// Repository and revision.
        repo: String,
        /// Branches and tags there are.
        known: Vec<String>,
    },
    /// Weights that are only a pickle.
    Pickle {
        /// Repository.
        repo: String,
        /// The file.
        file: String,
    },
    /// Patterns that match nothing.
    NoMatch {
        /// Repository.
        repo: String,
        /// The patterns.
        patterns: Vec<String>,
        /// Files it has.
        has: Vec<String>,
    },
    /// An index that names a file which is not there.
    Shard {
        /// Repository.
        repo: String,
        /// The index.
        index: String,
        /// The missing file.
        shard: String,
    },
    /// An answer that makes no sense.
    Answer {
        /// Address.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// Twice not the bytes the hub promises.
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
    Space {
        /// The cache.
        place: PathBuf,
        /// Bytes free.
        free: u64,
        /// Bytes to come.
        needed: u64,
    },
    /// The disk or the quota was full before the end.
    Full {
        /// Where it was to be.
        file: PathBuf,
        /// Bytes it takes.
        needed: u64,
        /// What the system says.
        source: std::io::Error,
    },
    /// Somebody asked it to stop. What has arrived is kept.
    Cancelled,
    /// The cache cannot be read or written.
    Io {
        /// File or folder.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Fails for HubError {
    fn failure(&self) -> Failure {
        match self {
            Self::Name(what) => Failure::new(
                format!("{} is no repository of the hub", echo(what)),
                "write owner/name or owner/name@revision",
            ),
            Self::DataSetName(what) => Failure::new(
                format!("{} is no data set of the hub", echo(what)),
                "write hub:OWNER/NAME[@REVISION][/CONFIG[/SPLIT]]",
            ),
            Self::Choice { repo, problem, advice, meant } => {
                Failure::new(format!("{repo} has {problem}"), advice).advised(meant)
            }
            Self::NoParquet { repo, revision } => Failure::new(
                format!("{repo} has no .parquet files at {revision}"),
                "name a revision that has some, or another data set",
            ),
            Self::NotConverted { repo } => Failure::new(
                format!(
                    "the hub has not converted {repo} to Parquet (it has no branch refs/convert/parquet)"
                ),
                format!("if it has .parquet files of its own, use hub:{repo}@main"),
            ),
            Self::UsedUp { repo, cache } => Failure::new(
                format!(
                    "the files of {repo} in {} are used up, and only the hub knows whether there are more",
                    cache.display()
                ),
                "ask for fewer tokens, or unset HF_HUB_OFFLINE and check the network",
            ),
            Self::Offline { repo, cache } => Failure::new(
                format!(
                    "{repo} is not complete in {}, and HF_HUB_OFFLINE forbids downloads",
                    cache.display()
                ),
                "unset it, or bring the files there",
            ),
            Self::Unreachable { url, reason } => Failure::new(
                format!("{url} cannot be reached: {reason}"),
                "check the network and HF_ENDPOINT, then run the command again",
            ),
            Self::Status { url, status } => {
                Failure::new(format!("the hub answers {status} to {url}"), "try again later")
            }
            Self::NoRepo { repo, endpoint } => Failure::new(
                format!("{endpoint} has no repository {repo}, or it is private"),
                "check the name, or give a token that may read it in HF_TOKEN",
            ),
            Self::NoRevision { repo, revision, known } => {
                Failure::new(format!("{repo} has no revision {revision}"), others(known))
            }
            Self::NoFile { repo, file } => {
                Failure::new(format!("{repo} has no file {}", echo(file)), "name one that it has")
            }
            Self::Gated { repo, endpoint } => Failure::new(
                format!("{repo} is open only to those who accepted its terms"),
                format!("accept them at {endpoint}/{repo} and give your token in HF_TOKEN"),
            ),
            Self::Token { source_of_token, endpoint } => Failure::new(
                format!("the hub refuses the token from {source_of_token}"),
                format!("make a new one at {endpoint}/settings/tokens"),
            ),
            Self::NoModel { repo, example, has } => Failure::new(
                format!("{repo} has no config.json, so it is no model"),
                format!("choose files with --include, say --include '{example}'; it has {}", some(has)),
            ),
            Self::NoWeights { repo, known } => Failure::new(format!("{repo} has no weights"), others(known)),
            Self::Pickle { repo, file } => Failure::new(
                format!(
                    "{repo} has only {file}, a pickle, which can run code when opened, so nothing was \
                     downloaded"
                ),
                format!(
                    "use a repository with model.safetensors, or download it with `hf download {} \
                     --local-dir DIR` and convert it: {}",
                    repo.replace('@', " --revision "),
                    crate::checkpoint::error::convert("DIR")
                ),
            ),
            Self::NoMatch { repo, patterns, has } => Failure::new(
                format!("nothing in {repo} matches {}", echo(&patterns.join(" or "))),
                format!("it has {}", some(has)),
            ),
            Self::Shard { repo, index, shard } => Failure::new(
                format!("{repo} is incomplete: its {index} names {}, which it does not have", echo(shard)),
                "tell its owner",
            ),
            Self::Answer { url, reason } => Failure::new(
                format!("the answer of {} cannot be used: {}", echo(url), echo(reason)),
                "is HF_ENDPOINT a Hugging Face hub?",
            ),
            Self::Damaged { repo, file, expected, found } => Failure::new(
                format!(
                    "{file} of {repo} arrived damaged twice: its hash is {found}, but the hub states {expected}"
                ),
                "nothing of it was kept; try again later or over another network",
            ),
            Self::Cut { file, attempts, reason, done, total } => Failure::new(
                format!("{file}: the connection broke {attempts} times in a row ({reason})"),
                format!(
                    "{} of {} are kept: run the command again to go on from there",
                    human(*done),
                    human(*total)
                ),
            ),
            Self::Stalled { file, reason, done, total } => Failure::new(
                format!("{}: the hub has all but stopped ({reason})", echo(file)),
                format!(
                    "{} of {} are kept: run the command again later to go on from there",
                    human(*done),
                    human(*total)
                ),
            ),
            Self::Space { place, free, needed } => Failure::new(
                format!(
                    "{} has {} free, but {} are to be downloaded",
                    place.display(),
                    human(*free),
                    human(*needed)
                ),
                "free some space, or set HF_HOME to a folder on another disk",
            ),
            Self::Full { file, needed, source } => Failure::new(
                format!("no space is left for {} ({source})", file.display()),
                format!(
                    "nothing of it was kept; free {} or set HF_HOME to a folder on another disk",
                    human(*needed)
                ),
            ),
            Self::Cancelled => Failure::cancelled(),
            Self::Io { file, source } => format!("{}: {source}", file.display()).into(),
        }
    }
}

printed!(HubError);

/// A few names, and how many more there are.
pub(super) fn some(names: &[String]) -> String {
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
        [] => "name another with owner/name@revision".to_owned(),
        known => format!("it has the revisions {}: name one with owner/name@revision", some(known)),
    }
}
