//! Colour profiles and the like, wherever a file's metadata has them.

use flate2::read::ZlibDecoder;
use rcodec_core::{ColorType, ImageHeader, Metadata, MetadataKey};
use std::io::Read;

/// The longest colour profile that is unpacked from a PNG chunk.
const MAX_ICC_BYTES: u64 = 16 << 20;

/// The keyword of an XMP packet in a PNG.
pub(crate) const XMP_KEYWORD: &[u8] = b"XML:com.adobe.xmp";

/// Metadata in front of and behind a picture, seen as one.
pub(crate) struct Profiles<'a> {
    parts: [&'a Metadata; 2],
}

impl<'a> Profiles<'a> {
    pub(crate) fn new(metadata: &'a Metadata, tail: &'a Metadata) -> Self {
        Profiles {
            parts: [metadata, tail],
        }
    }

    fn item(&self, key: MetadataKey) -> Option<Vec<u8>> {
        self.parts
            .iter()
            .find_map(|part| part.get(key))
            .map(<[u8]>::to_vec)
    }

    /// A chunk of the WebP that the picture was read from.
    fn webp_chunk(&self, name: &[u8; 4]) -> Option<Vec<u8>> {
        if self.parts[0].get_str(MetadataKey::SOURCE_FORMAT) != Some("webp") {
            return None;
        }
        let items = self.parts[0].items.iter();
        let private = items.filter(|item| item.key == MetadataKey::FORMAT_PRIVATE);
        private.into_iter().find_map(|item| {
            let mut rest = &item.value[..];
            while let Some((header, body)) = rest.split_at_checked(8) {
                let size = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
                let size = size as usize;
                if &header[..4] == name {
                    return body.get(..size).map(<[u8]>::to_vec);
                }
                rest = body.get(size + (size & 1)..)?;
            }
            None
        })
    }

    /// The ICC profile.
    pub(crate) fn icc(&self) -> Option<Vec<u8>> {
        let whole = self.item(MetadataKey::ICC);
        whole.or_else(|| self.webp_chunk(b"ICCP")).or_else(|| {
            let chunk = self.png_chunk(b"iCCP", |_| true)?;
            let name_end = chunk.iter().position(|&byte| byte == 0)?;
            let mut profile = Vec::new();
            let mut inflater = ZlibDecoder::new(chunk.get(name_end + 2..)?).take(MAX_ICC_BYTES + 1);
            inflater.read_to_end(&mut profile).ok()?;
            (profile.len() as u64 <= MAX_ICC_BYTES).then_some(profile)
        })
    }

    /// The EXIF block.
    pub(crate) fn exif(&self) -> Option<Vec<u8>> {
        self.item(MetadataKey::EXIF)
            .or_else(|| self.webp_chunk(b"EXIF"))
            .or_else(|| self.png_chunk(b"eXIf", |_| true).map(<[u8]>::to_vec))
    }

    /// The XMP packet, if it stands on its own.
    pub(crate) fn xmp(&self) -> Option<Vec<u8>> {
        self.item(MetadataKey::XMP)
            .or_else(|| self.webp_chunk(b"XMP "))
    }

    /// The data of the first kept PNG chunk called `name` that is `wanted`.
    fn png_chunk(&self, name: &[u8; 4], wanted: impl Fn(&[u8]) -> bool) -> Option<&'a [u8]> {
        self.parts.iter().find_map(|part| {
            let kept = part.get(MetadataKey::PNG_CHUNKS)?;
            crate::png::kept_chunks(kept)
                .ok()?
                .into_iter()
                .filter(|chunk| &chunk.name == name)
                .map(|chunk| &kept[chunk.data])
                .find(|data| wanted(data))
        })
    }

    /// The one colour of a gray or RGB picture that is transparent, from a
    /// PNG's `tRNS`.
    pub(crate) fn color_key(&self, header: &ImageHeader) -> Option<Vec<u16>> {
        let channels = match header.color {
            ColorType::Gray => 1,
            ColorType::Rgb => 3,
            _ => return None,
        };
        let data = self.png_chunk(b"tRNS", |data| data.len() == channels * 2)?;
        let values = data.chunks_exact(2);
        Some(values.map(|v| u16::from_be_bytes([v[0], v[1]])).collect())
    }
}
