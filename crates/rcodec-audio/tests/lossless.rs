//! Round trips, invariances and hostile input of `audio-lossless`.

use proptest::prelude::*;
use rcodec_audio::AudioLossless;
use rcodec_core::{
    AudioBlock, AudioHeader, Block, BlockSink, BlockSource, Budget, Codec, DecodeContext, Effort,
    EncodeContext, Error, Limits, Media, MediaHeader, Result, SampleFormat, StreamHeader,
};

#[derive(Default)]
struct Blocks(Vec<Vec<u8>>);

impl BlockSink for Blocks {
    fn write_block(&mut self, payload: &[u8]) -> Result<()> {
        self.0.push(payload.to_vec());
        Ok(())
    }
}

struct Source {
    payloads: std::vec::IntoIter<Vec<u8>>,
    asked: usize,
}

impl BlockSource for Source {
    fn next_block(&mut self) -> Result<Option<Block>> {
        self.asked += 1;
        Ok(self.payloads.next().map(|payload| Block {
            payload,
            at: 1000,
            reservation: Budget::new(Limits::default()).reserve(0).unwrap(),
        }))
    }
}

#[derive(Clone, Debug)]
struct Sound {
    header: AudioHeader,
    samples: Vec<i32>,
}

fn sound(channels: u16, format: SampleFormat, samples: Vec<i32>) -> Sound {
    let header = AudioHeader {
        sample_rate: 8000,
        channels,
        format,
    };
    Sound { header, samples }
}

/// Encodes in units of the given numbers of frames, repeated in turn.
fn encode(
    sound: &Sound,
    effort: u8,
    block_frames: i64,
    unit_frames: &[usize],
) -> (Vec<u8>, Vec<Vec<u8>>) {
    let options = [("block_frames".to_owned(), block_frames)];
    let context = EncodeContext {
        effort: Effort::new(effort).unwrap(),
        options: &options,
        ..EncodeContext::default()
    };
    let media = MediaHeader::Audio(sound.header.clone());
    let mut encoder = AudioLossless.encoder(&media, context).unwrap();
    let mut blocks = Blocks::default();
    let channels = usize::from(sound.header.channels);
    let mut rest = sound.samples.as_slice();
    for frames in unit_frames.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (unit, left) = rest.split_at((frames * channels).min(rest.len()));
        rest = left;
        let unit = AudioBlock {
            samples: unit.to_vec(),
        };
        encoder.write(Media::Audio(unit), &mut blocks).unwrap();
    }
    encoder.finish(&mut blocks).unwrap();
    (encoder.params(), blocks.0)
}

fn decode(header: &AudioHeader, params: Vec<u8>, blocks: Vec<Vec<u8>>) -> Result<Vec<i32>> {
    let header = StreamHeader {
        version: 1,
        codec: AudioLossless.info().id,
        media: MediaHeader::Audio(header.clone()),
        params,
        models: Vec::new(),
    };
    let mut decoder = AudioLossless.decoder(&header, DecodeContext::default())?;
    let mut source = Source {
        payloads: blocks.into_iter(),
        asked: 0,
    };
    let mut samples = Vec::new();
    while let Some(unit) = decoder.next_unit(&mut source)? {
        let Media::Audio(unit) = unit else {
            panic!("not sound");
        };
        samples.extend_from_slice(&unit.samples);
    }
    Ok(samples)
}

fn check_round_trip(sound: &Sound, effort: u8, block_frames: i64) -> usize {
    let (params, blocks) = encode(sound, effort, block_frames, &[977]);
    let bytes = blocks.iter().map(Vec::len).sum();
    let decoded = decode(&sound.header, params, blocks).unwrap();
    assert!(decoded == sound.samples, "samples differ");
    bytes
}

/// A sine with some noise, full scale for `bits`.
fn tone(frames: usize, channels: usize, bits: u32) -> Vec<i32> {
    let peak = ((1i64 << (bits - 1)) - 1) as f64;
    let mut noise = 1u32;
    let mut samples = Vec::new();
    for frame in 0..frames {
        for channel in 0..channels {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let phase = frame as f64 * 0.05 + channel as f64 * 0.3;
            let hiss = f64::from(noise >> 16) / 65536.0 - 0.5;
            samples.push((peak * (0.9 * phase.sin() + 0.02 * hiss)) as i32);
        }
    }
    samples
}

const INT16: SampleFormat = SampleFormat::Int { bits: 16 };

