//! Dropping metadata.

use crate::png::filter_chunks;
use crate::profile::Profiles;
use rcodec_core::{Metadata, MetadataKey};

/// PNG chunks that change how the pixels look: colour space, transparency,
/// significant bits, pixel shape.
const VISIBLE_CHUNKS: [&[u8; 4]; 8] = [
    b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"sBIT", b"pHYs",
];

/// Drops what does not change how the media looks or sounds: EXIF, XMP, texts,
/// times, an audio file's own header and chunks. What is written from it later
/// is a fresh file of the same format.
pub fn strip(metadata: &mut Metadata) {
    // A WebP's colour profile stands among the chunks that go.
    let profile = match metadata.get_str(MetadataKey::SOURCE_FORMAT) {
        Some("webp") => Profiles::new(metadata, &Metadata::default()).icc(),
        _ => None,
    };
    metadata.items.retain(|item| {
        matches!(
            item.key,
            MetadataKey::SOURCE_FORMAT
                | MetadataKey::ICC
                | MetadataKey::PNG_CHUNKS
                | MetadataKey::ANIMATION
        )
    });
    for item in &mut metadata.items {
        if item.key == MetadataKey::PNG_CHUNKS {
            filter_chunks(&mut item.value, |name| VISIBLE_CHUNKS.contains(&name));
        }
    }
    metadata.items.retain(|item| !item.value.is_empty());
    if let Some(profile) = profile
        && metadata.get(MetadataKey::ICC).is_none()
    {
        metadata.push(MetadataKey::ICC, profile);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let mut chunk = (data.len() as u32).to_be_bytes().to_vec();
        chunk.extend_from_slice(name);
        chunk.extend_from_slice(data);
        chunk.extend_from_slice(&crc32fast::hash(&chunk[4..]).to_be_bytes());
        chunk
    }

    #[test]
    fn visible_chunks_stay() {
        let mut metadata = Metadata::default();
        metadata.push(MetadataKey::SOURCE_FORMAT, *b"png");
        metadata.push(MetadataKey::EXIF, *b"where it was taken");
        let gamma = chunk(b"gAMA", &[0, 0, 1, 2]);
        let text = chunk(b"tEXt", b"Author\0someone");
        metadata.push(
            MetadataKey::PNG_CHUNKS,
            [gamma.clone(), text.clone()].concat(),
        );
        metadata.push(MetadataKey::PNG_CHUNKS, text);
        strip(&mut metadata);
        assert_eq!(metadata.items.len(), 2);
        assert_eq!(metadata.get(MetadataKey::PNG_CHUNKS), Some(&gamma[..]));
    }
}
