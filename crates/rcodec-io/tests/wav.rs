//! WAV files come back byte for byte, whatever they say.

mod common;

use common::{read, read_slowly, restore, write, write_seekable};
use proptest::prelude::*;
use rcodec_core::{MediaHeader, Metadata, MetadataKey, SampleFormat};
use rcodec_io::OutputFormat;
use std::io::Cursor;

fn chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut bytes = name.to_vec();
    bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(body);
    if body.len() % 2 == 1 {
        bytes.push(0);
    }
    bytes
}

fn format_body(tag: u16, channels: u16, bits: u16) -> Vec<u8> {
    let frame_bytes = channels * bits.div_ceil(8);
    let mut body = tag.to_le_bytes().to_vec();
    body.extend_from_slice(&channels.to_le_bytes());
    body.extend_from_slice(&44_100u32.to_le_bytes());
    body.extend_from_slice(&(44_100 * u32::from(frame_bytes)).to_le_bytes());
    body.extend_from_slice(&frame_bytes.to_le_bytes());
    body.extend_from_slice(&bits.to_le_bytes());
    body
}

fn extensible_body(tag: u16, channels: u16, bits: u16, valid_bits: u16) -> Vec<u8> {
    let mut body = format_body(0xFFFE, channels, bits);
    body.extend_from_slice(&22u16.to_le_bytes());
    body.extend_from_slice(&valid_bits.to_le_bytes());
    body.extend_from_slice(&0u32.to_le_bytes());
    body.extend_from_slice(&tag.to_le_bytes());
    body.extend_from_slice(b"\0\0\0\0\x10\0\x80\0\0\xAA\0\x38\x9B\x71");
    body
}

/// A file of chunks with a right RIFF length.
fn riff(chunks: &[Vec<u8>]) -> Vec<u8> {
    let body = chunks.concat();
    let mut file = b"RIFF".to_vec();
    file.extend_from_slice(&(body.len() as u32 + 4).to_le_bytes());
    file.extend_from_slice(b"WAVE");
    file.extend_from_slice(&body);
    file
}

fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x1234_5678u32;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect()
}

/// Reads and restores; the file must come back, and be sound if `sound`.
fn check(file: &[u8], sound: bool) -> common::Content {
    let content = read(file);
    assert_eq!(content.is_bytes(), !sound, "{:?}", content.note);
    assert!(restore(&content) == file, "the file changed");
    assert_eq!(content.note.is_some(), !sound);
    content
}

#[test]
fn every_sample_format() {
    for (tag, bits, format) in [
        (1, 8, SampleFormat::Int { bits: 8 }),
        (1, 16, SampleFormat::Int { bits: 16 }),
        (1, 24, SampleFormat::Int { bits: 24 }),
        (1, 32, SampleFormat::Int { bits: 32 }),
        (3, 32, SampleFormat::Float32),
    ] {
        for channels in [1u16, 2, 3, 8, 21] {
            let frame = usize::from(channels * bits / 8);
            for frames in [0, 1, 777, 70_000] {
                let data = chunk(b"data", &noise(frame * frames));
                for body in [
                    format_body(tag, channels, bits),
                    extensible_body(tag, channels, bits, bits),
                ] {
                    let file = riff(&[chunk(b"fmt ", &body), data.clone()]);
                    let content = check(&file, true);
                    let MediaHeader::Audio(audio) = &content.header else {
                        panic!("not sound");
                    };
                    assert_eq!(audio.format, format);
                    assert_eq!(audio.channels, channels);
                    assert_eq!(content.sound().len(), frames * usize::from(channels));
                }
            }
        }
    }
}

#[test]
fn a_plain_head_costs_little() {
    let file = riff(&[
        chunk(b"fmt ", &format_body(1, 2, 16)),
        chunk(b"data", &noise(400_000)),
    ]);
    let content = check(&file, true);
    let bytes: usize = content.metadata.items.iter().map(|i| i.value.len()).sum();
    assert!(bytes <= 8, "{bytes}");
    assert!(content.metadata.get(MetadataKey::AUDIO_HEAD).is_none());
}

#[test]
fn twenty_bits_in_twenty_four() {
    let mut body = format_body(1, 2, 24);
    body[14] = 20;
    let file = riff(&[chunk(b"fmt ", &body), chunk(b"data", &noise(600))]);
    check(&file, true);
    let body = extensible_body(1, 2, 24, 20);
    check(
        &riff(&[chunk(b"fmt ", &body), chunk(b"data", &noise(600))]),
        true,
    );
}

