//! Animated PNG files come back with the same frames.

mod common;

use common::{read, read_slowly, restore, write};
use rcodec_core::{Budget, Limits, MediaHeader, MetadataKey};
use rcodec_io::{Animation, OutputFormat, ReadOptions, SourceKind, open, probe};
use std::io::Cursor;

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut bytes = (data.len() as u32).to_be_bytes().to_vec();
    bytes.extend_from_slice(name);
    bytes.extend_from_slice(data);
    let crc = crc32fast::hash(&bytes[4..]);
    bytes.extend_from_slice(&crc.to_be_bytes());
    bytes
}

/// The chunks of a file: name and data.
fn chunks(file: &[u8]) -> Vec<([u8; 4], Vec<u8>)> {
    let mut found = Vec::new();
    let mut at = 8;
    while at < file.len() {
        let length = u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) as usize;
        let name: [u8; 4] = file[at + 4..at + 8].try_into().unwrap();
        found.push((name, file[at + 8..at + 8 + length].to_vec()));
        at += 12 + length;
    }
    found
}

/// Place and size of a frame.
type Place = [u32; 4];

/// A file to be made.
struct Film<'a> {
    color: png::ColorType,
    bits: u8,
    size: (u32, u32),
    palette: &'a [u8],
    /// Whether the default image is the first frame.
    begins: bool,
    later: &'a [Place],
}

/// Bytes of noise in few colours.
fn noise(count: usize, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 29) as u8 * 36
    };
    (0..count).map(|_| next()).collect()
}

impl Film<'_> {
    fn header(&self, width: u32, height: u32) -> png::Info<'static> {
        let mut info = png::Info::with_size(width, height);
        info.color_type = self.color;
        info.bit_depth = png::BitDepth::from_u8(self.bits).unwrap();
        info
    }

    /// The deflated pixels of a frame.
    fn data(&self, width: u32, height: u32, seed: u32) -> Vec<u8> {
        let info = self.header(width, height);
        let bytes = info.raw_row_length_from_width(width) - 1;
        let mut file = Vec::new();
        let mut encoder = png::Encoder::with_info(&mut file, info).unwrap();
        if !self.palette.is_empty() {
            encoder.set_palette(self.palette.to_vec());
        }
        let mut writer = encoder.write_header().unwrap();
        let mut pixels = noise(bytes * height as usize, seed);
        if self.bits < 8 {
            // Unused bits at the end of rows are 0.
            let used = width as usize * usize::from(self.bits) % 8;
            for row in pixels.chunks_exact_mut(bytes) {
                if used > 0 {
                    row[bytes - 1] &= 0xFF << (8 - used);
                }
            }
        }
        writer.write_image_data(&pixels).unwrap();
        writer.finish().unwrap();
        let found = chunks(&file);
        let data = found.into_iter().filter(|(name, _)| name == b"IDAT");
        data.flat_map(|(_, data)| data).collect()
    }

    fn control(&self, sequence: &mut u32, [x, y, width, height]: Place) -> Vec<u8> {
        let mut data = Vec::new();
        for number in [*sequence, width, height, x, y] {
            data.extend(number.to_be_bytes());
        }
        let n = *sequence as u8;
        data.extend([0, n, 0, 50, n % 3, n % 2]);
        *sequence += 1;
        chunk(b"fcTL", &data)
    }

    fn make(&self) -> Vec<u8> {
        let (width, height) = self.size;
        let mut ihdr = [width.to_be_bytes(), height.to_be_bytes()].concat();
        ihdr.extend([self.bits, self.color as u8, 0, 0, 0]);
        let count = self.later.len() as u32 + u32::from(self.begins);
        let mut file = [SIGNATURE, &chunk(b"IHDR", &ihdr)].concat();
        if !self.palette.is_empty() {
            file.extend(chunk(b"PLTE", self.palette));
        }
        file.extend(chunk(b"tEXt", b"Title\0moves"));
        file.extend(chunk(
            b"acTL",
            &[count.to_be_bytes(), 7u32.to_be_bytes()].concat(),
        ));
        let mut sequence = 0;
        if self.begins {
            file.extend(self.control(&mut sequence, [0, 0, width, height]));
        }
        file.extend(chunk(b"IDAT", &self.data(width, height, 1)));
        for (i, &place) in self.later.iter().enumerate() {
            file.extend(self.control(&mut sequence, place));
            let data = self.data(place[2], place[3], i as u32 + 2);
            // In two pieces.
            for part in [&data[..5], &data[5..]] {
                let numbered = [&sequence.to_be_bytes(), part].concat();
                file.extend(chunk(b"fdAT", &numbered));
                sequence += 1;
            }
        }
        file.extend(chunk(b"tEXt", b"Author\0me"));
        file.extend(chunk(b"IEND", &[]));
        file.extend(b"and more");
        file
    }
}

