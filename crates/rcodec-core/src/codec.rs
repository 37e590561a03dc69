//! The [`Codec`] trait and what surrounds it.

use crate::budget::{Budget, Limits, Reservation};
use crate::error::{Error, Result};
use crate::media::{Media, MediaHeader, MediaKind};
use crate::progress::{NoProgress, Progress};
use std::fmt;

/// A codec's number in the file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CodecId(pub u64);

impl CodecId {
    /// Bytes as they are.
    pub const STORE: Self = CodecId(0);
    /// Zstandard frames.
    pub const ZSTD: Self = CodecId(1);
    /// Lossless pictures.
    pub const IMAGE_LOSSLESS: Self = CodecId(2);
    /// Lossless sound.
    pub const AUDIO_LOSSLESS: Self = CodecId(3);
    /// Text and other bytes by context mixing.
    pub const TEXT: Self = CodecId(4);
    /// Lossy pictures.
    pub const IMAGE_LOSSY: Self = CodecId(5);
    /// Lossy sound.
    pub const AUDIO_LOSSY: Self = CodecId(6);
}

/// The first eight bytes of the BLAKE3 hash of a learned model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelId(pub [u8; 8]);

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What a codec is.
#[derive(Debug, PartialEq, Eq)]
pub struct Info {
    /// Its number in the file format.
    pub id: CodecId,
    /// Its name on the command line.
    pub name: &'static str,
    /// One line for `rcodec codecs`.
    pub summary: &'static str,
    /// What it encodes.
    pub media: MediaKind,
    /// Whether what comes back may differ from what went in.
    pub lossy: bool,
}

impl Info {
    /// Fails unless a stream holds what the codec encodes.
    ///
    /// # Errors
    /// [`Error::Unsupported`].
    pub fn expect_media(&self, header: &MediaHeader) -> Result<()> {
        if header.kind() == self.media {
            return Ok(());
        }
        let media = match self.media {
            MediaKind::Image => "pictures",
            MediaKind::Audio => "sound",
            MediaKind::Bytes => "bytes",
        };
        let name = self.name;
        Err(Error::unsupported(format!("{name} takes {media} only")))
    }

    /// Fails unless nothing but lossless coding is asked for.
    ///
    /// # Errors
    /// [`Error::Parameter`].
    pub fn expect_lossless(&self, context: &EncodeContext<'_>) -> Result<()> {
        match context.rate {
            Rate::Lossless => Ok(()),
            _ => Err(Error::parameter(format!(
                "{} is lossless: it has no quality or target rate",
                self.name
            ))),
        }
    }

    /// Fails if there are options, for codecs that have none.
    ///
    /// # Errors
    /// [`Error::Parameter`].
    pub fn expect_no_options(&self, context: &EncodeContext<'_>) -> Result<()> {
        match context.options.first() {
            None => Ok(()),
            Some((option, _)) => Err(Error::parameter(format!(
                "{} has no option `{option}`",
                self.name
            ))),
        }
    }

    /// Fails if a file names learned models, for codecs that use none.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn expect_no_models(&self, header: &StreamHeader) -> Result<()> {
        if header.models.is_empty() {
            return Ok(());
        }
        Err(Error::malformed(
            0,
            "a codec that uses no models names some",
        ))
    }

    /// Fails if there is a dictionary, for codecs that take none.
    ///
    /// # Errors
    /// [`Error::Parameter`].
    pub fn expect_no_dictionary(&self, dictionary: &[u8]) -> Result<()> {
        if dictionary.is_empty() {
            return Ok(());
        }
        let name = self.name;
        Err(Error::parameter(format!("{name} takes no dictionary")))
    }
}

/// How hard an encoder tries: 1 (fast) to 9 (small). 5 is the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Effort(u8);

impl Effort {
    /// An effort of 1–9.
    pub fn new(effort: u8) -> Result<Self> {
        if (1..=9).contains(&effort) {
            Ok(Effort(effort))
        } else {
            Err(Error::parameter(format!("effort {effort} is not in 1..9")))
        }
    }

    /// The number, 1–9.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl Default for Effort {
    fn default() -> Self {
        Effort(5)
    }
}

/// What the encoder aims at.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Rate {
    /// Every sample comes back as it was.
    Lossless,
    /// Perceptual quality, 1–100.
    Quality(f32),
    /// Bits per second.
    TargetBitrate(u32),
}

/// What an encoder works with.
pub struct EncodeContext<'a> {
    /// How hard to try.
    pub effort: Effort,
    /// What to aim at.
    pub rate: Rate,
    /// Threads to use. Codecs in Rust take them from the current rayon pool;
    /// the number is for codecs that bring threads of their own. It never
    /// changes what decodes, only how fast.
    pub threads: usize,
    /// A dictionary for codecs that take one; empty for none. Decoding needs
    /// the same.
    pub dictionary: &'a [u8],
    /// The codec's own numeric options, by name (`level`, `window_log`, …).
    /// Unknown names are an [`Error::Parameter`].
    pub options: &'a [(String, i64)],
    /// The learned model to encode with; the codec's own choice if none.
    pub model: Option<ModelId>,
    /// Progress and cancellation; encoders report samples taken.
    pub progress: &'a dyn Progress,
    /// Memory account.
    pub budget: Budget,
}