/// One of several kinds of signals, shaped into `bits` bits.
fn signal(kind: u8, seed: u32, count: usize, bits: u32) -> Vec<i32> {
    let mut state = seed | 1;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    let low = -(1i64 << (bits - 1));
    let high = (1i64 << (bits - 1)) - 1;
    let fit = |x: i64| x.clamp(low, high) as i32;
    let constant = random() as i32 >> (32 - bits);
    (0..count as i64)
        .map(|i| match kind {
            0 => 0,
            1 => constant,
            2 => random() as i32 >> (32 - bits),
            3 => fit(if i / 37 % 2 == 0 { low } else { high }),
            4 => fit(low + i * 3 % (high - low + 1)),
            5 => fit(((i as f64 * 0.03).sin() * high as f64 * 0.7) as i64 / 12 * 12 + 5),
            6 => fit([-9, -4, 0, 3, 17, 40][random() as usize % 6]),
            7 => fit(i64::from(random() % 5) - 2),
            _ => {
                fit(((i as f64 * 0.01).sin() * high as f64 * 0.9) as i64 + i64::from(random() % 9))
            }
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn integers_come_back(
        kind in 0u8..9,
        seed in any::<u32>(),
        frames in 0usize..1500,
        channels in 1u16..=9,
        bits in 1u8..=32,
        effort in 1u8..=9,
        block_frames in 1i64..2000,
    ) {
        // Few blocks, so that the test stays quick.
        let block_frames = block_frames.max(frames as i64 / 6).max(1);
        let count = frames * usize::from(channels);
        let samples = signal(kind, seed, count, u32::from(bits));
        check_round_trip(&sound(channels, SampleFormat::Int { bits }, samples), effort, block_frames);
    }

    #[test]
    fn floats_come_back(
        kind in 0u8..8,
        seed in any::<u32>(),
        frames in 0usize..800,
        channels in 1u16..=3,
        effort in 1u8..=9,
    ) {
        let count = frames * usize::from(channels);
        let base = signal(8, seed, count, 16);
        let samples = base.iter().enumerate().map(|(i, &x)| {
            let x = f64::from(x);
            (match kind {
                0 => (x / 32768.0) as f32,
                1 => (x / 40000.123) as f32,
                2 => f32::from_bits((x as u32).wrapping_mul(2_654_435_761).wrapping_add(seed)),
                3 if i % 97 == 0 => [f32::NAN, f32::INFINITY, -0.0, f32::MIN_POSITIVE / 4.0][i % 4],
                4 => (x * 1e30) as f32,
                5 => (x * 1e-30) as f32,
                6 if i % 5 == 0 => -0.0,
                7 => (x / 32768.0) as f32 * if i % 2 == 0 { 1.0 } else { 1e-6 },
                _ => (x / 8388608.0) as f32,
            }).to_bits() as i32
        }).collect();
        check_round_trip(&sound(channels, SampleFormat::Float32, samples), effort, 500);
    }

    #[test]
    fn damaged_blocks_end_in_samples_or_errors(
        kind in 5u8..9,
        effort in 1u8..=9,
        at in any::<prop::sample::Index>(),
        flip in 1u8..=255,
        cut in any::<prop::sample::Index>(),
    ) {
        let damaged = sound(2, INT16, signal(kind, 77, 1200, 16));
        let (params, mut blocks) = encode(&damaged, effort, 600, &[600]);
        let whole = blocks[0].clone();
        let index = at.index(whole.len());
        blocks[0][index] ^= flip;
        check_errors(decode(&damaged.header, params.clone(), blocks), whole.len());
        let cut = cut.index(whole.len());
        let result = decode(&damaged.header, params, vec![whole[..cut].to_vec()]);
        check_errors(result, whole.len());
    }

    #[test]
    fn any_bytes_end_in_samples_or_errors(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        format in prop::sample::select(vec![INT16, SampleFormat::Float32, SampleFormat::Int { bits: 32 }]),
        mode in 0u8..16,
        preset in 0u8..16,
        kind in 0u8..32,
    ) {
        let header = sound(2, format, Vec::new()).header;
        let with_head = [&[mode, 100, preset, kind], bytes.as_slice()].concat();
        for block in [bytes, with_head] {
            check_errors(decode(&header, vec![200, 1], vec![block]), 304);
        }
    }
}

fn check_errors(result: Result<Vec<i32>>, len: usize) {
    match result {
        Ok(_) => {}
        Err(Error::Malformed { at, .. } | Error::Truncated { at }) => {
            assert!((1000..=1008 + len as u64).contains(&at), "offset {at}");
        }
        Err(error) => panic!("unexpected error: {error}"),
    }
}

#[test]
fn nothing_comes_back_as_nothing() {
    let (params, blocks) = encode(&sound(2, INT16, Vec::new()), 5, 100, &[1]);
    assert!(blocks.is_empty());
    let header = sound(2, INT16, Vec::new()).header;
    assert_eq!(decode(&header, params, blocks).unwrap(), []);
}

#[test]
fn units_and_threads_change_nothing() {
    let music = sound(2, INT16, tone(5000, 2, 16));
    let one = encode(&music, 5, 700, &[5000]);
    for units in [&[1usize, 2, 3, 699, 0][..], &[700], &[701, 1399]] {
        assert!(encode(&music, 5, 700, units) == one);
    }
    for threads in [1, 2, 5] {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            assert!(encode(&music, 5, 700, &[333]) == one);
            let (params, blocks) = one.clone();
            assert!(decode(&music.header, params, blocks).unwrap() == music.samples);
        });
    }
}

