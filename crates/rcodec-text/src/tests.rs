//! Tests of the codec through the interface that everyone uses.

use crate::Text;
use crate::testing::{Encoded, decode, decode_some, encode, encode_units, noise, pool, text};
use crate::{PriorOptions, content_bytes, train_prior};
use proptest::prelude::*;
use rcodec_core::{
    Block, BlockSource, Budget, Codec, DecodeContext, Effort, EncodeContext, Error, Flow, Limits,
    Media, MediaHeader, ModelId, Progress, Rate, StreamHeader,
};
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) fn context<'a>(effort: u8, options: &'a [(String, i64)]) -> EncodeContext<'a> {
    EncodeContext {
        effort: Effort::new(effort).unwrap(),
        options,
        ..EncodeContext::default()
    }
}

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
        (0usize..3000).prop_map(text),
        (0usize..2000, any::<u64>()).prop_map(|(len, seed)| noise(len, seed)),
        (0usize..10_000, any::<u8>()).prop_map(|(len, byte)| vec![byte; len]),
        prop::collection::vec(any::<u8>(), 0..50),
        prop::collection::vec(0u8..3, 0..1000),
        Just((0..=255).collect()),
        "(\\{\"[a-z]{1,8}\": \\[[0-9]{1,5}(, [0-9]{1,5}){0,9}\\]\\}\n){0,20}"
            .prop_map(String::into_bytes),
        "\\PC{0,200}".prop_map(String::into_bytes),
        // Brackets and quotes that never close.
        "[<({\\[\"]{0,300}".prop_map(String::into_bytes),
    ];
    prop::collection::vec(part, 0..4).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn everything_comes_back(
        content in content(),
        effort in 4u8..=9,
        table_bits in prop::option::of(8i64..=12),
        block_kib in prop::option::of(1i64..=9),
        prior in 0i64..=30,
    ) {
        // Seldom one of the released ones: unpacking them takes long here.
        let mut chosen = vec![("prior".to_string(), if prior <= 3 { prior } else { 0 })];
        chosen.extend(table_bits.map(|bits| ("table_bits".to_string(), bits)));
        chosen.extend(block_kib.map(|kib| ("block_kib".to_string(), kib)));
        let context = context(effort, &chosen);
        let budget = context.budget.clone();
        let encoded = encode(&Text, &content, context).unwrap();
        prop_assert_eq!(budget.used_bytes(), 0);
        let payload_bytes: usize = encoded.blocks.iter().map(Vec::len).sum();
        prop_assert!(payload_bytes <= content.len() + encoded.blocks.len());
        prop_assert!(decode(&Text, &encoded, DecodeContext::default()).unwrap() == content);
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
        let chosen = options(&[("block_kib", 2), ("table_bits", 8), ("prior", 0)]);
        let units = cuts.windows(2).map(|cut| &content[cut[0]..cut[1]]);
        let pieces = encode_units(&Text, units, context(5, &chosen)).unwrap();
        let whole = encode(&Text, &content, context(5, &chosen)).unwrap();
        prop_assert!(pieces == whole);
    }

    #[test]
    fn damage_ends_in_an_error_or_in_data(
        content in content(),
        effort in 5u8..=7,
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 0..4),
        keep in any::<prop::sample::Index>(),
        cut in any::<bool>(),
        tail in prop::collection::vec(any::<u8>(), 0..3),
    ) {
        let cold = options(&[("prior", 0)]);
        let mut encoded = encode(&Text, &content, context(effort, &cold)).unwrap();
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
        let limits = Limits { max_samples: 1 << 16, max_alloc_bytes: 1 << 26, ..Limits::default() };
        let _ = decode(&Text, &encoded, limited(limits));
    }

    #[test]
    fn any_payload_ends(payload in prop::collection::vec(any::<u8>(), 0..100)) {
        let encoded = Encoded { params: Vec::new(), blocks: vec![payload] };
        let limits = Limits { max_samples: 1 << 20, max_alloc_bytes: 1 << 27, ..Limits::default() };
        let _ = decode(&Text, &encoded, limited(limits));
    }
}

#[test]
fn nothing_is_nothing() {
    let encoded = encode(&Text, &[], EncodeContext::default()).unwrap();
    assert!(encoded.blocks.is_empty() && encoded.params.is_empty());
    let decoded = decode(&Text, &encoded, DecodeContext::default()).unwrap();
    assert!(decoded.is_empty());
}

