//! Streams of the codec `text`. What comes out is right if it decodes: each file
//! has a check of its content.

use rcodec_reference_decoder::error::Error;
use rcodec_reference_decoder::model_file::Models;
use rcodec_reference_decoder::{Decoded, decode, decode_with};
use std::path::{Path, PathBuf};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn file(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn golden(name: &str) -> Vec<u8> {
    file(&format!("../../tests/golden/{name}"))
}

/// The first bytes of the blocks.
fn first(decoded: &Decoded) -> Vec<u8> {
    decoded.stream.blocks.iter().map(|block| block[0]).collect()
}

#[test]
fn golden_files_decode() {
    for (name, blocks, length) in [
        ("empty.text.v1.rcd", &[][..], 0),
        ("one-byte.text.v1.rcd", &[0x00], 1),
        ("random.text.v1.rcd", &[0x00], 5000),
        ("prose.text.v1.rcd", &[0x11], 8055),
        ("json.text.v1.rcd", &[0x31], 5129),
        ("zeros.text.v1.rcd", &[0x01], 100_000),
        ("empty.text.e9.v1.rcd", &[], 0),
        ("one-byte.text.e9.v1.rcd", &[0x00], 1),
        ("random.text.e9.v1.rcd", &[0x00], 5000),
        ("zeros.text.e9.v1.rcd", &[0x02], 100_000),
    ] {
        let decoded = decode(&golden(name)).unwrap();
        assert_eq!(first(&decoded), blocks, "{name}");
        assert_eq!(decoded.content.len(), length, "{name}");
    }
}

/// What the golden files have not: class 2 with each of the priors, blocks, a
/// table of another size. All are of 2500 bytes of a text (the beginnings of the
/// project's README.md and of a source file as they were, and JSON), written by
/// `rcodec encode --codec text --effort 7`; the blocks from a pipe, with a pause
/// between the two texts. The program takes another table only where memory is
/// short for a much longer text, so `small-table.rcd` was written by an encoder
/// made of this decoder's model, and the program decodes it.
#[test]
fn other_streams_decode() {
    for (name, blocks, length) in [
        ("prose.e7.rcd", &[0x12][..], 2500),
        ("code.e7.rcd", &[0x22], 2500),
        ("data.e7.rcd", &[0x32], 2500),
        ("blocks.e7.rcd", &[0x12, 0x32], 5000),
        ("small-table.rcd", &[0x1A], 2500),
    ] {
        let decoded = decode(&file(&format!("tests/data/{name}"))).unwrap();
        assert_eq!(first(&decoded), blocks, "{name}");
        assert_eq!(decoded.content.len(), length, "{name}");
    }
}

/// A prior that the header names; it has slots, but no weights of any class and
/// no signature. It was cut from that of prose: the slots that a text of 300 bytes
/// finds there.
#[test]
fn a_named_prior_is_found() {
    let models = Models::new(path("tests/data"));
    for (name, block) in [
        ("named-prior.class1.rcd", 0xF1),
        ("named-prior.class2.rcd", 0xF2),
    ] {
        let bytes = file(&format!("tests/data/{name}"));
        let decoded = decode_with(&bytes, &models).unwrap();
        assert_eq!(first(&decoded), [block], "{name}");
        assert!(
            matches!(decode(&bytes), Err(Error::NotCovered(_))),
            "{name}"
        );
    }
}

#[test]
fn language_models_are_not_covered() {
    for name in ["prose.text.e9.v1.rcd", "json.text.e9.v1.rcd"] {
        let error = decode(&golden(name)).unwrap_err();
        assert!(matches!(error, Error::NotCovered(_)), "{name}: {error}");
    }
}
