//! Pictures whose pixels the `image` crate decodes.
//!
//! Lossless WebP and QOI are given as pixels by default: the same format comes
//! back with the same pixels and, for WebP, all other chunks (in
//! two items of [`MetadataKey::FORMAT_PRIVATE`]: those before the bitstream and
//! those behind it; for QOI there is the byte of its colour space, if not 0). Other formats are decoded only on request, and come
//! back as PNG.
//!
//! [`MetadataKey::FORMAT_PRIVATE`]: rcodec_core::MetadataKey::FORMAT_PRIVATE

use crate::input::{Input, Whole};
use crate::probe::{SourceKind, probe};
use crate::source::{Attempt, Opened};
use crate::strips::{Picture, total_bytes};
use image::codecs::{bmp, jpeg, pnm, qoi, tiff, webp};
use image::{ImageDecoder, ImageError, ImageResult};
use rcodec_core::{
    Budget, ColorType, ImageHeader, MediaHeader, Metadata, MetadataKey, Result, Samples,
};
use std::io::Cursor;
use std::ops::Range;

/// Why a picture cannot be given as pixels.
type Reason = String;

/// Whether a kind of file is given as pixels without being asked for.
fn by_default(kind: SourceKind) -> bool {
    matches!(kind, SourceKind::WebpLossless | SourceKind::Qoi)
}

/// Opens a picture; if not `forced`, only if it comes back in its own format.
pub(crate) fn open(
    mut input: Input,
    kind: SourceKind,
    forced: bool,
    budget: &Budget,
) -> Result<Attempt> {
    // A long profile may have hidden the mode of a WebP from the first look.
    if !forced && !by_default(kind) && kind != SourceKind::WebpLossy {
        return Ok(Attempt::Bytes(input, None));
    }
    let Some(whole) = input.take_whole(budget)? else {
        return Ok(Attempt::bytes(input, "it needs more memory than allowed"));
    };
    let kind = probe(&whole.bytes);
    let opened = if forced || by_default(kind) {
        try_open(&whole, kind, budget).map_err(Some)
    } else {
        Err(None)
    };
    match opened {
        Ok(opened) => Ok(Attempt::Media(opened)),
        Err(why) => {
            input.put_back(whole.bytes);
            Ok(match why {
                Some(why) => Attempt::bytes(input, why),
                None => Attempt::Bytes(input, None),
            })
        }
    }
}

fn try_open(whole: &Whole, kind: SourceKind, budget: &Budget) -> Result<Opened, Reason> {
    let file = &whole.bytes[..];
    let mut metadata = Metadata::default();
    let mut decoder = decoder_for(file, kind).map_err(reason)?;
    let restored = match kind {
        SourceKind::WebpLossless => {
            metadata.push(MetadataKey::SOURCE_FORMAT, *b"webp");
            let alpha = matches!(decoder.color_type(), image::ColorType::Rgba8);
            let bitstream = webp_bitstream(file, alpha)?;
            let parts = [&file[12..bitstream.start], &file[bitstream.end..]];
            if parts.iter().any(|part| !part.is_empty()) {
                for part in parts {
                    metadata.push(MetadataKey::FORMAT_PRIVATE, part);
                }
            }
            true
        }
        SourceKind::Qoi => {
            metadata.push(MetadataKey::SOURCE_FORMAT, *b"qoi");
            if !qoi_is_whole(file) {
                return Err("the QOI is damaged".to_owned());
            }
            if file[13] != 0 {
                metadata.push(MetadataKey::FORMAT_PRIVATE, &file[13..14]);
            }
            true
        }
        _ => {
            metadata.push(MetadataKey::SOURCE_FORMAT, *b"png");
            false
        }
    };
    if !restored {
        for (key, value) in [
            (MetadataKey::ICC, decoder.icc_profile()),
            (MetadataKey::EXIF, decoder.exif_metadata()),
            (MetadataKey::XMP, decoder.xmp_metadata()),
        ] {
            if let Ok(Some(value)) = value {
                metadata.push(key, value);
            }
        }
    }
    let picture = decode(decoder, budget)?;
    Ok(Opened {
        header: MediaHeader::Image(picture.header.clone()),
        metadata,
        units: picture.into_units(Metadata::default()),
    })
}

fn decoder_for(file: &[u8], kind: SourceKind) -> ImageResult<Box<dyn ImageDecoder + '_>> {
    let file = Cursor::new(file);
    Ok(match kind {
        SourceKind::Jpeg => Box::new(jpeg::JpegDecoder::new(file)?),
        SourceKind::Qoi => Box::new(qoi::QoiDecoder::new(file)?),
        SourceKind::Tiff => Box::new(tiff::TiffDecoder::new(file)?),
        SourceKind::Bmp => Box::new(bmp::BmpDecoder::new(file)?),
        SourceKind::Pnm => Box::new(pnm::PnmDecoder::new(file)?),
        _ => Box::new(webp::WebPDecoder::new(file)?),
    })
}

