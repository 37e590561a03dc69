//! PNG files come back with the same pixels and the same chunks.

mod common;

use common::{Content, read, read_slowly, restore};
use proptest::prelude::*;
use rcodec_core::{Budget, ColorType, Limits, MediaHeader, MetadataKey};
use rcodec_io::{ReadOptions, SourceKind, open, probe};
use std::io::Cursor;

const KINDS: &[(png::ColorType, &[u8])] = &[
    (png::ColorType::Grayscale, &[1, 2, 4, 8, 16]),
    (png::ColorType::Rgb, &[8, 16]),
    (png::ColorType::Indexed, &[1, 2, 4, 8]),
    (png::ColorType::GrayscaleAlpha, &[8, 16]),
    (png::ColorType::Rgba, &[8, 16]),
];

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut bytes = (data.len() as u32).to_be_bytes().to_vec();
    bytes.extend_from_slice(name);
    bytes.extend_from_slice(data);
    let crc = crc32fast::hash(&bytes[4..]);
    bytes.extend_from_slice(&crc.to_be_bytes());
    bytes
}

/// The chunks of a file: name and data, IDATs joined.
fn chunks(file: &[u8]) -> Vec<([u8; 4], Vec<u8>)> {
    let mut found: Vec<([u8; 4], Vec<u8>)> = Vec::new();
    let mut at = 8;
    while at < file.len() {
        let length = u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) as usize;
        let name: [u8; 4] = file[at + 4..at + 8].try_into().unwrap();
        if &name != b"IDAT" || found.last().is_none_or(|(last, _)| last != b"IDAT") {
            found.push((name, file[at + 8..at + 8 + length].to_vec()));
        }
        at += 12 + length;
        if &name == b"IEND" {
            break;
        }
    }
    found
}

fn kept_chunks(file: &[u8]) -> Vec<([u8; 4], Vec<u8>)> {
    let mut kept = chunks(file);
    for (name, data) in &mut kept {
        match &*name {
            b"IDAT" => data.clear(),
            b"IHDR" => data[12] = 0,
            _ => {}
        }
    }
    kept
}

struct Spec<'a> {
    color: png::ColorType,
    bits: u8,
    width: u32,
    height: u32,
    palette: &'a [u8],
}

fn noise(count: usize, seed: u32) -> Vec<u8> {
    let mut state = seed | 1;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect()
}

/// A file with noise, as the `png` crate writes it.
fn make(spec: &Spec) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, spec.width, spec.height);
    encoder.set_color(spec.color);
    encoder.set_depth(png::BitDepth::from_u8(spec.bits).unwrap());
    if spec.color == png::ColorType::Indexed {
        encoder.set_palette(spec.palette.to_vec());
    }
    let row_bits = spec.width as usize * spec.color.samples() * usize::from(spec.bits);
    let mut writer = encoder.write_header().unwrap();
    let data = noise(
        row_bits.div_ceil(8) * spec.height as usize,
        spec.width * 31 + spec.height,
    );
    writer.write_image_data(&data).unwrap();
    writer.finish().unwrap();
    file
}

/// What the `png` crate reads from a file: rows unpacked to a sample each.
fn oracle(file: &[u8]) -> Vec<u16> {
    let mut decoder = png::Decoder::new(Cursor::new(file));
    decoder.set_transformations(png::Transformations::IDENTITY);
    let mut reader = decoder.read_info().unwrap();
    let mut data = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut data).unwrap();
    let info = reader.info();
    let bits = info.bit_depth as u32;
    let row_samples = info.width as usize * info.color_type.samples();
    let row_bytes = info.raw_row_length() - 1;
    let mut samples = Vec::new();
    for row in data.chunks(row_bytes) {
        for i in 0..row_samples {
            samples.push(match bits {
                16 => u16::from_be_bytes([row[2 * i], row[2 * i + 1]]),
                8 => u16::from(row[i]),
                _ => {
                    let bit = i * bits as usize;
                    let byte = u32::from(row[bit / 8]);
                    (byte >> (8 - bits - (bit % 8) as u32) & ((1 << bits) - 1)) as u16
                }
            });
        }
    }
    samples
}