impl Default for EncodeContext<'_> {
    fn default() -> Self {
        EncodeContext {
            effort: Effort::default(),
            rate: Rate::Lossless,
            threads: 1,
            dictionary: &[],
            options: &[],
            model: None,
            progress: &NoProgress,
            budget: Budget::new(Limits::default()),
        }
    }
}

/// What a decoder works with.
pub struct DecodeContext<'a> {
    /// Threads to use; see [`EncodeContext::threads`].
    pub threads: usize,
    /// The dictionary the stream was encoded with; empty for none.
    pub dictionary: &'a [u8],
    /// Progress and cancellation; decoders report samples given.
    pub progress: &'a dyn Progress,
    /// Memory account; asked before a claim in the file is believed.
    pub budget: Budget,
}

impl Default for DecodeContext<'_> {
    fn default() -> Self {
        DecodeContext {
            threads: 1,
            dictionary: &[],
            progress: &NoProgress,
            budget: Budget::new(Limits::default()),
        }
    }
}

/// What a file says of itself before the first block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamHeader {
    /// Version of the file format.
    pub version: u8,
    /// The codec of the blocks.
    pub codec: CodecId,
    /// The media that comes out.
    pub media: MediaHeader,
    /// The codec's own parameters ([`Encoder::params`]), at most 64 KiB.
    pub params: Vec<u8>,
    /// The learned models that decoding needs.
    pub models: Vec<ModelId>,
}

/// One block as it comes from a file, its checksum (if the file's form has
/// one per block) already checked.
#[derive(Debug)]
pub struct Block {
    /// The payload as the encoder wrote it.
    pub payload: Vec<u8>,
    /// Offset of the payload in the file, for error messages.
    pub at: u64,
    /// The memory of `payload`, charged.
    pub reservation: Reservation,
}

/// The longest payload a block can have: 1 GiB.
pub const MAX_BLOCK_BYTES: usize = 1 << 30;

/// Takes the payloads of blocks from an encoder.
pub trait BlockSink {
    /// Appends a block. Payloads are 1 to [`MAX_BLOCK_BYTES`] bytes long.
    fn write_block(&mut self, payload: &[u8]) -> Result<()>;
}

/// Gives the payloads of blocks to a decoder.
pub trait BlockSource {
    /// The next block, or `None` after the last.
    fn next_block(&mut self) -> Result<Option<Block>>;
}

/// A way to turn media into blocks and back. One unit struct each, listed in
/// the registry of the `rcodec` crate.
pub trait Codec: Send + Sync {
    /// What the codec is.
    fn info(&self) -> &'static Info;

    /// Begins to encode.
    ///
    /// # Errors
    /// [`Error::Parameter`] or [`Error::Unsupported`] if the header or the
    /// context ask for something the codec does not do.
    fn encoder<'a>(
        &self,
        header: &MediaHeader,
        context: EncodeContext<'a>,
    ) -> Result<Box<dyn Encoder + 'a>>;

    /// What payloads begin with whose rest is the content as it is, for codecs
    /// of bytes that have such: the codec `store` keeps it for less.
    fn stored_mark(&self) -> Option<u8> {
        None
    }

    /// Begins to decode. Nothing in `header` can be trusted.
    ///
    /// # Errors
    /// [`Error::Malformed`] (offsets within `params`), [`Error::Limit`],
    /// [`Error::ModelMissing`] or [`Error::Unsupported`].
    fn decoder<'a>(
        &self,
        header: &StreamHeader,
        context: DecodeContext<'a>,
    ) -> Result<Box<dyn Decoder + 'a>>;
}

/// Turns units of media into blocks.
pub trait Encoder {
    /// Parameters for the stream's header, fixed from the start.
    fn params(&self) -> Vec<u8> {
        Vec::new()
    }

    /// The learned models that decoding will need.
    fn models(&self) -> Vec<ModelId> {
        Vec::new()
    }

    /// Takes the next unit and writes the blocks that are complete.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the unit does not fit the header.
    fn write(&mut self, unit: Media, sink: &mut dyn BlockSink) -> Result<()>;

    /// Writes what was taken so far, as far as blocks can be cut anywhere, so
    /// that a reader of a live stream gets it. Costs some ratio. Encoders whose
    /// blocks cannot be cut do nothing.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    fn flush(&mut self, _sink: &mut dyn BlockSink) -> Result<()> {
        Ok(())
    }

    /// Writes what is left. No call but [`next_decoded`](Self::next_decoded)
    /// may follow.
    fn finish(&mut self, sink: &mut dyn BlockSink) -> Result<()>;

    /// What a decoder will give, unit by unit, as far as it is known: lossy
    /// encoders only, as the others' decoders give what they were given. After
    /// [`finish`](Self::finish) it gives all that is left. The units may be cut
    /// otherwise than the decoder's.
    fn next_decoded(&mut self) -> Option<Media> {
        None
    }
}

/// Turns blocks into units of media.
pub trait Decoder {
    /// The next unit, or `None` after the last. Offsets in errors are those of
    /// the file.
    fn next_unit(&mut self, source: &mut dyn BlockSource) -> Result<Option<Media>>;

    /// Says, before the first unit is asked for, that no more than so many
    /// samples (bytes, for bytes) will be needed: what comes behind them need
    /// not be decoded. More of them may come all the same.
    fn stop_after(&mut self, _samples: u64) {}
}
