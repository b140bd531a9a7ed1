//! How a repository of the Hugging Face hub gets into the standard cache, and how it is found there.
//!
//! The cache is the one of Python's `huggingface_hub`: each finds what the other has downloaded. Names and paths
//! in it come from the `hf-hub` crate; the transfer is here, because it must resume and verify.
//!
//! Not supported: data sets and spaces, uploads, the Xet protocol (the hub serves everything over plain HTTPS, too).

mod cache;
mod client;
mod digest;
mod download;
mod error;
mod fetch;
mod listing;
mod name;
mod select;
mod settings;
#[cfg(test)]
mod tests;

pub use cache::{CachedRepo, human};
pub use error::HubError;
pub use fetch::{Event, Fetched, Hub};
pub use name::RepoName;
pub use select::Want;
pub use settings::{Settings, Token};
