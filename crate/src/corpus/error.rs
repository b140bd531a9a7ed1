//! Why a corpus cannot be used.

use crate::failure::{Fails, Failure, printed};
use crate::words::{echo, meant};

/// A corpus cannot be opened, or cannot be read any further.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// The file cannot be opened or read.
    Read {
        /// The path that was given.
        name: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The name does not end in .txt, .jsonl or .parquet.
    UnknownExtension {
        /// The file's name.
        name: String,
    },
    /// A Parquet file where only bytes in memory are read: in the page.
    NotHere {
        /// The file's name.
        name: String,
    },
    /// The bytes are not text.
    NotUtf8 {
        /// The file's name.
        name: String,
        /// The first byte that cannot be read.
        offset: usize,
    },
    /// A line is not JSON.
    BadJson {
        /// The file's name.
        name: String,
        /// The line, from 1.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// A line is JSON without a text.
    NoText {
        /// The file's name.
        name: String,
        /// The line, from 1.
        line: usize,
    },
    /// There is no document with anything but white space.
    Empty {
        /// The file's name.
        name: String,
    },
    /// A file that is read into memory, and too large for it.
    TooLong {
        /// The file's name.
        name: String,
        /// Its size.
        bytes: u64,
        /// The size that is read.
        most: u64,
    },
    /// A folder without Parquet files.
    NoShards {
        /// The folder.
        name: String,
    },
    /// Not a Parquet file, or a damaged one.
    Damaged {
        /// The file.
        file: String,
        /// What the reader says.
        reason: String,
    },
    /// A Parquet file in a compression that is left out here.
    Compression {
        /// The file.
        file: String,
        /// The compression.
        codec: &'static str,
    },
    /// A Parquet file that cannot be read any further.
    Row {
        /// The file.
        file: String,
        /// The row, from 1.
        row: u64,
        /// What is wrong.
        reason: String,
    },
    /// It is not clear which column has the texts, or there is none.
    Column {
        /// The file.
        file: String,
        /// What is wrong.
        problem: String,
        /// Every column and its type.
        columns: String,
        /// What to do.
        advice: String,
        /// Which one may have been meant; empty where none is like it.
        meant: String,
    },
    /// The next file of a corpus of several could not be had.
    Shard(Failure),
}

impl Fails for CorpusError {
    fn failure(&self) -> Failure {
        let failure = match self {
            Self::Read { name, source } => Failure::new(
                format!("cannot read the corpus {}: {source}", echo(name)),
                "give `builtin`, the path of a .txt, .jsonl or .parquet file, or a folder of .parquet files",
            )
            .advised(&meant(name, ["builtin"])),
            Self::UnknownExtension { name } => Failure::new(
                format!("the corpus {} is neither .txt, .jsonl nor .parquet, nor a folder", echo(name)),
                "rename or convert it, use `builtin`, or write hub:OWNER/NAME for a data set of the hub",
            )
            .advised(&meant(name, ["builtin"])),
            Self::NotHere { name } => Failure::new(
                format!("the corpus {} is Parquet, which the page does not read", echo(name)),
                "use the command line, or convert it to .jsonl",
            ),
            Self::NotUtf8 { name, offset } => Failure::new(
                format!("the corpus {} is not UTF-8 at byte {offset}", echo(name)),
                "convert it to UTF-8",
            ),
            Self::BadJson { name, line, message } => Failure::new(
                format!("the corpus {} has bad JSON on line {line} ({message})", echo(name)),
                "write one {\"text\": \"…\"} a line",
            ),
            Self::NoText { name, line } => Failure::new(
                format!("the corpus {} has no string \"text\" on line {line}", echo(name)),
                "write one {\"text\": \"…\"} a line",
            ),
            Self::Empty { name } => {
                Failure::new(format!("the corpus {} is empty", echo(name)), "give a file with text in it")
            }
            Self::TooLong { name, bytes, most } => Failure::new(
                format!(
                    "the corpus {} has {bytes} bytes, and of text and JSON Lines, which are read into \
                     memory, {most} are the most",
                    echo(name)
                ),
                "cut it in parts, or write it as Parquet, which is read piece by piece",
            ),
            Self::NoShards { name } => Failure::new(
                format!("the folder {} has no .parquet file", echo(name)),
                "give a folder that has some, or a file",
            ),
            Self::Damaged { file, reason } => Failure::new(
                format!("{} is no sound Parquet file: {}", echo(file), echo(reason)),
                "fetch or write it again",
            ),
            Self::Compression { file, codec } => Failure::new(
                format!("{} is compressed with {codec}, which is not read here", echo(file)),
                "write it again with snappy or zstd",
            ),
            Self::Row { file, row, reason } => Failure::new(
                format!("{} cannot be read from row {row} on: {}", echo(file), echo(reason)),
                "fetch or write it again",
            ),
            Self::Column { file, problem, columns, advice, meant } => Failure::new(
                format!("{} has {problem}", echo(file)),
                format!("its columns are {columns}: {advice}"),
            )
            .advised(meant),
            Self::Shard(failure) => failure.clone(),
        };
        failure.coded("corpus")
    }
}

printed!(CorpusError);
