//! Decodes the golden streams. A stream's check covers the content hash of its
//! samples, so one that decodes decodes to the very bits.

use rcodec_reference_decoder::decode;
use rcodec_reference_decoder::error::Error;
use std::fs;
use std::path::Path;

/// Decodes all streams of a codec, of which there are `least` at least.
fn decode_all(codec: &str, least: usize) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests");
    let expected = fs::read_to_string(folder.join("conformance/expected.csv")).unwrap();
    let mut decoded = 0;
    for line in expected.lines().skip(1) {
        let mut fields = line.split(',');
        let (name, media) = (fields.next().unwrap(), fields.next().unwrap());
        let samples: u64 = fields.next().unwrap().parse().unwrap();
        if name.split('.').nth(1) != Some(codec) {
            continue;
        }
        let file = fs::read(folder.join("golden").join(name)).unwrap();
        match decode(&file) {
            Ok(stream) => {
                assert_eq!(stream.stream.media.to_string(), media, "{name}");
                assert_eq!(stream.samples, samples, "{name}");
                decoded += 1;
            }
            Err(why) => panic!("{name}: {why}"),
        }
    }
    assert!(decoded >= least, "{decoded} streams of {codec}");
}

#[test]
fn store() {
    decode_all("store", 6);
}

#[test]
fn zstd() {
    decode_all("zstd", 6);
}

#[test]
fn image_lossless() {
    decode_all("image-lossless", 72);
}

#[test]
fn audio_lossless() {
    decode_all("audio-lossless", 39);
}

#[test]
fn lossy_streams_are_not_covered() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
    for name in ["landscape.image-lossy.v1.rcd", "silence.audio-lossy.v1.rcd"] {
        let file = fs::read(folder.join(name)).unwrap();
        assert!(matches!(decode(&file), Err(Error::NotCovered(_))), "{name}");
    }
}
