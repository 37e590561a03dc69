//! Tests of both codecs through the interface that everyone uses.

use crate::testing::{Encoded, decode, decode_some, encode, encode_units, noise, pool, text};
use crate::{DictionaryId, Store, Zstd, train_dictionary};
use proptest::prelude::*;
use rcodec_core::{
    Budget, Codec, DecodeContext, Effort, EncodeContext, Error, Flow, ImageHeader, Limits, Media,
    MediaHeader, Progress, Rate,
};
use std::time::{Duration, Instant};

const CODECS: [&dyn Codec; 2] = [&Store, &Zstd];

fn options(options: &[(&str, i64)]) -> Vec<(String, i64)> {
    options.iter().map(|&(n, v)| (n.to_string(), v)).collect()
}

fn limited(limits: Limits) -> DecodeContext<'static> {
    DecodeContext {
        budget: Budget::new(limits),
        ..DecodeContext::default()
    }
}

/// Content of several kinds in a row.
fn content() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        (0usize..5000).prop_map(text),
        (0usize..5000, any::<u64>()).prop_map(|(len, seed)| noise(len, seed)),
        (0usize..300_000, any::<u8>()).prop_map(|(len, byte)| vec![byte; len]),
        prop::collection::vec(any::<u8>(), 0..50),
        prop::collection::vec(0u8..3, 0..2000),
    ];
    prop::collection::vec(part, 0..4).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn everything_comes_back(content in content(), effort in 1u8..=9) {
        for codec in CODECS {
            let context = EncodeContext { effort: Effort::new(effort).unwrap(), ..EncodeContext::default() };
            let budget = context.budget.clone();
            let encoded = encode(codec, &content, context).unwrap();
            prop_assert_eq!(budget.used_bytes(), 0);
            prop_assert!(decode(codec, &encoded, DecodeContext::default()).unwrap() == content);
        }
    }

    #[test]
    fn cutting_the_input_changes_nothing(
        content in content(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(content.len() + 1)).collect();
        cuts.push(0);
        cuts.push(content.len());
        cuts.sort_unstable();
        for codec in CODECS {
            let units = cuts.windows(2).map(|cut| &content[cut[0]..cut[1]]);
            let pieces = encode_units(codec, units, EncodeContext::default()).unwrap();
            let whole = encode(codec, &content, EncodeContext::default()).unwrap();
            prop_assert!(pieces == whole);
        }
    }

    #[test]
    fn damage_ends_in_an_error_or_in_data(
        content in content(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 0..4),
        keep in any::<prop::sample::Index>(),
        cut in any::<bool>(),
        tail in prop::collection::vec(any::<u8>(), 0..3),
    ) {
        let mut encoded = encode(&Zstd, &content, EncodeContext::default()).unwrap();
        for payload in &mut encoded.blocks {
            for (index, flip) in &flips {
                let index = index.index(payload.len());
                payload[index] ^= flip;
            }
            if cut {
                payload.truncate(keep.index(payload.len()));
            }
            payload.extend(&tail);
        }
        let limits = Limits { max_samples: 1 << 30, max_alloc_bytes: 1 << 26, ..Limits::default() };
        let _ = decode(&Zstd, &encoded, limited(limits));
    }

    #[test]
    fn any_payload_ends(payload in prop::collection::vec(any::<u8>(), 0..200)) {
        for codec in CODECS {
            let encoded = Encoded { params: Vec::new(), blocks: vec![payload.clone()] };
            let _ = decode(codec, &encoded, DecodeContext::default());
        }
    }
}

/// Readers that seek count on it.
#[test]
fn pieces_of_several_lengths_are_refused() {
    let raw = |bytes: usize| crate::payload::raw(&vec![7; bytes]);
    for (lengths, is_fine) in [
        (&[5, 5, 5][..], true),
        (&[5, 5, 2], true),
        (&[5, 2, 5], false),
        (&[5, 2, 2], false),
        (&[2, 5], false),
    ] {
        let encoded = Encoded {
            params: Vec::new(),
            blocks: lengths.iter().map(|&bytes| raw(bytes)).collect(),
        };
        let decoded = decode(&Zstd, &encoded, DecodeContext::default());
        assert_eq!(decoded.is_ok(), is_fine, "{lengths:?}");
    }
}

/// Text and noise of several pieces (of 8 MiB, at this effort).
fn several_pieces() -> Vec<u8> {
    [text(12 << 20), noise(9 << 20, 5), text(5 << 20)].concat()
}

fn effort_2<'a>() -> EncodeContext<'a> {
    EncodeContext {
        effort: Effort::new(2).unwrap(),
        ..EncodeContext::default()
    }
}