/// What programs see: for every picture of the file its `fcTL`, if it has one,
/// and its pixels.
fn frames(file: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut decoder = png::Decoder::new(Cursor::new(file));
    decoder.set_transformations(png::Transformations::IDENTITY);
    let mut reader = decoder.read_info().unwrap();
    let count = reader.info().animation_control().unwrap().num_frames as usize;
    let first = usize::from(reader.info().frame_control().is_none());
    (0..count + first)
        .map(|_| {
            let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
            let output = reader.next_frame(&mut pixels).unwrap();
            pixels.truncate(output.buffer_size());
            // Sequence numbers depend on how many pieces data come in.
            let control = reader.info().frame_control().copied();
            let control = control.map(|control| png::FrameControl {
                sequence_number: 0,
                ..control
            });
            (format!("{control:?}"), pixels)
        })
        .collect()
}

const LATER: &[Place] = &[[2, 1, 9, 7], [0, 0, 13, 11], [12, 10, 1, 1], [0, 4, 13, 2]];

#[test]
fn frames_come_back() {
    let palette = noise(48, 9);
    let kinds: &[(png::ColorType, u8)] = &[
        (png::ColorType::Grayscale, 1),
        (png::ColorType::Grayscale, 16),
        (png::ColorType::Rgb, 8),
        (png::ColorType::Rgb, 16),
        (png::ColorType::Indexed, 4),
        (png::ColorType::GrayscaleAlpha, 8),
        (png::ColorType::Rgba, 8),
    ];
    for &(color, bits) in kinds {
        for begins in [true, false] {
            let indexed = color == png::ColorType::Indexed;
            let film = Film {
                color,
                bits,
                size: (13, 11),
                palette: if indexed { &palette } else { &[] },
                begins,
                later: LATER,
            };
            let file = film.make();
            assert_eq!(probe(&file), SourceKind::Apng);
            let content = read(&file);
            assert_eq!(content.note, None);
            assert_eq!(read_slowly(&file), content);
            let MediaHeader::Image(header) = &content.header else {
                panic!("not a picture");
            };
            assert_eq!((header.width, header.height), (13, 11 + 7 + 11 + 1 + 2));
            let animation = Animation::of(&content.metadata).unwrap();
            assert_eq!(animation.plays, 7);
            assert_eq!(animation.begins_with_default, begins);
            assert_eq!(animation.frames.len(), 4 + usize::from(begins));
            let restored = restore(&content);
            assert_eq!(read(&restored), content);
            assert_eq!(frames(&restored), frames(&file));
            let others = |file: &[u8]| -> Vec<_> {
                let end = file.len() - b"and more".len();
                let moving: [&[u8; 4]; 5] = [b"IDAT", b"fdAT", b"fcTL", b"acTL", b"PLTE"];
                let mut found = chunks(&file[..end]);
                found.retain(|(name, _)| !moving.contains(&name));
                found
            };
            assert_eq!(others(&restored), others(&file));
        }
    }
}

fn gray(later: &[Place]) -> Film<'_> {
    Film {
        color: png::ColorType::Grayscale,
        bits: 8,
        size: (13, 11),
        palette: &[],
        begins: true,
        later,
    }
}

#[test]
fn durations_add_up() {
    let content = read(&gray(LATER).make());
    let animation = Animation::of(&content.metadata).unwrap();
    // Fiftieths of a second: as many as the sequence numbers 0, 1, 4, 7, 10.
    assert_eq!(animation.duration_us(), 22 * 20_000);
}

