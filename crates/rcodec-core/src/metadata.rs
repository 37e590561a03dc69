//! What belongs to the media but is not samples: profiles, tags, chunks, and
//! what is needed to write the original file format again.

/// What a metadata item is. The numbers are part of the file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MetadataKey(pub u64);

impl MetadataKey {
    /// Short name of the format the media was read from (`png`, `wav`, …):
    /// the format that decoding restores. ASCII.
    pub const SOURCE_FORMAT: Self = MetadataKey(1);
    /// ICC profile, raw bytes.
    pub const ICC: Self = MetadataKey(16);
    /// EXIF block beginning with its TIFF header.
    pub const EXIF: Self = MetadataKey(17);
    /// XMP packet.
    pub const XMP: Self = MetadataKey(18);
    /// PNG chunks other than IHDR, PLTE, IDAT and IEND, in file order: each as
    /// length, type, data and CRC as they stood in the file. Items of this key
    /// before the samples stood before IDAT, the others behind it.
    pub const PNG_CHUNKS: Self = MetadataKey(32);
    /// The frames of an animated PNG: how often it is played (four bytes, most
    /// significant first), 1 if the default image is the first frame (one byte),
    /// then every `fcTL` without its sequence number.
    pub const ANIMATION: Self = MetadataKey(33);
    /// Bytes of an audio file before its samples, verbatim.
    pub const AUDIO_HEAD: Self = MetadataKey(48);
    /// Bytes of an audio file behind its samples, verbatim.
    pub const AUDIO_TAIL: Self = MetadataKey(49);
    /// Tags of a sound: `NAME=value` in UTF-8, joined by NUL; names as in Vorbis
    /// comments.
    pub const TAGS: Self = MetadataKey(50);
    /// A picture of a sound: MIME type, NUL, one byte with its kind (as in FLAC
    /// and ID3: 3 is the front cover), description, NUL, the picture's file.
    pub const PICTURE: Self = MetadataKey(51);
    /// Cue points of a sound: each a frame's number, a space and a title;
    /// joined by NUL.
    pub const CUE_POINTS: Self = MetadataKey(52);
    /// Measured loudness of a sound (EBU R128, ReplayGain 2): `NAME=value`,
    /// joined by NUL. Stands behind the samples.
    pub const LOUDNESS: Self = MetadataKey(53);
    /// Parameters of the source format that its reader needs to write it
    /// again; their meaning is private to that format.
    pub const FORMAT_PRIVATE: Self = MetadataKey(64);

    /// Whether values of the key are lines of UTF-8, joined by NUL.
    pub fn is_text(self) -> bool {
        matches!(self, Self::TAGS | Self::CUE_POINTS | Self::LOUDNESS)
    }

    /// A short name for `info`, if the key is known.
    pub fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::SOURCE_FORMAT => "source format",
            Self::ICC => "ICC profile",
            Self::EXIF => "EXIF",
            Self::XMP => "XMP",
            Self::PNG_CHUNKS => "PNG chunks",
            Self::ANIMATION => "animation",
            Self::AUDIO_HEAD => "audio file header",
            Self::AUDIO_TAIL => "audio file trailer",
            Self::TAGS => "tags",
            Self::PICTURE => "picture",
            Self::CUE_POINTS => "cue points",
            Self::LOUDNESS => "loudness",
            Self::FORMAT_PRIVATE => "format parameters",
            _ => return None,
        })
    }
}

/// One item of metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataItem {
    /// What it is.
    pub key: MetadataKey,
    /// Its bytes; unknown keys are carried along untouched.
    pub value: Vec<u8>,
}

/// A list of metadata items in the order of the source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The items; a key may occur more than once.
    pub items: Vec<MetadataItem>,
}

impl Metadata {
    /// Whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Appends an item.
    pub fn push(&mut self, key: MetadataKey, value: impl Into<Vec<u8>>) {
        self.items.push(MetadataItem {
            key,
            value: value.into(),
        });
    }

    /// The value of the first item with `key`.
    pub fn get(&self, key: MetadataKey) -> Option<&[u8]> {
        self.items
            .iter()
            .find(|item| item.key == key)
            .map(|item| item.value.as_slice())
    }

    /// The first item with `key` as text, if it is UTF-8.
    pub fn get_str(&self, key: MetadataKey) -> Option<&str> {
        self.get(key)
            .and_then(|value| std::str::from_utf8(value).ok())
    }
}