#[test]
fn text_shrinks_and_noise_costs_a_byte() {
    let content = text(100_000);
    let encoded = encode(&Text, &content, EncodeContext::default()).unwrap();
    // 16 words: 4 bits for some 5 bytes.
    assert!(encoded.blocks[0].len() < content.len() * 13 / 100);
    for len in [1, 100, 200_000] {
        let content = noise(len, 9);
        let encoded = encode(&Text, &content, EncodeContext::default()).unwrap();
        assert_eq!(encoded.blocks[0].len(), len + 1);
        assert_eq!(
            decode(&Text, &encoded, DecodeContext::default()).unwrap(),
            content
        );
    }
    let twice = noise(1 << 17, 3).repeat(2);
    let encoded = encode(&Text, &twice, EncodeContext::default()).unwrap();
    assert!(encoded.blocks[0].len() < twice.len() * 6 / 10);
}

#[test]
fn threads_change_nothing() {
    let chosen = options(&[("block_kib", 20), ("prior", 0)]);
    let content = [text(50_000), noise(30_000, 5), text(30_000)].concat();
    let [one, three] = [1, 3].map(|threads| {
        pool(threads).install(|| encode(&Text, &content, context(5, &chosen)).unwrap())
    });
    assert_eq!(one.blocks.len(), 6);
    assert!(one == three);
    for threads in [1, 3] {
        let decoded =
            pool(threads).install(|| decode(&Text, &one, DecodeContext::default()).unwrap());
        assert!(decoded == content);
    }
}

#[test]
fn blocks_before_a_broken_one_come_out() {
    let chosen = options(&[("block_kib", 4), ("prior", 0)]);
    let content = text(10_000);
    let mut encoded = encode(&Text, &content, context(5, &chosen)).unwrap();
    encoded.blocks[1].truncate(20);
    let (before, result) = decode_some(&Text, &encoded, DecodeContext::default());
    assert!(before == content[..4096]);
    // The second block begins at byte 2000 of this source.
    assert!(
        matches!(result, Err(Error::Truncated { at: 2020 })),
        "{result:?}"
    );
}

#[test]
fn absurd_claims_meet_the_limits() {
    // 64 MiB of content and the largest table.
    let payload = vec![2 | 8, 0x80, 0x80, 0x80, 0x20, 24, 0, 0];
    let encoded = Encoded {
        params: Vec::new(),
        blocks: vec![payload],
    };
    for limits in [
        Limits {
            max_alloc_bytes: 1 << 28,
            ..Limits::default()
        },
        Limits {
            max_samples: 1 << 20,
            ..Limits::default()
        },
        Limits {
            max_work: 1 << 20,
            ..Limits::default()
        },
    ] {
        let error = decode(&Text, &encoded, limited(limits)).unwrap_err();
        assert!(matches!(error, Error::Limit(_)), "{error}");
    }
}

/// Cancels after so many calls.
struct CancelAfter(AtomicU64);

impl Progress for CancelAfter {
    fn update(&self, _done: u64, _total: Option<u64>) -> Flow {
        match self.0.fetch_sub(1, Ordering::Relaxed) {
            0..=1 => Flow::Cancel,
            _ => Flow::Continue,
        }
    }
}

#[test]
fn both_directions_can_be_cancelled() {
    let content = text(100_000);
    let progress = CancelAfter(AtomicU64::new(2));
    let cancelled = EncodeContext {
        progress: &progress,
        ..EncodeContext::default()
    };
    assert!(matches!(
        encode(&Text, &content, cancelled),
        Err(Error::Cancelled)
    ));
    let encoded = encode(&Text, &content, EncodeContext::default()).unwrap();
    let progress = CancelAfter(AtomicU64::new(2));
    let cancelled = DecodeContext {
        progress: &progress,
        ..DecodeContext::default()
    };
    assert!(matches!(
        decode(&Text, &encoded, cancelled),
        Err(Error::Cancelled)
    ));
}

#[test]
fn memory_is_bounded_whatever_the_length() {
    let chosen = options(&[("block_kib", 16), ("table_bits", 8), ("prior", 0)]);
    let limits = Limits {
        max_alloc_bytes: 24 << 20,
        ..Limits::default()
    };
    let content = text(200_000);
    let budget = Budget::new(limits.clone());
    let bounded = EncodeContext {
        budget,
        ..context(5, &chosen)
    };
    let encoded = pool(2)
        .install(|| encode(&Text, &content, bounded))
        .unwrap();
    let decoded = pool(2)
        .install(|| decode(&Text, &encoded, limited(limits)))
        .unwrap();
    assert!(decoded == content);
}

