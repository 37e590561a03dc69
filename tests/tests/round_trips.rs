//! Whatever goes in comes out, for every codec and effort, however it is cut
//! and on however many threads.

use proptest::prelude::*;
use rayon::prelude::*;
use rcodec::{
    AudioBlock, AudioHeader, CodecId, ColorType, DecodeContext, Effort, EncodeContext, Error,
    ImageHeader, ImageStrip, Media, MediaHeader, ModelId, SampleFormat, Samples, StreamHeader,
};
use rcodec_tests::{all_samples, decode, lossless_codecs_for};

fn context(effort: u8) -> EncodeContext<'static> {
    EncodeContext {
        effort: Effort::new(effort).unwrap(),
        ..EncodeContext::default()
    }
}

#[test]
fn every_sample_through_every_codec() {
    for sample in all_samples() {
        for codec in lossless_codecs_for(&sample) {
            for effort in [1, 5, 9] {
                let file = sample.encode(codec, context(effort)).unwrap();
                let (header, unit) = decode(&file).unwrap();
                let what = format!("{} by {} -e{effort}", sample.name, codec.info().name);
                assert_eq!(header, sample.header, "{what}");
                assert!(unit == sample.unit, "{what}: other samples");
            }
        }
    }
}

/// What a header says is needed or refused, never passed over.
#[test]
fn models_that_a_codec_does_not_use_are_refused() {
    const FIRST: [&str; 3] = ["landscape", "music-stereo", "prose"];
    let samples = all_samples();
    for sample in samples.iter().filter(|sample| FIRST.contains(&sample.name)) {
        for codec in lossless_codecs_for(sample) {
            if codec.info().id == CodecId::TEXT {
                continue;
            }
            let encoder = codec.encoder(&sample.header, context(5)).unwrap();
            let mut header = StreamHeader {
                version: 1,
                codec: codec.info().id,
                media: sample.header.clone(),
                params: encoder.params(),
                models: Vec::new(),
            };
            assert!(codec.decoder(&header, DecodeContext::default()).is_ok());
            header.models.push(ModelId([7; 8]));
            let error = codec.decoder(&header, DecodeContext::default()).err();
            let name = codec.info().name;
            assert!(matches!(error, Some(Error::Malformed { .. })), "{name}");
        }
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let encode_all = || -> Vec<Vec<u8>> {
        let mut files = Vec::new();
        for sample in all_samples() {
            for codec in lossless_codecs_for(&sample) {
                let file = sample.encode(codec, context(5)).unwrap();
                assert!(decode(&file).unwrap().1 == sample.unit);
                files.push(file);
            }
        }
        files
    };
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.unwrap().install(encode_all)
    };
    let one = with(1);
    assert!(one == with(2), "2 threads");
    assert!(one == with(5), "5 threads");
}

/// Files side by side on rayon's own threads, which take up one while they wait
/// for a part of another: nothing waits for itself.
#[test]
fn many_files_at_once() {
    let samples = all_samples();
    let jobs: Vec<_> = (0..4)
        .flat_map(|_| &samples)
        .flat_map(|sample| rcodec::CODECS.iter().map(move |codec| (sample, *codec)))
        .filter(|(sample, codec)| codec.info().media == sample.header.kind())
        .collect();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build();
    let comes_back = |(sample, codec): &(&rcodec_tests::Sample, &dyn rcodec::Codec)| {
        let mut context = context(2);
        if codec.info().lossy {
            context.rate = rcodec::Rate::Quality(20.0);
        }
        match sample.encode(*codec, context) {
            Ok(file) => decode(&file).is_ok_and(|(header, _)| header == sample.header),
            // Not every codec takes all that its kind of media can be.
            Err(error) => matches!(error, rcodec::Error::Unsupported(_)),
        }
    };
    let all = pool.unwrap().install(|| jobs.par_iter().all(comes_back));
    assert!(all);
}

