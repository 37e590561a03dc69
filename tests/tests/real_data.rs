//! Real pictures, sound and text come back as they were, and smaller than the
//! usual tools make them.
//!
//! `RCODEC_TEST_DATA` names a folder with `image/kodak/*.webp`,
//! `audio/*/*.flac` and `text/*.xz`; without it the tests say so and pass.
//! The sizes to compare with were measured with oxipng 10.2 `-o2`, flac 1.4.2
//! `-8` and zstd 1.5.4 `-19`; `benches/RESULTS.md` has them for whole sets.

use rcodec::{
    Budget, DecodeContext, EncodeContext, Latency, Limits, Metadata, StreamDecoder, StreamEncoder,
};
use rcodec_io::ReadOptions;
use rcodec_tests::{join, real_data};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Cursor};
use std::path::Path;
use std::process::Command;

/// Encodes with the default codec, decodes, compares; returns the file's size.
fn round_trip(name: &str, reader: Box<dyn BufRead + Send>) -> u64 {
    let options = ReadOptions {
        transcode: true,
        ..ReadOptions::default()
    };
    let budget = Budget::new(Limits::default());
    let mut source = rcodec_io::open(reader, &options, &budget).unwrap();
    let codec = rcodec::default_codec(source.header().kind(), Default::default()).unwrap();
    let header = source.header().clone();
    let mut encoder = StreamEncoder::new(
        codec,
        &header,
        Metadata::default(),
        EncodeContext::default(),
        Latency::Smallest,
        Vec::new(),
    )
    .unwrap();
    let mut original = Vec::new();
    while let Some(unit) = source.next_unit().unwrap() {
        original.push(unit.clone());
        encoder.write(unit).unwrap();
    }
    let encoded = encoder.finish(&Metadata::default()).unwrap();
    let mut decoder = StreamDecoder::open(&encoded.out[..], DecodeContext::default()).unwrap();
    let mut decoded = Vec::new();
    while let Some(unit) = decoder.next_unit().unwrap() {
        decoded.push(unit);
    }
    decoder.finish().unwrap();
    assert!(join(&original) == join(&decoded), "{name}");
    encoded.bytes
}

fn file(path: &Path) -> Box<dyn BufRead + Send> {
    Box::new(BufReader::new(
        File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())),
    ))
}

/// Runs `files`, given as (path, size by the usual tool), and asserts that all
/// together take at most `percent` of those sizes.
fn check(
    what: &str,
    percent: u64,
    files: &[(&str, u64)],
    open: impl Fn(&str) -> Option<Box<dyn BufRead + Send>>,
) {
    let (mut ours, mut theirs) = (0, 0);
    for &(path, size) in files {
        let Some(reader) = open(path) else { return };
        let bytes = round_trip(path, reader);
        println!("{path}: {bytes} bytes, {what} {size}");
        ours += bytes;
        theirs += size;
    }
    assert!(
        ours * 100 <= theirs * percent,
        "{ours} bytes; {what} {theirs}"
    );
}

#[test]
fn photographs_are_fifteen_percent_under_oxipng() {
    let Some(data) = real_data() else { return };
    let files = [
        ("image/kodak/kodim03.webp", 480_676),
        ("image/kodak/kodim05.webp", 755_502),
        ("image/kodak/kodim13.webp", 798_827),
        ("image/kodak/kodim20.webp", 471_294),
    ];
    check("oxipng -o2", 85, &files, |path| {
        Some(file(&data.join(path)))
    });
}

#[test]
fn sound_is_under_flac() {
    let Some(data) = real_data() else { return };
    let files = [
        ("audio/music48/castanets48_stereo.flac", 469_949),
        ("audio/speech24/vctk_p286_011.flac", 168_159),
        ("audio/speech16/vctk_p225_003.flac", 132_545),
        ("audio/speech48/lyra_sample1.flac", 100_303),
    ];
    check("flac -8", 100, &files, |path| Some(file(&data.join(path))));
}

#[test]
fn text_is_near_zstd_19() {
    let Some(data) = real_data() else { return };
    let files = [
        ("text/alice29.txt.xz", 49_215),
        ("text/twitter.json.xz", 37_745),
        ("text/log_Apache.log.xz", 7_214),
    ];
    check("zstd -19", 112, &files, |path| {
        let unpacked = Command::new("xz").arg("-dc").arg(data.join(path)).output();
        let Ok(unpacked) = unpacked.map(|output| output.stdout) else {
            println!("skipped: xz is not installed");
            return None;
        };
        assert!(!unpacked.is_empty());
        Some(Box::new(Cursor::new(unpacked)))
    });
}

#[test]
fn graphics_and_other_rates_round_trip() {
    let Some(data) = real_data() else { return };
    let mut count = 0;
    for folder in ["image/nonphoto", "audio/music44"] {
        for entry in fs::read_dir(data.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            round_trip(&path.display().to_string(), file(&path));
            count += 1;
        }
    }
    assert!(count > 0);
}
