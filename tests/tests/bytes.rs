//! What the codec of any bytes owes to inputs that are not plain text.

use rcodec::{Codec, CodecId, DecodeContext, Effort, EncodeContext, Media, MediaHeader};

/// Bytes without any pattern.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let next = |state: &mut u64| {
        *state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (*state >> 56) as u8
    };
    (0..len).map(|_| next(&mut state)).collect()
}

fn prose() -> String {
    let nouns = ["bridge", "river", "council", "winter", "stone", "letter"];
    let verbs = ["remembers", "carries", "waits for", "forgets", "outlasts"];
    let sentences = (0..400usize).map(|i| {
        let mixed = i.wrapping_mul(2_654_435_761) >> 7;
        let (a, b, c) = (
            nouns[mixed % 6],
            verbs[mixed / 7 % 5],
            nouns[mixed / 41 % 6],
        );
        format!("The {a} of the year {} {b} the {c}.\n", 1500 + mixed % 480)
    });
    sentences.collect()
}

fn encode(content: &[u8], effort: u8) -> Vec<u8> {
    let codec: &dyn Codec = rcodec::codec_named("text").unwrap();
    let context = EncodeContext {
        effort: Effort::new(effort).unwrap(),
        ..EncodeContext::default()
    };
    let units = [Media::Bytes(content.to_vec())];
    let file = rcodec::encode(codec, &MediaHeader::Bytes, units, context).unwrap();
    let decoded = rcodec::decode(&file, DecodeContext::default()).unwrap();
    let bytes: Vec<u8> = decoded
        .units
        .iter()
        .flat_map(|unit| match unit {
            Media::Bytes(bytes) => bytes.as_slice(),
            _ => &[],
        })
        .copied()
        .collect();
    assert!(bytes == content, "other bytes came back");
    file
}

#[test]
fn nothing_grows_by_more_than_sixteen_bytes() {
    let mut contents: Vec<Vec<u8>> = (0..40).map(noise).collect();
    contents.extend([1000, 4096, 65_537, 300_000].map(noise));
    contents.extend((0..=255).map(|byte| vec![byte]));
    contents.push((0..=255).collect());
    contents.push([noise(5000), prose().into_bytes(), noise(5000)].concat());
    for content in contents {
        for effort in [5, 9] {
            let file = encode(&content, effort);
            let most = content.len() + 16;
            assert!(
                file.len() <= most,
                "{} bytes became {}",
                content.len(),
                file.len()
            );
        }
    }
}

/// Encodes by a codec; what comes back is the same, and the codec that the file
/// names is given back with it.
fn encode_by(codec: &str, content: &[u8], effort: u8) -> (CodecId, usize) {
    let codec: &dyn Codec = rcodec::codec_named(codec).unwrap();
    let context = EncodeContext {
        effort: Effort::new(effort).unwrap(),
        ..EncodeContext::default()
    };
    // As from a pipe: nobody says how much there will be.
    let units = content
        .chunks(1 << 20)
        .map(|chunk| Media::Bytes(chunk.to_vec()));
    let file = rcodec::encode(codec, &MediaHeader::Bytes, units, context).unwrap();
    let decoded = rcodec::decode(&file, DecodeContext::default()).unwrap();
    let mut rest = content;
    for unit in decoded.units {
        let bytes = unit.into_bytes().unwrap();
        assert!(rest.starts_with(&bytes), "other bytes came back");
        rest = &rest[bytes.len()..];
    }
    assert!(rest.is_empty(), "bytes are missing");
    (decoded.header.codec, file.len())
}

#[test]
fn long_noise_of_unknown_length_grows_by_no_more() {
    const MIB: usize = 1 << 20;
    let all = noise(16 * MIB + 1);
    // Around the lengths where the framing changes, and blocks of 8 MiB.
    for len in [2 * MIB - 1, 2 * MIB, 8 * MIB, 8 * MIB + 1, 16 * MIB] {
        for (codec, effort) in [("zstd", 1), ("text", 5), ("text", 9)] {
            let (told, file) = encode_by(codec, &all[..len], effort);
            assert!(file <= len + 16, "{len} by {codec}: {file}");
            if len >= 2 * MIB {
                assert_eq!(told, CodecId::STORE);
            }
        }
    }
    // Longer ones are blocks, as what comes might be text: 17 bytes for each,
    // and 42.
    let (told, file) = encode_by("text", &all, 5);
    assert_eq!(told, CodecId::TEXT);
    assert!(file <= all.len() + 42 + 3 * 17, "{file}");
}

#[test]
fn text_behind_noise_is_still_compressed() {
    let text = prose().repeat(4);
    let mixed = [noise(8 << 20), text.clone().into_bytes()].concat();
    let (told, file) = encode_by("text", &mixed, 5);
    assert_eq!(told, CodecId::TEXT);
    assert!(file < (8 << 20) + text.len() / 8, "{file}");
}

#[test]
fn wide_characters_and_mixed_contents_shrink_like_their_text() {
    let text = prose();
    let narrow = encode(text.as_bytes(), 5).len();
    let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    for wide in [little, big] {
        let bytes = encode(&wide, 5).len();
        assert!(
            bytes * 2 < narrow * 3,
            "{bytes} of UTF-16, {narrow} of UTF-8"
        );
    }
    // Noise costs itself, and does not spoil the rest.
    let mixed = [text.as_bytes(), &noise(20_000), text.as_bytes()].concat();
    let bytes = encode(&mixed, 5).len();
    assert!(
        bytes < 20_000 + narrow + narrow / 2 + 600,
        "{bytes} of mixed, {narrow} of text"
    );
}
