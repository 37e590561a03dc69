//! From a folder of pictures to batches of training samples.
//!
//! ```text
//! folder ─ Collection::open ─▶ train ──┐ held out (a tenth, by content hash)
//!                                      ▼
//!      Random::at(seed, step) ─▶ crop, flip, scale down ─▶ Batches (threads, bounded queue) ─▶ step
//! ```

mod collection;
mod crop;
mod loader;

pub use collection::{Collection, Picture};
pub use crop::{CropOptions, center, random_crop};
pub use loader::{Batch, Batches, Source, to_real};

/// Real units of a sample: `(v − 128) / SAMPLE_UNIT`.
pub const SAMPLE_UNIT: f32 = 64.0;
