//! Sparse autoencoders: formats, encode, train, health.

mod codes;

pub use codes::Codes;
