//! How a repository of the Hugging Face hub gets into the standard cache, and how it is found there.
//!
//! The cache is the one of Python's `huggingface_hub`: each finds what the other has downloaded. Names and paths
//! in it come from the `hf-hub` crate; the transfer is here, because it must resume and verify.
//!
//! Not supported: spaces, data sets other than in Parquet, uploads, the Xet protocol (the hub serves everything over
//! plain HTTPS, too).

mod cache;
mod client;
mod data_set;
mod digest;
mod download;
mod error;
mod expand;
mod fetch;
mod listing;
mod name;
mod pace;
mod select;
mod settings;
mod size;
#[cfg(test)]
mod tests;
mod trees;

pub use cache::CachedRepo;
pub use data_set::{DataSet, DataSetName, OnEvent};
pub use download::Event;
pub use error::HubError;
pub use fetch::{Fetched, Hub};
pub use name::{RepoKind, RepoName};
pub use select::Want;
pub use settings::{Settings, Token};
pub use size::human;
