//! Tests with a language model: the small one of `tests/models/llm-tiny`.

use crate::testing::{Encoded, decode_some, encode, pool};
use crate::tests::{context, decode_with};
use crate::{Text, add_language_model};
use proptest::prelude::*;
use rcodec_core::{Codec, EncodeContext, Error, Limits, MediaHeader, ModelId};
use std::path::Path;
use std::sync::LazyLock;

static MODEL: LazyLock<ModelId> = LazyLock::new(|| {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/models/llm-tiny");
    add_language_model(Path::new(folder), Limits::default()).unwrap()
});

const LINE: &str = "It was a bright cold day in April, and the clocks were striking. \
    The house stood where the road turned to the river, and nobody had ever asked why \
    there was no door on the side of the garden; \"It is not for us to say,\" said the \
    old man, and went on with his work as if he had all the time of the world.\n";

fn advised(effort: u8, options: &[(String, i64)]) -> EncodeContext<'_> {
    EncodeContext {
        model: Some(*MODEL),
        ..context(effort, options)
    }
}

#[test]
fn a_language_model_helps_and_is_asked_for() {
    let content = LINE.as_bytes();
    for prior in [0, 1] {
        let options = [("prior".to_owned(), prior)];
        // At effort 9 the shipped language model would help.
        let alone = encode(&Text, content, context(8, &options)).unwrap();
        let encoder = Text
            .encoder(&MediaHeader::Bytes, advised(5, &options))
            .unwrap();
        assert_eq!(encoder.models(), [*MODEL]);
        let encoded = encode(&Text, content, advised(5, &options)).unwrap();
        let (with, without) = (encoded.blocks[0].len(), alone.blocks[0].len());
        // With a prior there is little left for so small a model to say.
        let most = if prior == 0 { 97 } else { 103 };
        assert!(with * 100 < without * most, "{with} {without}");
        assert_eq!(decode_with(&encoded, vec![*MODEL]).unwrap(), content);
        let missing = ModelId([9; 8]);
        assert!(matches!(
            decode_with(&encoded, vec![missing]),
            Err(Error::ModelMissing(id)) if id == missing
        ));
        assert!(matches!(
            decode_with(&encoded, Vec::new()),
            Err(Error::Malformed { .. })
        ));
        assert!(decode_with(&encoded, vec![*MODEL; 3]).is_err());
    }
}

/// The stream is part of the format, and so are the numbers behind it.
#[test]
fn an_advised_stream_is_golden() {
    assert_eq!(MODEL.to_string(), "500edf4c16e6da02");
    let content = [LINE.as_bytes(), &[0, 255, 128, 10], LINE.as_bytes()].concat();
    for threads in [1, 3] {
        let options = [("prior".to_owned(), 0), ("block_kib".to_owned(), 1)];
        let encoded =
            pool(threads).install(|| encode(&Text, &content, advised(9, &options)).unwrap());
        let hash = blake3::hash(&encoded.blocks[0]).to_hex();
        assert_eq!(&hash[..16], "2ac654efb5694968");
        let decoded = pool(threads).install(|| decode_with(&encoded, vec![*MODEL]).unwrap());
        assert!(decoded == content);
    }
}

#[test]
fn work_and_memory_of_a_language_model_are_limited() {
    let content = LINE.as_bytes();
    let options = [("prior".to_owned(), 0)];
    let encoded = encode(&Text, content, advised(9, &options)).unwrap();
    let header = rcodec_core::StreamHeader {
        version: 1,
        codec: Text.info().id,
        media: MediaHeader::Bytes,
        params: Vec::new(),
        models: vec![*MODEL],
    };
    for limits in [
        Limits {
            max_work: 10_000_000,
            ..Limits::default()
        },
        Limits {
            max_alloc_bytes: 1 << 20,
            ..Limits::default()
        },
    ] {
        let context = rcodec_core::DecodeContext {
            budget: rcodec_core::Budget::new(limits),
            ..Default::default()
        };
        let mut decoder = Text.decoder(&header, context).unwrap();
        let mut source = crate::tests::Blocks::new(&encoded);
        let result = decoder.next_unit(&mut source);
        assert!(matches!(result, Err(Error::Limit(_))), "{result:?}");
    }
    // Without limits, but also without its header.
    assert!(decode_some(&Text, &encoded, Default::default()).1.is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_come_back(
        start in 0usize..200,
        noise in prop::collection::vec(any::<u8>(), 0..150),
        flip in prop::option::of((any::<prop::sample::Index>(), 1u8..)),
    ) {
        let content = [&LINE.as_bytes()[start..start + 100], &noise, b"\xe2\x96\x81the \xff"].concat();
        let mut encoded = encode(&Text, &content, advised(9, &[("prior".to_owned(), 0)])).unwrap();
        prop_assert!(decode_with(&encoded, vec![*MODEL]).unwrap() == content);
        if let Some((index, flip)) = flip {
            damage(&mut encoded, index, flip);
            let _ = decode_with(&encoded, vec![*MODEL]);
        }
    }
}

fn damage(encoded: &mut Encoded, index: prop::sample::Index, flip: u8) {
    let payload = &mut encoded.blocks[0];
    // Not the length, which could ask for much work.
    let index = 3 + index.index(payload.len() - 3);
    payload[index] ^= flip;
}
