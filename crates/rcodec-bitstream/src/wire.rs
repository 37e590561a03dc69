//! The numbers of the format that reader and writer share.

use rcodec_core::{CodecId, MediaKind};
use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

/// The first three bytes of every file: 0xF7 occurs in no UTF-8 text and 0x1A
/// in no text of any older encoding.
pub const MAGIC: [u8; 3] = [0xf7, b'r', 0x1a];

/// The version of the format that this crate reads and writes.
pub const FORMAT_VERSION: u8 = 1;

/// The longest body of the compact form, unless its length is open: 16 MiB.
pub const MAX_COMPACT_BYTES: usize = 1 << 24;

/// In the place of the compact form's length: the body ends where the check at
/// the end of the file begins. The longest varint of four bytes, so that the
/// framing comes to 16.
pub(crate) const OPEN_LENGTH: u64 = (1 << 28) - 1;

/// Bodies shorter than this have a 32-bit check in the compact form, longer
/// ones a 64-bit check.
pub(crate) const SHORT_CHECK_BELOW: u64 = 1 << 16;

/// Fields of the byte behind the magic number.
pub(crate) mod lead {
    pub(crate) const VERSION_SHIFT: u32 = 6;
    pub(crate) const BLOCK_FORM: u8 = 0x20;
    pub(crate) const EXTENDED: u8 = 0x10;
    pub(crate) const CODEC_MASK: u8 = 0x0f;
    /// In the codec field: the codec's number stands in the header.
    pub(crate) const CODEC_IN_HEADER: u8 = 15;
}

/// Bits of the flags byte that opens an extended header.
pub(crate) mod flags {
    pub(crate) const PARAMS: u8 = 1;
    pub(crate) const MODELS: u8 = 2;
    pub(crate) const METADATA: u8 = 4;
    pub(crate) const KNOWN: u8 = PARAMS | MODELS | METADATA;
}

/// Types of blocks.
pub(crate) mod block {
    pub(crate) const HEADER: u8 = 1;
    pub(crate) const METADATA: u8 = 2;
    pub(crate) const DATA: u8 = 3;
    pub(crate) const END: u8 = 4;
    /// Readers skip unknown types that have this bit.
    pub(crate) const SKIPPABLE: u8 = 0x80;
}

/// The media of the codecs with fixed numbers; the others' stands in the
/// header.
pub(crate) fn fixed_media_kind(codec: CodecId) -> Option<MediaKind> {
    match codec {
        CodecId::STORE | CodecId::ZSTD | CodecId::TEXT => Some(MediaKind::Bytes),
        CodecId::IMAGE_LOSSLESS | CodecId::IMAGE_LOSSY => Some(MediaKind::Image),
        CodecId::AUDIO_LOSSLESS | CodecId::AUDIO_LOSSY => Some(MediaKind::Audio),
        _ => None,
    }
}

/// The check of the compact form: it covers every byte before it (`file_hash`,
/// their XXH3-64) and the decoded content (`content_hash`). Short bodies store
/// its low 32 bits.
pub(crate) fn compact_check(file_hash: u64, content_hash: u64) -> u64 {
    xxh3_64_with_seed(&content_hash.to_le_bytes(), file_hash)
}

/// The number of the header block, the first of the block form.
pub(crate) const FIRST_BLOCK: u64 = 1;

/// The 16-bit check of a block's first bytes (type, number, length). The lead
/// byte is the seed of all checks of blocks, and so protected by them.
pub(crate) fn block_head_check(lead_byte: u8, head: &[u8]) -> u16 {
    xxh3_64_with_seed(head, u64::from(lead_byte)) as u16
}

/// The 64-bit check of a block, over everything before it.
pub(crate) fn block_check(lead_byte: u8) -> Xxh3 {
    Xxh3::with_seed(u64::from(lead_byte))
}
