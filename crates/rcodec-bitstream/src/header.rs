//! The stream header's fields.

use crate::wire::{fixed_media_kind, flags, lead};
use rcodec_core::{
    AudioHeader, CodecId, ColorType, Cursor, Error, ImageHeader, MediaHeader, MediaKind, ModelId,
    Result, SampleFormat, StreamHeader, write_varint,
};

const MAX_PARAMS_BYTES: u64 = 1 << 16;
const MAX_MODELS: u64 = 16;
/// In an audio header's format byte.
const FLOAT: u8 = 0x80;

/// The lead byte for `header`, whose fields [`write_fields`] writes.
pub(crate) fn lead_byte(header: &StreamHeader, block_form: bool, metadata: bool) -> u8 {
    let mut byte = header.version << lead::VERSION_SHIFT;
    if block_form {
        byte |= lead::BLOCK_FORM;
    }
    if flags_byte(header, metadata) != 0 {
        byte |= lead::EXTENDED;
    }
    byte | codec_field(header.codec)
}

fn codec_field(codec: CodecId) -> u8 {
    match codec.0 {
        0..15 => codec.0 as u8,
        _ => lead::CODEC_IN_HEADER,
    }
}

fn flags_byte(header: &StreamHeader, metadata: bool) -> u8 {
    let mut byte = 0;
    if !header.params.is_empty() {
        byte |= flags::PARAMS;
    }
    if !header.models.is_empty() {
        byte |= flags::MODELS;
    }
    if metadata {
        byte |= flags::METADATA;
    }
    byte
}

/// Appends the header's fields; `metadata` says that compact metadata follows
/// them.
pub(crate) fn write_fields(out: &mut Vec<u8>, header: &StreamHeader, metadata: bool) -> Result<()> {
    check_media(&header.media).map_err(Error::parameter)?;
    if header.params.len() as u64 > MAX_PARAMS_BYTES || header.models.len() as u64 > MAX_MODELS {
        return Err(Error::parameter("too many codec parameters or models"));
    }
    let flags = flags_byte(header, metadata);
    if flags != 0 {
        out.push(flags);
    }
    match fixed_media_kind(header.codec) {
        Some(kind) if kind == header.media.kind() => {}
        Some(_) => return Err(Error::parameter("the codec does not encode this media")),
        None => {
            if codec_field(header.codec) == lead::CODEC_IN_HEADER {
                write_varint(out, header.codec.0);
            }
            out.push(kind_byte(header.media.kind()));
        }
    }
    write_media(out, &header.media);
    if flags & flags::PARAMS != 0 {
        write_varint(out, header.params.len() as u64);
        out.extend_from_slice(&header.params);
    }
    if flags & flags::MODELS != 0 {
        write_varint(out, header.models.len() as u64);
        for model in &header.models {
            out.extend_from_slice(&model.0);
        }
    }
    Ok(())
}

/// Parses the header's fields for a lead byte; returns whether compact
/// metadata follows them.
pub(crate) fn parse_fields(lead_byte: u8, cursor: &mut Cursor<'_>) -> Result<(StreamHeader, bool)> {
    let mut flags = 0;
    if lead_byte & lead::EXTENDED != 0 {
        let at = cursor.at();
        flags = cursor.byte()?;
        if flags == 0 {
            return Err(Error::malformed(
                at,
                "an extended header without extensions",
            ));
        }
        if flags & !flags::KNOWN != 0 {
            return Err(Error::unsupported("header extensions of a later version"));
        }
    }
    let mut codec = CodecId(u64::from(lead_byte & lead::CODEC_MASK));
    if codec.0 == u64::from(lead::CODEC_IN_HEADER) {
        let at = cursor.at();
        codec = CodecId(cursor.varint()?);
        if codec.0 < u64::from(lead::CODEC_IN_HEADER) {
            return Err(Error::malformed(at, "a small codec number in the header"));
        }
    }
    let kind = match fixed_media_kind(codec) {
        Some(kind) => kind,
        None => parse_kind(cursor)?,
    };
    let media = parse_media(kind, cursor)?;
    let params = if flags & flags::PARAMS != 0 {
        let count = bounded(cursor, 1, MAX_PARAMS_BYTES, "length of codec parameters")?;
        cursor.take(count)?.to_vec()
    } else {
        Vec::new()
    };
    let mut models = Vec::new();
    if flags & flags::MODELS != 0 {
        for _ in 0..bounded(cursor, 1, MAX_MODELS, "number of models")? {
            let id = cursor.take(8)?;
            models.push(ModelId(id.try_into().expect("eight bytes")));
        }
    }
    let header = StreamHeader {
        version: lead_byte >> lead::VERSION_SHIFT,
        codec,
        media,
        params,
        models,
    };
    Ok((header, flags & flags::METADATA != 0))
}

