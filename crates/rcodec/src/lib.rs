//! rcodec: codecs for images, audio and any bytes behind one trait, in one
//! container.
//!
//! ```
//! use rcodec::{DecodeContext, EncodeContext, Media, MediaHeader};
//!
//! let text = b"to be or not to be, that is the question ".repeat(10);
//! let codec = rcodec::codec_named("zstd").expect("built in");
//! let file = rcodec::encode(
//!     codec,
//!     &MediaHeader::Bytes,
//!     [Media::Bytes(text.clone())],
//!     EncodeContext::default(),
//! )?;
//! assert!(file.len() < text.len() / 4);
//!
//! let decoded = rcodec::decode(&file, DecodeContext::default())?;
//! assert_eq!(decoded.units, [Media::Bytes(text)]);
//! # Ok::<(), rcodec::Error>(())
//! ```
//!
//! [`encode`] and [`decode`] hold everything in memory; [`StreamEncoder`] and
//! [`StreamDecoder`] work unit by unit with bounded memory, on pipes as on
//! files.
//!
//! Each family of codecs is a feature (`audio`, `image`, `text`, `zstd`), all on by
//! default. A decoder without the family that a file needs says so.

mod near_lossless;
#[cfg(feature = "audio")]
mod recover;
mod registry;
mod stream;
mod target;

pub use near_lossless::limit_error;
#[cfg(feature = "audio")]
pub use rcodec_audio::block_frames;
#[cfg(feature = "audio")]
pub use rcodec_audio::lossy::{
    LossySeek, PacketDecoder, PacketEncoder, PacketOptions, PacketReader, PacketWriter,
};
pub use rcodec_bitstream::{ContainerReader, ContentDigest, Form, Latency, MAGIC, Summary};
pub use rcodec_core::*;
#[cfg(feature = "text")]
pub use rcodec_text::{add_language_model, content_bytes};
#[cfg(feature = "zstd")]
pub use rcodec_zstd::train_dictionary;
#[cfg(feature = "audio")]
pub use recover::{Recovery, Silence};
pub use registry::{CODECS, codec, codec_named, default_codec};
pub use stream::{Decoded, Encoded, StreamDecoder, StreamEncoder, decode, encode};
pub use target::{Candidate, Setting, Target};
