//! Learned models as files.
//!
//! ```text
//! rcodec-train ── quantize ──▶ ModelData ── file ──▶ model.rcm
//!                                                       │
//! codec ◀── run::Network ◀── Model ◀── check ◀── registry
//! ```

pub mod check;
pub mod file;
pub mod graph;
mod model;
pub mod quantize;
mod record;
pub mod registry;
pub mod run;
mod tensor;
#[cfg(test)]
mod test_support;

pub use model::{Model, ModelData, Tensors, cdf_tensor};
pub use record::Record;
pub use tensor::{ElementType, ModelTensor, TensorData, TensorInfo};