/// The file must come back with the same pixels and chunks.
fn check(file: &[u8]) -> Content {
    let content = read(file);
    assert!(!content.is_bytes(), "{:?}", content.note);
    assert_eq!(content.pixels(), oracle(file));
    let restored = restore(&content);
    assert_eq!(kept_chunks(&restored), kept_chunks(file));
    assert_eq!(oracle(&restored), oracle(file));
    let mut again = read(&restored);
    // Only the note that the file was interlaced may differ.
    if file[28] == 0 {
        again.metadata = content.metadata.clone();
        assert_eq!(again, content);
    }
    content
}

#[test]
fn every_kind_and_small_size() {
    for &(color, depths) in KINDS {
        for &bits in depths {
            for (width, height) in [
                (1, 1),
                (1, 9),
                (2, 3),
                (7, 5),
                (8, 1),
                (9, 2),
                (33, 17),
                (4097, 3),
            ] {
                let palette = noise(3 << bits.min(8), 5);
                let file = make(&Spec {
                    color,
                    bits,
                    width,
                    height,
                    palette: &palette,
                });
                let content = check(&file);
                let MediaHeader::Image(image) = &content.header else {
                    panic!("not a picture");
                };
                assert_eq!(
                    (image.width, image.height, image.bits),
                    (width, height, bits)
                );
                assert_eq!(image.color.channels(), color.samples());
            }
        }
    }
}

/// A gray picture of 1 x 1 with chunks before and behind IDAT.
fn with_chunks(
    ihdr: &[u8; 13],
    before: &[Vec<u8>],
    behind: &[Vec<u8>],
    trailing: &[u8],
) -> Vec<u8> {
    // One row of one byte: filter 0 and a zero, stored.
    let idat = b"\x78\x01\x01\x02\0\xFD\xFF\0\0\0\x02\0\x01";
    [
        SIGNATURE.to_vec(),
        chunk(b"IHDR", ihdr),
        before.concat(),
        chunk(b"IDAT", &idat[..5]),
        chunk(b"IDAT", &idat[5..]),
        behind.concat(),
        chunk(b"IEND", &[]),
        trailing.to_vec(),
    ]
    .concat()
}

const GRAY: &[u8; 13] = b"\0\0\0\x01\0\0\0\x01\x08\0\0\0\0";
const RGB_LIKE: &[u8; 13] = b"\0\0\0\x01\0\0\0\x01\x08\x03\0\0\0";

#[test]
fn all_chunks_stay_in_order() {
    let before = [
        chunk(b"gAMA", &45455u32.to_be_bytes()),
        chunk(b"iCCP", b"odd\0\0not zlib at all"),
        chunk(b"cHRM", &[7; 32]),
        chunk(b"tRNS", &[0, 3]),
        chunk(b"bKGD", &[0, 9]),
        chunk(b"zzZz", b"unknown"),
        chunk(b"PLTE", b"suggested"),
        chunk(b"tEXt", b"Comment\0hello"),
    ];
    let behind = [
        chunk(b"tIME", &[7, 0xE6, 1, 1, 0, 0, 0]),
        chunk(b"eXIf", b"II*\0"),
        chunk(b"zTXt", b"X\0\0damaged"),
        chunk(b"tEXt", b"Comment\0again"),
    ];
    let file = with_chunks(GRAY, &before, &behind, b"");
    let content = check(&file);
    assert_eq!(
        content.metadata.get(MetadataKey::PNG_CHUNKS).unwrap(),
        before.concat()
    );
    assert_eq!(
        content.tail.get(MetadataKey::PNG_CHUNKS).unwrap(),
        behind.concat()
    );
    assert_eq!(content, read_slowly(&file));
}

