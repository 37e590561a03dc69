//! Pictures in formats other than their own: exactly, or refused.

mod common;

use common::{Content, read, write};
use image::DynamicImage;
use proptest::prelude::*;
use rcodec_core::{
    ColorType, Error, ImageHeader, ImageStrip, Media, MediaHeader, Metadata, MetadataKey, Samples,
};
use rcodec_io::OutputFormat;

fn picture(color: ColorType, bits: u8, palette: &[[u8; 4]]) -> Content {
    let (width, height) = (13u32, 7u32);
    let header = ImageHeader {
        width,
        height,
        color,
        bits,
        palette: palette.to_vec(),
    };
    let most = match color {
        ColorType::Indexed => palette.len() as u32 - 1,
        _ => (1u32 << bits) - 1,
    };
    let count = header.row_samples() * height as usize;
    let values = (0..count as u32).map(|i| i.wrapping_mul(2_654_435_761) >> 7);
    let values = values.map(|v| (v % (most + 1)) as u16);
    let samples = if bits <= 8 {
        Samples::U8(values.map(|v| v as u8).collect())
    } else {
        Samples::U16(values.collect())
    };
    Content {
        header: MediaHeader::Image(header),
        metadata: Metadata::default(),
        units: vec![Media::Image(ImageStrip {
            rows: height,
            samples,
        })],
        tail: Metadata::default(),
        note: None,
    }
}

fn decode(file: &[u8]) -> DynamicImage {
    image::load_from_memory(file).unwrap()
}

/// What the picture looks like at 16 bits with alpha, by other means.
fn look(content: &Content) -> Vec<[u16; 4]> {
    let MediaHeader::Image(header) = &content.header else {
        panic!("not a picture");
    };
    let most = (1u32 << header.bits) - 1;
    let scale = |v: u16| (u32::from(v) * 65535 / most) as u16;
    let key: Option<Vec<u16>> = content.metadata.get(MetadataKey::PNG_CHUNKS).map(|chunk| {
        chunk[8..chunk.len() - 4]
            .chunks(2)
            .map(|v| u16::from_be_bytes([v[0], v[1]]))
            .collect()
    });
    let pixels = content.pixels();
    pixels
        .chunks(header.color.channels())
        .map(|p| match header.color {
            ColorType::Indexed => header.palette[usize::from(p[0])].map(|v| u16::from(v) * 257),
            ColorType::Gray | ColorType::Rgb => {
                let alpha = if key.as_deref() == Some(p) { 0 } else { 65535 };
                let last = p.len() - 1;
                [scale(p[0]), scale(p[last.min(1)]), scale(p[last]), alpha]
            }
            ColorType::GrayAlpha => [scale(p[0]), scale(p[0]), scale(p[0]), scale(p[1])],
            ColorType::Rgba => [scale(p[0]), scale(p[1]), scale(p[2]), scale(p[3])],
        })
        .collect()
}

const OPAQUE: &[[u8; 4]] = &[[1, 2, 3, 255], [9, 8, 7, 255], [200, 100, 0, 255]];
const CLEAR: &[[u8; 4]] = &[[1, 2, 3, 0], [9, 8, 7, 255], [200, 100, 0, 77]];

fn pictures() -> Vec<Content> {
    let mut all = Vec::new();
    for bits in [1, 2, 4, 8, 16] {
        all.push(picture(ColorType::Gray, bits, &[]));
    }
    for color in [ColorType::GrayAlpha, ColorType::Rgb, ColorType::Rgba] {
        all.push(picture(color, 8, &[]));
        all.push(picture(color, 16, &[]));
    }
    for bits in [2, 4, 8] {
        all.push(picture(ColorType::Indexed, bits, OPAQUE));
        all.push(picture(ColorType::Indexed, bits, CLEAR));
    }
    // A transparent colour that occurs.
    let mut keyed = picture(ColorType::Gray, 4, &[]);
    let value = keyed.pixels()[3];
    let mut chunk = b"\0\0\0\x02tRNS".to_vec();
    chunk.extend_from_slice(&value.to_be_bytes());
    let crc = crc32fast::hash(&chunk[4..]);
    chunk.extend_from_slice(&crc.to_be_bytes());
    keyed.metadata.push(MetadataKey::PNG_CHUNKS, chunk);
    all.push(keyed);
    all
}

#[test]
fn other_formats_look_the_same() {
    let mut written = 0;
    for content in pictures() {
        for format in [
            OutputFormat::Png,
            OutputFormat::Pnm,
            OutputFormat::Webp,
            OutputFormat::Tiff,
            OutputFormat::Bmp,
            OutputFormat::Qoi,
        ] {
            let file = match write(&content, format) {
                Ok(file) => file,
                Err(Error::Unsupported(_)) => {
                    // Only for want of 16 bits.
                    assert!(content.pixels().iter().any(|&v| v > 255), "{format:?}");
                    continue;
                }
                Err(error) => panic!("{error}"),
            };
            let seen = decode(&file).to_rgba16();
            let seen: Vec<[u16; 4]> = seen.pixels().map(|p| p.0).collect();
            assert_eq!(seen, look(&content), "{format:?} {:?}", content.header);
            written += 1;
        }
    }
    assert!(written > 80, "{written}");
}

