//! Graphs run by burn: float in training, and with the integer rules of
//! `rcodec-fixed` at its end.

mod forward;
pub mod ops;

pub use forward::{Network, Qualities, Scales, spread};
