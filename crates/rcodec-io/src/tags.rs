//! Tags, pictures and cue points of compressed sound: from `symphonia` to
//! metadata, and from metadata into the chunks of a new WAV.
//!
//! ```text
//! TAGS        NAME=value, joined by NUL; names as in Vorbis comments
//! PICTURE     MIME type, NUL, kind (as in FLAC and ID3), description, NUL, the file
//! CUE_POINTS  frame, a space, title; joined by NUL
//! ```
//!
//! A WAV gets them as `LIST` `INFO` (the few that it knows), an `id3 ` chunk
//! (all tags and pictures) and `cue ` with its labels.

use rcodec_core::{Metadata, MetadataKey};
use symphonia::core::formats::FormatReader;
use symphonia::core::meta::{
    Chapter, ChapterGroup, ChapterGroupItem, MetadataContainer, RawValue, StandardTag,
    StandardVisualKey, Tag, Visual,
};

/// What a file says of itself besides its samples.
#[derive(Default)]
pub(crate) struct Collected {
    tags: Vec<String>,
    pictures: Vec<Vec<u8>>,
    cue_points: Vec<String>,
}

impl Collected {
    /// Takes what a reader has found so far. Tags that stand behind the sound
    /// are found at its end; what came first counts.
    pub(crate) fn add(&mut self, format: &mut dyn FormatReader, rate: Option<u32>) {
        if let (Some(chapters), Some(rate)) = (format.chapters(), rate)
            && self.cue_points.is_empty()
        {
            self.add_chapters(chapters, rate);
        }
        let mut log = format.metadata();
        loop {
            // The last revision stays in the log.
            let (revision, last) = match log.pop() {
                Some(revision) => (Some(revision), false),
                None => (log.current().cloned(), true),
            };
            if let Some(revision) = revision {
                self.add_container(&revision.media);
                for track in &revision.per_track {
                    self.add_container(&track.metadata);
                }
            }
            if last {
                return;
            }
        }
    }

    fn add_container(&mut self, container: &MetadataContainer) {
        for tag in &container.tags {
            // A tag with parts ("3/12") comes once for each part.
            let text = text_of(tag);
            if let Some(text) = text.filter(|text| !self.tags.contains(text)) {
                self.tags.push(text);
            }
        }
        for visual in &container.visuals {
            let picture = picture_of(visual);
            if !self.pictures.contains(&picture) {
                self.pictures.push(picture);
            }
        }
    }

    fn add_chapters(&mut self, group: &ChapterGroup, rate: u32) {
        for item in &group.items {
            match item {
                ChapterGroupItem::Group(group) => self.add_chapters(group, rate),
                ChapterGroupItem::Chapter(chapter) => {
                    self.cue_points.push(cue_point(chapter, rate));
                }
            }
        }
    }

    /// Appends everything to a file's metadata.
    pub(crate) fn write(self, metadata: &mut Metadata) {
        if !self.tags.is_empty() {
            metadata.push(MetadataKey::TAGS, self.tags.join("\0"));
        }
        for picture in self.pictures {
            metadata.push(MetadataKey::PICTURE, picture);
        }
        if !self.cue_points.is_empty() {
            metadata.push(MetadataKey::CUE_POINTS, self.cue_points.join("\0"));
        }
    }
}

/// `NAME=value`, if it is text.
fn text_of(tag: &Tag) -> Option<String> {
    if matches!(tag.raw.value, RawValue::Binary(_)) {
        return None;
    }
    let value = tag.raw.value.to_string().replace('\0', "/");
    let name = match tag.std.as_ref().and_then(standard_name) {
        Some(name) => name.to_owned(),
        None => {
            let key = tag.raw.key.as_str();
            let key = key.strip_prefix("TXXX:").unwrap_or(key);
            key.replace(['=', '\0'], "_").to_uppercase()
        }
    };
    Some(format!("{name}={value}"))
}

/// The usual name of a Vorbis comment.
fn standard_name(tag: &StandardTag) -> Option<&'static str> {
    use StandardTag::*;
    Some(match tag {
        TrackTitle(_) => "TITLE",
        Artist(_) => "ARTIST",
        Album(_) => "ALBUM",
        AlbumArtist(_) => "ALBUMARTIST",
        Composer(_) => "COMPOSER",
        Performer(_) => "PERFORMER",
        Genre(_) => "GENRE",
        Comment(_) => "COMMENT",
        Description(_) => "DESCRIPTION",
        TrackNumber(_) | TrackTotal(_) => "TRACKNUMBER",
        DiscNumber(_) | DiscTotal(_) => "DISCNUMBER",
        ReleaseDate(_) | ReleaseYear(_) | RecordingDate(_) | RecordingYear(_) => "DATE",
        Copyright(_) => "COPYRIGHT",
        Encoder(_) => "ENCODER",
        Lyrics(_) => "LYRICS",
        Bpm(_) => "BPM",
        IdentIsrc(_) => "ISRC",
        _ => return None,
    })
}