#[test]
fn threads_change_nothing() {
    let content = several_pieces();
    let mut all = [1, 2, 5]
        .map(|threads| pool(threads).install(|| encode(&Zstd, &content, effort_2()).unwrap()));
    assert_eq!(all[0].blocks.len(), 4);
    assert!(all[0] == all[1] && all[0] == all[2]);
    for threads in [1, 2, 5] {
        let decoded =
            pool(threads).install(|| decode(&Zstd, &all[0], DecodeContext::default()).unwrap());
        assert!(decoded == content, "{threads} threads");
    }
    // Every block decodes alone: without the first, the rest comes out.
    all[0].blocks.remove(0);
    let rest = decode(&Zstd, &all[0], DecodeContext::default()).unwrap();
    assert!(rest == content[8 << 20..]);
}

#[test]
fn little_memory_is_enough_at_any_number_of_threads() {
    let content = several_pieces();
    let encoded = encode(&Zstd, &content, effort_2()).unwrap();
    pool(8).install(|| {
        // A payload of 8 MiB, a window of as much, and some.
        let limits = Limits {
            max_alloc_bytes: 20 << 20,
            ..Limits::default()
        };
        assert!(decode(&Zstd, &encoded, limited(limits)).unwrap() == content);
        let context = EncodeContext {
            budget: Budget::new(Limits {
                max_alloc_bytes: 25 << 20,
                ..Limits::default()
            }),
            ..effort_2()
        };
        assert!(encode(&Zstd, &content, context).unwrap() == encoded);
    });
}

#[test]
fn empty_input_is_no_block() {
    for codec in CODECS {
        let encoded = encode(codec, &[], EncodeContext::default()).unwrap();
        assert!(encoded.blocks.is_empty() && encoded.params.is_empty());
        assert!(
            decode(codec, &encoded, DecodeContext::default())
                .unwrap()
                .is_empty()
        );
        // An empty block is allowed and is nothing.
        let empty = Encoded {
            params: Vec::new(),
            blocks: vec![Vec::new(); 3],
        };
        assert!(
            decode(codec, &empty, DecodeContext::default())
                .unwrap()
                .is_empty()
        );
    }
}

#[test]
fn short_inputs_pay_at_most_a_byte() {
    for len in 1..200 {
        let encoded = encode(&Zstd, &noise(len, 9), EncodeContext::default()).unwrap();
        assert!(encoded.blocks[0].len() <= len + 1);
        let encoded = encode(&Store, &noise(len, 9), EncodeContext::default()).unwrap();
        assert_eq!(encoded.blocks[0].len(), len);
    }
}

fn letters() -> Vec<Vec<u8>> {
    let letter = |i: usize| {
        let body = text(400 + i);
        let number = noise(2, i as u64);
        format!(
            "Dear customer {number:?},\nthank you for your order of {i} boxes.\n{}",
            String::from_utf8_lossy(&body[i..i + 120])
        )
    };
    (0..300).map(|i| letter(i).into_bytes()).collect()
}

#[test]
fn dictionaries_help_and_are_named_when_missing() {
    let letters = letters();
    let trained = train_dictionary(&letters, 4000).unwrap();
    assert!(trained.len() <= 4000);
    let plain = encode(&Zstd, &letters[7], EncodeContext::default()).unwrap();
    // Trained ones and any bytes, longer than a lone block's window as well.
    for dictionary in [trained, letters.concat(), letters.concat().repeat(5)] {
        for effort in [1, 5, 9] {
            let context = EncodeContext {
                dictionary: &dictionary,
                effort: Effort::new(effort).unwrap(),
                ..EncodeContext::default()
            };
            let encoded = encode(&Zstd, &letters[7], context).unwrap();
            let (with, without) = (encoded.blocks[0].len(), plain.blocks[0].len());
            assert!(with * 10 < without * 9, "{with} of {without}");
            let with = |dictionary| DecodeContext {
                dictionary,
                ..DecodeContext::default()
            };
            assert!(decode(&Zstd, &encoded, with(&dictionary)).unwrap() == letters[7]);
            let name = DictionaryId::of(&dictionary).to_string();
            for wrong in [&b""[..], b"something else", &dictionary[1..]] {
                let error = decode(&Zstd, &encoded, with(wrong)).unwrap_err();
                assert!(matches!(&error, Error::Parameter(what) if what.contains(&name)));
            }
        }
    }
    // A dictionary that is not needed does no harm.
    let spare = DecodeContext {
        dictionary: b"spare",
        ..DecodeContext::default()
    };
    assert!(decode(&Zstd, &plain, spare).unwrap() == letters[7]);
}

