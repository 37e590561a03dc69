//! WebP, QOI and JPEG.

mod common;

use common::{Content, read, read_slowly, read_with, restore, write};
use image::codecs::{jpeg, qoi, webp};
use image::{ExtendedColorType, ImageEncoder};
use proptest::prelude::*;
use rcodec_core::{ColorType, MediaHeader, MetadataKey};
use rcodec_io::{OutputFormat, ReadOptions, SourceKind, probe, restore_format};

const PIXELS: ReadOptions = ReadOptions {
    pixels: true,
    transcode: false,
    bytes: false,
    raw: None,
};

fn noise(count: usize) -> Vec<u8> {
    (0..count as u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 21) as u8)
        .collect()
}

/// A lossless WebP, with a profile if there is one.
fn make_webp(color: ExtendedColorType, channels: usize, icc: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = webp::WebPEncoder::new_lossless(&mut file);
    if !icc.is_empty() {
        encoder.set_icc_profile(icc.to_vec()).unwrap();
        encoder
            .set_exif_metadata(b"II*\0\x08\0\0\0\0\0".to_vec())
            .unwrap();
    }
    encoder
        .write_image(&noise(9 * 5 * channels), 9, 5, color)
        .unwrap();
    file
}

fn check(file: &[u8], format: OutputFormat) -> Content {
    let content = read(file);
    assert!(!content.is_bytes(), "{:?}", content.note);
    assert_eq!(restore_format(&content.header, &content.metadata), format);
    assert!(
        restore(&content) == file,
        "the same encoder writes the same"
    );
    assert_eq!(read_slowly(file), content);
    content
}

#[test]
fn lossless_webp() {
    for (color, channels, ours) in [
        (ExtendedColorType::Rgb8, 3, ColorType::Rgb),
        (ExtendedColorType::Rgba8, 4, ColorType::Rgba),
    ] {
        for icc_bytes in [0, 500, 9000] {
            let file = make_webp(color, channels, &noise(icc_bytes));
            let content = check(&file, OutputFormat::Webp);
            let MediaHeader::Image(image) = &content.header else {
                panic!("not a picture");
            };
            assert_eq!(image.color, ours);
            assert!(
                content
                    .pixels()
                    .iter()
                    .zip(noise(9 * 5 * channels))
                    .all(|(&a, b)| a == b.into())
            );
            if icc_bytes > 0 {
                let png = write(&content, OutputFormat::Png).unwrap();
                let webp = write(&read(&png), OutputFormat::Webp).unwrap();
                let has = |file: &[u8], part: &[u8]| file.windows(part.len()).any(|w| w == part);
                let mut stripped = content.clone();
                rcodec_io::strip(&mut stripped.metadata);
                let stripped = restore(&stripped);
                assert!(has(&stripped, &noise(icc_bytes)) && !has(&stripped, b"EXIF"));
                assert!(has(&webp, &noise(icc_bytes)) && has(&png, b"eXIf"));
            }
            for end in 12..file.len() {
                let content = read(&file[..end]);
                assert!(content.is_bytes() && restore(&content) == file[..end]);
            }
            let longer = [&file[..], b"x"].concat();
            let content = read(&longer);
            assert!(content.is_bytes() && content.note.is_some() && restore(&content) == longer);
        }
    }
}

#[test]
fn webp_with_other_chunks() {
    let plain = make_webp(ExtendedColorType::Rgb8, 3, &[]);
    let vp8x = b"VP8X\x0A\0\0\0\x04\0\0\0\x08\0\0\x04\0\0";
    let xmp = b"XMP \x05\0\0\0<xmp>\0";
    let other = b"what\x02\0\0\0ab";
    let body = [b"WEBP", &vp8x[..], other, &plain[12..], xmp, other].concat();
    let file = [b"RIFF", &(body.len() as u32).to_le_bytes()[..], &body].concat();
    let content = check(&file, OutputFormat::Webp);
    let png = write(&content, OutputFormat::Png).unwrap();
    assert!(png.windows(5).any(|w| w == b"<xmp>"));
}