/// Decodes a picture that the budget allows.
fn decode(mut decoder: Box<dyn ImageDecoder + '_>, budget: &Budget) -> Result<Picture, Reason> {
    use image::ColorType as Theirs;
    let (color, bits) = match decoder.color_type() {
        Theirs::L8 => (ColorType::Gray, 8),
        Theirs::La8 => (ColorType::GrayAlpha, 8),
        Theirs::Rgb8 => (ColorType::Rgb, 8),
        Theirs::Rgba8 => (ColorType::Rgba, 8),
        Theirs::L16 => (ColorType::Gray, 16),
        Theirs::La16 => (ColorType::GrayAlpha, 16),
        Theirs::Rgb16 => (ColorType::Rgb, 16),
        Theirs::Rgba16 => (ColorType::Rgba, 16),
        _ => return Err("a picture of floating-point samples".to_owned()),
    };
    let (width, height) = decoder.dimensions();
    let header = ImageHeader {
        width,
        height,
        color,
        bits,
        palette: Vec::new(),
    };
    if width == 0 || height == 0 {
        return Err("a picture without pixels".to_owned());
    }
    budget
        .check_samples(header.total_samples())
        .map_err(|_| "it has more samples than allowed")?;
    let mut picture = Picture::reserve(&header, budget).map_err(|e| e.to_string())?;
    // What the decoder itself takes, its output buffer included.
    let allowed = budget.limits().max_alloc_bytes - budget.used_bytes();
    let held = budget
        .reserve(total_bytes(&header).saturating_mul(2).min(allowed))
        .map_err(|e| e.to_string())?;
    let mut limits = image::Limits::no_limits();
    limits.max_alloc = Some(allowed);
    decoder.set_limits(limits).map_err(reason)?;
    if decoder.total_bytes() != total_bytes(&header) || held.bytes() < decoder.total_bytes() {
        return Err("it needs more memory than allowed".to_owned());
    }
    let mut bytes = vec![0u8; total_bytes(&header) as usize];
    decoder.read_image(&mut bytes).map_err(reason)?;
    picture.samples = if bits == 8 {
        Samples::U8(bytes)
    } else {
        let values = bytes.chunks_exact(2);
        Samples::U16(values.map(|v| u16::from_ne_bytes([v[0], v[1]])).collect())
    };
    Ok(picture)
}

fn reason(error: ImageError) -> Reason {
    match error {
        ImageError::Limits(_) => "it needs more memory than allowed".to_owned(),
        error => format!("it cannot be decoded ({error})"),
    }
}

/// Where the chunk of a lossless WebP's bitstream stands.
fn webp_bitstream(file: &[u8], alpha: bool) -> Result<Range<usize>, Reason> {
    let word = |at: usize| -> Option<usize> {
        let bytes = file.get(at..at + 4)?;
        Some(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize)
    };
    let cut = "the WebP is cut off or something follows it";
    if word(4).and_then(|size| size.checked_add(8)) != Some(file.len()) {
        return Err(cut.to_owned());
    }
    let mut at = 12;
    loop {
        let size = word(at + 4).ok_or(cut)?;
        let end = at + 8 + size + (size & 1);
        if end > file.len() {
            return Err(cut.to_owned());
        }
        if &file[at..at + 4] == b"VP8L" {
            let has_alpha = word(at + 9).ok_or(cut)? >> 28 & 1 == 1;
            if has_alpha != alpha {
                return Err("the WebP is not sure whether it has alpha".to_owned());
            }
            return Ok(at..end);
        }
        at = end;
    }
}

/// Whether a QOI stream has exactly the pixels it should and ends there.
fn qoi_is_whole(file: &[u8]) -> bool {
    const END: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 1];
    let word = |at: usize| u32::from_be_bytes([file[at], file[at + 1], file[at + 2], file[at + 3]]);
    let pixels = u64::from(word(4)) * u64::from(word(8));
    let (mut at, mut seen) = (14, 0u64);
    while seen < pixels {
        let Some(&operation) = file.get(at) else {
            return false;
        };
        let (length, run) = match operation {
            0xFE => (4, 1),
            0xFF => (5, 1),
            0x80..=0xBF => (2, 1),
            0xC0.. => (1, u64::from(operation & 63) + 1),
            _ => (1, 1),
        };
        at += length;
        seen += run;
    }
    seen == pixels && file.get(at..) == Some(END)
}

/// Puts a lossless WebP as the encoder wrote it into the container it was read
/// from.
pub(crate) fn wrap_webp(plain: &[u8], head: &[u8], tail: &[u8]) -> Vec<u8> {
    let bitstream = plain.get(12..).unwrap_or(&[]);
    let size = (4 + head.len() + bitstream.len() + tail.len()) as u32;
    let size = size.to_le_bytes();
    [b"RIFF", &size[..], b"WEBP", head, bitstream, tail].concat()
}