#[test]
fn damaged_dictionaries_are_reported() {
    let mut dictionary = train_dictionary(&letters(), 4000).unwrap();
    dictionary.truncate(20);
    let context = EncodeContext {
        dictionary: &dictionary,
        ..EncodeContext::default()
    };
    let error = encode(&Zstd, b"text", context).unwrap_err();
    assert!(
        matches!(&error, Error::Parameter(what) if what.contains("dictionary")),
        "{error}"
    );
    let encoded = Encoded {
        params: DictionaryId::of(&dictionary).0.to_be_bytes().to_vec(),
        blocks: Vec::new(),
    };
    let context = DecodeContext {
        dictionary: &dictionary,
        ..DecodeContext::default()
    };
    let error = decode(&Zstd, &encoded, context).unwrap_err();
    assert!(matches!(error, Error::Parameter(what) if what.contains("dictionary")));
}

#[test]
fn dictionaries_serve_every_piece() {
    let dictionary = noise(100_000, 1);
    let mut content = text(17 << 20);
    for start in [0, 8 << 20, 16 << 20] {
        content[start..start + 100_000].copy_from_slice(&dictionary);
    }
    let context = || EncodeContext {
        dictionary: &dictionary,
        ..effort_2()
    };
    let encoded = encode(&Zstd, &content, context()).unwrap();
    let alone = encode(&Zstd, &content, effort_2()).unwrap();
    for (with, without) in encoded.blocks.iter().zip(&alone.blocks) {
        assert!(with.len() + 90_000 < without.len());
    }
    let context = DecodeContext {
        dictionary: &dictionary,
        ..DecodeContext::default()
    };
    assert!(decode(&Zstd, &encoded, context).unwrap() == content);
}

#[test]
fn long_windows_find_what_is_far_away() {
    let noise = noise(1 << 20, 4);
    let content = [&noise[..], &text(9 << 20), &noise].concat();
    let options = options(&[("long", 24), ("level", 1)]);
    let context = EncodeContext {
        options: &options,
        ..EncodeContext::default()
    };
    let long = encode(&Zstd, &content, context).unwrap();
    let short = encode(&Zstd, &content, effort_2()).unwrap();
    let bytes = |encoded: &Encoded| encoded.blocks.iter().map(Vec::len).sum::<usize>();
    assert_eq!(long.blocks.len(), 1);
    assert!(bytes(&long) + 900_000 < bytes(&short));
    assert!(decode(&Zstd, &long, DecodeContext::default()).unwrap() == content);
    // A reader that will not spend the window says so.
    let limits = Limits {
        max_alloc_bytes: 10 << 20,
        ..Limits::default()
    };
    assert!(matches!(
        decode(&Zstd, &long, limited(limits)),
        Err(Error::Limit(_))
    ));
}

/// A payload of some kilobytes that expands to some gigabytes: blocks that
/// each repeat one byte 128 Ki times.
fn bomb(blocks: usize) -> Vec<u8> {
    let mut payload = vec![17 << 2 | 1];
    for i in 0..blocks {
        let is_last = u32::from(i + 1 == blocks);
        let header = is_last | 1 << 1 | (128 << 10) << 3;
        payload.extend(&header.to_le_bytes()[..3]);
        payload.push(b'x');
    }
    payload
}

#[test]
fn bombs_stop_at_the_limits() {
    let bombs = Encoded {
        params: Vec::new(),
        blocks: vec![bomb(100_000); 20],
    };
    let limits = Limits {
        max_samples: 10_000_000,
        max_alloc_bytes: 40 << 20,
        ..Limits::default()
    };
    let began = Instant::now();
    let (content, result) = decode_some(&Zstd, &bombs, limited(limits));
    assert!(matches!(result, Err(Error::Limit("samples"))), "{result:?}");
    assert!(content.len() <= 10_000_000);
    assert!(content.iter().all(|&byte| byte == b'x'));
    assert!(began.elapsed() < Duration::from_secs(5));
    // Within the limits it is a file like any other.
    let small = Encoded {
        params: Vec::new(),
        blocks: vec![bomb(100)],
    };
    assert_eq!(
        decode(&Zstd, &small, DecodeContext::default())
            .unwrap()
            .len(),
        100 << 17
    );
}

#[test]
fn windows_are_charged_before_they_are_believed() {
    let frame = |window_log: u8| Encoded {
        params: Vec::new(),
        blocks: vec![vec![window_log << 2 | 1, 1, 0, 0]],
    };
    assert!(
        decode(&Zstd, &frame(30), DecodeContext::default())
            .unwrap()
            .is_empty()
    );
    let limits = Limits {
        max_alloc_bytes: 1 << 30,
        ..Limits::default()
    };
    assert!(matches!(
        decode(&Zstd, &frame(30), limited(limits)),
        Err(Error::Limit(_))
    ));
    for window_log in [31, 40, 63] {
        let refused = decode(&Zstd, &frame(window_log), DecodeContext::default());
        assert!(matches!(refused, Err(Error::Limit(_))));
    }
}

