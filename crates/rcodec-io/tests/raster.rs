//! Uncompressed pictures come back byte for byte.

mod common;

use common::{Content, read, read_slowly, restore};
use proptest::prelude::*;
use rcodec_core::{ColorType, ImageHeader, MediaHeader, MetadataKey};
use rcodec_io::{OutputFormat, restore_format};

fn noise(count: usize, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(77) | 1;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect()
}

fn image(content: &Content) -> &ImageHeader {
    match &content.header {
        MediaHeader::Image(image) => image,
        other => panic!("{other:?}: {:?}", content.note),
    }
}

/// The file must be a picture and come back.
fn check(file: &[u8], format: OutputFormat) -> Content {
    let content = read(file);
    image(&content);
    assert_eq!(restore_format(&content.header, &content.metadata), format);
    assert!(restore(&content) == file, "the file changed");
    assert_eq!(read_slowly(file), content);
    content
}

fn check_bytes(file: &[u8]) {
    let content = read(file);
    assert!(content.is_bytes() && content.note.is_some());
    assert!(restore(&content) == file);
}

/// A BMP with a 40-byte header.
fn bmp(width: u32, height: i32, bits: u16, palette: &[u8], rows: &[u8]) -> Vec<u8> {
    let begin = 54 + palette.len() as u32;
    let mut file = b"BM".to_vec();
    for value in [
        begin + rows.len() as u32,
        0,
        begin,
        40,
        width,
        height as u32,
    ] {
        file.extend_from_slice(&value.to_le_bytes());
    }
    file.extend_from_slice(&1u16.to_le_bytes());
    file.extend_from_slice(&bits.to_le_bytes());
    for value in [
        0,
        rows.len() as u32,
        2835,
        2835,
        palette.len() as u32 / 4,
        0,
    ] {
        file.extend_from_slice(&value.to_le_bytes());
    }
    file.extend_from_slice(palette);
    file.extend_from_slice(rows);
    file
}

#[test]
fn bmp_orders() {
    // 2 x 2, blue first, padded by two bytes.
    let rows = [1, 2, 3, 4, 5, 6, 0, 0, 7, 8, 9, 10, 11, 12, 0, 0];
    let up = check(&bmp(2, 2, 24, &[], &rows), OutputFormat::Bmp);
    assert_eq!(up.pixels(), [9, 8, 7, 12, 11, 10, 3, 2, 1, 6, 5, 4]);
    let down = check(&bmp(2, -2, 24, &[], &rows), OutputFormat::Bmp);
    assert_eq!(down.pixels(), [3, 2, 1, 6, 5, 4, 9, 8, 7, 12, 11, 10]);
    let mut dirty = rows;
    dirty[6] = 1;
    check_bytes(&bmp(2, 2, 24, &[], &dirty));
    check_bytes(&bmp(2, 2, 24, &[], &rows[..15]));
    let mut appended = bmp(2, 2, 24, &[], &rows);
    appended.extend_from_slice(b"profile");
    check(&appended, OutputFormat::Bmp);
}

#[test]
fn bmp_palettes_are_kept_once() {
    for (bits, width) in [(1u16, 33u32), (4, 7), (8, 5)] {
        let row_bytes = (width as usize * usize::from(bits)).div_ceil(32) * 4;
        let mut palette = noise(4 << bits, 3);
        palette.chunks_mut(4).for_each(|color| color[3] = 0);
        let mut rows = noise(row_bytes * 3, 4);
        let used = (width as usize * usize::from(bits)).div_ceil(8);
        for row in rows.chunks_mut(row_bytes) {
            row[used..].fill(0);
            let unused_bits = used * 8 - width as usize * usize::from(bits);
            row[used - 1] &= 0xFF << unused_bits;
        }
        let content = check(&bmp(width, 3, bits, &palette, &rows), OutputFormat::Bmp);
        assert_eq!(image(&content).palette.len(), 1 << bits);
        assert_eq!(image(&content).palette[1][0], palette[6]);
        let private = content.metadata.get(MetadataKey::FORMAT_PRIVATE).unwrap();
        assert!(private.len() < 60);
        palette[3] = 1;
        check(&bmp(width, 3, bits, &palette, &rows), OutputFormat::Bmp);
    }
}

#[test]
fn bmp_fourth_bytes() {
    let mut rows = noise(4 * 15, 5);
    let content = check(&bmp(5, 3, 32, &[], &rows), OutputFormat::Bmp);
    assert_eq!(image(&content).color, ColorType::Rgba);
    rows.iter_mut()
        .skip(3)
        .step_by(4)
        .for_each(|byte| *byte = 0);
    let content = check(&bmp(5, 3, 32, &[], &rows), OutputFormat::Bmp);
    assert_eq!(image(&content).color, ColorType::Rgb);
}