#[test]
fn palettes_and_their_alphas() {
    let plte = chunk(b"PLTE", b"abcdefghi");
    let (text, time) = (chunk(b"tEXt", b"A\0b"), chunk(b"tIME", &[1; 7]));
    for alphas in [
        &b"\0"[..],
        b"\xFF\x80",
        b"\xFF\xFF",
        b"\x01\x02\x03",
        b"\x01\xFF\xFF",
    ] {
        let trns = chunk(b"tRNS", alphas);
        for before in [
            vec![plte.clone(), trns.clone()],
            vec![text.clone(), plte.clone(), trns.clone(), time.clone()],
            vec![text.clone(), plte.clone(), time.clone(), trns.clone()],
            vec![plte.clone(), trns.clone(), text.clone(), time.clone()],
            vec![
                text.clone(),
                plte.clone(),
                chunk(b"bKGD", b"\0"),
                trns.clone(),
            ],
            vec![plte.clone(), text.clone()],
            vec![text.clone(), plte.clone()],
        ] {
            let file = with_chunks(RGB_LIKE, &before, &[], b"");
            let content = check(&file);
            let MediaHeader::Image(image) = &content.header else {
                panic!("not a picture");
            };
            assert_eq!(image.color, ColorType::Indexed);
            let transparent = before.contains(&trns);
            for (i, entry) in image.palette.iter().enumerate() {
                let alpha = alphas
                    .get(i)
                    .copied()
                    .filter(|_| transparent)
                    .unwrap_or(255);
                assert_eq!(entry[..3], b"abcdefghi"[3 * i..3 * i + 3]);
                assert_eq!(entry[3], alpha);
            }
        }
    }
    // The usual order costs nothing but the palette.
    let usual = [text, plte, chunk(b"tRNS", b"\0")];
    let content = check(&with_chunks(RGB_LIKE, &usual, &[], b""));
    assert_eq!(content.metadata.items.len(), 2);
}

#[test]
fn what_stands_behind_the_end_stays() {
    let file = with_chunks(GRAY, &[], &[], b"appended by some program");
    check(&file);
    assert!(restore(&read(&file)).ends_with(b"IEND\xAE\x42\x60\x82appended by some program"));
    let long = with_chunks(GRAY, &[], &[], &[1; 100_000]);
    let content = read(&long);
    assert!(content.is_bytes() && restore(&content) == long);
}

#[test]
fn interlaced_pictures() {
    // Adam7 of 3 x 2, 2 bits gray, made by hand: passes 1, 4(none), 5(none), 6, 7.
    // Pass 1: (0,0). Pass 2: x=4 none. Pass 3: y=4 none. Pass 4: (2,0).
    // Pass 5: y=2 none. Pass 6: (1,0). Pass 7: row 1.
    let rows: &[u8] = &[
        0,
        0b0100_0000,
        0,
        0b1000_0000,
        0,
        0b1100_0000,
        0,
        0b0001_1000,
    ];
    let mut idat = vec![0x78, 1, 1, rows.len() as u8, 0, !(rows.len() as u8), 0xFF];
    idat.extend_from_slice(rows);
    let (mut a, mut b) = (1u32, 0u32);
    for &byte in rows {
        a += u32::from(byte);
        b += a;
    }
    idat.extend_from_slice(&(b % 65521 * 65536 + a % 65521).to_be_bytes());
    let file = [
        SIGNATURE.to_vec(),
        chunk(b"IHDR", b"\0\0\0\x03\0\0\0\x02\x02\0\0\0\x01"),
        chunk(b"IDAT", &idat),
        chunk(b"IEND", &[]),
    ]
    .concat();
    let content = check(&file);
    assert_eq!(content.pixels(), [1, 3, 2, 0, 1, 2]);
    assert_eq!(
        content.metadata.get(MetadataKey::FORMAT_PRIVATE),
        Some(&[1u8][..])
    );
}

/// A file for which pixels will not do must come back whole.
fn check_bytes(file: &[u8]) {
    let content = read(file);
    assert!(content.is_bytes());
    assert!(content.note.is_some());
    assert!(restore(&content) == file);
}

#[test]
fn damaged_files_are_bytes() {
    let palette = noise(3 * 16, 1);
    let spec = Spec {
        color: png::ColorType::Indexed,
        bits: 4,
        width: 13,
        height: 11,
        palette: &palette,
    };
    let file = make(&spec);
    for end in 8..file.len() {
        check_bytes(&file[..end]);
    }
    for at in 8..file.len() {
        let mut damaged = file.clone();
        damaged[at] ^= 0x10;
        check_bytes(&damaged);
    }
    // A wrong Adler checksum under a right CRC.
    let mut idat = b"\x78\x01\x01\x02\0\xFD\xFF\0\0\0\x02\0\x01".to_vec();
    idat[12] ^= 1;
    let wrong = |idat: &[u8]| {
        [
            SIGNATURE,
            &chunk(b"IHDR", GRAY),
            &chunk(b"IDAT", idat),
            &chunk(b"IEND", &[]),
        ]
        .concat()
    };
    check_bytes(&wrong(&idat));
    // Pixels that end early under a right CRC.
    check_bytes(&wrong(&idat[..8]));
}

