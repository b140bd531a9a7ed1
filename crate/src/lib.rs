//! lib

pub mod corpus;
pub mod rng;
