//! Why a corpus cannot be used.

use crate::words::{did_you_mean, echo};

/// A corpus cannot be opened, or cannot be read any further.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// The file cannot be opened or read.
    #[error(
        "cannot read the corpus {}: {source}; give `builtin`, the path of a .txt, .jsonl or .parquet file, or a \
         folder of .parquet files{}",
        echo(name), did_you_mean(name, ["builtin"])
    )]
    Read {
        /// The path that was given.
        name: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The name does not end in .txt, .jsonl or .parquet.
    #[error(
        "the corpus {} is neither .txt, .jsonl nor .parquet, nor a folder; rename or convert it, use `builtin`, or \
         write hub:OWNER/NAME for a data set of the hub{}",
        echo(name), did_you_mean(name, ["builtin"])
    )]
    UnknownExtension {
        /// The file's name.
        name: String,
    },
    /// A Parquet file where only bytes in memory are read: in the page.
    #[error(
        "the corpus {} is Parquet, which the page does not read; use the command line, or convert it to .jsonl",
        echo(name)
    )]
    NotHere {
        /// The file's name.
        name: String,
    },
    /// The bytes are not text.
    #[error("the corpus {} is not UTF-8 at byte {offset}; convert it to UTF-8", echo(name))]
    NotUtf8 {
        /// The file's name.
        name: String,
        /// The first byte that cannot be read.
        offset: usize,
    },
    /// A line is not JSON.
    #[error(
        "the corpus {} has bad JSON on line {line} ({message}); write one {{\"text\": \"…\"}} a line",
        echo(name)
    )]
    BadJson {
        /// The file's name.
        name: String,
        /// The line, from 1.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// A line is JSON without a text.
    #[error(
        "the corpus {} has no string \"text\" on line {line}; write one {{\"text\": \"…\"}} a line",
        echo(name)
    )]
    NoText {
        /// The file's name.
        name: String,
        /// The line, from 1.
        line: usize,
    },
    /// There is no document with anything but white space.
    #[error("the corpus {} is empty; give a file with text in it", echo(name))]
    Empty {
        /// The file's name.
        name: String,
    },
    /// A file that is read into memory, and too large for it.
    #[error(
        "the corpus {} has {bytes} bytes, and of text and JSON Lines, which are read into memory, {most} are the most; \
         cut it in parts, or write it as Parquet, which is read piece by piece",
        echo(name)
    )]
    TooLong {
        /// The file's name.
        name: String,
        /// Its size.
        bytes: u64,
        /// The size that is read.
        most: u64,
    },
    /// A folder without Parquet files.
    #[error("the folder {} has no .parquet file; give a folder that has some, or a file", echo(name))]
    NoShards {
        /// The folder.
        name: String,
    },
    /// Not a Parquet file, or a damaged one.
    #[error("{} is no sound Parquet file: {}; fetch or write it again", echo(file), echo(reason))]
    Damaged {
        /// The file.
        file: String,
        /// What the reader says.
        reason: String,
    },
    /// A Parquet file in a compression that is left out here.
    #[error(
        "{} is compressed with {codec}, which is not read here; write it again with snappy or zstd",
        echo(file)
    )]
    Compression {
        /// The file.
        file: String,
        /// The compression.
        codec: &'static str,
    },
    /// A Parquet file that cannot be read any further.
    #[error("{} cannot be read from row {row} on: {}; fetch or write it again", echo(file), echo(reason))]
    Row {
        /// The file.
        file: String,
        /// The row, from 1.
        row: u64,
        /// What is wrong.
        reason: String,
    },
    /// It is not clear which column has the texts, or there is none.
    #[error("{} has {problem}; its columns are {columns}: {advice}", echo(file))]
    Column {
        /// The file.
        file: String,
        /// What is wrong.
        problem: String,
        /// Every column and its type.
        columns: String,
        /// What to do.
        advice: String,
    },
    /// The next file of a corpus of several could not be had.
    #[error(transparent)]
    Shard(Box<dyn std::error::Error + Send + Sync>),
}