fn bounded(cursor: &mut Cursor<'_>, min: u64, max: u64, what: &'static str) -> Result<u64> {
    let at = cursor.at();
    let value = cursor.varint()?;
    if (min..=max).contains(&value) {
        Ok(value)
    } else {
        Err(Error::malformed(at, what))
    }
}

fn kind_byte(kind: MediaKind) -> u8 {
    match kind {
        MediaKind::Bytes => 0,
        MediaKind::Image => 1,
        MediaKind::Audio => 2,
    }
}

fn parse_kind(cursor: &mut Cursor<'_>) -> Result<MediaKind> {
    match cursor.byte()? {
        0 => Ok(MediaKind::Bytes),
        1 => Ok(MediaKind::Image),
        2 => Ok(MediaKind::Audio),
        _ => Err(Error::unsupported("media of a later version")),
    }
}

fn color_number(color: ColorType) -> u8 {
    match color {
        ColorType::Gray => 0,
        ColorType::GrayAlpha => 1,
        ColorType::Rgb => 2,
        ColorType::Rgba => 3,
        ColorType::Indexed => 4,
    }
}

fn write_media(out: &mut Vec<u8>, media: &MediaHeader) {
    match media {
        MediaHeader::Image(image) => {
            write_varint(out, u64::from(image.width));
            write_varint(out, u64::from(image.height));
            out.push(color_number(image.color) << 4 | (image.bits - 1));
            if image.color == ColorType::Indexed {
                let opaque_tail = image.palette.iter().rev().take_while(|e| e[3] == 255);
                let with_alpha = image.palette.len() - opaque_tail.count();
                write_varint(out, image.palette.len() as u64);
                write_varint(out, with_alpha as u64);
                out.extend(image.palette.iter().flat_map(|e| &e[..3]));
                out.extend(image.palette[..with_alpha].iter().map(|e| e[3]));
            }
        }
        MediaHeader::Audio(audio) => {
            write_varint(out, u64::from(audio.sample_rate));
            write_varint(out, u64::from(audio.channels));
            out.push(match audio.format {
                SampleFormat::Int { bits } => bits,
                SampleFormat::Float32 => FLOAT | 32,
            });
        }
        _ => {}
    }
}

fn parse_media(kind: MediaKind, cursor: &mut Cursor<'_>) -> Result<MediaHeader> {
    let at = cursor.at();
    let media = match kind {
        MediaKind::Bytes => MediaHeader::Bytes,
        MediaKind::Image => {
            let width = bounded(cursor, 1, u64::from(u32::MAX), "image width")? as u32;
            let height = bounded(cursor, 1, u64::from(u32::MAX), "image height")? as u32;
            let format_at = cursor.at();
            let format = cursor.byte()?;
            let color = match format >> 4 {
                0 => ColorType::Gray,
                1 => ColorType::GrayAlpha,
                2 => ColorType::Rgb,
                3 => ColorType::Rgba,
                4 => ColorType::Indexed,
                _ => return Err(Error::malformed(format_at, "colour type")),
            };
            let palette = if color == ColorType::Indexed {
                parse_palette(cursor)?
            } else {
                Vec::new()
            };
            MediaHeader::Image(ImageHeader {
                width,
                height,
                color,
                bits: (format & 15) + 1,
                palette,
            })
        }
        MediaKind::Audio => {
            let sample_rate = bounded(cursor, 1, u64::from(u32::MAX), "sample rate")? as u32;
            let channels = bounded(cursor, 1, u64::from(u16::MAX), "channel count")? as u16;
            let format_at = cursor.at();
            let format = match cursor.byte()? {
                0xa0 => SampleFormat::Float32,
                bits @ 1..=32 => SampleFormat::Int { bits },
                _ => return Err(Error::malformed(format_at, "sample format")),
            };
            MediaHeader::Audio(AudioHeader {
                sample_rate,
                channels,
                format,
            })
        }
    };
    check_media(&media).map_err(|what| Error::malformed(at, what))?;
    Ok(media)
}

