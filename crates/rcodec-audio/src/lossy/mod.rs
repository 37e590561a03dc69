//! Lossy sound: a lapped transform in integers whose blocks follow the signal,
//! exact energies of bands from which the steps of quantisation follow, and
//! levels coded by adaptive context mixing.
//!
//! ```text
//! samples ─▶ Analysis ─ Frame ─▶ FrameCoder ─▶ bits ─▶ FrameCoder ─ Frame ─▶ Synthesis ─▶ samples
//!            floats allowed       \_____________ integers, the same code _______________/
//! ```

mod analysis;
mod codec;
mod control;
mod frame;
mod layout;
mod models;
mod packet;
mod params;
mod reconstruct;
mod samples;
mod spectrum;
mod step;
mod stream;
mod synthesis;
mod transform;
mod trig;
mod tuning;

pub mod experiment;

pub use codec::AudioLossy;
pub use packet::{PacketDecoder, PacketEncoder, PacketOptions};
