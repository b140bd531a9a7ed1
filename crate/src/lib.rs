//! MPPC lab: do a Transformer and a Mamba learn the same features and the same circuits?
//!
//! One library, three faces: the command line `mppc`, the page (WebAssembly and WebGPU), and the tests.
//! Data flows one way: faces → [`lab`], from there [`circuits`] → [`model`] and [`universality`] → [`sae`], and from
//! either stream → [`kernels`] → [`gpu`]. [`stats`], [`corpus`] and [`checkpoint`] stand below and know none of these.
//! `xtask/tests/house.rs` holds all files to that.

#[cfg(not(target_arch = "wasm32"))]
pub mod atomic;
mod calm;
pub mod checkpoint;
pub mod circuits;
pub mod corpus;
pub mod failure;
pub mod gpu;
pub mod kernels;
pub mod lab;
#[cfg(not(target_arch = "wasm32"))]
pub mod lock;
#[cfg(not(target_arch = "wasm32"))]
pub mod memory;
pub mod model;
mod par;
#[cfg(not(target_arch = "wasm32"))]
pub mod regular;
pub mod rng;
pub mod sae;
pub mod stats;
pub mod universality;
#[cfg(target_arch = "wasm32")]
pub mod web;
pub mod words;
