//! Compressed sound, given as samples on request.

mod common;

use common::{Content, read, read_with, restore, write_seekable};
use proptest::prelude::*;
use rcodec_core::{AudioHeader, MediaHeader, MetadataKey, SampleFormat};
use rcodec_io::{OutputFormat, ReadOptions, SourceKind, probe, restore_format};

const TRANSCODE: ReadOptions = ReadOptions {
    pixels: false,
    transcode: true,
    bytes: false,
    raw: None,
};

/// Bits, the most significant first.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: u32,
}

impl Bits {
    fn put(&mut self, value: u64, bits: u32) {
        for i in (0..bits).rev() {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            *self.bytes.last_mut().unwrap() |= ((value >> i & 1) as u8) << (7 - self.used % 8);
            self.used += 1;
        }
    }

    fn align(&mut self) {
        self.used = self.used.next_multiple_of(8);
    }
}

fn crc(bytes: &[u8], width: u32, polynomial: u32) -> u64 {
    let mut crc = 0u32;
    for &byte in bytes {
        crc ^= u32::from(byte) << (width - 8);
        for _ in 0..8 {
            let high = crc >> (width - 1) & 1 == 1;
            crc = crc << 1 & ((1 << width) - 1) ^ if high { polynomial } else { 0 };
        }
    }
    crc.into()
}

const BLOCK: usize = 192;

/// A FLAC file of verbatim subframes.
fn flac(samples: &[i32], channels: usize, bits: u32) -> Vec<u8> {
    let frames = samples.len() / channels;
    let mut file = Bits::default();
    file.put(u64::from(u32::from_be_bytes(*b"fLaC")), 32);
    file.put(0x80, 8);
    file.put(34, 24);
    file.put(BLOCK as u64, 16);
    file.put(BLOCK as u64, 16);
    file.put(0, 48);
    file.put(44_100, 20);
    file.put(channels as u64 - 1, 3);
    file.put(u64::from(bits) - 1, 5);
    file.put(frames as u64, 36);
    file.put(0, 64);
    file.put(0, 64); // no MD5
    for (number, block) in samples.chunks(BLOCK * channels).enumerate() {
        let begin = file.bytes.len();
        file.put(0xFFF8, 16);
        file.put(0x70, 8);
        file.put(channels as u64 - 1, 4);
        file.put(0, 4);
        assert!(number < 128);
        file.put(number as u64, 8);
        file.put((block.len() / channels - 1) as u64, 16);
        let check = crc(&file.bytes[begin..], 8, 7);
        file.put(check, 8);
        for channel in 0..channels {
            file.put(2, 8); // verbatim
            for sample in block.iter().skip(channel).step_by(channels) {
                file.put(*sample as u32 as u64, bits);
            }
        }
        file.align();
        let check = crc(&file.bytes[begin..], 16, 0x8005);
        file.put(check, 16);
    }
    file.bytes
}

fn noise(count: usize, bits: u32) -> Vec<i32> {
    (0..count as u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) ^ 0x5A5A_5A5A) as i32 >> (32 - bits))
        .collect()
}

fn check(content: &Content, samples: &[i32], channels: usize, bits: u32) {
    let expected = AudioHeader {
        sample_rate: 44_100,
        channels: channels as u16,
        format: SampleFormat::Int { bits: bits as u8 },
    };
    assert_eq!(
        content.header,
        MediaHeader::Audio(expected),
        "{:?}",
        content.note
    );
    assert_eq!(content.sound(), samples);
}

#[test]
fn flac_samples_are_exact() {
    for (channels, bits) in [(1, 8), (2, 16), (2, 20), (1, 24), (6, 24), (3, 12)] {
        let samples = noise(1000 * channels, bits);
        let file = flac(&samples, channels, bits);
        let content = read_with(&file, &TRANSCODE);
        check(&content, &samples, channels, bits);
        assert_eq!(
            restore_format(&content.header, &content.metadata),
            OutputFormat::Wav
        );
        // A WAV has the samples at the upper end of whole bytes.
        let wav = read(&write_seekable(&content, OutputFormat::Wav).unwrap());
        let shift = bits.next_multiple_of(8) - bits;
        let shifted: Vec<i32> = samples.iter().map(|&s| s << shift).collect();
        assert_eq!(wav.sound(), shifted);
        let kept = read(&file);
        assert!(kept.is_bytes() && kept.note.is_none() && restore(&kept) == file);
    }
}