#[test]
fn memory_asked_for_is_kept_at_every_effort() {
    // Without the option, the default class alone takes more than this.
    let limits = Limits {
        max_alloc_bytes: 20 << 20,
        ..Limits::default()
    };
    let content = text(300_000);
    let chosen = options(&[("memory_mib", 16)]);
    for effort in [1, 9] {
        let bounded = EncodeContext {
            budget: Budget::new(limits.clone()),
            ..context(effort, &chosen)
        };
        let encoded = pool(1)
            .install(|| encode(&Text, &content, bounded))
            .unwrap();
        let decoded = pool(1)
            .install(|| decode(&Text, &encoded, limited(limits.clone())))
            .unwrap();
        assert!(decoded == content);
    }
    let unbounded = EncodeContext {
        budget: Budget::new(limits),
        ..context(1, &[])
    };
    let error = pool(1).install(|| encode(&Text, &content, unbounded).err());
    assert!(matches!(error, Some(Error::Limit(_))), "{error:?}");
}

#[test]
fn every_block_is_decoded_by_itself() {
    let chosen = options(&[("block_kib", 4), ("prior", 0)]);
    let content = [text(9_000), noise(3_000, 8), text(9_000)].concat();
    for effort in [5, 9] {
        let encoded = encode(&Text, &content, context(effort, &chosen)).unwrap();
        assert_eq!(encoded.blocks.len(), content.len().div_ceil(4096));
        for (block, piece) in encoded.blocks.iter().zip(content.chunks(4096)) {
            let alone = Encoded {
                params: encoded.params.clone(),
                blocks: vec![block.clone()],
            };
            assert!(decode(&Text, &alone, DecodeContext::default()).unwrap() == piece);
        }
    }
}

/// Counts the bytes that were worked on.
struct Work(AtomicU64);

impl Progress for Work {
    fn update(&self, done: u64, _total: Option<u64>) -> Flow {
        self.0.fetch_max(done, Ordering::Relaxed);
        Flow::Continue
    }
}

#[test]
fn what_is_not_asked_for_is_not_decoded() {
    let chosen = options(&[("block_kib", 64), ("prior", 0)]);
    let content = [text(100_000), noise(200_000, 3), text(80_000)].concat();
    let encoded = encode(&Text, &content, context(5, &chosen)).unwrap();
    for (block, piece) in encoded.blocks.iter().zip(content.chunks(64 << 10)) {
        let start = &block[..block.len().min(16)];
        let bytes = content_bytes(start, block.len() as u64).unwrap();
        assert_eq!(bytes, piece.len() as u64);
    }
    let header = StreamHeader {
        version: 1,
        codec: Text.info().id,
        media: MediaHeader::Bytes,
        params: Vec::new(),
        models: Vec::new(),
    };
    for threads in [1, 3] {
        for wanted in [0, 10, 65_536, 70_000, 380_000, u64::MAX] {
            let work = Work(AtomicU64::new(0));
            let decode = || {
                let context = DecodeContext {
                    progress: &work,
                    ..DecodeContext::default()
                };
                let mut decoder = Text.decoder(&header, context).unwrap();
                decoder.stop_after(wanted);
                let mut source = Blocks::new(&encoded);
                let mut got = Vec::new();
                while let Some(unit) = decoder.next_unit(&mut source).unwrap() {
                    got.extend(unit.into_bytes().unwrap());
                }
                got
            };
            let got = pool(threads).install(decode);
            let expected = content.len().min(wanted as usize);
            assert!(got.len() >= expected && content.starts_with(&got));
            // Stored blocks are given whole.
            let work = work.0.load(Ordering::Relaxed);
            assert!(work <= expected as u64 + (64 << 10), "{work} of {wanted}");
            if wanted <= 70_000 {
                assert_eq!(work, wanted);
            }
        }
    }
}

