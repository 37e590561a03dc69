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
//! samples (animations but APNG, damaged files, exotic sample types) is given as bytes.
//! [`create`] writes media in an [`OutputFormat`]; [`restore_format`] says which
//! one a decoder should choose.
//!
//! | source | given as | comes back as |
//! |---|---|---|
//! | PNG, every kind | pixels, all chunks | PNG with the same pixels and chunks, not interlaced |
//! | animated PNG | all frames below each other ([`Animation`]), all chunks | animated PNG with the same frames and chunks |
//! | BMP, binary PNM, PAM, TIFF, not compressed | pixels | the same file |
//! | lossless WebP, QOI | pixels, all chunks | the same format, pixels and chunks |
//! | WAV, RF64, BW64, Wave64, AIFF, AIFF-C: 8–32-bit integers, 32-bit float | samples | the same file |
//! | any bytes, with [`ReadOptions::raw`] | samples | the same bytes |
//! | anything else, damaged, several pages, animated (but APNG) | bytes | the same file |
//! | JPEG, lossy WebP, other BMP, TIFF, PNM, with [`ReadOptions::pixels`] | pixels | PNG |
//! | FLAC, with [`ReadOptions::transcode`] | samples, tags, pictures, cue points | WAV with the same samples and tags |
//! | MP3, Vorbis, AAC, with [`ReadOptions::transcode`] | 16-bit samples, tags, pictures | WAV with the tags |
//!
//! Files other than sound and bytes are read into memory whole; sound in bounded
//! memory from a pipe, whatever its length.

mod bytes;
mod convert;
mod decoded;
mod input;
mod loudness;
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
mod tags;
mod wav;
mod writer;

pub use loudness::LoudnessMeter;
pub use png::{Animation, Frame};
pub use probe::{PROBE_BYTES, SourceKind, probe};
pub use raw::RawSound;
pub use source::{ReadOptions, Source, open};
pub use strip::strip;
pub use writer::{OutputFormat, Sink, WriteSeek, Writer, create, restore_format};