fn any_picture() -> impl Strategy<Value = (ImageHeader, Vec<u16>)> {
    let size = prop_oneof![(1u32..=70, 1u32..=70), Just((4097, 3)), Just((3, 4097))];
    (size, 0usize..5, 1u8..=16, 0u32..5, any::<u64>()).prop_map(
        |((width, height), color, bits, roughness, seed)| {
            let color = [
                ColorType::Gray,
                ColorType::GrayAlpha,
                ColorType::Rgb,
                ColorType::Rgba,
                ColorType::Indexed,
            ][color];
            let indexed = color == ColorType::Indexed;
            let bits = if indexed { bits.min(8) } else { bits };
            let header = ImageHeader {
                width,
                height,
                color,
                bits,
                palette: if indexed {
                    vec![[1, 2, 3, 255]; 7]
                } else {
                    Vec::new()
                },
            };
            let mut random = rcodec_datasets::Random::new(seed);
            let range = (1u32 << bits).min(1 << (roughness * 4));
            let base = random.next_u32();
            let mask = (1u32 << bits) - 1;
            let samples = (0..header.total_samples())
                .map(|_| (base.wrapping_add(random.below(range)) & mask) as u16)
                .collect();
            (header, samples)
        },
    )
}

fn samples_of(bits: u8, samples: &[u16]) -> Samples {
    if bits <= 8 {
        Samples::U8(samples.iter().map(|&s| s as u8).collect())
    } else {
        Samples::U16(samples.to_vec())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn pictures((header, samples) in any_picture(), rows_a_strip in 1usize..100, effort in 1u8..=9) {
        let row = header.row_samples();
        let codec = rcodec::codec_named("image-lossless").unwrap();
        let media = MediaHeader::Image(header.clone());
        let strips = samples.chunks(row * rows_a_strip).map(|strip| {
            Media::Image(ImageStrip {
                rows: (strip.len() / row) as u32,
                samples: samples_of(header.bits, strip),
            })
        });
        let file = rcodec::encode(codec, &media, strips, context(effort)).unwrap();
        let whole = Media::Image(ImageStrip {
            rows: header.height,
            samples: samples_of(header.bits, &samples),
        });
        let at_once = rcodec::encode(codec, &media, [whole.clone()], context(effort)).unwrap();
        prop_assert!(file == at_once, "the cut changes the file");
        let (decoded_header, unit) = decode(&file).unwrap();
        prop_assert_eq!(decoded_header, media);
        prop_assert!(unit == Some(whole));
    }

    #[test]
    fn sounds(
        channels in 1u16..=9,
        bits in 0u8..=32,
        frames in 0usize..3000,
        range_bits in 0u32..=32,
        piece in 1usize..4000,
        seed: u64,
        effort in 1u8..=9,
    ) {
        let format = match bits {
            0 => SampleFormat::Float32,
            bits => SampleFormat::Int { bits },
        };
        let noise_bits = range_bits.clamp(1, u32::from(format.bits()));
        let count = frames * usize::from(channels);
        let samples = rcodec_datasets::white_noise(count, noise_bits, seed);
        let media = MediaHeader::Audio(AudioHeader { sample_rate: 44_100, channels, format });
        let codec = rcodec::codec_named("audio-lossless").unwrap();
        let blocks = samples
            .chunks(piece * usize::from(channels))
            .map(|block| Media::Audio(AudioBlock { samples: block.to_vec() }));
        let file = rcodec::encode(codec, &media, blocks, context(effort)).unwrap();
        let (decoded_header, unit) = decode(&file).unwrap();
        prop_assert_eq!(decoded_header, media);
        let expected = (count > 0).then_some(Media::Audio(AudioBlock { samples }));
        prop_assert!(unit == expected);
    }

    #[test]
    fn bytes(bytes in proptest::collection::vec(any::<u8>(), 0..4000), repeat in 1usize..50, piece in 1usize..5000) {
        let bytes = bytes.repeat(repeat);
        for name in ["zstd", "store"] {
            let codec = rcodec::codec_named(name).unwrap();
            let pieces = bytes.chunks(piece).map(|piece| Media::Bytes(piece.to_vec()));
            let file = rcodec::encode(codec, &MediaHeader::Bytes, pieces, context(5)).unwrap();
            let (_, unit) = decode(&file).unwrap();
            let expected = (!bytes.is_empty()).then(|| Media::Bytes(bytes.clone()));
            prop_assert!(unit == expected, "{}", name);
            prop_assert!(file.len() <= bytes.len() + 20, "{} added {}", name, file.len() - bytes.len());
        }
    }
}
