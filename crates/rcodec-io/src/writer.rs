//! Writing media as files.

use crate::bytes::ByteWriter;
use crate::{pixels, png, pnm, raster, raw, wav};
use rcodec_core::{Budget, Error, Media, MediaHeader, MediaKind, Metadata, MetadataKey, Result};
use std::io::{self, Seek, SeekFrom, Write};

/// A file format that can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OutputFormat {
    /// PNG, animated if its source was: every picture with 1, 2, 4, 8 or 16 bits per gray sample or index,
    /// 8 or 16 per colour sample.
    Png,
    /// PBM, PGM, PPM or PAM, whichever the picture needs; 1–16 bits.
    Pnm,
    /// JPEG, 8 bits, gray or RGB. The only one here that loses something.
    Jpeg {
        /// 1–100.
        quality: u8,
    },
    /// Lossless WebP, 8 bits.
    Webp,
    /// Uncompressed TIFF, 8 or 16 bits.
    Tiff,
    /// Windows bitmap, 8 bits.
    Bmp,
    /// QOI, 8 bits.
    Qoi,
    /// RIFF WAVE.
    Wav,
    /// Sony Wave64: only what was read from one.
    Wave64,
    /// AIFF or AIFF-C: only what was read from one.
    Aiff,
    /// Samples alone: interleaved, little endian, each in the fewest whole
    /// bytes that hold its bits; sound is signed, unless it was read otherwise.
    Raw,
    /// Bytes as they are.
    Bytes,
}

impl OutputFormat {
    /// The quality of JPEG unless one is asked for.
    pub const JPEG_QUALITY: u8 = 90;

    /// The format that a file name's extension (without the dot, any case)
    /// asks for.
    pub fn from_extension(extension: &str) -> Option<Self> {
        Some(match extension.to_ascii_lowercase().as_str() {
            "png" | "apng" => OutputFormat::Png,
            "pnm" | "pbm" | "pgm" | "ppm" | "pam" => OutputFormat::Pnm,
            "jpg" | "jpeg" => OutputFormat::Jpeg {
                quality: Self::JPEG_QUALITY,
            },
            "webp" => OutputFormat::Webp,
            "tif" | "tiff" => OutputFormat::Tiff,
            "bmp" | "dib" => OutputFormat::Bmp,
            "qoi" => OutputFormat::Qoi,
            "wav" | "wave" => OutputFormat::Wav,
            "w64" => OutputFormat::Wave64,
            "aif" | "aiff" | "aifc" => OutputFormat::Aiff,
            "raw" => OutputFormat::Raw,
            _ => return None,
        })
    }

    /// The usual extension, without the dot; none for bytes.
    pub fn extension(self) -> Option<&'static str> {
        Some(match self {
            OutputFormat::Png => "png",
            OutputFormat::Pnm => "pnm",
            OutputFormat::Jpeg { .. } => "jpg",
            OutputFormat::Webp => "webp",
            OutputFormat::Tiff => "tiff",
            OutputFormat::Bmp => "bmp",
            OutputFormat::Qoi => "qoi",
            OutputFormat::Wav => "wav",
            OutputFormat::Wave64 => "w64",
            OutputFormat::Aiff => "aiff",
            OutputFormat::Raw => "raw",
            OutputFormat::Bytes => return None,
        })
    }

    /// Whether the format is one of pictures.
    pub fn is_picture(self) -> bool {
        use OutputFormat::*;
        matches!(self, Png | Pnm | Jpeg { .. } | Webp | Tiff | Bmp | Qoi)
    }

    /// Whether sound that was read in the format comes back in it.
    fn is_sound(self) -> bool {
        use OutputFormat::*;
        matches!(self, Wav | Wave64 | Aiff | Raw)
    }
}

/// The format in which media comes back: that of its source where we write it,
/// else PNG, WAV or bytes.
pub fn restore_format(header: &MediaHeader, metadata: &Metadata) -> OutputFormat {
    let named = metadata
        .get_str(MetadataKey::SOURCE_FORMAT)
        .and_then(OutputFormat::from_extension);
    match (header.kind(), named) {
        (MediaKind::Bytes, _) => OutputFormat::Bytes,
        (MediaKind::Image, Some(format)) if format.is_picture() => format,
        (MediaKind::Image, _) => OutputFormat::Png,
        (MediaKind::Audio, Some(format)) if format.is_sound() => format,
        (MediaKind::Audio, _) => OutputFormat::Wav,
    }
}

/// Both [`Write`] and [`Seek`].
pub trait WriteSeek: Write + Seek {}

impl<T: Write + Seek> WriteSeek for T {}