#[test]
fn pnm_kinds() {
    for (head, count, color, bits) in [
        ("P4\n# a comment\n9 3\n", 6, ColorType::Gray, 1u8),
        ("P5 4 3 255\n", 12, ColorType::Gray, 8),
        ("P5 4 3 200\n", 12, ColorType::Gray, 8),
        ("P5\n4\n3\n65535\n", 24, ColorType::Gray, 16),
        ("P6 2 2\n255 ", 12, ColorType::Rgb, 8),
        ("P6 2 2\n65535\n", 24, ColorType::Rgb, 16),
        (
            "P7\nWIDTH 2\nHEIGHT 3\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n",
            24,
            ColorType::Rgba,
            8,
        ),
        (
            "P7\nWIDTH 2\nHEIGHT 3\nDEPTH 2\nMAXVAL 65535\nENDHDR\n",
            24,
            ColorType::GrayAlpha,
            16,
        ),
    ] {
        let mut pixels = noise(count, bits.into());
        if bits == 1 {
            pixels.chunks_mut(2).for_each(|row| row[1] &= 0x80);
        }
        let file = [head.as_bytes(), &pixels].concat();
        let content = check(&file, OutputFormat::Pnm);
        assert_eq!((image(&content).color, image(&content).bits), (color, bits));
        check(&[&file[..], b"P5 1 1 1 x"].concat(), OutputFormat::Pnm);
        check_bytes(&file[..file.len() - 1]);
    }
    // One is black.
    assert_eq!(read(b"P4 3 1\n\xA0").pixels(), [0, 1, 0]);
    assert_eq!(read(b"P5 3 1 7\n\x07\x00\x03").pixels(), [7, 0, 3]);
    check(b"P5 3 1 7\n\x07\x00\x03", OutputFormat::Pnm);
    check_bytes(b"P5 3 1 7\n\x07\x00\x08");
    check_bytes(b"P4 3 1\n\xA1");
    check_bytes(b"P2 3 1 7\n1 2 3\n");
    check_bytes(b"P5 99999 99999 255\nabc");
    check_bytes(b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 4\nMAXVAL 255\nTUPLTYPE CMYK\nENDHDR\nabcd");
}

/// A TIFF with its directory at the end (or the start).
fn tiff(big: bool, tags: &[(u16, u16, Vec<u32>)], pixels: &[u8], tags_first: bool) -> Vec<u8> {
    let u16s = |value: u16| {
        if big {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        }
    };
    let u32s = |value: u32| {
        if big {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        }
    };
    let extra = |tag: &(u16, u16, Vec<u32>)| -> Vec<u8> {
        tag.2
            .iter()
            .flat_map(|&value| match tag.1 {
                3 => u16s(value as u16).to_vec(),
                _ => u32s(value).to_vec(),
            })
            .collect()
    };
    let directory_bytes = 2 + 12 * tags.len() + 4;
    let values_bytes: usize = tags
        .iter()
        .map(|tag| extra(tag).len())
        .filter(|&n| n > 4)
        .sum();
    let (directory, data) = if tags_first {
        (8, 8 + directory_bytes + values_bytes)
    } else {
        (8 + pixels.len(), 8)
    };
    let mut file = if big {
        b"MM\0*".to_vec()
    } else {
        b"II*\0".to_vec()
    };
    file.extend(u32s(directory as u32));
    if !tags_first {
        file.extend_from_slice(pixels);
    }
    file.extend(u16s(tags.len() as u16));
    let mut values = Vec::new();
    for tag in tags {
        let mut tag = tag.clone();
        if tag.0 == 273 {
            tag.2.iter_mut().for_each(|offset| *offset += data as u32);
        }
        file.extend(u16s(tag.0));
        file.extend(u16s(tag.1));
        file.extend(u32s(tag.2.len() as u32));
        let bytes = extra(&tag);
        if bytes.len() <= 4 {
            file.extend_from_slice(&bytes);
            file.resize(file.len() + 4 - bytes.len(), 0);
        } else {
            file.extend(u32s((directory + directory_bytes + values.len()) as u32));
            values.extend(bytes);
        }
    }
    file.extend(u32s(0));
    file.extend(values);
    if tags_first {
        file.extend_from_slice(pixels);
    }
    file
}

fn tiff_tags(
    width: u32,
    height: u32,
    photometric: u32,
    bits: u32,
    channels: u32,
) -> Vec<(u16, u16, Vec<u32>)> {
    let bytes = (width * channels * bits).div_ceil(8) * height;
    let (first, second) = (bytes / height, bytes - bytes / height);
    let mut tags = vec![
        (256, 4, vec![width]),
        (257, 3, vec![height]),
        (258, 3, vec![bits; channels as usize]),
        (259, 3, vec![1]),
        (262, 3, vec![photometric]),
        (273, 4, vec![0, first]),
        (277, 3, vec![channels]),
        (279, 4, vec![first, second]),
        (282, 4, vec![72, 1]),
    ];
    if matches!(channels, 2 | 4) {
        tags.push((338, 3, vec![2]));
    }
    tags
}

#[test]
fn tiff_kinds() {
    for big in [false, true] {
        for tags_first in [false, true] {
            for (photometric, bits, channels, color) in [
                (1, 8, 1, ColorType::Gray),
                (0, 8, 1, ColorType::Gray),
                (0, 16, 1, ColorType::Gray),
                (1, 16, 2, ColorType::GrayAlpha),
                (2, 8, 3, ColorType::Rgb),
                (2, 16, 3, ColorType::Rgb),
                (2, 8, 4, ColorType::Rgba),
                (3, 4, 1, ColorType::Indexed),
                (3, 8, 1, ColorType::Indexed),
            ] {
                let mut tags = tiff_tags(6, 5, photometric, bits, channels);
                if photometric == 3 {
                    tags.push((320, 3, (0..3 << bits).map(|i| i * 257 % 65536).collect()));
                }
                let pixels = noise((6 * bits * channels) as usize / 8 * 5, bits);
                let file = tiff(big, &tags, &pixels, tags_first);
                let content = check(&file, OutputFormat::Tiff);
                assert_eq!(u32::from(image(&content).bits), bits);
                assert_eq!(image(&content).color, color);
            }
        }
    }
    let file = tiff(
        true,
        &tiff_tags(2, 2, 1, 16, 1),
        &[1, 2, 3, 4, 5, 6, 7, 8],
        false,
    );
    assert_eq!(read(&file).pixels(), [0x0102, 0x0304, 0x0506, 0x0708]);
}

#[test]
fn other_tiffs_are_bytes() {
    let pixels = noise(30, 1);
    let usual = tiff_tags(6, 5, 1, 8, 1);
    check(&tiff(false, &usual, &pixels, true), OutputFormat::Tiff);
    let changes: [(u16, Vec<u32>); 8] = [
        (259, vec![5]),
        (257, vec![6]),
        (262, vec![5]),
        (258, vec![12]),
        (273, vec![0, 7]),
        (279, vec![6]),
        (256, vec![0]),
        (277, vec![0]),
    ];
    for (tag, values) in changes {
        let mut tags = usual.clone();
        tags.iter_mut().find(|t| t.0 == tag).unwrap().2 = values;
        check_bytes(&tiff(false, &tags, &pixels, true));
    }
    for tag in [
        (339, 3, vec![3]),
        (284, 3, vec![2]),
        (322, 3, vec![16]),
        (266, 3, vec![2]),
    ] {
        let mut tags = usual.clone();
        tags.push(tag);
        check_bytes(&tiff(false, &tags, &pixels, true));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Any header whatever: the file comes back, as a picture or as bytes.
    #[test]
    fn damaged_headers(
        kind in 0usize..5,
        edits in prop::collection::vec((0usize..80, any::<u8>()), 0..4),
        cut in 0usize..300,
    ) {
        let mut file = match kind {
            0 => bmp(5, -2, 24, &[], &noise(32, 1)),
            1 => bmp(5, 3, 4, &noise(64, 8), &[0x12, 0x34, 0x50, 0].repeat(3)),
            2 => [&b"P6 3 2\n# c\n255\n"[..], &noise(18, 3)].concat(),
            3 => [&b"P7\nWIDTH 3\nHEIGHT 1\nDEPTH 3\nMAXVAL 15\nENDHDR\n"[..], &[9; 9]].concat(),
            _ => tiff(true, &tiff_tags(6, 5, 1, 8, 1), &noise(30, 1), true),
        };
        for (at, value) in edits {
            let at = at % file.len();
            file[at] = value;
        }
        if cut < file.len() / 8 {
            file.truncate(file.len() - cut);
        }
        prop_assert_eq!(restore(&read(&file)), file);
    }
}
