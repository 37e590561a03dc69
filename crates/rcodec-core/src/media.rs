//! Media: what codecs encode. A stream begins with a [`MediaHeader`]; units of
//! [`Media`] follow: strips of an image from top to bottom, blocks of audio in
//! time order, pieces of bytes.

use crate::error::{Error, Result};

/// The three kinds of media.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// A still picture.
    Image,
    /// Sampled sound.
    Audio,
    /// Any bytes: text, documents, already compressed files.
    Bytes,
}

/// What is known of a stream before its first sample.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MediaHeader {
    /// A picture.
    Image(ImageHeader),
    /// Sound.
    Audio(AudioHeader),
    /// Bytes.
    Bytes,
}

impl MediaHeader {
    /// The kind of media.
    pub fn kind(&self) -> MediaKind {
        match self {
            MediaHeader::Image(_) => MediaKind::Image,
            MediaHeader::Audio(_) => MediaKind::Audio,
            MediaHeader::Bytes => MediaKind::Bytes,
        }
    }
}

/// One unit of media.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Media {
    /// Some whole rows of a picture.
    Image(ImageStrip),
    /// Some frames of sound.
    Audio(AudioBlock),
    /// Some bytes.
    Bytes(Vec<u8>),
}

impl Media {
    /// The bytes of a unit of bytes.
    ///
    /// # Errors
    /// [`Error::Parameter`] for other media.
    pub fn into_bytes(self) -> Result<Vec<u8>> {
        match self {
            Media::Bytes(bytes) => Ok(bytes),
            _ => Err(Error::parameter("the unit is not bytes")),
        }
    }
}

/// How the channels of a picture are to be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ColorType {
    /// One channel.
    Gray,
    /// Gray and alpha (not premultiplied).
    GrayAlpha,
    /// Red, green, blue.
    Rgb,
    /// Red, green, blue, alpha (not premultiplied).
    Rgba,
    /// One channel of indices into [`ImageHeader::palette`].
    Indexed,
}

impl ColorType {
    /// Number of channels: 1–4.
    pub fn channels(self) -> usize {
        match self {
            ColorType::Gray | ColorType::Indexed => 1,
            ColorType::GrayAlpha => 2,
            ColorType::Rgb => 3,
            ColorType::Rgba => 4,
        }
    }
}

/// A palette colour: red, green, blue, alpha.
pub type PaletteEntry = [u8; 4];

/// The shape of a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageHeader {
    /// Width in pixels, at least 1.
    pub width: u32,
    /// Height in pixels, at least 1.
    pub height: u32,
    /// The channels.
    pub color: ColorType,
    /// Bits per sample, 1–16; samples are below `1 << bits`.
    pub bits: u8,
    /// The colours of an indexed picture, 1–256 of them; empty for others.
    /// Indices in the samples may lie beyond the palette's end: such files
    /// exist and must come back as they were.
    pub palette: Vec<PaletteEntry>,
}

impl ImageHeader {
    /// Samples in one row.
    pub fn row_samples(&self) -> usize {
        self.width as usize * self.color.channels()
    }

    /// Samples in the whole picture.
    pub fn total_samples(&self) -> u64 {
        // At most 2^32 * 2^32 * 4: saturate instead of wrapping.
        (u64::from(self.width) * u64::from(self.height))
            .saturating_mul(self.color.channels() as u64)
    }
}

/// Interleaved samples of a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Samples {
    /// For 1–8 bits per sample: one sample per byte, also below 8 bits.
    U8(Vec<u8>),
    /// For 9–16 bits per sample.
    U16(Vec<u16>),
}

impl Samples {
    /// An empty buffer of the right type for `bits` per sample.
    pub fn empty_for(bits: u8) -> Self {
        if bits <= 8 {
            Samples::U8(Vec::new())
        } else {
            Samples::U16(Vec::new())
        }
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        match self {
            Samples::U8(v) => v.len(),
            Samples::U16(v) => v.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Some whole rows of a picture. Strips come in order, without gaps, from the
/// first row to the last; how many rows a strip has is the sender's choice and
/// never changes what is encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageStrip {
    /// Number of rows, at least 1.
    pub rows: u32,
    /// `rows * header.row_samples()` samples, rows from top to bottom, pixels
    /// from left to right, channels interleaved.
    pub samples: Samples,
}

/// How a sound sample is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SampleFormat {
    /// Signed integers of 1–32 bits. (Unsigned 8-bit files are shifted by 128
    /// when read.)
    Int {
        /// Bits per sample; samples fit in that many bits, two's complement.
        bits: u8,
    },
    /// IEEE 754 single precision; a sample's `i32` holds its bit pattern.
    Float32,
}

impl SampleFormat {
    /// Bits per sample.
    pub fn bits(self) -> u8 {
        match self {
            SampleFormat::Int { bits } => bits,
            SampleFormat::Float32 => 32,
        }
    }
}

/// The shape of a sound stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioHeader {
    /// Frames per second, at least 1.
    pub sample_rate: u32,
    /// Channels, at least 1.
    pub channels: u16,
    /// Sample format.
    pub format: SampleFormat,
}

/// Some frames of sound; how many is the sender's choice and never changes
/// what is encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioBlock {
    /// `frames * channels` samples, interleaved.
    pub samples: Vec<i32>,
}
