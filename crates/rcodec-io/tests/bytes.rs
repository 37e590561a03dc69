//! Files of no known format, and files that are kept as they are.

mod common;

use common::{drain, read, read_slowly, read_with, restore};
use proptest::prelude::*;
use rcodec_core::Media;
use rcodec_io::{ReadOptions, SourceKind, open};
use std::io::Cursor;

#[test]
fn small_files_carry_no_metadata() {
    for file in [
        &b""[..],
        b"x",
        b"Dear diary,\n",
        b"\xFF\xD8\xFF\xE0 a JPEG",
        b"fLaC",
    ] {
        let content = read(file);
        assert!(content.is_bytes() && content.metadata.is_empty() && content.tail.is_empty());
        assert_eq!(content.note, None);
        assert_eq!(restore(&content), file);
    }
}

#[test]
fn pieces_are_bounded() {
    let file: Vec<u8> = (0..1_000_003u32)
        .map(|i| (i.wrapping_mul(i) >> 5) as u8)
        .collect();
    let content = read(&file);
    for unit in &content.units {
        assert!(matches!(unit, Media::Bytes(bytes) if bytes.len() <= 1 << 20));
    }
    assert!(restore(&content) == file);
}

#[test]
fn bytes_can_be_asked_for() {
    let file = b"RIFF\x2C\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x44\xAC\0\0\x88\x58\x01\0\x02\0\x10\0data\x08\0\0\0abcdefgh";
    assert!(!read(file).is_bytes());
    let options = ReadOptions {
        bytes: true,
        ..ReadOptions::default()
    };
    let content = read_with(file, &options);
    assert!(content.is_bytes() && content.note.is_none());
    assert_eq!(restore(&content), file);
    let source = open(Box::new(Cursor::new(file)), &options, &common::budget()).unwrap();
    assert_eq!(source.kind(), SourceKind::Wav);
    assert_eq!(restore(&drain(source)), file);
}

proptest! {
    #[test]
    fn any_bytes(file in prop::collection::vec(any::<u8>(), 0..6000)) {
        let content = read(&file);
        prop_assert_eq!(restore(&content), file.clone());
        prop_assert_eq!(read_slowly(&file), content);
    }
}
