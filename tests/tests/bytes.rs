//! What the codec of any bytes owes to inputs that are not plain text.

use rcodec::{Codec, DecodeContext, Effort, EncodeContext, Media, MediaHeader};

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
