//! The container as a whole: round trips, and every kind of damage.

use proptest::prelude::*;
use rcodec_bitstream::*;
use rcodec_core::*;

/// Writes the bytes of `pieces` as one `store`-like stream.
fn container(
    pieces: &[Vec<u8>],
    metadata: &Metadata,
    tail: &Metadata,
    latency: Latency,
) -> Vec<u8> {
    let header = StreamHeader {
        version: FORMAT_VERSION,
        codec: CodecId::STORE,
        media: MediaHeader::Bytes,
        params: Vec::new(),
        models: Vec::new(),
    };
    let mut writer = ContainerWriter::new(Vec::new(), header, metadata.clone(), latency).unwrap();
    let mut content = ContentHasher::new();
    for piece in pieces {
        content.update(&Media::Bytes(piece.clone()));
        writer.write_block(piece).unwrap();
    }
    let written = writer.finish(content.digest(), tail).unwrap();
    assert_eq!(written.out.len() as u64, written.bytes);
    written.out
}

/// Reads a stream to its end; the pieces, the metadata, and the tail.
fn read(bytes: &[u8]) -> Result<(Vec<Vec<u8>>, Metadata, Metadata)> {
    let budget = Budget::new(Limits {
        max_alloc_bytes: 64 << 20,
        ..Limits::default()
    });
    let mut reader = ContainerReader::open(bytes, budget.clone())?;
    let metadata = reader.metadata().clone();
    let mut content = ContentHasher::new();
    let mut pieces = Vec::new();
    while let Some(block) = reader.next_block()? {
        content.update(&Media::Bytes(block.payload.clone()));
        pieces.push(block.payload);
    }
    let tail = reader.finish(Some(content.digest()))?.tail;
    assert_eq!(budget.used_bytes(), 0, "all memory is given back");
    Ok((pieces, metadata, tail))
}

fn any_metadata() -> impl Strategy<Value = Metadata> {
    let item = (any::<u64>(), proptest::collection::vec(any::<u8>(), 0..50));
    proptest::collection::vec(item, 0..4).prop_map(|items| {
        let mut metadata = Metadata::default();
        for (key, value) in items {
            metadata.push(MetadataKey(key), value);
        }
        metadata
    })
}

fn any_pieces() -> impl Strategy<Value = Vec<Vec<u8>>> {
    proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..60), 0..5)
}

fn any_latency() -> impl Strategy<Value = Latency> {
    prop_oneof![Just(Latency::Smallest), Just(Latency::Live)]
}

proptest! {
    #[test]
    fn round_trip(
        pieces in any_pieces(),
        metadata in any_metadata(),
        tail in any_metadata(),
        latency in any_latency(),
    ) {
        let bytes = container(&pieces, &metadata, &tail, latency);
        let mut expected = metadata;
        // Without samples between them, nothing tells tail from head.
        let mut expected_tail = tail;
        if pieces.is_empty() {
            expected.items.append(&mut expected_tail.items);
        }
        let (read_pieces, read_metadata, read_tail) = read(&bytes).unwrap();
        prop_assert_eq!(read_pieces, pieces);
        prop_assert_eq!(read_metadata, expected);
        prop_assert_eq!(read_tail, expected_tail);
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_found(
        pieces in any_pieces(),
        metadata in any_metadata(),
        tail in any_metadata(),
        latency in any_latency(),
        bit in 0u8..8,
    ) {
        let bytes = container(&pieces, &metadata, &tail, latency);
        for i in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[i] ^= 1 << bit;
            prop_assert!(read(&damaged).is_err(), "bit {bit} of byte {i}");
            prop_assert!(read(&bytes[..i]).is_err(), "cut to {i} bytes");
        }
    }

    #[test]
    fn appended_bytes_are_found(pieces in any_pieces(), latency in any_latency(), extra in 1usize..20) {
        let mut bytes = container(&pieces, &Metadata::default(), &Metadata::default(), latency);
        let len = bytes.len() as u64;
        bytes.extend(std::iter::repeat_n(0, extra));
        let found = matches!(read(&bytes), Err(Error::Malformed { at, .. }) if at == len);
        prop_assert!(found);
    }

    #[test]
    fn random_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), valid_start: bool) {
        if valid_start && bytes.len() > 4 {
            bytes[..3].copy_from_slice(&MAGIC);
            bytes[3] = bytes[3] & 0x3f | 0x40;
        }
        prop_assert!(read(&bytes).is_err());
    }
}

/// The start offsets of the blocks of a block-form stream.
fn block_starts(bytes: &[u8]) -> Vec<usize> {
    let mut cursor = Cursor::new(&bytes[4..], 4);
    let mut starts = Vec::new();
    while !cursor.rest().is_empty() {
        starts.push(cursor.at() as usize);
        cursor.byte().unwrap();
        cursor.varint().unwrap();
        let len = cursor.varint().unwrap();
        cursor.take(2 + len + 8).unwrap();
    }
    starts.push(bytes.len());
    starts
}

