//! Graphs run by burn: float in training, and with the integer rules of
//! `rcodec-fixed` at its end.

pub mod ops;
