//! PNG: the same pixels and the same chunks.
//!
//! The pixels are read row by row; samples below 8 bits are unpacked to one a
//! byte. Every chunk but IHDR, IDAT, IEND and an indexed picture's PLTE is
//! kept as it stood in the file, compressed ones too, in one metadata item for
//! those before the pixels and one for those behind ([`MetadataKey::PNG_CHUNKS`]).
//! A palette's `tRNS` becomes the alpha of [`ImageHeader::palette`], and is
//! kept as a chunk too only where it could not be made again from that. The
//! `tRNS` of gray and RGB pictures (one colour that is transparent) stays a
//! chunk, and the pixels stay without alpha.
//!
//! [`MetadataKey::FORMAT_PRIVATE`], present if it says something: a byte of
//! flags (1: the file was interlaced; 2: the place of PLTE follows), then the
//! number of kept chunks before PLTE. In the tail the item holds what the file
//! has behind IEND.
//!
//! An animated PNG is one picture, too: the default image and the frames behind
//! it, one below the other ([`Animation`]). The order of other chunks among
//! those of its frames is not kept.
//!
//! Not kept: the filters and the deflate stream, interlacing, the unused bits
//! at the end of rows.
//!
//! [`MetadataKey::PNG_CHUNKS`]: rcodec_core::MetadataKey::PNG_CHUNKS
//! [`MetadataKey::FORMAT_PRIVATE`]: rcodec_core::MetadataKey::FORMAT_PRIVATE
//! [`ImageHeader::palette`]: rcodec_core::ImageHeader::palette

mod animation;
mod chunks;
mod read;
mod read_animation;
mod write;
mod write_animation;

pub use animation::{Animation, Frame};
pub(crate) use chunks::filter_chunks;
pub(crate) use chunks::split_kept as kept_chunks;
pub(crate) use read::open;
pub(crate) use read_animation::open as open_animation;
pub(crate) use write::PngWriter;
pub(crate) use write_animation::AnimationWriter;

/// The first bytes of every PNG.
pub(crate) const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Flags of the private item.
pub(crate) mod flags {
    pub(crate) const INTERLACED: u8 = 1;
    pub(crate) const PALETTE_PLACE: u8 = 2;
}