#[test]
fn reordered_repeated_and_missing_blocks_are_found() {
    let pieces: Vec<Vec<u8>> = (0..4).map(|i| vec![i; 100]).collect();
    let none = Metadata::default();
    let bytes = container(&pieces, &none, &none, Latency::Live);
    let starts = block_starts(&bytes);
    let blocks: Vec<&[u8]> = starts.windows(2).map(|w| &bytes[w[0]..w[1]]).collect();
    let assemble = |order: &[usize]| {
        let mut out = bytes[..4].to_vec();
        order.iter().for_each(|&i| out.extend_from_slice(blocks[i]));
        out
    };
    assert!(read(&assemble(&[0, 1, 2, 3, 4, 5])).is_ok());
    for order in [
        &[0, 2, 1, 3, 4, 5][..],
        &[0, 1, 1, 2, 3, 4, 5],
        &[0, 1, 2, 4, 5],
        &[1, 0, 2, 3, 4, 5],
    ] {
        let error = read(&assemble(order)).unwrap_err();
        assert!(
            matches!(error, Error::Malformed { .. }),
            "{order:?}: {error}"
        );
    }
    assert!(matches!(
        read(&assemble(&[0, 1, 2, 3, 4])),
        Err(Error::Truncated { .. })
    ));
}

#[test]
fn small_files_pay_at_most_ten_bytes() {
    let none = Metadata::default();
    for (len, framing) in [(1, 9), (127, 9), (1000, 10), (16_383, 10), (16_384, 11)] {
        let bytes = container(&[vec![7; len]], &none, &none, Latency::Smallest);
        assert_eq!(bytes.len() - len, framing, "{len}");
    }
    let bytes = container(&[vec![7; 16 << 20]], &none, &none, Latency::Smallest);
    assert_eq!(bytes.len() - (16 << 20), 16);
    let bytes = container(&[], &none, &none, Latency::Smallest);
    assert_eq!(bytes.len(), 9);
}

/// Stored bytes of more than 16 MiB, as the codec `store` cuts them.
fn long_container(len: usize) -> (Vec<u8>, Vec<u8>) {
    let content: Vec<u8> = (0..len as u32)
        .map(|i| (i.wrapping_mul(0x9e37_79b1) >> 24) as u8)
        .collect();
    let pieces: Vec<Vec<u8>> = content
        .chunks(MAX_COMPACT_BYTES)
        .map(<[u8]>::to_vec)
        .collect();
    let none = Metadata::default();
    (container(&pieces, &none, &none, Latency::Smallest), content)
}

#[test]
fn stored_bytes_of_any_length_pay_sixteen_bytes() {
    let limit = MAX_COMPACT_BYTES;
    for len in [
        limit + 1,
        limit + (1 << 20) - 8,
        limit + (1 << 20),
        2 * limit,
        2 * limit + 7,
    ] {
        let (bytes, content) = long_container(len);
        assert_eq!(bytes.len(), len + 16);
        assert_eq!(bytes[8..len + 8], content);
        assert_eq!(read(&bytes).unwrap().0.concat(), content);
    }
}

#[test]
fn damage_to_long_stored_bytes_is_found() {
    let (bytes, _) = long_container(MAX_COMPACT_BYTES + 100);
    for at in [
        0,
        3,
        4,
        7,
        8,
        1 << 20,
        bytes.len() - 9,
        bytes.len() - 8,
        bytes.len() - 1,
    ] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 4;
        assert!(read(&damaged).is_err(), "bit of byte {at}");
    }
    for cut in [1, 7, 8, 99] {
        let found = read(&bytes[..bytes.len() - cut]);
        assert!(matches!(found, Err(Error::Checksum { .. })), "cut by {cut}");
    }
    for len in [8, 12, 15, 16, 1000, MAX_COMPACT_BYTES + 16] {
        let found = read(&bytes[..len]);
        assert!(
            matches!(found, Err(Error::Truncated { at }) if at == len as u64),
            "cut to {len}"
        );
    }
    for extra in [1, 8, 1 << 20] {
        let longer = [bytes.clone(), vec![0; extra]].concat();
        assert!(
            matches!(read(&longer), Err(Error::Checksum { .. })),
            "{extra} more"
        );
    }
}

#[test]
fn only_stored_bytes_may_be_open() {
    for lead in [0x41, 0x42, 0x43, 0x44, 0x50] {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&[lead, 0xff, 0xff, 0xff, 0x7f]);
        bytes.resize(MAX_COMPACT_BYTES + 100, 1);
        assert!(
            matches!(
                read(&bytes),
                Err(Error::Malformed { .. } | Error::Truncated { .. })
            ),
            "{lead:x}"
        );
    }
}

