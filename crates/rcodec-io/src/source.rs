//! Opening a file as media.

use crate::bytes::ByteUnits;
use crate::input::Input;
use crate::probe::{PROBE_BYTES, SourceKind, probe};
use crate::raw::{self, RawSound};
use crate::{decoded, png, raster, sound, wav};
use rcodec_core::{Budget, Media, MediaHeader, Metadata, Result};
use std::io::BufRead;

/// How to read a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// Decode pictures that are smaller as they are (JPEG, lossy WebP, …) to
    /// their pixels.
    pub pixels: bool,
    /// Decode sound that is smaller as it is (FLAC, MP3, Ogg, AAC) to its
    /// samples.
    pub transcode: bool,
    /// Take everything as bytes. Wins over the others.
    pub bytes: bool,
    /// Take everything as sound of this kind, without a header.
    pub raw: Option<RawSound>,
}

/// An opened file: a header, metadata, and units of media.
///
/// What a source gives is always enough to write the file again: bit for bit
/// for bytes and sound, and with the same pixels and metadata for pictures.
/// Files for which that is not so are given as bytes.
pub struct Source {
    kind: SourceKind,
    note: Option<String>,
    opened: Opened,
    tail: Metadata,
}

/// What a format's reader makes of a file it can represent.
pub(crate) struct Opened {
    pub(crate) header: MediaHeader,
    pub(crate) metadata: Metadata,
    pub(crate) units: Box<dyn Units>,
}

/// What comes of trying to read a file in its format.
pub(crate) enum Attempt {
    /// It can be given as media.
    Media(Opened),
    /// It cannot without losing something; here is all of it again, and why.
    Bytes(Input, Option<String>),
}

impl Attempt {
    /// Falls back to bytes for the reason `why`.
    pub(crate) fn bytes(input: Input, why: impl Into<String>) -> Self {
        Attempt::Bytes(input, Some(format!("kept as bytes: {}", why.into())))
    }
}

/// The samples of an opened file.
pub(crate) trait Units: Send {
    /// The next unit; what follows the samples goes to `tail` before `None` is
    /// returned.
    fn next_unit(&mut self, tail: &mut Metadata) -> Result<Option<Media>>;
}

/// Opens what `reader` gives: finds its kind by content and reads it as a
/// picture, sound or bytes. No seeking: a pipe will do.
///
/// Memory is charged to `budget`. A damaged or unusual file, or one that needs
/// more memory than the budget has, is not an error: it is given as bytes, and
/// [`Source::note`] says why.
///
/// # Errors
/// What the reader reports.
pub fn open(
    reader: Box<dyn BufRead + Send>,
    options: &ReadOptions,
    budget: &Budget,
) -> Result<Source> {
    let mut input = Input::new(reader);
    let kind = probe(input.peek(PROBE_BYTES)?);
    let attempt = if options.bytes {
        Attempt::Bytes(input, None)
    } else if let Some(sound) = &options.raw {
        Attempt::Media(raw::open(input, sound))
    } else {
        match kind {
            SourceKind::Png => png::open(input, budget)?,
            SourceKind::Apng => png::open_animation(input, budget)?,
            SourceKind::WebpAnimated => Attempt::bytes(input, "an animation"),
            SourceKind::Wav => wav::open(input, wav::Container::Wav)?,
            SourceKind::Wave64 => wav::open(input, wav::Container::Wave64)?,
            SourceKind::Aiff => wav::open(input, wav::Container::Aiff)?,
            SourceKind::Bmp | SourceKind::Pnm | SourceKind::Tiff => {
                match raster::open(input, kind, budget)? {
                    Attempt::Bytes(input, _) if options.pixels => {
                        decoded::open(input, kind, true, budget)?
                    }
                    attempt => attempt,
                }
            }
            SourceKind::Jpeg
            | SourceKind::WebpLossy
            | SourceKind::WebpLossless
            | SourceKind::Qoi => decoded::open(input, kind, options.pixels, budget)?,
            SourceKind::Flac
            | SourceKind::Mp3
            | SourceKind::Ogg
            | SourceKind::Mp4
            | SourceKind::Aac
                if options.transcode =>
            {
                sound::open(input, kind, budget)?
            }
            _ => Attempt::Bytes(input, None),
        }
    };
    let (opened, note) = match attempt {
        Attempt::Media(opened) => (opened, None),
        Attempt::Bytes(input, note) => (ByteUnits::open(input), note),
    };
    Ok(Source {
        kind,
        note,
        opened,
        tail: Metadata::default(),
    })
}

impl Source {
    /// What the file's first bytes say it is, however it is given.
    pub fn kind(&self) -> SourceKind {
        self.kind
    }

    /// What the media is.
    pub fn header(&self) -> &MediaHeader {
        &self.opened.header
    }

    /// Metadata that stands before the samples, and what is needed to write
    /// the file again. Empty for bytes.
    pub fn metadata(&self) -> &Metadata {
        &self.opened.metadata
    }

    /// The next unit of the media, or `None` after the last. Where the units
    /// are cut does not depend on how the reader splits its reads.
    ///
    /// # Errors
    /// What the reader reports.
    pub fn next_unit(&mut self) -> Result<Option<Media>> {
        self.opened.units.next_unit(&mut self.tail)
    }

    /// Metadata that stands behind the samples; complete once
    /// [`next_unit`](Self::next_unit) has returned `None`.
    pub fn tail_metadata(&self) -> &Metadata {
        &self.tail
    }

    /// Why a file that looked like a picture or sound is given as bytes.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }
}