#[test]
fn the_first_block_is_decoded_before_the_second_is_asked_for() {
    let music = sound(1, INT16, tone(3000, 1, 16));
    let (params, blocks) = encode(&music, 5, 1000, &[3000]);
    let header = StreamHeader {
        version: 1,
        codec: AudioLossless.info().id,
        media: MediaHeader::Audio(music.header.clone()),
        params,
        models: Vec::new(),
    };
    let mut decoder = AudioLossless
        .decoder(&header, DecodeContext::default())
        .unwrap();
    let mut source = Source {
        payloads: blocks.into_iter(),
        asked: 0,
    };
    let Some(Media::Audio(unit)) = decoder.next_unit(&mut source).unwrap() else {
        panic!("no first block");
    };
    assert_eq!(source.asked, 1);
    assert!(unit.samples == music.samples[..1000]);
}

#[test]
fn silence_and_equal_channels_cost_next_to_nothing() {
    let silence = sound(2, INT16, vec![0; 20_000]);
    assert!(check_round_trip(&silence, 5, 10_000) <= 8);
    let left = tone(4000, 1, 16);
    let mono = check_round_trip(&sound(1, INT16, left.clone()), 5, 4000);
    let both = left.iter().flat_map(|&x| [x, x]).collect();
    assert!(check_round_trip(&sound(2, INT16, both), 5, 4000) <= mono + 3);
}

#[test]
fn unused_bits_and_values_cost_next_to_nothing() {
    let plain = tone(4000, 1, 12);
    let bytes = check_round_trip(&sound(1, INT16, plain.clone()), 5, 4000);
    let scaled = plain.iter().map(|x| x * 12 + 5).collect();
    let scaled_bytes = check_round_trip(&sound(1, INT16, scaled), 5, 4000);
    assert!(scaled_bytes <= bytes + 8, "{scaled_bytes} {bytes}");
    // Three of four values occur: 0.4 bits a sample less than with holes.
    let stretched: Vec<i32> = plain.iter().map(|x| x * 4 / 3).collect();
    let stretched_bytes = check_round_trip(&sound(1, INT16, stretched), 5, 4000);
    assert!(stretched_bytes <= bytes + 400, "{stretched_bytes} {bytes}");
}

#[test]
fn noise_is_stored() {
    for bits in [1u8, 8, 13, 16, 24, 32] {
        let noise = signal(2, 5, 8000, u32::from(bits));
        let bytes = check_round_trip(&sound(2, SampleFormat::Int { bits }, noise), 5, 4000);
        assert!(bytes <= 8000 * usize::from(bits) / 8 + 8, "{bits}: {bytes}");
    }
}

#[test]
fn floats_made_from_integers_cost_no_more() {
    let integers = tone(4000, 2, 16);
    let bytes = check_round_trip(&sound(2, INT16, integers.clone()), 5, 4000);
    let floats = integers
        .iter()
        .map(|&x| (x as f32 / 32768.0).to_bits() as i32);
    let floats = sound(2, SampleFormat::Float32, floats.collect());
    let float_bytes = check_round_trip(&floats, 5, 4000);
    assert!(float_bytes <= bytes + 4, "{float_bytes} {bytes}");
}

#[test]
fn many_channels_come_back() {
    let samples = signal(8, 3, 65_535 * 3, 16);
    check_round_trip(&sound(65_535, INT16, samples), 1, 2);
}

#[test]
fn a_stereo_tone_is_small() {
    let bytes = check_round_trip(&sound(2, INT16, tone(20_000, 2, 16)), 5, 20_000);
    // The noise alone has log2(655) = 9.36 bits a sample.
    assert!(bytes < 20_000 * 2 * 10 / 8, "{bytes}");
}

#[test]
fn units_that_do_not_fit_are_the_callers_fault() {
    let media = MediaHeader::Audio(sound(2, INT16, Vec::new()).header);
    for samples in [vec![0, 0, 0], vec![0, 40_000], vec![-32_769, 0]] {
        let context = EncodeContext::default();
        let mut encoder = AudioLossless.encoder(&media, context).unwrap();
        let unit = Media::Audio(AudioBlock { samples });
        let result = encoder.write(unit, &mut Blocks::default());
        assert!(matches!(result, Err(Error::Parameter(_))));
    }
}

#[test]
fn limits_are_kept() {
    let music = sound(2, INT16, tone(4000, 2, 16));
    let (params, blocks) = encode(&music, 5, 1000, &[4000]);
    let header = StreamHeader {
        version: 1,
        codec: AudioLossless.info().id,
        media: MediaHeader::Audio(music.header.clone()),
        params,
        models: Vec::new(),
    };
    for limits in [
        Limits {
            max_samples: 5000,
            ..Limits::default()
        },
        Limits {
            max_alloc_bytes: 10_000,
            ..Limits::default()
        },
    ] {
        let context = DecodeContext {
            budget: Budget::new(limits),
            ..DecodeContext::default()
        };
        let mut decoder = AudioLossless.decoder(&header, context).unwrap();
        let mut source = Source {
            payloads: blocks.clone().into_iter(),
            asked: 0,
        };
        let result = loop {
            match decoder.next_unit(&mut source) {
                Ok(Some(_)) => {}
                other => break other,
            }
        };
        assert!(matches!(result, Err(Error::Limit(_))));
    }
}