/// Kinds of pictures by their numbers in FLAC and ID3; 0 is "other".
const PICTURE_KINDS: [(StandardVisualKey, u8); 19] = [
    (StandardVisualKey::FileIcon, 1),
    (StandardVisualKey::OtherIcon, 2),
    (StandardVisualKey::FrontCover, 3),
    (StandardVisualKey::BackCover, 4),
    (StandardVisualKey::Leaflet, 5),
    (StandardVisualKey::Media, 6),
    (StandardVisualKey::LeadArtistPerformerSoloist, 7),
    (StandardVisualKey::ArtistPerformer, 8),
    (StandardVisualKey::Conductor, 9),
    (StandardVisualKey::BandOrchestra, 10),
    (StandardVisualKey::Composer, 11),
    (StandardVisualKey::Lyricist, 12),
    (StandardVisualKey::RecordingLocation, 13),
    (StandardVisualKey::RecordingSession, 14),
    (StandardVisualKey::Performance, 15),
    (StandardVisualKey::ScreenCapture, 16),
    (StandardVisualKey::Illustration, 18),
    (StandardVisualKey::BandArtistLogo, 19),
    (StandardVisualKey::PublisherStudioLogo, 20),
];

fn picture_of(visual: &Visual) -> Vec<u8> {
    let named = visual
        .usage
        .and_then(|usage| PICTURE_KINDS.iter().find(|(key, _)| *key == usage));
    let text = |tag: &Tag| match &tag.std {
        Some(StandardTag::Description(text)) => Some(text.replace('\0', "/")),
        _ => None,
    };
    let mut picture = visual.media_type.clone().unwrap_or_default().into_bytes();
    picture.retain(|&byte| byte != 0);
    picture.extend([0, named.map_or(0, |(_, number)| *number)]);
    picture.extend(
        visual
            .tags
            .iter()
            .find_map(text)
            .unwrap_or_default()
            .as_bytes(),
    );
    picture.push(0);
    picture.extend_from_slice(&visual.data);
    picture
}

fn cue_point(chapter: &Chapter, rate: u32) -> String {
    let (seconds, nanoseconds) = chapter.start_time.parts();
    let rate = u64::from(rate);
    let seconds = u64::try_from(seconds).unwrap_or(0);
    // Times are cut to whole nanoseconds; the nearest frame is the one meant.
    let within = (u64::from(nanoseconds) * rate + 500_000_000) / 1_000_000_000;
    let frame = seconds.saturating_mul(rate).saturating_add(within);
    let title = chapter.tags.iter().find_map(|tag| match &tag.std {
        Some(StandardTag::ChapterTitle(text) | StandardTag::TrackTitle(text)) => Some(text),
        _ => None,
    });
    let title = title.map_or(String::new(), |title| title.replace('\0', "/"));
    format!("{frame} {title}")
}

/// The chunks of a WAV for tags, pictures and cue points, to stand before its
/// samples: in a stream nothing can stand behind them. What no chunk can hold
/// is left out.
pub(crate) fn wav_chunks(metadata: &Metadata) -> Vec<u8> {
    let tags: Vec<(&str, &str)> = metadata
        .get_str(MetadataKey::TAGS)
        .into_iter()
        .flat_map(|tags| tags.split('\0'))
        .filter_map(|tag| tag.split_once('='))
        .collect();
    let mut chunks = Vec::new();
    let info: Vec<u8> = INFO_NAMES
        .iter()
        .filter_map(|(id, name)| {
            let (_, value) = tags.iter().find(|(tag, _)| tag == name)?;
            chunk(id, &[value.as_bytes(), &[0]].concat())
        })
        .flatten()
        .collect();
    if !info.is_empty() {
        chunks.extend(chunk(b"LIST", &[b"INFO", &info[..]].concat()).unwrap_or_default());
    }
    chunks.extend(id3_chunk(&tags, metadata).unwrap_or_default());
    if let Some(points) = metadata.get_str(MetadataKey::CUE_POINTS) {
        chunks.extend(cue_chunks(points).unwrap_or_default());
    }
    chunks
}

/// Names of `LIST` `INFO` chunks.
const INFO_NAMES: [(&[u8; 4], &str); 8] = [
    (b"INAM", "TITLE"),
    (b"IART", "ARTIST"),
    (b"IPRD", "ALBUM"),
    (b"ICRD", "DATE"),
    (b"IGNR", "GENRE"),
    (b"ICMT", "COMMENT"),
    (b"ITRK", "TRACKNUMBER"),
    (b"ICOP", "COPYRIGHT"),
];

/// Names of the text frames of ID3v2.4; others are TXXX.
const ID3_NAMES: [(&[u8; 4], &str); 12] = [
    (b"TIT2", "TITLE"),
    (b"TPE1", "ARTIST"),
    (b"TALB", "ALBUM"),
    (b"TPE2", "ALBUMARTIST"),
    (b"TCOM", "COMPOSER"),
    (b"TCON", "GENRE"),
    (b"TRCK", "TRACKNUMBER"),
    (b"TPOS", "DISCNUMBER"),
    (b"TDRC", "DATE"),
    (b"TCOP", "COPYRIGHT"),
    (b"TBPM", "BPM"),
    (b"TSRC", "ISRC"),
];