#[test]
fn what_is_not_ours_is_named() {
    let error = read(b"\x89PNG\r\n\x1a\n").unwrap_err().to_string();
    assert!(error.contains("not an rcodec file"), "{error}");
    assert!(matches!(read(b""), Err(Error::Truncated { at: 0 })));
    assert!(matches!(
        read(&[0xf7, b'r', 0x1a, 0x80, 0, 0]),
        Err(Error::Unsupported(_))
    ));
}

#[test]
fn a_compact_length_beyond_the_form_is_malformed() {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&[0x40, 0xff, 0xff, 0xff, 0xff, 0x7f]);
    assert!(matches!(read(&bytes), Err(Error::Malformed { at: 4, .. })));
}

/// Writes payloads that begin with a mark and go on with the content.
fn marked(payloads: &[&[u8]], models: usize, latency: Latency) -> (CodecId, Vec<u8>) {
    let header = StreamHeader {
        version: FORMAT_VERSION,
        codec: CodecId::TEXT,
        media: MediaHeader::Bytes,
        params: Vec::new(),
        models: vec![ModelId([7; 8]); models],
    };
    let writer = ContainerWriter::new(Vec::new(), header, Metadata::default(), latency);
    let mut writer = writer.unwrap().with_stored_mark(Some(9));
    let mut content = ContentHasher::new();
    for payload in payloads {
        content.update(&Media::Bytes(payload[1..].to_vec()));
        writer.write_block(payload).unwrap();
    }
    let written = writer
        .finish(content.digest(), &Metadata::default())
        .unwrap();
    assert_eq!(written.out.len() as u64, written.bytes);
    (written.codec, written.out)
}

#[test]
fn content_as_it_is_becomes_a_stored_stream() {
    let stored = |bytes: usize| [&[9][..], &vec![1; bytes]].concat();
    let (half, one) = (stored(MAX_COMPACT_BYTES / 2), stored(1));
    let smallest = |payloads: &[&[u8]]| marked(payloads, 1, Latency::Smallest);
    // Several blocks that fit the compact form, or a long one.
    for (payloads, content_bytes) in [
        (&[&half[..], &half][..], MAX_COMPACT_BYTES),
        (&[&one, &one, &one], 3),
        (&[&stored(1 << 21)], 1 << 21),
    ] {
        let (codec, file) = smallest(payloads);
        assert_eq!(codec, CodecId::STORE);
        assert!(file.len() <= content_bytes + 16);
        let (pieces, _, _) = read(&file).unwrap();
        assert!(pieces.concat() == vec![1; content_bytes]);
    }
    // A short one, one too many, one that is something else, and a live stream.
    let other = [8, 1, 1];
    for payloads in [
        &[&one[..]][..],
        &[&half, &half, &one],
        &[&one, &other],
        &[&other],
    ] {
        let (codec, file) = smallest(payloads);
        assert_eq!(codec, CodecId::TEXT);
        let mut reader = ContainerReader::open(&file[..], Budget::new(Limits::default())).unwrap();
        for payload in payloads {
            assert!(reader.next_block().unwrap().unwrap().payload == *payload);
        }
    }
    assert_eq!(marked(&[&one, &one], 0, Latency::Live).0, CodecId::TEXT);
}

#[test]
fn stored_bytes_of_open_length_are_stepped_over() {
    let content: Vec<u8> = (0..MAX_COMPACT_BYTES + 5)
        .map(|i| (i % 251) as u8)
        .collect();
    let (first, second) = content.split_at(MAX_COMPACT_BYTES);
    let none = Metadata::default();
    let file = container(
        &[first.to_vec(), second.to_vec()],
        &none,
        &none,
        Latency::Smallest,
    );
    for (count, expected) in [(0, 0), (1 << 24, 1 << 24), (u64::MAX, (1 << 24) + 5)] {
        let source = std::io::Cursor::new(&file);
        let mut reader = ContainerReader::open(source, Budget::new(Limits::default())).unwrap();
        assert_eq!(reader.skip_stored(count).unwrap(), expected);
        let mut rest = Vec::new();
        while let Some(block) = reader.next_block().unwrap() {
            rest.extend(block.payload);
        }
        assert!(rest == content[expected as usize..]);
        reader.finish(None).unwrap();
    }
    let (_, compact) = marked(&[&[9, 1]], 0, Latency::Smallest);
    let source = std::io::Cursor::new(&compact);
    let mut reader = ContainerReader::open(source, Budget::new(Limits::default())).unwrap();
    assert_eq!(reader.skip_stored(1).unwrap(), 0);
}
