//! The types every part of rcodec agrees on: what a piece of media is
//! ([`Media`]), what a codec does ([`Codec`], [`Encoder`], [`Decoder`]), what
//! it may use ([`Limits`], [`Budget`]) and how it fails ([`Error`]).
//!
//! ```text
//!            MediaHeader                    StreamHeader
//! reader ───────────────▶ Codec::encoder        ▲      ───▶ Codec::decoder
//!        Media units            │ blocks        │             │
//!        ───────────▶ Encoder ──┴▶ BlockSink ─ file ─ BlockSource ─▶ Decoder ──▶ Media units
//! ```
//!
//! A codec turns units of media into the payloads of blocks and back. It never
//! sees the file: framing, checksums and metadata belong to the container
//! (`rcodec-bitstream`), which implements [`BlockSink`] and [`BlockSource`].

mod budget;
mod codec;
mod error;
mod media;
mod metadata;
mod piece;
mod progress;
mod varint;

pub use budget::{Budget, Limits, Reservation};
pub use codec::{
    Block, BlockSink, BlockSource, Codec, CodecId, DecodeContext, Decoder, Effort, EncodeContext,
    Encoder, Info, MAX_BLOCK_BYTES, ModelId, Rate, StreamHeader,
};
pub use error::{Error, Result};
pub use media::{
    AudioBlock, AudioHeader, ColorType, ImageHeader, ImageStrip, Media, MediaHeader, MediaKind,
    PaletteEntry, SampleFormat, Samples,
};
pub use metadata::{Metadata, MetadataItem, MetadataKey};
pub use piece::{PieceBuffer, UNIT_BYTES};
pub use progress::{Flow, NoProgress, Progress};
pub use varint::{Cursor, MAX_VARINT_BYTES, VarintParser, write_varint};
