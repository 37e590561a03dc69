//! Trains the networks of rcodec with burn and exports them as integer models.
//!
//! ```text
//! recipe ─▶ graph (one description) ──┬─▶ nn: float and fake-quantised forward in burn ─▶ train
//! pictures ─▶ data ─▶ batches ────────┤                                                  │ weights
//!                                     └─▶ export: integer model file ◀───────────────────┘
//! ```
//!
//! The only crate that sees burn; nothing else of rcodec depends on it.

pub mod cli;
pub mod codec;
pub mod data;
pub mod export;
pub mod graph;
pub mod lossy;
pub mod nn;
pub mod quant;
pub mod random;
pub mod recipe;
pub mod train;