#[test]
fn cut_and_lengthened_payloads_are_told_apart() {
    // A frame of two blocks, so that its end is marked inside.
    let content = text(200_000);
    let whole = encode(&Zstd, &content, EncodeContext::default()).unwrap();
    let len = whole.blocks[0].len();
    for keep in [1, 2, 5, 100, len / 2, len - 1] {
        let mut cut = whole.clone();
        cut.blocks[0].truncate(keep);
        // Blocks stand at 1000, 2000, …
        match decode(&Zstd, &cut, DecodeContext::default()) {
            Err(Error::Truncated { at }) => assert_eq!(at, 1000 + keep as u64),
            other => panic!("{keep} bytes: {other:?}"),
        }
    }
    let mut longer = whole.clone();
    longer.blocks[0].push(0);
    let error = decode(&Zstd, &longer, DecodeContext::default()).unwrap_err();
    assert!(matches!(error, Error::Malformed { at, .. } if at == 1000 + len as u64));
    // What came before the damaged block comes out first.
    let damaged = Encoded {
        params: Vec::new(),
        blocks: vec![
            whole.blocks[0].clone(),
            vec![2 << 2 | 1],
            whole.blocks[0].clone(),
        ],
    };
    let (before, result) = decode_some(&Zstd, &damaged, DecodeContext::default());
    assert!(before == content);
    assert!(matches!(result, Err(Error::Malformed { at: 2000, .. })));
}

#[test]
fn unknown_parameters_are_refused() {
    for codec in CODECS {
        let encoded = Encoded {
            params: vec![1, 2, 3],
            blocks: Vec::new(),
        };
        let error = decode(codec, &encoded, DecodeContext::default()).unwrap_err();
        assert!(error.is_bad_input());
        let options = options(&[("levle", 3)]);
        let context = EncodeContext {
            options: &options,
            ..EncodeContext::default()
        };
        let error = encode(codec, b"", context).unwrap_err();
        assert!(matches!(error, Error::Parameter(what) if what.contains("levle")));
        let context = EncodeContext {
            rate: Rate::Quality(50.0),
            ..EncodeContext::default()
        };
        assert!(matches!(
            encode(codec, b"", context),
            Err(Error::Parameter(_))
        ));
        let picture = MediaHeader::Image(ImageHeader {
            width: 1,
            height: 1,
            color: rcodec_core::ColorType::Gray,
            bits: 8,
            palette: Vec::new(),
        });
        let refused = codec.encoder(&picture, EncodeContext::default());
        assert!(matches!(refused.err(), Some(Error::Unsupported(_))));
    }
    let context = EncodeContext {
        dictionary: b"bytes",
        ..EncodeContext::default()
    };
    assert!(matches!(
        encode(&Store, b"", context),
        Err(Error::Parameter(_))
    ));
}

#[test]
fn units_that_are_not_bytes_are_refused() {
    for codec in CODECS {
        let mut encoder = codec
            .encoder(&MediaHeader::Bytes, EncodeContext::default())
            .unwrap();
        let sound = Media::Audio(rcodec_core::AudioBlock {
            samples: Vec::new(),
        });
        let mut sink = Encoded {
            params: Vec::new(),
            blocks: Vec::new(),
        };
        assert!(matches!(
            encoder.write(sound, &mut sink),
            Err(Error::Parameter(_))
        ));
    }
}

struct CancelAfter(u64);

impl Progress for CancelAfter {
    fn update(&self, done: u64, _total: Option<u64>) -> Flow {
        if done > self.0 {
            Flow::Cancel
        } else {
            Flow::Continue
        }
    }
}

#[test]
fn work_can_be_cancelled() {
    let content = text(10 << 20);
    let progress = CancelAfter(3 << 20);
    for codec in CODECS {
        let context = EncodeContext {
            progress: &progress,
            ..effort_2()
        };
        assert!(matches!(
            encode(codec, &content, context),
            Err(Error::Cancelled)
        ));
        let encoded = encode(codec, &content, effort_2()).unwrap();
        let context = DecodeContext {
            progress: &progress,
            ..DecodeContext::default()
        };
        let (some, result) = decode_some(codec, &encoded, context);
        assert!(matches!(result, Err(Error::Cancelled)));
        assert_eq!(some.len(), 3 << 20);
    }
}

#[test]
fn the_examples_of_the_specification_decode() {
    let run = "a".repeat(1000);
    let block = [0x08, 0x61, 0x01, 0x00, 0xe4, 0x2b, 0x20, 0x04];
    for (payload, content) in [(&[0x01, 0x61][..], "a"), (&block, &run)] {
        let encoded = Encoded {
            params: Vec::new(),
            blocks: vec![payload.to_vec()],
        };
        let decoded = decode(&Zstd, &encoded, DecodeContext::default()).unwrap();
        assert_eq!(decoded, content.as_bytes());
    }
}
