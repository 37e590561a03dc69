//! Trains the networks of rcodec with burn and exports them as integer models.
//!
//! ```text
//! recipe ─▶ graph (one description) ──┬─▶ nn: float and fake-quantised forward in burn ─▶ train
//! pictures ─▶ data ─▶ batches ────────┤                                                  │ weights
//!                                     └─▶ export: integer model file ◀───────────────────┘
//! ```
//!
//! The only crate that sees burn; nothing else of rcodec depends on it.
//!
//! # Building
//!
//! | features | profile | for |
//! |---|---|---|
//! | `flex` (default) | `train` | CPUs |
//! | `cuda` | `train-cuda` | NVIDIA GPUs, and CPUs by `flex` |
//! | `ndarray` | `train` | comparing backends (`rcodec-train speed`) |
//!
//! `cuda` builds without a CUDA toolkit: kernels are compiled at run time, for
//! which a machine needs the driver (`libcuda`), `libnvrtc` and CUDA's headers.
//! `CUDARC_CUDA_VERSION=13000` at build time pins the version of the bindings.

pub mod bytelm;
pub mod cli;
pub use rcodec_image::lossy as codec;
pub mod data;
pub mod expert;
pub mod export;
pub mod graph;
pub mod levels;
pub mod llm;
pub mod lossy;
pub mod nn;
pub mod quant;
pub mod random;
pub mod recipe;
pub mod train;