#[test]
fn chunks_before_and_behind_stay() {
    let file = riff(&[
        chunk(b"JUNK", &noise(27)),
        chunk(b"bext", &noise(602)),
        chunk(b"fmt ", &format_body(1, 1, 24)),
        chunk(b"LIST", b"INFOISFT\x05\0\0\0abcd\0\0"),
        chunk(b"data", &noise(3 * 1001)),
        chunk(b"cue ", &noise(28)),
        chunk(b"id3 ", &noise(999)),
    ]);
    let content = check(&file, true);
    // The pad byte of the data belongs to the tail.
    let tail = content.tail.get(MetadataKey::AUDIO_TAIL).unwrap();
    assert_eq!(&tail[1..5], b"cue ");
    assert_eq!(content.sound().len(), 1001);
}

#[test]
fn lengths_that_lie() {
    let head = riff(&[chunk(b"fmt ", &format_body(1, 2, 16)), chunk(b"data", &[])]);
    let samples = noise(40_003);
    for claim in [
        0u32,
        1,
        3,
        1000,
        40_000,
        41_000,
        0x7FFF_FFFF,
        0xFFFF_FFFE,
        u32::MAX,
    ] {
        let mut file = head.clone();
        let at = file.len() - 4;
        file[at..].copy_from_slice(&claim.to_le_bytes());
        file.extend_from_slice(&samples);
        for end in [at + 4, at + 5, at + 7, at + 1000, file.len()] {
            check(&file[..end], true);
        }
    }
}

#[test]
fn much_behind_a_lying_length_is_sound() {
    let mut file = riff(&[chunk(b"fmt ", &format_body(1, 2, 16)), chunk(b"data", &[])]);
    let at = file.len() - 4;
    file[at..].copy_from_slice(&7u32.to_le_bytes());
    file.extend_from_slice(&noise(3 << 20));
    let content = check(&file, true);
    assert!(content.tail.is_empty());
    assert_eq!(content.sound().len(), (3 << 20) / 2);
}

#[test]
fn cut_anywhere() {
    let file = riff(&[
        chunk(b"fmt ", &format_body(1, 2, 16)),
        chunk(b"LIST", &noise(10)),
        chunk(b"data", &noise(40)),
        chunk(b"LIST", &noise(10)),
    ]);
    for end in 0..file.len() {
        let content = read(&file[..end]);
        assert!(restore(&content) == file[..end]);
        assert_eq!(content.is_bytes(), end < 62, "{end}");
        assert_eq!(read_slowly(&file[..end]), content);
    }
}

