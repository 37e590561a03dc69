//! Bytes of media files to and from [`Media`](rcodec_core::Media), losing
//! nothing.
//!
//! ```text
//! bytes ── open ──▶ Source: header, metadata, units, tail metadata
//!                                    │ (codec, file, decoder)
//! bytes ◀─ create ── Writer ◀────────┘
//! ```
//!
//! [`open`] finds a file's kind by content ([`probe`]) and reads it as a
//! picture, sound or bytes; what cannot be represented exactly as pixels or
//! samples (animations, damaged files, exotic sample types) is given as bytes.
//! [`create`] writes media in an [`OutputFormat`]; [`restore_format`] says which
//! one a decoder should choose.

mod bytes;
mod convert;
mod decoded;
mod input;
mod pcm;
mod pixels;
mod png;
mod pnm;
mod probe;
mod profile;
mod raster;
mod raw;
mod sound;
mod source;
mod strip;
mod strips;
mod wav;
mod writer;

pub use probe::{PROBE_BYTES, SourceKind, probe};
pub use source::{ReadOptions, Source, open};
pub use strip::strip;
pub use writer::{OutputFormat, Sink, WriteSeek, Writer, create, restore_format};
