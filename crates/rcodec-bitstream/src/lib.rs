//! The `.rcd` container, version 1. `FORMAT.md` beside this crate's manifest
//! is the specification; this crate is its implementation.
//!
//! ```text
//! compact form   magic lead │ varint length │ header metadata payload │ check
//! block form     magic lead │ header block │ metadata* │ data* │ metadata* │ end block
//! ```
//!
//! [`ContainerWriter`] picks the form: a stream of one data block of up to
//! [`MAX_COMPACT_BYTES`] is written compactly (8–10 bytes of framing for a
//! small file, 16 for a large one), and so are stored bytes of any length;
//! everything else goes in blocks, each with a number and a 64-bit checksum of
//! its own. [`ContainerReader`] reads both.

mod content;
mod header;
mod metadata;
mod reader;
mod salvage;
mod wire;
mod writer;

pub use content::{ContentDigest, ContentHasher};
pub use reader::{ContainerReader, Form, Summary};
pub use salvage::{Piece, Salvaged, salvage};
pub use wire::{FORMAT_VERSION, MAGIC, MAX_COMPACT_BYTES};
pub use writer::{ContainerWriter, Latency};
