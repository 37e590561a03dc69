//! Learned models as files.
//!
//! ```text
//! rcodec-train ── quantize ──▶ Manifest + tensors ── file ──▶ model.rcm
//!                                                              │
//! codec ◀── run::Network ◀── check ◀── Model ◀── registry ◀────┘
//! ```

pub mod graph;
mod record;
mod tensor;

pub use record::Record;
pub use tensor::{ElementType, ModelTensor, TensorData, TensorInfo};
