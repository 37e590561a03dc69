//! Files written by earlier versions decode for ever, and damaged ones fail
//! as they should.
//!
//! `tests/golden` holds one file per codec, version and kind of media, named
//! `<sample>.<codec>.v<n>.rcd`; what they decode to is made by this crate. Those
//! of other efforts and of several groups or blocks say so in their names; the
//! `preset-<n>` are of sounds that `tools/reference-decoder/tests/audio.rs`
//! describes, and `tests/conformance` knows what they decode to. New ones are
//! written by
//! `RCODEC_WRITE_GOLDEN=1 cargo test -p rcodec-tests --test golden`, which
//! never touches one that is there.

use rcodec::{Codec, CodecId, Effort, EncodeContext, Error, Rate};
use rcodec_tests::{Sample, all_samples, decode, golden_folder, lossless_codecs_for};
use std::fs;

/// The version of each codec's payload, as in FORMAT.md.
const PAYLOAD_VERSION: u32 = 1;

/// Codecs that do it in other ways at other efforts than the default.
const BY_EFFORT: [(CodecId, &[u8]); 3] = [
    (CodecId::AUDIO_LOSSLESS, &[1, 9]),
    (CodecId::IMAGE_LOSSLESS, &[1, 7, 9]),
    (CodecId::TEXT, &[9]),
];

/// Streams of several groups or blocks: the sample, the codec, the option that
/// cuts it, and what the name of the file says.
const IN_PARTS: [(&str, CodecId, &str, i64, &str); 6] = [
    (
        "landscape",
        CodecId::IMAGE_LOSSLESS,
        "group_rows",
        40,
        "groups",
    ),
    (
        "screen",
        CodecId::IMAGE_LOSSLESS,
        "group_rows",
        40,
        "groups",
    ),
    (
        "rgba-16",
        CodecId::IMAGE_LOSSLESS,
        "group_rows",
        7,
        "groups",
    ),
    (
        "music-stereo",
        CodecId::AUDIO_LOSSLESS,
        "block_frames",
        4096,
        "blocks",
    ),
    ("prose", CodecId::TEXT, "block_kib", 3, "blocks"),
    ("zeros", CodecId::TEXT, "block_kib", 3, "blocks"),
];

fn file_name(sample: &Sample, codec: &dyn Codec) -> String {
    format!(
        "{}.{}.v{PAYLOAD_VERSION}.rcd",
        sample.name,
        codec.info().name
    )
}

#[test]
fn missing_golden_files_are_written_on_request() {
    if std::env::var_os("RCODEC_WRITE_GOLDEN").is_none() {
        return;
    }
    for sample in all_samples() {
        for codec in lossless_codecs_for(&sample) {
            let path = golden_folder().join(file_name(&sample, codec));
            if !path.exists() {
                let file = sample.encode(codec, EncodeContext::default()).unwrap();
                fs::write(path, file).unwrap();
            }
        }
        for (codec, efforts) in BY_EFFORT {
            let codec = rcodec::codec(codec).unwrap();
            for &effort in efforts {
                let context = EncodeContext {
                    effort: Effort::new(effort).unwrap(),
                    ..EncodeContext::default()
                };
                let (sample_name, codec_name) = (&sample.name, codec.info().name);
                let name = format!("{sample_name}.{codec_name}.e{effort}.v1.rcd");
                let path = golden_folder().join(name);
                if let (Ok(file), false) = (sample.encode(codec, context), path.exists()) {
                    fs::write(path, file).unwrap();
                }
            }
        }
        for (name, codec, option, value, parts) in IN_PARTS {
            let path = golden_folder().join(format!(
                "{name}.{}.{parts}.v1.rcd",
                rcodec::codec(codec).unwrap().info().name
            ));
            if name == sample.name && !path.exists() {
                let context = EncodeContext {
                    options: &[(option.to_string(), value)],
                    ..EncodeContext::default()
                };
                let file = sample.encode(rcodec::codec(codec).unwrap(), context);
                fs::write(path, file.unwrap()).unwrap();
            }
        }
        for lossy in [CodecId::IMAGE_LOSSY, CodecId::AUDIO_LOSSY] {
            let lossy = rcodec::codec(lossy).unwrap();
            let path = golden_folder().join(file_name(&sample, lossy));
            let context = EncodeContext {
                rate: Rate::Quality(60.0),
                ..EncodeContext::default()
            };
            match sample.encode(lossy, context) {
                Ok(file) if !path.exists() => fs::write(path, file).unwrap(),
                // Other media, palettes, few bits.
                _ => {}
            }
        }
    }
}

