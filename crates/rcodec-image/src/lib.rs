//! Pictures: [`ImageLossless`] gives back every sample, [`ImageLossy`] what looks
//! the same.

mod lossless;
pub mod lossy;
mod progress;

pub use lossless::{ImageLossless, expert};
pub use lossy::ImageLossy;