/// Where a file is written to.
pub enum Sink<'a> {
    /// In order, like a pipe.
    Stream(Box<dyn Write + 'a>),
    /// With the possibility to go back and fill in a length.
    File(Box<dyn WriteSeek + 'a>),
}

impl Sink<'_> {
    pub(crate) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Sink::Stream(sink) => sink.write_all(bytes),
            Sink::File(sink) => sink.write_all(bytes),
        }
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match self {
            Sink::Stream(sink) => sink.flush(),
            Sink::File(sink) => sink.flush(),
        }
    }

    /// Where in the file the sink stands; 0 for a stream.
    pub(crate) fn position(&mut self) -> io::Result<u64> {
        match self {
            Sink::Stream(_) => Ok(0),
            Sink::File(sink) => sink.stream_position(),
        }
    }

    /// Overwrites bytes written before; does nothing in a stream.
    pub(crate) fn patch(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        if let Sink::File(sink) = self {
            let end = sink.stream_position()?;
            sink.seek(SeekFrom::Start(at))?;
            sink.write_all(bytes)?;
            sink.seek(SeekFrom::Start(end))?;
        }
        Ok(())
    }
}

/// Writes units of media to a file.
pub trait Writer {
    /// Takes the next unit.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the unit does not fit the header; what the sink
    /// reports.
    fn write(&mut self, unit: Media) -> Result<()>;

    /// Writes what is left, with the metadata that stands behind the samples,
    /// and flushes the sink.
    ///
    /// # Errors
    /// [`Error::Parameter`] if units are missing; what the sink reports.
    fn finish(self: Box<Self>, tail: &Metadata) -> Result<()>;
}

/// Begins a file. Neither `header` nor `metadata` need be trusted.
///
/// # Errors
/// [`Error::Unsupported`] if the format cannot hold the media exactly (and
/// says why); [`Error::Malformed`] with offsets within the metadata item if
/// that is not what our reader writes; [`Error::Limit`]; what the sink reports.
pub fn create<'a>(
    format: OutputFormat,
    header: &MediaHeader,
    metadata: &Metadata,
    mut sink: Sink<'a>,
    budget: &Budget,
) -> Result<Box<dyn Writer + 'a>> {
    if let MediaHeader::Image(image) = header
        && (image.width == 0 || image.height == 0 || !(1..=16).contains(&image.bits))
    {
        return Err(Error::parameter("a picture without pixels or bits"));
    }
    let source = metadata.get_str(MetadataKey::SOURCE_FORMAT);
    if let MediaHeader::Image(image) = header
        && matches!(
            format,
            OutputFormat::Bmp | OutputFormat::Pnm | OutputFormat::Tiff
        )
        && source == format.extension()
    {
        match raster::RasterWriter::new(image, metadata, sink, budget)? {
            Ok(writer) => return Ok(Box::new(writer)),
            Err(unused) => sink = unused,
        }
    }
    match (format, header) {
        (OutputFormat::Bytes | OutputFormat::Raw, MediaHeader::Bytes) => {
            Ok(Box::new(ByteWriter { sink }))
        }
        (OutputFormat::Raw, _) => Ok(Box::new(raw::RawWriter::new(header, metadata, sink)?)),
        (OutputFormat::Png, MediaHeader::Image(image)) => match png::Animation::of(metadata) {
            Some(animation) => Ok(Box::new(png::AnimationWriter::new(
                image, animation, metadata, sink, budget,
            )?)),
            None => Ok(Box::new(png::PngWriter::new(
                image, metadata, sink, budget,
            )?)),
        },
        (OutputFormat::Pnm, MediaHeader::Image(image)) => {
            Ok(Box::new(pnm::PnmWriter::new(image, metadata, sink)?))
        }
        (format, MediaHeader::Image(image)) if format.is_picture() => Ok(Box::new(
            pixels::PixelWriter::new(format, image, metadata, sink, budget)?,
        )),
        (
            format @ (OutputFormat::Wav | OutputFormat::Wave64 | OutputFormat::Aiff),
            MediaHeader::Audio(audio),
        ) => {
            let container = match format {
                OutputFormat::Wave64 => wav::Container::Wave64,
                OutputFormat::Aiff => wav::Container::Aiff,
                _ => wav::Container::Wav,
            };
            let writer = wav::WavWriter::new(audio, container, metadata, sink)?;
            Ok(Box::new(writer))
        }
        _ => Err(Error::unsupported(format!(
            "{} cannot be written as {}",
            match header.kind() {
                MediaKind::Image => "a picture",
                MediaKind::Audio => "sound",
                MediaKind::Bytes => "bytes of no known format",
            },
            format.extension().unwrap_or("bytes"),
        ))),
    }
}