#[test]
fn qoi_pictures() {
    for (color, channels) in [(ExtendedColorType::Rgb8, 3), (ExtendedColorType::Rgba8, 4)] {
        let mut file = Vec::new();
        let mut pixels = noise(7 * 11 * channels);
        pixels[30..90].fill(7);
        qoi::QoiEncoder::new(&mut file)
            .write_image(&pixels, 7, 11, color)
            .unwrap();
        let content = check(&file, OutputFormat::Qoi);
        assert!(
            content
                .pixels()
                .iter()
                .zip(&pixels)
                .all(|(&a, &b)| a == u16::from(b))
        );
        file[13] ^= 1;
        check(&file, OutputFormat::Qoi);
        for damaged in [&file[..file.len() - 1], &[&file[..], b"\x01"].concat()] {
            let content = read(damaged);
            assert!(content.is_bytes() && content.note.is_some() && restore(&content) == damaged);
        }
        let mut huge = file.clone();
        huge[4..12].copy_from_slice(&[0x7F; 8]);
        let content = read(&huge);
        assert!(content.is_bytes() && restore(&content) == huge);
    }
}

#[test]
fn jpeg_only_if_asked() {
    let mut file = Vec::new();
    let mut encoder = jpeg::JpegEncoder::new_with_quality(&mut file, 90);
    encoder.set_icc_profile(noise(100)).unwrap();
    encoder
        .write_image(&noise(300), 10, 10, ExtendedColorType::Rgb8)
        .unwrap();
    let kept = read(&file);
    assert!(kept.is_bytes() && kept.note.is_none() && restore(&kept) == file);
    let content = read_with(&file, &PIXELS);
    assert_eq!(
        restore_format(&content.header, &content.metadata),
        OutputFormat::Png
    );
    assert_eq!(
        content.metadata.get(MetadataKey::ICC),
        Some(&noise(100)[..])
    );
    assert_eq!(content.pixels().len(), 300);
    let png = restore(&content);
    assert_eq!(probe(&png), SourceKind::Png);
    assert_eq!(read(&png).pixels(), content.pixels());
    let cut = &file[..file.len() / 2];
    assert!(restore(&read(cut)) == cut);
}

#[test]
fn plain_pnm_if_asked() {
    let file = b"P3 2 1 255\n1 2 3 4 5 6\n";
    assert!(read(file).is_bytes());
    let content = read_with(file, &PIXELS);
    assert_eq!(content.pixels(), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn animations_are_bytes() {
    let file = b"RIFF\x16\0\0\0WEBPVP8X\x0A\0\0\0\x02\0\0\0\x08\0\0\x04\0\0";
    let content = read(file);
    assert!(content.is_bytes() && content.note.is_some());
}

proptest! {
    /// Damage ends in pixels or in the same bytes, never in a panic.
    #[test]
    fn damage(
        kind in 0usize..3,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
    ) {
        let mut file = match kind {
            0 => make_webp(ExtendedColorType::Rgba8, 4, &noise(30)),
            1 => {
                let mut file = Vec::new();
                let encoder = qoi::QoiEncoder::new(&mut file);
                encoder.write_image(&noise(231), 7, 11, ExtendedColorType::Rgb8).unwrap();
                file
            }
            _ => {
                let mut file = Vec::new();
                let encoder = jpeg::JpegEncoder::new_with_quality(&mut file, 90);
                encoder.write_image(&noise(300), 10, 10, ExtendedColorType::Rgb8).unwrap();
                file
            }
        };
        for (at, value) in edits {
            let at = at.index(file.len());
            file[at] = value;
        }
        let content = read_with(&file, &PIXELS);
        if content.is_bytes() {
            prop_assert_eq!(restore(&content), file);
        } else {
            prop_assert_eq!(read(&restore(&content)).pixels(), content.pixels());
        }
    }
}