#[test]
fn jpeg_is_like_the_picture() {
    let mut content = picture(ColorType::Rgb, 8, &[]);
    for unit in &mut content.units {
        let Media::Image(ImageStrip {
            samples: Samples::U8(samples),
            ..
        }) = unit
        else {
            panic!("not a strip");
        };
        for (i, sample) in samples.iter_mut().enumerate() {
            *sample = (i / 3) as u8 * 2;
        }
    }
    let file = write(&content, OutputFormat::Jpeg { quality: 95 }).unwrap();
    assert_eq!(rcodec_io::probe(&file), rcodec_io::SourceKind::Jpeg);
    let seen = decode(&file).to_rgb8();
    for (seen, meant) in seen.iter().zip(content.pixels()) {
        assert!(i32::from(*seen).abs_diff(i32::from(meant)) < 24);
    }
    let clear = picture(ColorType::Rgba, 8, &[]);
    assert!(matches!(
        write(&clear, OutputFormat::Jpeg { quality: 95 }),
        Err(Error::Unsupported(_))
    ));
}

#[test]
fn odd_depths_are_refused_or_exact() {
    let content = picture(ColorType::Gray, 10, &[]);
    assert!(matches!(
        write(&content, OutputFormat::Png),
        Err(Error::Unsupported(_))
    ));
    assert!(matches!(
        write(&content, OutputFormat::Tiff),
        Err(Error::Unsupported(_))
    ));
    let file = write(&content, OutputFormat::Pnm).unwrap();
    assert_eq!(read(&file).pixels(), content.pixels());
    let raw = write(&content, OutputFormat::Raw).unwrap();
    assert_eq!(raw.len(), content.pixels().len() * 2);
}

#[test]
fn wrong_units_are_refused() {
    let good = picture(ColorType::Gray, 8, &[]);
    for format in [OutputFormat::Png, OutputFormat::Pnm, OutputFormat::Bmp] {
        let mut missing = good.clone();
        missing.units.clear();
        assert!(matches!(write(&missing, format), Err(Error::Parameter(_))));
        let mut twice = good.clone();
        twice.units.push(good.units[0].clone());
        assert!(matches!(write(&twice, format), Err(Error::Parameter(_))));
        let mut bytes = good.clone();
        bytes.units = vec![Media::Bytes(vec![1])];
        assert!(matches!(write(&bytes, format), Err(Error::Parameter(_))));
        let mut large = picture(ColorType::Gray, 4, &[]);
        large.units = good.units.clone();
        assert!(matches!(write(&large, format), Err(Error::Parameter(_))));
    }
    for format in [OutputFormat::Wav, OutputFormat::Bytes] {
        assert!(matches!(write(&good, format), Err(Error::Unsupported(_))));
    }
}

#[test]
fn profiles_cross_formats() {
    let mut content = picture(ColorType::Rgb, 8, &[]);
    let icc: Vec<u8> = (0..600u32).map(|i| (i * i % 253) as u8).collect();
    let exif = b"II*\0\x08\0\0\0\0\0".to_vec();
    content.metadata.push(MetadataKey::ICC, icc.clone());
    content.metadata.push(MetadataKey::EXIF, exif.clone());
    let png = write(&content, OutputFormat::Png).unwrap();
    let from_png = read(&png);
    for format in [OutputFormat::Webp, OutputFormat::Jpeg { quality: 90 }] {
        for source in [&content, &from_png] {
            let file = write(source, format).unwrap();
            let reader = image::ImageReader::new(std::io::Cursor::new(&file));
            let mut decoder = reader
                .with_guessed_format()
                .unwrap()
                .into_decoder()
                .unwrap();
            use image::ImageDecoder;
            assert_eq!(decoder.icc_profile().unwrap().as_deref(), Some(&icc[..]));
            assert_eq!(decoder.exif_metadata().unwrap().as_deref(), Some(&exif[..]));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Metadata that no reader of ours made ends in a file or in an error.
    #[test]
    fn any_metadata(
        picture_number in 0usize..18,
        format in 0usize..6,
        named in any::<bool>(),
        items in prop::collection::vec(
            (
                prop::sample::select(vec![16u64, 17, 18, 32, 48, 64]),
                prop::collection::vec(any::<u8>(), 0..12),
            ),
            0..3,
        ),
        flags in any::<u8>(),
    ) {
        let mut content = pictures().swap_remove(picture_number);
        let MediaHeader::Image(header) = &content.header else {
            panic!("not a picture");
        };
        let formats = [
            OutputFormat::Png,
            OutputFormat::Pnm,
            OutputFormat::Webp,
            OutputFormat::Tiff,
            OutputFormat::Bmp,
            OutputFormat::Qoi,
        ];
        // A shape that suits, so that the layout's flags are believed.
        let color = match header.color {
            ColorType::Gray => 0u8,
            ColorType::GrayAlpha => 1,
            ColorType::Rgb => 2,
            ColorType::Rgba => 3,
            ColorType::Indexed => 4,
        };
        let shape = (header.bits - 1) | color << 4;
        let format = formats[format];
        if named {
            content.metadata.push(MetadataKey::SOURCE_FORMAT, format.extension().unwrap());
            content.metadata.push(MetadataKey::FORMAT_PRIVATE, [shape, flags, 7, 8, 9]);
        }
        for (key, value) in items {
            content.metadata.push(MetadataKey(key), value.clone());
            content.tail.push(MetadataKey(key), value);
        }
        let _ = write(&content, format);
    }
}
