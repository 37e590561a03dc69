//! Writing media as files.

use crate::bytes::ByteWriter;
use crate::{png, raw, wav};
use rcodec_core::{Budget, Error, Media, MediaHeader, MediaKind, Metadata, MetadataKey, Result};
use std::io::{self, Seek, SeekFrom, Write};

/// A file format that can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OutputFormat {
    /// PNG: every picture with 1, 2, 4, 8 or 16 bits per gray sample or index,
    /// 8 or 16 per colour sample.
    Png,
    /// RIFF WAVE.
    Wav,
    /// Samples alone: interleaved, little endian, in the fewest whole bytes
    /// that hold their bits, signed for sound, one sample at least a byte.
    Raw,
    /// Bytes as they are.
    Bytes,
}

impl OutputFormat {
    /// The format that a file name's extension (without the dot, any case)
    /// asks for.
    pub fn from_extension(extension: &str) -> Option<Self> {
        Some(match extension.to_ascii_lowercase().as_str() {
            "png" => OutputFormat::Png,
            "wav" | "wave" => OutputFormat::Wav,
            "raw" => OutputFormat::Raw,
            _ => return None,
        })
    }

    /// The usual extension, without the dot; none for bytes.
    pub fn extension(self) -> Option<&'static str> {
        match self {
            OutputFormat::Png => Some("png"),
            OutputFormat::Wav => Some("wav"),
            OutputFormat::Raw => Some("raw"),
            OutputFormat::Bytes => None,
        }
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
        (MediaKind::Image, _) => OutputFormat::Png,
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
    sink: Sink<'a>,
    budget: &Budget,
) -> Result<Box<dyn Writer + 'a>> {
    match (format, header) {
        (OutputFormat::Bytes | OutputFormat::Raw, MediaHeader::Bytes) => {
            Ok(Box::new(ByteWriter { sink }))
        }
        (OutputFormat::Raw, _) => Ok(Box::new(raw::RawWriter::new(header, sink)?)),
        (OutputFormat::Png, MediaHeader::Image(image)) => Ok(Box::new(png::PngWriter::new(
            image, metadata, sink, budget,
        )?)),
        (OutputFormat::Wav, MediaHeader::Audio(audio)) => {
            Ok(Box::new(wav::WavWriter::new(audio, metadata, sink)?))
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
