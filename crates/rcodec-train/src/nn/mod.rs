//! Graphs run by burn: float in training, and with the integer rules of
//! `rcodec-fixed` at its end.

mod forward;
mod model_graph;
pub mod ops;

pub use forward::{Network, Qualities, Scales, spread};
pub use model_graph::ModelGraph;
