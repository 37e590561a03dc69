//! Golden files of the codec `text`. What comes out is right if it decodes: each
//! file has a check of its samples.

use rcodec_reference_decoder::decode;
use rcodec_reference_decoder::error::Error;
use std::path::{Path, PathBuf};

fn file(folder: &str, name: &str) -> Vec<u8> {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(folder)
        .join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn golden_files_decode() {
    for (name, class, length) in [
        ("empty.text.v1.rcd", None, 0),
        ("one-byte.text.v1.rcd", Some(0x00), 1),
        ("random.text.v1.rcd", Some(0x00), 5000),
        ("prose.text.v1.rcd", Some(0x11), 8055),
        ("json.text.v1.rcd", Some(0x31), 5129),
        ("zeros.text.v1.rcd", Some(0x01), 100_000),
        ("zeros.text.e9.v1.rcd", Some(0x02), 100_000),
    ] {
        let decoded = decode(&file("../../tests/golden", name)).unwrap();
        let first = decoded.stream.blocks.first().map(|block| block[0]);
        assert_eq!((first, decoded.content.len()), (class, length), "{name}");
    }
}

#[test]
fn language_models_are_not_covered() {
    for name in ["prose.text.e9.v1.rcd", "json.text.e9.v1.rcd"] {
        let error = decode(&file("../../tests/golden", name)).unwrap_err();
        assert!(matches!(error, Error::NotCovered(_)), "{name}: {error}");
    }
}