#[test]
fn damaged_flac_is_bytes() {
    let samples = noise(1000, 16);
    let file = flac(&samples, 2, 16);
    let mut damaged = file.clone();
    damaged[1000] ^= 1;
    let content = read_with(&damaged, &TRANSCODE);
    assert!(content.is_bytes() && content.note.is_some());
    assert!(restore(&content) == damaged);
}

/// Root of the mean squared distance of decoded sound to the tones of
/// `tests/data`, which begin after `delay` frames.
fn distance_to_tones(content: &Content, delay: usize) -> f64 {
    let samples = content.sound();
    let frames: Vec<&[i32]> = samples.chunks(2).skip(delay).collect();
    let inner = 2000..9000;
    let error = |i: usize| {
        let t = i as f64 / 44_100.0 * std::f64::consts::TAU;
        let left = f64::from(frames[i][0]) - 10_000.0 * (440.0 * t).sin();
        let right = f64::from(frames[i][1]) - 8_000.0 * (660.0 * t).sin();
        (left * left + right * right) / 2.0
    };
    (inner.clone().map(error).sum::<f64>() / inner.len() as f64).sqrt()
}

#[test]
fn mp3_vorbis_and_aac_decode() {
    let files: [(&str, &[u8], usize, usize); 3] = [
        ("mp3", include_bytes!("data/tone.mp3"), 11_025, 0),
        ("vorbis", include_bytes!("data/tone.ogg"), 11_025, 0),
        // Whole packets, and the encoder's delay before the first tone.
        ("aac", include_bytes!("data/tone.m4a"), 12 * 1024, 1024),
    ];
    for (name, file, frames, delay) in files {
        let content = read_with(file, &TRANSCODE);
        assert!(!content.is_bytes(), "{name}: {:?}", content.note);
        assert_eq!(content.sound().len(), 2 * frames, "{name}");
        let distance = distance_to_tones(&content, delay);
        assert!(distance < 500.0, "{name}: {distance}");
        assert!(read(file).is_bytes(), "{name} stays as it is unless asked");
    }
}

#[test]
fn damaged_mp3_vorbis_and_aac_end_well() {
    for file in [
        &include_bytes!("data/tone.mp3")[..],
        include_bytes!("data/tone.ogg"),
        include_bytes!("data/tone.m4a"),
    ] {
        for step in 0..40 {
            let mut damaged = file.to_vec();
            let at = (step * 7919 + 13) % damaged.len();
            damaged[at] ^= 1 << (step % 8);
            damaged.truncate(file.len() - step * file.len() / 80);
            let content = read_with(&damaged, &TRANSCODE);
            if content.is_bytes() {
                assert!(restore(&content) == damaged);
            }
        }
    }
}

#[test]
fn other_sound_that_is_none() {
    for head in [
        &b"OggS\0\x02"[..],
        b"\xFF\xFB\x90\x64",
        b"ID3\x04\0\0\0\0\0\0",
        b"\0\0\0\x18ftypM4A ",
        b"\xFF\xF1\x50\x80\x02\x1F\xFC",
    ] {
        let file = [head, &[0x55; 700]].concat();
        let content = read_with(&file, &TRANSCODE);
        if content.is_bytes() {
            assert_eq!(content.note.is_some(), probe(&file) != SourceKind::Other);
            assert!(restore(&content) == file);
        }
    }
}

proptest! {
    /// Damage ends in samples or in the same bytes, never in a panic.
    #[test]
    fn damage(edits in prop::collection::vec((0usize..4000, any::<u8>()), 1..6), end in 0usize..4500) {
        let mut file = flac(&noise(1900, 16), 1, 16);
        for (at, value) in edits {
            let at = at % file.len();
            file[at] = value;
        }
        file.truncate(end);
        let content = read_with(&file, &TRANSCODE);
        if content.is_bytes() {
            prop_assert_eq!(restore(&content), file);
        }
    }
}