#[test]
fn odd_files_are_bytes() {
    let animated = with_chunks(GRAY, &[chunk(b"acTL", &[0; 8])], &[], b"");
    assert_eq!(probe(&animated), SourceKind::Apng);
    check_bytes(&animated);
    for ihdr in [
        b"\0\0\0\0\0\0\0\x01\x08\0\0\0\0",
        b"\xFF\0\0\x01\0\0\0\x01\x08\0\0\0\0",
        b"\0\0\0\x01\0\0\0\x01\x03\0\0\0\0",
        b"\0\0\0\x01\0\0\0\x01\x08\x07\0\0\0",
        b"\0\0\0\x01\0\0\0\x01\x08\0\x01\0\0",
        b"\0\0\0\x01\0\0\0\x01\x08\x03\0\0\0",
        b"\x7F\xFF\xFF\xFF\x7F\xFF\xFF\xFF\x10\x06\0\0\0",
        b"\x7F\xFF\xFF\xFF\0\0\0\x01\x10\x06\0\0\x01",
    ] {
        check_bytes(&with_chunks(ihdr, &[], &[], b""));
    }
    let split = [chunk(b"tEXt", b"A\0b"), chunk(b"IDAT", b"")];
    check_bytes(&with_chunks(GRAY, &[], &split, b""));
    check_bytes(&with_chunks(RGB_LIKE, &[chunk(b"PLTE", b"ab")], &[], b""));
    check_bytes(&with_chunks(
        RGB_LIKE,
        &[chunk(b"PLTE", &[0; 771])],
        &[],
        b"",
    ));
}

#[test]
fn a_large_picture_is_read_in_rows() {
    // Above the size that is decoded at once.
    let spec = Spec {
        color: png::ColorType::Rgba,
        bits: 16,
        width: 2100,
        height: 2100,
        palette: &[],
    };
    let file = make(&spec);
    let budget = Budget::new(Limits {
        max_alloc_bytes: file.len() as u64 + (4 << 20),
        ..Limits::default()
    });
    let source = open(
        Box::new(Cursor::new(file.clone())),
        &ReadOptions::default(),
        &budget,
    )
    .unwrap();
    assert_eq!(source.note(), None);
    let content = common::drain(source);
    assert_eq!(content.pixels(), oracle(&file));
    assert_eq!(oracle(&restore(&content)), oracle(&file));
    // With less memory it is kept as it is.
    let budget = Budget::new(Limits {
        max_alloc_bytes: file.len() as u64 / 2,
        ..Limits::default()
    });
    let source = open(
        Box::new(Cursor::new(file.clone())),
        &ReadOptions::default(),
        &budget,
    )
    .unwrap();
    assert!(source.note().is_some());
    assert!(restore(&common::drain(source)) == file);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_size(kind in 0usize..5, depth in 0usize..5, width in 1u32..70, height in 1u32..40) {
        let (color, depths) = KINDS[kind];
        let bits = depths[depth % depths.len()];
        let palette = noise(3 << bits.min(8), 7);
        check(&make(&Spec { color, bits, width, height, palette: &palette }));
    }

    /// Whatever follows a signature and a header comes back, as pixels or as
    /// bytes.
    #[test]
    fn any_chunks(
        ihdr in prop::array::uniform13(0u8..4),
        parts in prop::collection::vec((0usize..8, prop::collection::vec(any::<u8>(), 0..20)), 0..8),
    ) {
        const NAMES: [&[u8; 4]; 8] =
            [b"PLTE", b"tRNS", b"IDAT", b"IEND", b"tEXt", b"IHDR", b"bKGD", b"IDAT"];
        let mut file = [SIGNATURE, &chunk(b"IHDR", &ihdr)].concat();
        for (name, data) in parts {
            file.extend(chunk(NAMES[name], &data));
        }
        let content = read(&file);
        if content.is_bytes() {
            prop_assert_eq!(restore(&content), file);
        }
    }
}