#[test]
fn rf64_and_bw64() {
    let data = noise(6000);
    let mut ds64 = Vec::new();
    for value in [0u64, 4000, 1000] {
        ds64.extend_from_slice(&value.to_le_bytes());
    }
    ds64.extend_from_slice(&0u32.to_le_bytes());
    for form in [b"RF64", b"BW64"] {
        let mut file = riff(&[
            chunk(b"ds64", &ds64),
            chunk(b"fmt ", &format_body(1, 2, 16)),
            chunk(b"data", &data),
        ]);
        file[..4].copy_from_slice(form);
        file[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        let at = file.len() - data.len();
        file[at - 4..at].copy_from_slice(&u32::MAX.to_le_bytes());
        let content = check(&file, true);
        assert_eq!(content.sound().len(), 2000);
        assert_eq!(
            content.tail.get(MetadataKey::AUDIO_TAIL).unwrap().len(),
            2000
        );
    }
}

#[test]
fn what_we_cannot_hold_is_bytes() {
    let data = chunk(b"data", &noise(800));
    for body in [
        format_body(3, 1, 64),
        format_body(2, 2, 4),
        format_body(7, 1, 8),
        format_body(1, 0, 16),
        format_body(1, 1, 0),
        format_body(1, 1, 40),
        extensible_body(2, 2, 16, 16),
        b"\x01\0\x01\0".to_vec(),
    ] {
        check(&riff(&[chunk(b"fmt ", &body), data.clone()]), false);
    }
    check(&riff(std::slice::from_ref(&data)), false);
    let long = riff(&[
        chunk(b"JUNK", &vec![0; 2 << 20]),
        chunk(b"fmt ", &format_body(1, 2, 16)),
        data,
    ]);
    check(&long, false);
}

#[test]
fn new_files_are_read_by_others() {
    for (channels, bits, format) in [
        (1u16, 16, hound::SampleFormat::Int),
        (2, 8, hound::SampleFormat::Int),
        (2, 24, hound::SampleFormat::Int),
        (6, 32, hound::SampleFormat::Float),
    ] {
        let spec = hound::WavSpec {
            channels,
            sample_rate: 48_000,
            bits_per_sample: bits,
            sample_format: format,
        };
        let mut theirs = Cursor::new(Vec::new());
        let mut writer = hound::WavWriter::new(&mut theirs, spec).unwrap();
        let values: Vec<i32> = (0..999 * i32::from(channels))
            .map(|i| i * 77 % 251 - 125)
            .collect();
        for &value in &values {
            match format {
                hound::SampleFormat::Int => writer.write_sample(value).unwrap(),
                hound::SampleFormat::Float => writer.write_sample(value as f32).unwrap(),
            }
        }
        writer.finalize().unwrap();
        let mut content = check(theirs.get_ref(), true);
        content.metadata = Metadata::default();
        content.tail = Metadata::default();
        let ours = write_seekable(&content, OutputFormat::Wav).unwrap();
        let mut reader = hound::WavReader::new(Cursor::new(&ours)).unwrap();
        assert_eq!(reader.spec(), spec);
        let back: Vec<i32> = match format {
            hound::SampleFormat::Int => reader.samples().map(Result::unwrap).collect(),
            hound::SampleFormat::Float => {
                reader.samples::<f32>().map(|s| s.unwrap() as i32).collect()
            }
        };
        assert_eq!(back, values);
        assert_eq!(read(&ours).sound(), content.sound());
        let piped = write(&content, OutputFormat::Wav).unwrap();
        assert_eq!(read(&piped).sound(), content.sound());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever follows the RIFF header comes back.
    #[test]
    fn any_bytes(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let file = riff(&[body]);
        prop_assert_eq!(restore(&read(&file)), file);
    }

    /// Chunks in any order and with any lengths come back.
    #[test]
    fn any_chunks(
        parts in prop::collection::vec(
            (0usize..5, prop::collection::vec(any::<u8>(), 0..60), any::<Option<u32>>()),
            0..6,
        ),
        tag in prop::sample::select(vec![1u16, 3, 0xFFFE, 2]),
        channels in 0u16..4,
        bits in prop::sample::select(vec![8u16, 12, 16, 20, 24, 32, 64]),
        cut in 0usize..200,
    ) {
        let mut file = b"RIFF\0\0\0\0WAVE".to_vec();
        for (kind, body, claim) in parts {
            let at = file.len();
            file.extend(match kind {
                0 | 1 => chunk(b"fmt ", &format_body(tag, channels, bits)),
                2 => chunk(b"LIST", &body),
                3 => chunk(b"ds64", &body),
                _ => chunk(b"data", &body),
            });
            if let Some(claim) = claim && kind > 3 {
                file[at + 4..at + 8].copy_from_slice(&claim.to_le_bytes());
            }
        }
        file.truncate(file.len().saturating_sub(cut / 4));
        let content = read(&file);
        prop_assert_eq!(restore(&content), file.clone());
        prop_assert_eq!(read_slowly(&file), content);
    }
}

fn aiff_chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut bytes = name.to_vec();
    bytes.extend_from_slice(&(body.len() as u32).to_be_bytes());
    bytes.extend_from_slice(body);
    if body.len() % 2 == 1 {
        bytes.push(0);
    }
    bytes
}

/// An AIFF (or, with a compression type, AIFF-C) of 44,100 Hz with a name
/// before and a comment behind the samples.
fn aiff(channels: u16, bits: u16, kind: Option<&[u8; 4]>, samples: &[u8]) -> Vec<u8> {
    let mut common = channels.to_be_bytes().to_vec();
    let frame_bytes = usize::from(channels) * usize::from(bits.div_ceil(8));
    common.extend_from_slice(&((samples.len() / frame_bytes) as u32).to_be_bytes());
    common.extend_from_slice(&bits.to_be_bytes());
    common.extend_from_slice(b"\x40\x0E\xAC\x44\0\0\0\0\0\0");
    if let Some(kind) = kind {
        common.extend_from_slice(kind);
        common.extend_from_slice(b"\x04none\0");
    }
    let body = [
        aiff_chunk(b"NAME", b"odd"),
        aiff_chunk(b"COMM", &common),
        aiff_chunk(b"SSND", &[&[0; 8], samples].concat()),
        aiff_chunk(b"ANNO", b"what follows the samples"),
    ]
    .concat();
    let mut file = b"FORM".to_vec();
    file.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
    file.extend_from_slice(if kind.is_some() { b"AIFC" } else { b"AIFF" });
    file.extend_from_slice(&body);
    file
}

#[test]
fn aiff_comes_back() {
    for (channels, bits, kind, format) in [
        (1, 8, None, SampleFormat::Int { bits: 8 }),
        (2, 12, None, SampleFormat::Int { bits: 16 }),
        (2, 16, Some(b"sowt"), SampleFormat::Int { bits: 16 }),
        (2, 24, Some(b"NONE"), SampleFormat::Int { bits: 24 }),
        (3, 32, None, SampleFormat::Int { bits: 32 }),
        (1, 32, Some(b"fl32"), SampleFormat::Float32),
    ] {
        let frame_bytes = usize::from(channels) * usize::from(bits).div_ceil(8);
        for frames in [0, 1, 501] {
            let file = aiff(channels, bits, kind, &noise(frame_bytes * frames));
            let content = read(&file);
            assert_eq!(content.note, None);
            let MediaHeader::Audio(audio) = &content.header else {
                panic!("{bits} bits were not read as sound");
            };
            assert_eq!((audio.format, audio.sample_rate), (format, 44_100));
            assert_eq!(restore(&content), file);
        }
    }
}

#[test]
fn aiff_samples_have_their_values() {
    let content = read(&aiff(1, 16, None, &[0x01, 0x02, 0xFF, 0xFE]));
    assert_eq!(content.sound(), [0x0102, -2]);
    let content = read(&aiff(1, 16, Some(b"sowt"), &[0x01, 0x02, 0xFE, 0xFF]));
    assert_eq!(content.sound(), [0x0201, -2]);
}

fn wave64_chunk(guid: &[u8; 16], body: &[u8]) -> Vec<u8> {
    let mut bytes = guid.to_vec();
    bytes.extend_from_slice(&(body.len() as u64 + 24).to_le_bytes());
    bytes.extend_from_slice(body);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

fn wave64(format: &[u8], samples: &[u8]) -> Vec<u8> {
    let guid = |name: &[u8; 4]| {
        let mut guid = *b"name\xF3\xAC\xD3\x11\x8C\xD1\x00\xC0\x4F\x8E\xDB\x8A";
        guid[..4].copy_from_slice(name);
        guid
    };
    let body = [
        guid(b"wave").to_vec(),
        wave64_chunk(&guid(b"fact"), &[1, 2, 3]),
        wave64_chunk(&guid(b"fmt "), format),
        wave64_chunk(&guid(b"data"), samples),
        wave64_chunk(&guid(b"bext"), b"tail"),
    ]
    .concat();
    let outer = b"riff\x2E\x91\xCF\x11\xA5\xD6\x28\xDB\x04\xC1\x00\x00";
    wave64_chunk(outer, &body)
}

#[test]
fn wave64_comes_back() {
    for (tag, bits) in [(1, 8), (1, 16), (1, 24), (3, 32)] {
        for frames in [0, 1, 777] {
            let format = format_body(tag, 2, bits);
            let file = wave64(&format, &noise(frames * 2 * usize::from(bits / 8)));
            let content = read(&file);
            assert_eq!(content.note, None);
            assert!(matches!(content.header, MediaHeader::Audio(_)));
            assert_eq!(restore(&content), file);
        }
    }
}

#[test]
fn cut_and_strange_heads_are_bytes() {
    let files = [
        wave64(&format_body(1, 2, 16), &noise(400)),
        aiff(2, 16, None, &noise(400)),
    ];
    for file in files {
        for count in 0..file.len().min(300) {
            let content = read(&file[..count]);
            assert_eq!(restore(&content), file[..count]);
        }
    }
    let ulaw = aiff(1, 8, Some(b"ulaw"), &noise(100));
    let content = read(&ulaw);
    assert_eq!(content.header, MediaHeader::Bytes);
    assert_eq!(restore(&content), ulaw);
}