#[test]
fn golden_files_decode() {
    let samples = all_samples();
    let (mut decoded, mut lossy) = (0, 0);
    for entry in fs::read_dir(golden_folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "rcd") {
            continue;
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let (header, unit) =
            decode(&fs::read(&path).unwrap()).unwrap_or_else(|e| panic!("{name}: {e}"));
        if name.starts_with("preset-") {
            continue;
        }
        let sample = samples
            .iter()
            .find(|sample| name.starts_with(&format!("{}.", sample.name)))
            .unwrap_or_else(|| panic!("{name}: no such sample"));
        assert_eq!(header, sample.header, "{name}");
        // What a lossy file decodes to is in its checksum, which was compared.
        if name.contains("-lossy.") {
            lossy += 1;
        } else {
            assert!(unit == sample.unit, "{name}: other samples");
            decoded += 1;
        }
    }
    let expected: usize = samples.iter().map(|s| lossless_codecs_for(s).len()).sum();
    assert!(
        decoded >= expected,
        "{decoded} golden files for {expected} combinations"
    );
    assert!(lossy >= 16, "{lossy} lossy golden files");
}

/// What a golden error must be.
enum Expected {
    Malformed(u64),
    Truncated(u64),
    Checksum(u64),
    Unsupported,
}

#[test]
fn golden_errors_fail_as_they_should() {
    let folder = golden_folder();
    let read = |name: &str| fs::read(folder.join(name)).unwrap();
    let prose = read("prose.zstd.v1.rcd");
    let landscape = read("landscape.image-lossless.v1.rcd");
    let cases: Vec<(&str, Vec<u8>, Expected)> = vec![
        ("empty", Vec::new(), Expected::Truncated(0)),
        ("PNG", b"\x89PNG\r\n\x1a\n".to_vec(), Expected::Malformed(0)),
        ("magic only", prose[..3].to_vec(), Expected::Truncated(3)),
        (
            "cut",
            prose[..prose.len() - 1].to_vec(),
            Expected::Truncated(prose.len() as u64 - 1),
        ),
        (
            "longer",
            [&prose[..], &[0]].concat(),
            Expected::Malformed(prose.len() as u64),
        ),
        (
            "later version",
            with(&prose, 3, prose[3] ^ 0xc0),
            Expected::Unsupported,
        ),
        (
            "reserved codec",
            with(&prose, 3, 0x4e),
            Expected::Unsupported,
        ),
        ("check", flipped_last(&landscape), Expected::Checksum(0)),
    ];
    for (name, file, expected) in cases {
        let error = decode(&file).unwrap_err();
        let right = match (&expected, &error) {
            (Expected::Malformed(a), Error::Malformed { at, .. }) => a == at,
            (Expected::Truncated(a), Error::Truncated { at }) => a == at,
            (Expected::Checksum(b), Error::Checksum { block, .. }) => b == block,
            (Expected::Unsupported, Error::Unsupported(_)) => true,
            _ => false,
        };
        assert!(right, "{name}: {error}");
    }
}

fn with(file: &[u8], at: usize, byte: u8) -> Vec<u8> {
    let mut file = file.to_vec();
    file[at] = byte;
    file
}

fn flipped_last(file: &[u8]) -> Vec<u8> {
    let last = file.len() - 1;
    with(file, last, file[last] ^ 1)
}

#[test]
fn every_flipped_bit_of_small_files_is_found() {
    for name in [
        "one-pixel.image-lossless",
        "one-frame.audio-lossless",
        "one-byte.zstd",
        "indexed-4.image-lossless",
    ] {
        let file = fs::read(golden_folder().join(format!("{name}.v1.rcd"))).unwrap();
        for i in 0..file.len() {
            for bit in 0..8 {
                let damaged = with(&file, i, file[i] ^ 1 << bit);
                assert!(decode(&damaged).is_err(), "{name}: bit {bit} of byte {i}");
            }
        }
    }
}