fn parse_palette(cursor: &mut Cursor<'_>) -> Result<Vec<[u8; 4]>> {
    let count = bounded(cursor, 1, 256, "palette size")?;
    let with_alpha = bounded(cursor, 0, count, "palette alpha")? as usize;
    let colors = cursor.take(3 * count)?;
    let at = cursor.at();
    let alphas = cursor.take(with_alpha as u64)?;
    if alphas.last() == Some(&255) {
        return Err(Error::malformed(at, "palette alpha longer than it need be"));
    }
    let entries = colors.chunks_exact(3).enumerate();
    Ok(entries
        .map(|(i, c)| [c[0], c[1], c[2], alphas.get(i).copied().unwrap_or(255)])
        .collect())
}

/// The rules a media header must keep in a file.
fn check_media(media: &MediaHeader) -> Result<(), &'static str> {
    match media {
        MediaHeader::Image(image) => {
            let indexed = image.color == ColorType::Indexed;
            if image.width == 0 || image.height == 0 {
                Err("an image without pixels")
            } else if !(1..=16).contains(&image.bits) || (indexed && image.bits > 8) {
                Err("bits per image sample")
            } else if indexed == image.palette.is_empty() || image.palette.len() > 256 {
                Err("palette size")
            } else {
                Ok(())
            }
        }
        MediaHeader::Audio(audio) => {
            if audio.sample_rate == 0 || audio.channels == 0 {
                Err("audio without rate or channels")
            } else if !(1..=32).contains(&audio.format.bits()) {
                Err("bits per audio sample")
            } else {
                Ok(())
            }
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn any_media() -> impl Strategy<Value = MediaHeader> {
        let image = (
            1u32..,
            1u32..,
            0usize..5,
            1u8..=16,
            proptest::collection::vec(any::<[u8; 4]>(), 1..=256),
        )
            .prop_map(|(width, height, color, bits, palette)| {
                let color = [
                    ColorType::Gray,
                    ColorType::GrayAlpha,
                    ColorType::Rgb,
                    ColorType::Rgba,
                    ColorType::Indexed,
                ][color];
                let indexed = color == ColorType::Indexed;
                MediaHeader::Image(ImageHeader {
                    width,
                    height,
                    color,
                    bits: if indexed { bits.min(8) } else { bits },
                    palette: if indexed { palette } else { Vec::new() },
                })
            });
        let audio = (1u32.., 1u16.., 0u8..=32).prop_map(|(sample_rate, channels, bits)| {
            MediaHeader::Audio(AudioHeader {
                sample_rate,
                channels,
                format: match bits {
                    0 => SampleFormat::Float32,
                    bits => SampleFormat::Int { bits },
                },
            })
        });
        prop_oneof![image, audio, Just(MediaHeader::Bytes)]
    }

    pub(crate) fn any_header() -> impl Strategy<Value = StreamHeader> {
        (
            any_media(),
            any::<bool>(),
            proptest::collection::vec(any::<u8>(), 0..40),
            proptest::collection::vec(any::<[u8; 8]>(), 0..3),
        )
            .prop_map(|(media, new_codec, params, models)| StreamHeader {
                version: 1,
                codec: match (new_codec, media.kind()) {
                    (true, _) => CodecId(1000),
                    (_, MediaKind::Bytes) => CodecId::ZSTD,
                    (_, MediaKind::Image) => CodecId::IMAGE_LOSSLESS,
                    (_, MediaKind::Audio) => CodecId::AUDIO_LOSSLESS,
                },
                media,
                params,
                models: models.into_iter().map(ModelId).collect(),
            })
    }

    proptest! {
        #[test]
        fn round_trip(header in any_header(), metadata: bool) {
            let mut bytes = Vec::new();
            write_fields(&mut bytes, &header, metadata).unwrap();
            let mut cursor = Cursor::new(&bytes, 0);
            let lead = lead_byte(&header, true, metadata);
            prop_assert_eq!(parse_fields(lead, &mut cursor).unwrap(), (header, metadata));
            prop_assert!(cursor.rest().is_empty());
        }

        #[test]
        fn any_bytes_parse_or_fail(lead: u8, bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut cursor = Cursor::new(&bytes, 0);
            if let Ok((header, metadata)) = parse_fields(lead, &mut cursor) {
                let mut again = Vec::new();
                write_fields(&mut again, &header, metadata).unwrap();
                prop_assert_eq!(&bytes[..again.len()], &again[..]);
            }
        }
    }
}
