//! Lossy sound: a lapped transform in integers whose blocks follow the signal,
//! exact energies of bands from which the steps of quantisation follow, and
//! levels coded by adaptive context mixing.
//!
//! ```text
//! samples ─▶ Analysis ─ Frame ─▶ FrameCoder ─▶ bits ─▶ FrameCoder ─ Frame ─▶ Synthesis ─▶ samples
//!            floats allowed       \_____________ integers, the same code _______________/
//! ```
//!
//! [`AudioLossy`] is the codec for files; [`PacketEncoder`] and
//! [`PacketDecoder`] work packet by packet for live use, [`PacketWriter`] and
//! [`PacketReader`] put packets into a pipe. FORMAT.md, section 7.6, describes
//! what they write; the numbers that models begin with are `prior.bin`, learned
//! by `examples/measure_lossy.rs` from training material, and `levels.bin` is a
//! network that corrects what the models say of levels, by `rcodec-train levels`.

mod analysis;
mod codec;
mod control;
mod frame;
mod layout;
mod models;
mod net;
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
mod wire;

#[doc(hidden)]
pub mod experiment;

pub use codec::{AudioLossy, LossySeek};
pub use packet::{PacketDecoder, PacketEncoder, PacketOptions};
pub use wire::{PacketReader, PacketWriter};
