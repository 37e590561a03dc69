//! Text and any other bytes, by context mixing: the codec [`Text`].
//!
//! ```text
//! units ─▶ pieces of 8–64 MiB ─▶ modelled side by side ─▶ one block each
//! ```
//!
//! Each bit of each byte is predicted from what is known: the bytes before it,
//! the word, the line above, the nesting of brackets, the place where the same
//! bytes stood before. What many such contexts foretell is mixed by weights
//! that are learned online, and the range coder spends as many bits as the
//! mixed prediction was wrong. There is no float: decoding repeats exactly what
//! encoding did, on every machine, at the same speed and with the same memory.
//! What a model knows before the first byte can be a prior ([`train_prior`]).
//!
//! Every block decodes alone. What is encoded depends on the bytes, the effort
//! and the options; never on the number of threads or on how the input is cut.

#[cfg(feature = "ablation")]
mod ablation;
#[cfg(test)]
mod advised_tests;
mod block;
mod cm;
mod decoder;
mod encoder;
mod own_lm;
mod payload;
mod prior;
mod probe;
mod settings;
#[cfg(test)]
// One set of helpers for both codecs of bytes; they may not import each other.
#[path = "../../rcodec-zstd/src/testing.rs"]
mod testing;
#[cfg(test)]
mod tests;
mod trace;

pub use own_lm::pack_language_model;
pub use payload::content_bytes;
pub use prior::train::{PriorOptions, train_prior};
use rcodec_core::{
    Codec, CodecId, DecodeContext, Decoder, EncodeContext, Encoder, Error, Info, MediaHeader,
    MediaKind, Result, StreamHeader,
};
#[doc(inline)]
pub use rcodec_llm::registry::add_folder as add_language_model;
pub use trace::{Trace, trace};

/// Context mixing for any bytes, best for text and structured data.
///
/// | effort | model | memory of the tables |
/// |---|---|---|
/// | 1–6 | 11 contexts | up to 16 MiB |
/// | 7–9 | 28 contexts | up to 256 MiB (128 for contents beyond 2 MiB), and 32 of direct probabilities |
///
/// At effort 9, contents of up to 32 KiB are advised by the shipped language
/// model where a sample shows that it helps: English, above all. That takes a
/// tenth of a millisecond a byte, both ways.
///
/// Options ([`EncodeContext::options`]; they override the effort):
///
/// | name | values | meaning |
/// |---|---|---|
/// | `table_bits` | 8…24 | size of the model's hash table: a power of two of lines of 64 bytes |
/// | `block_kib` | 1…65536 | KiB in a block |
/// | `memory_mib` | 16…65536 | MiB that a model takes, about: limits table and block |
/// | `prior` | 0… | number of the shipped prior to begin with; 0 for none |
///
/// Without the option `prior`, and without [`EncodeContext::model`] (the id of
/// a prior of one's own, which decoding will need), each block begins with the
/// shipped prior that fits a sample of it, or with none.
///
/// If [`EncodeContext::model`] is the id of a language model that this process
/// has loaded ([`add_language_model`]), what it foretells takes part in the
/// mixing, whatever the effort. Decoding needs the same model, loaded, and runs
/// it for as many tokens.
#[derive(Clone, Copy, Debug, Default)]
pub struct Text;

impl Codec for Text {
    fn info(&self) -> &'static Info {
        const INFO: Info = Info {
            id: CodecId::TEXT,
            name: "text",
            summary: "text and other bytes, by context mixing: small, and as slow to decode as to encode",
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
        self.info().expect_no_dictionary(context.dictionary)?;
        Ok(Box::new(encoder::TextEncoder::new(context)?))
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
        if !header.params.is_empty() {
            return Err(Error::malformed(0, "the codec text has no parameters"));
        }
        self.info().expect_no_dictionary(context.dictionary)?;
        if header.models.len() > 2 {
            let what = "a text has one prior and one language model at most";
            return Err(Error::malformed(0, what));
        }
        let models = block::Models(header.models.clone());
        Ok(Box::new(decoder::TextDecoder::new(context, models)))
    }
}