/// The FLAC with other metadata blocks behind its first.
fn with_blocks(file: &[u8], blocks: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let (first, frames) = file.split_at(4 + 4 + 34);
    let mut out = first.to_vec();
    out[4] &= 0x7F;
    for (i, (kind, data)) in blocks.iter().enumerate() {
        let last = if i + 1 == blocks.len() { 0x80 } else { 0 };
        out.push(kind | last);
        out.extend_from_slice(&(data.len() as u32).to_be_bytes()[1..]);
        out.extend_from_slice(data);
    }
    out.extend_from_slice(frames);
    out
}

fn comments(tags: &[&str]) -> (u8, Vec<u8>) {
    let mut data = 0u32.to_le_bytes().to_vec();
    data.extend((tags.len() as u32).to_le_bytes());
    for tag in tags {
        data.extend((tag.len() as u32).to_le_bytes());
        data.extend(tag.as_bytes());
    }
    (4, data)
}

fn front_cover(image: &[u8]) -> (u8, Vec<u8>) {
    let mut data = 3u32.to_be_bytes().to_vec();
    for text in ["image/png", "the front"] {
        data.extend((text.len() as u32).to_be_bytes());
        data.extend(text.as_bytes());
    }
    data.extend([0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 24, 0, 0, 0, 0]);
    data.extend((image.len() as u32).to_be_bytes());
    data.extend(image);
    (6, data)
}

/// Tracks at some frames, as on a CD.
fn cue_sheet(frames: &[u64], end: u64) -> (u8, Vec<u8>) {
    let mut data = vec![0; 128 + 8];
    data.push(0x80);
    data.extend([0; 258]);
    data.push(frames.len() as u8 + 1);
    for (number, frame) in (1u8..).zip(frames) {
        data.extend(frame.to_be_bytes());
        data.push(number);
        data.extend([0; 12 + 14]);
        data.push(1);
        data.extend(0u64.to_be_bytes());
        data.extend([1, 0, 0, 0]);
    }
    data.extend(end.to_be_bytes());
    data.push(170);
    data.extend([0; 12 + 14 + 1]);
    (5, data)
}

#[test]
fn tags_covers_and_cue_points_are_carried_over() {
    // Cue points of a CD stand at multiples of 588 frames.
    let samples = noise(3 * 588, 16);
    let blocks = [
        comments(&[
            "TITLE=Ein Titel",
            "ARTIST=A",
            "ARTIST=B",
            "TRACKNUMBER=3",
            "MOOD=calm",
        ]),
        front_cover(b"not really a PNG"),
        cue_sheet(&[0, 588], 3 * 588),
    ];
    let file = with_blocks(&flac(&samples, 1, 16), &blocks);
    let content = read_with(&file, &TRANSCODE);
    check(&content, &samples, 1, 16);
    let text = |key| content.metadata.get_str(key).unwrap_or("");
    let tags: Vec<&str> = text(MetadataKey::TAGS).split('\0').collect();
    for tag in [
        "TITLE=Ein Titel",
        "ARTIST=A",
        "ARTIST=B",
        "TRACKNUMBER=3",
        "MOOD=calm",
    ] {
        assert!(tags.contains(&tag), "{tags:?}");
    }
    let picture = content.metadata.get(MetadataKey::PICTURE).unwrap();
    assert_eq!(picture, b"image/png\0\x03the front\0not really a PNG");
    let frames: Vec<&str> = text(MetadataKey::CUE_POINTS)
        .split('\0')
        .map(|point| point.split(' ').next().unwrap())
        .collect();
    assert!(frames.starts_with(&["0", "588"]), "{frames:?}");
    // The WAV has them in front of its samples, and is read as one.
    let wav = restore(&content);
    let holds = |bytes: &[u8]| wav.windows(bytes.len()).any(|window| window == bytes);
    assert!(holds(b"TPE1\0\0\0\x04\0\0\x03A\0B"));
    assert!(holds(b"image/png\0\x03the front\0not really a PNG"));
    assert!(holds(b"INAM"));
    assert!(holds(b"cue "));
    let again = read(&wav);
    check(&again, &samples, 1, 16);
    assert_eq!(restore(&again), wav);
}