#[test]
fn what_the_codec_does_not_do_is_refused() {
    let lossy = EncodeContext {
        rate: Rate::Quality(50.0),
        ..EncodeContext::default()
    };
    let with_dictionary = EncodeContext {
        dictionary: b"abc",
        ..EncodeContext::default()
    };
    let unknown = options(&[("level", 3)]);
    for context in [lossy, with_dictionary, context(5, &unknown)] {
        let error = Text.encoder(&MediaHeader::Bytes, context).err();
        assert!(matches!(error, Some(Error::Parameter(_))), "{error:?}");
    }
    let mut encoder = Text
        .encoder(&MediaHeader::Bytes, EncodeContext::default())
        .unwrap();
    let mut sink = Encoded {
        params: Vec::new(),
        blocks: Vec::new(),
    };
    let sound = Media::Audio(rcodec_core::AudioBlock { samples: vec![1] });
    assert!(matches!(
        encoder.write(sound, &mut sink),
        Err(Error::Parameter(_))
    ));
    let encoded = Encoded {
        params: vec![1],
        blocks: Vec::new(),
    };
    assert!(decode(&Text, &encoded, DecodeContext::default()).is_err());
    // A prior that this version does not know.
    let encoded = Encoded {
        params: Vec::new(),
        blocks: vec![vec![0xe1, 5, 0]],
    };
    let error = decode(&Text, &encoded, DecodeContext::default()).unwrap_err();
    assert!(matches!(error, Error::Unsupported(_)));
}

/// Blocks as they are.
pub(crate) struct Blocks<'a>(std::slice::Iter<'a, Vec<u8>>);

impl<'a> Blocks<'a> {
    pub(crate) fn new(encoded: &'a Encoded) -> Self {
        Blocks(encoded.blocks.iter())
    }
}

impl BlockSource for Blocks<'_> {
    fn next_block(&mut self) -> rcodec_core::Result<Option<Block>> {
        let Some(payload) = self.0.next() else {
            return Ok(None);
        };
        let budget = Budget::new(Limits::default());
        Ok(Some(Block {
            reservation: budget.reserve(payload.len() as u64)?,
            payload: payload.clone(),
            at: 0,
        }))
    }
}

/// The content of blocks in a stream whose header names `models`.
pub(crate) fn decode_with(encoded: &Encoded, models: Vec<ModelId>) -> rcodec_core::Result<Vec<u8>> {
    let header = StreamHeader {
        version: 1,
        codec: Text.info().id,
        media: MediaHeader::Bytes,
        params: Vec::new(),
        models,
    };
    let mut source = Blocks::new(encoded);
    let mut decoder = Text.decoder(&header, DecodeContext::default())?;
    let mut content = Vec::new();
    while let Some(Media::Bytes(bytes)) = decoder.next_unit(&mut source)? {
        content.extend(bytes);
    }
    Ok(content)
}

#[test]
fn a_prior_of_ones_own_helps_and_is_asked_for() {
    // Two different texts in one language.
    let corpus = text(256 << 10);
    let options = PriorOptions {
        slots: 20_000,
        ..PriorOptions::default()
    };
    let data = train_prior(&[corpus], &options).unwrap();
    let (model, file) = data.build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.rcm");
    std::fs::write(&path, file).unwrap();
    rcodec_model::registry::add_path(path);

    let content = &text(400 << 10)[350 << 10..351 << 10];
    for effort in [5, 9] {
        let cold = encode(&Text, content, context(effort, &[("prior".to_owned(), 0)])).unwrap();
        let primed = EncodeContext {
            model: Some(model.id()),
            ..context(effort, &[])
        };
        let encoder = Text.encoder(&MediaHeader::Bytes, primed).unwrap();
        assert_eq!(encoder.models(), [model.id()]);
        let primed = EncodeContext {
            model: Some(model.id()),
            ..context(effort, &[])
        };
        let encoded = encode(&Text, content, primed).unwrap();
        assert!(encoded.blocks[0].len() < cold.blocks[0].len() * 9 / 10);
        assert_eq!(decode_with(&encoded, vec![model.id()]).unwrap(), content);
        let missing = ModelId([9; 8]);
        assert!(matches!(
            decode_with(&encoded, vec![missing]),
            Err(Error::ModelMissing(id)) if id == missing
        ));
        assert!(matches!(
            decode_with(&encoded, Vec::new()),
            Err(Error::Malformed { .. })
        ));
    }
}

#[test]
fn too_little_text_makes_no_prior() {
    let error = train_prior(&[text(1000)], &PriorOptions::default()).unwrap_err();
    assert!(matches!(error, Error::Parameter(_)));
}