#[test]
fn damaged_and_odd_animations_are_bytes() {
    let check = |file: &[u8]| {
        let content = read(file);
        assert!(content.is_bytes() && content.note.is_some());
        assert!(restore(&content) == file);
    };
    let file = gray(&[[1, 2, 3, 4]]).make();
    let end = file.len() - b"and more".len();
    for cut in 8..end {
        check(&file[..cut]);
    }
    for at in 8..end {
        let mut damaged = file.clone();
        damaged[at] ^= 0x10;
        check(&damaged);
    }
    for place in [
        [0, 0, 14, 1],
        [13, 0, 1, 1],
        [u32::MAX, 0, 1, 1],
        [0, 1, 1, 11],
    ] {
        let small = gray(&[[0, 0, 1, 1]]).make();
        let mut sequence = 1;
        let [right, wrong] =
            [[0, 0, 1, 1], place].map(|place| gray(&[]).control(&mut sequence, place));
        let at = small.windows(right.len()).position(|w| w == right).unwrap();
        let mut wrong = wrong[8..34].to_vec();
        wrong[..4].copy_from_slice(&1u32.to_be_bytes());
        let odd = [
            &small[..at],
            &chunk(b"fcTL", &wrong),
            &small[at + right.len()..],
        ];
        check(&odd.concat());
    }
}

#[test]
fn many_large_frames_are_counted_before_they_are_decoded() {
    // 200 frames of 16 megapixels in 16 KB each, announced and described.
    let film = Film {
        size: (4096, 4096),
        ..gray(&[])
    };
    let deflated = {
        let mut file = Vec::new();
        let encoder = png::Encoder::with_info(&mut file, film.header(4096, 4096)).unwrap();
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(&vec![0; 1 << 24]).unwrap();
        writer.finish().unwrap();
        let found = chunks(&file)
            .into_iter()
            .filter(|(name, _)| name == b"IDAT");
        found.flat_map(|(_, data)| data).collect::<Vec<u8>>()
    };
    let mut ihdr = [4096u32.to_be_bytes(), 4096u32.to_be_bytes()].concat();
    ihdr.extend([8, 0, 0, 0, 0]);
    let mut file = [SIGNATURE, &chunk(b"IHDR", &ihdr)].concat();
    file.extend(chunk(b"acTL", &[0, 0, 0, 200, 0, 0, 0, 0]));
    let mut sequence = 0;
    file.extend(film.control(&mut sequence, [0, 0, 4096, 4096]));
    file.extend(chunk(b"IDAT", &deflated));
    for _ in 1..200 {
        file.extend(film.control(&mut sequence, [0, 0, 4096, 4096]));
        let numbered = [&sequence.to_be_bytes(), &deflated[..]].concat();
        file.extend(chunk(b"fdAT", &numbered));
        sequence += 1;
    }
    file.extend(chunk(b"IEND", &[]));
    for limits in [
        Limits {
            max_samples: 1 << 30,
            ..Limits::default()
        },
        Limits {
            max_alloc_bytes: 256 << 20,
            ..Limits::default()
        },
    ] {
        let budget = Budget::new(limits);
        let reader = Box::new(Cursor::new(file.clone()));
        let started = std::time::Instant::now();
        let source = open(reader, &ReadOptions::default(), &budget).unwrap();
        assert_eq!(*source.header(), MediaHeader::Bytes);
        assert!(source.note().is_some());
        assert!(started.elapsed().as_secs() < 5);
    }
}

#[test]
fn crafted_metadata_are_refused() {
    let content = read(&gray(LATER).make());
    for cut in 0..4 {
        let mut odd = content.clone();
        for item in &mut odd.metadata.items {
            if item.key == MetadataKey::ANIMATION {
                match cut {
                    // A frame higher than the canvas, wider, of no rows, or
                    // more rows than there are.
                    0 => item.value[5 + 22 + 4] = 0x7F,
                    1 => item.value[5 + 22] = 0x7F,
                    2 => item.value[5 + 22 + 4..5 + 22 + 8].fill(0),
                    _ => item.value.extend_from_within(5..27),
                }
            }
        }
        assert!(write(&odd, OutputFormat::Png).is_err(), "{cut}");
    }
}