/// ID3's number for UTF-8.
const UTF_8: u8 = 3;

/// A chunk, padded to an even length; none if it would be too long.
fn chunk(id: &[u8; 4], data: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(data.len()).ok()?;
    let padding: &[u8] = if length & 1 == 1 { &[0] } else { &[] };
    Some([&id[..], &length.to_le_bytes(), data, padding].concat())
}

/// Seven bits in each byte.
fn sync_safe(length: usize) -> Option<[u8; 4]> {
    (length < 1 << 28).then(|| [21, 14, 7, 0].map(|shift| (length >> shift) as u8 & 0x7F))
}

fn id3_frame(id: &[u8; 4], data: &[u8]) -> Option<Vec<u8>> {
    Some([&id[..], &sync_safe(data.len())?, &[0, 0], data].concat())
}

fn id3_chunk(tags: &[(&str, &str)], metadata: &Metadata) -> Option<Vec<u8>> {
    let mut frames = Vec::new();
    // Several values of one name stand in one frame.
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in tags {
        if !names.contains(name) {
            names.push(name);
        }
    }
    for name in names {
        let values: Vec<&str> = tags
            .iter()
            .filter(|(tag, _)| *tag == name)
            .map(|(_, value)| *value)
            .collect();
        let values = values.join("\0");
        let frame = match ID3_NAMES.iter().find(|(_, known)| *known == name) {
            Some((id, _)) => id3_frame(id, &[&[UTF_8], values.as_bytes()].concat()),
            None => {
                let data = [&[UTF_8], name.as_bytes(), &[0], values.as_bytes()].concat();
                id3_frame(b"TXXX", &data)
            }
        };
        frames.extend(frame.unwrap_or_default());
    }
    let pictures = metadata
        .items
        .iter()
        .filter(|item| item.key == MetadataKey::PICTURE);
    for picture in pictures {
        // The item is laid out as the frame is.
        let data = [&[UTF_8], &picture.value[..]].concat();
        frames.extend(id3_frame(b"APIC", &data).unwrap_or_default());
    }
    if frames.is_empty() {
        return None;
    }
    let header = [b"ID3\x04\0\0", &sync_safe(frames.len())?[..]].concat();
    chunk(b"id3 ", &[header, frames].concat())
}

fn cue_chunks(points: &str) -> Option<Vec<u8>> {
    let points: Vec<(u32, &str)> = points
        .split('\0')
        .filter_map(|point| {
            let (frame, title) = point.split_once(' ')?;
            Some((frame.parse().ok()?, title))
        })
        .collect();
    let count = u32::try_from(points.len()).ok()?;
    let mut cue = count.to_le_bytes().to_vec();
    let mut labels = b"adtl".to_vec();
    for (number, (frame, title)) in (1u32..).zip(&points) {
        cue.extend(number.to_le_bytes());
        cue.extend(frame.to_le_bytes());
        cue.extend(b"data\0\0\0\0\0\0\0\0");
        cue.extend(frame.to_le_bytes());
        let label = [&number.to_le_bytes(), title.as_bytes(), &[0]].concat();
        labels.extend(chunk(b"labl", &label)?);
    }
    Some([chunk(b"cue ", &cue)?, chunk(b"LIST", &labels)?].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_hold_what_the_metadata_says() {
        let mut metadata = Metadata::default();
        assert!(wav_chunks(&metadata).is_empty());
        metadata.push(
            MetadataKey::TAGS,
            "TITLE=Ein Titel\0MOOD=calm\0ARTIST=A\0ARTIST=B",
        );
        metadata.push(MetadataKey::PICTURE, *b"image/png\0\x03front\0PNG");
        metadata.push(MetadataKey::CUE_POINTS, "0 begin\x00441 middle\0broken");
        let chunks = wav_chunks(&metadata);
        assert_eq!(chunks.len() % 2, 0);
        let holds = |bytes: &[u8]| chunks.windows(bytes.len()).any(|window| window == bytes);
        assert!(holds(b"INAM\x0a\0\0\0Ein Titel\0"));
        assert!(holds(b"TIT2\0\0\0\x0a\0\0\x03Ein Titel"));
        assert!(holds(b"TXXX\0\0\0\x0a\0\0\x03MOOD\0calm"));
        assert!(holds(b"TPE1\0\0\0\x04\0\0\x03A\0B"));
        assert!(holds(b"APIC\0\0\0\x15\0\0\x03image/png\0\x03front\0PNG"));
        assert!(holds(b"cue \x34\0\0\0\x02\0\0\0"));
        assert!(holds(b"labl\x0b\0\0\0\x02\0\0\0middle\0\0"));
    }
}
