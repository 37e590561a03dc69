//! The codecs for any bytes: [`Store`] keeps them as they are, [`Zstd`]
//! compresses them with Zstandard.
//!
//! ```text
//! units ─▶ pieces of 8–64 MiB ─▶ compressed side by side ─▶ one block each
//! ```
//!
//! Zstandard's own framing is taken off: the container has a checksum, knows
//! where a payload ends and which codec wrote it. What is left costs a short
//! text no byte at all (section 7.1 of the format's specification, FORMAT.md in
//! `rcodec-bitstream`). Every block decodes alone, so blocks decode side by
//! side and a broken one takes no other with it; pieces are as long as the
//! window, so that little is lost against one long frame.
//!
//! What is encoded depends on the bytes, the effort, the options and the
//! dictionary; never on the number of threads or on how the input is cut.

mod compress;
mod decoder;
mod decompress;
mod dictionary;
mod encoder;
mod payload;
mod settings;
mod store;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod units;
mod zstd_error;

pub use compress::looks_incompressible;
pub use dictionary::{DictionaryId, train_dictionary};
pub use store::Store;

use rcodec_core::{
    Codec, CodecId, DecodeContext, Decoder, EncodeContext, Encoder, Info, MediaHeader, MediaKind,
    Result, StreamHeader,
};

/// Zstandard (RFC 8878) for any bytes.
///
/// Options ([`EncodeContext::options`]; they override the effort):
///
/// | name | values | meaning |
/// |---|---|---|
/// | `level` | -100…-1, 1…22 | Zstandard's compression level |
/// | `window_log` | 10…30 | farthest match, as a power of two in bytes |
/// | `long` | 0, 1, 10…30 | long-distance matching in a window of that power of two; 1 stands for 27 |
///
/// A window larger than the level's own enlarges the pieces with it, and the
/// memory that encoding and decoding take.
#[derive(Clone, Copy, Debug, Default)]
pub struct Zstd;

impl Codec for Zstd {
    fn info(&self) -> &'static Info {
        const INFO: Info = Info {
            id: CodecId::ZSTD,
            name: "zstd",
            summary: "any bytes, by Zstandard: fast, with dictionaries and long windows",
            media: MediaKind::Bytes,
            lossy: false,
        };
        &INFO
    }

    fn encoder<'a>(
        &self,
        header: &MediaHeader,
        context: EncodeContext<'a>,
    ) -> Result<Box<dyn Encoder + 'a>> {
        self.info().expect_media(header)?;
        self.info().expect_lossless(&context)?;
        Ok(Box::new(encoder::ZstdEncoder::new(context)?))
    }

    fn stored_mark(&self) -> Option<u8> {
        Some(payload::STORED)
    }

    fn decoder<'a>(
        &self,
        header: &StreamHeader,
        context: DecodeContext<'a>,
    ) -> Result<Box<dyn Decoder + 'a>> {
        self.info().expect_media(&header.media)?;
        self.info().expect_no_models(header)?;
        Ok(Box::new(decoder::ZstdDecoder::new(
            &header.params,
            context,
        )?))
    }
}
