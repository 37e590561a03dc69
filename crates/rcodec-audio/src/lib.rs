//! Sound codecs of rcodec.
//!
//! [`AudioLossless`] gives back every sample as it was, for integers of 1–32
//! bits and 32-bit floats, any number of channels and any sample rate, in
//! blocks that decode by themselves.

mod lossless;
pub mod lossy;

pub use lossless::{AudioLossless, LosslessLearner, block_frames};
pub use lossy::AudioLossy;
