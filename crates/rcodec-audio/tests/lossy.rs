//! Lossy sound: what comes back is as long as what went in and sounds like it,
//! whatever it was; damaged packets and blocks are errors.

use proptest::prelude::*;
use rcodec_audio::AudioLossy;
use rcodec_audio::lossy::{PacketDecoder, PacketEncoder, PacketOptions};
use rcodec_core::{
    AudioBlock, AudioHeader, Block, BlockSink, BlockSource, Budget, Codec, DecodeContext,
    EncodeContext, Error, Limits, Media, MediaHeader, Rate, Result, SampleFormat, StreamHeader,
};

#[derive(Default)]
struct Blocks(Vec<Vec<u8>>);

impl BlockSink for Blocks {
    fn write_block(&mut self, payload: &[u8]) -> Result<()> {
        assert!(!payload.is_empty());
        self.0.push(payload.to_vec());
        Ok(())
    }
}

impl BlockSource for Blocks {
    fn next_block(&mut self) -> Result<Option<Block>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let budget = Budget::new(Limits::default());
        Ok(Some(Block {
            payload: self.0.remove(0),
            at: 1000,
            reservation: budget.reserve(0)?,
        }))
    }
}

fn header(sample_rate: u32, channels: u16, format: SampleFormat) -> AudioHeader {
    AudioHeader {
        sample_rate,
        channels,
        format,
    }
}

const INT16: SampleFormat = SampleFormat::Int { bits: 16 };

/// Parameters, blocks, and what the encoder says will come back.
fn encode(header: &AudioHeader, samples: &[i32], rate: Rate) -> (StreamHeader, Blocks, Vec<i32>) {
    let media = MediaHeader::Audio(header.clone());
    let context = EncodeContext {
        rate,
        ..EncodeContext::default()
    };
    let mut encoder = AudioLossy.encoder(&media, context).unwrap();
    let mut blocks = Blocks::default();
    let mut decoded = Vec::new();
    let unit = 1000 * usize::from(header.channels);
    for part in samples.chunks(unit) {
        let samples = part.to_vec();
        let unit = Media::Audio(AudioBlock { samples });
        encoder.write(unit, &mut blocks).unwrap();
    }
    encoder.finish(&mut blocks).unwrap();
    while let Some(Media::Audio(unit)) = encoder.next_decoded() {
        decoded.extend(unit.samples);
    }
    let stream = StreamHeader {
        version: 1,
        codec: AudioLossy.info().id,
        media,
        params: encoder.params(),
        models: Vec::new(),
    };
    (stream, blocks, decoded)
}

fn decode(stream: &StreamHeader, mut blocks: Blocks) -> Result<Vec<i32>> {
    let mut decoder = AudioLossy.decoder(stream, DecodeContext::default())?;
    let mut samples = Vec::new();
    while let Some(unit) = decoder.next_unit(&mut blocks)? {
        let Media::Audio(unit) = unit else {
            panic!("not sound");
        };
        samples.extend(unit.samples);
    }
    Ok(samples)
}

/// Something of a melody with noise and attacks, 16 bits.
fn melody(frames: usize, channels: usize) -> Vec<i32> {
    let mut state = 1u32;
    let mut out = Vec::new();
    for i in 0..frames {
        let time = i as f64 / 48_000.0;
        let note = [220.0, 277.2, 329.6, 440.0][i / 9000 % 4];
        let decay = (-((i % 9000) as f64) / 4000.0).exp();
        for channel in 0..channels {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = f64::from(state >> 16) / 65_536.0 - 0.5;
            let pan = 1.0 - 0.3 * channel as f64;
            let tone: f64 = (1..5)
                .map(|h| (time * note * f64::from(h) * std::f64::consts::TAU).sin() / f64::from(h))
                .sum();
            out.push((pan * decay * (6000.0 * tone + 1500.0 * noise)) as i32);
        }
    }
    out
}

fn snr_db(x: &[i32], y: &[i32]) -> f64 {
    let (mut signal, mut noise) = (1e-9, 1e-9);
    for (&x, &y) in x.iter().zip(y) {
        signal += f64::from(x) * f64::from(x);
        noise += (f64::from(x) - f64::from(y)).powi(2);
    }
    10.0 * (signal / noise).log10()
}

#[test]
fn a_melody_comes_back_at_the_rate_that_was_asked_for() {
    let samples = melody(192_000, 2);
    let header = header(48_000, 2, INT16);
    let mut last = 0.0;
    for kbps in [32, 64, 128] {
        let (stream, blocks, decoded) = encode(&header, &samples, Rate::TargetBitrate(kbps * 1000));
        let bytes: usize = blocks.0.iter().map(Vec::len).sum();
        let rate = bytes as f64 * 8.0 / 4.0 / 1000.0;
        assert!(
            (rate / f64::from(kbps) - 1.0).abs() < 0.18,
            "{rate} of {kbps}"
        );
        let back = decode(&stream, blocks).unwrap();
        assert_eq!(back, decoded);
        let snr = snr_db(&samples, &back);
        assert!(snr > last + 2.0 && snr > 8.0, "{kbps}: {snr} dB");
        last = snr;
    }
}

#[test]
fn high_qualities_are_near_the_original() {
    let samples = melody(48_000, 1);
    let header = header(48_000, 1, INT16);
    let (_, _, decoded) = encode(&header, &samples, Rate::Quality(100.0));
    let snr = snr_db(&samples, &decoded);
    assert!(snr > 25.0, "{snr} dB");
}

#[test]
fn a_channel_beside_silence_is_as_good_as_alone() {
    let alone = melody(48_000, 1);
    let single = header(48_000, 1, INT16);
    let (_, _, decoded) = encode(&single, &alone, Rate::Quality(70.0));
    let expected = snr_db(&alone, &decoded);
    let pair = header(48_000, 2, INT16);
    for side in [0, 1] {
        let both = |&s: &i32| if side == 0 { [s, 0] } else { [0, s] };
        let samples: Vec<i32> = alone.iter().flat_map(both).collect();
        let (_, _, decoded) = encode(&pair, &samples, Rate::Quality(70.0));
        let snr = snr_db(&samples, &decoded);
        assert!(snr > expected - 2.0, "{side}: {snr} of {expected} dB");
    }
}

#[test]
fn what_decodes_stays_the_same() {
    let samples = melody(40_000, 2);
    let header = header(44_100, 2, INT16);
    let (stream, blocks, decoded) = encode(&header, &samples, Rate::Quality(60.0));
    let mut again = Blocks(blocks.0.clone());
    again.0.truncate(1);
    assert_eq!(decode(&stream, blocks).unwrap(), decoded);
    // One block by itself.
    let first = decode(&stream, again).unwrap();
    assert_eq!(first[..], decoded[..first.len()]);
}

#[test]
fn packets_come_and_get_lost() {
    let samples = melody(96_000, 2);
    let header = header(48_000, 2, INT16);
    for key_interval in [1, 20] {
        let options = PacketOptions {
            key_interval,
            ..PacketOptions::default()
        };
        let mut encoder = PacketEncoder::new(&header, options).unwrap();
        assert!(encoder.delay() <= 48_000 * 30 / 1000);
        let (params, skip) = (encoder.params(), encoder.skip() * 2);
        let mut packets = Vec::new();
        for part in samples.chunks(958) {
            packets.extend(encoder.push(part).unwrap());
        }
        packets.extend(encoder.finish().unwrap());
        let run = |lost: &dyn Fn(usize) -> bool| {
            let mut decoder = PacketDecoder::new(&header, &params).unwrap();
            let mut out = Vec::new();
            for (i, packet) in packets.iter().enumerate() {
                out.extend(match lost(i) {
                    true => decoder.conceal(),
                    false => decoder.decode(packet).unwrap(),
                });
            }
            out[skip..skip + samples.len()].to_vec()
        };
        let whole = snr_db(&samples, &run(&|_| false));
        let some = snr_db(&samples, &run(&|i| i % 11 == 7));
        assert!(whole > 9.0, "{whole} dB");
        assert!(some > 0.0 && some < whole, "{some} dB");
    }
}

#[test]
fn constant_packets_are_never_larger_than_their_share() {
    let samples = melody(48_000, 2);
    let header = header(48_000, 2, INT16);
    for (rate, key_interval) in [(48_000, 20), (64_000, 1)] {
        let options = PacketOptions {
            rate: Rate::TargetBitrate(rate),
            key_interval,
            constant: true,
            ..PacketOptions::default()
        };
        let mut encoder = PacketEncoder::new(&header, options).unwrap();
        let mut decoder = PacketDecoder::new(&header, &encoder.params()).unwrap();
        let limit = rate as usize * encoder.frame_samples() / 48_000 / 8;
        let mut packets = Vec::new();
        for part in samples.chunks(960) {
            packets.extend(encoder.push(part).unwrap());
        }
        let count = packets.len();
        packets.extend(encoder.finish().unwrap());
        let mut out = Vec::new();
        for packet in &packets {
            assert!(packet.len() <= limit, "{} of {limit}", packet.len());
            out.extend(decoder.decode(packet).unwrap());
        }
        // Nor is much left over while there is sound.
        let bytes: usize = packets[1..count].iter().map(Vec::len).sum();
        let most = limit * (count - 1);
        assert!(10 * bytes > 8 * most, "{bytes} of {most}");
        let skip = decoder.frame_samples() / 2 * 2;
        let snr = snr_db(&samples, &out[skip..skip + samples.len()]);
        assert!(snr > 6.0, "{snr} dB");
    }
    let options = PacketOptions {
        constant: true,
        ..PacketOptions::default()
    };
    assert!(PacketEncoder::new(&header, options).is_err());
}

#[test]
fn packets_that_are_late_do_not_come() {
    // An impulse at a sample comes out with the packet that is complete when
    // no more than the delay has passed.
    let header = header(48_000, 1, INT16);
    let mut encoder = PacketEncoder::new(&header, PacketOptions::default()).unwrap();
    let mut decoder = PacketDecoder::new(&header, &encoder.params()).unwrap();
    let (at, delay, skip) = (5000usize, encoder.delay(), encoder.skip());
    let mut samples = vec![0; 12_000];
    samples[at] = 30_000;
    let mut out = Vec::new();
    for (now, &sample) in samples.iter().enumerate() {
        for packet in encoder.push(&[sample]).unwrap() {
            out.extend(decoder.decode(&packet).unwrap());
        }
        // What came `delay` ago has been given.
        assert!(out.len() + delay > now.saturating_sub(1) + skip);
    }
    let loudest = out.iter().enumerate().max_by_key(|(_, s)| s.abs());
    assert_eq!(loudest.unwrap().0, at + skip);
}

#[test]
fn nothing_and_next_to_nothing() {
    for channels in [1u16, 2, 3, 6] {
        for frames in [0usize, 1, 2, 511, 512, 513, 1024] {
            let samples = melody(frames, channels.into());
            for rate in [Rate::Quality(50.0), Rate::TargetBitrate(48_000)] {
                let header = header(48_000, channels, INT16);
                let (stream, blocks, decoded) = encode(&header, &samples, rate);
                assert_eq!(decoded.len(), samples.len());
                assert_eq!(decode(&stream, blocks).unwrap(), decoded);
            }
        }
    }
}

#[test]
fn silence_takes_next_to_no_bytes_and_stays_silence() {
    let header = header(48_000, 2, INT16);
    let (_, blocks, decoded) = encode(&header, &[0; 192_000], Rate::Quality(75.0));
    let bytes: usize = blocks.0.iter().map(Vec::len).sum();
    assert!(bytes < 600, "{bytes} bytes");
    assert!(decoded.iter().all(|&s| s == 0));
}

#[test]
fn other_things_are_refused() {
    let media = MediaHeader::Audio(header(48_000, 2, INT16));
    let encoder = |rate| {
        let context = EncodeContext {
            rate,
            ..EncodeContext::default()
        };
        AudioLossy.encoder(&media, context).map(drop)
    };
    assert!(matches!(
        encoder(Rate::Lossless),
        Err(Error::Unsupported(_))
    ));
    assert!(matches!(
        encoder(Rate::Quality(0.0)),
        Err(Error::Parameter(_))
    ));
    let bytes = AudioLossy.encoder(&MediaHeader::Bytes, EncodeContext::default());
    assert!(bytes.is_err());
}

fn formats() -> impl Strategy<Value = SampleFormat> {
    prop_oneof![
        (1u8..=32).prop_map(|bits| SampleFormat::Int { bits }),
        Just(SampleFormat::Float32),
    ]
}

/// Samples of a format: noise, square waves of full scale, silence.
fn wild(format: SampleFormat, count: usize, seed: u32, kind: u8) -> Vec<i32> {
    let mut state = seed;
    (0..count)
        .map(|i| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = state as i32;
            let value = match kind {
                0 => noise,
                1 if i / 50 % 2 == 0 => i32::MAX,
                1 => i32::MIN,
                2 => 0,
                _ => noise >> 8,
            };
            match format {
                SampleFormat::Float32 if kind == 0 => noise,
                SampleFormat::Float32 => (value as f32 / 2f32.powi(31)).to_bits() as i32,
                SampleFormat::Int { bits } => value >> (32 - bits),
            }
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn all_formats_come_back_as_the_encoder_says(
        rate in prop_oneof![Just(1u32), 8000u32..=200_000, Just(u32::MAX)],
        channels in 1u16..=4,
        format in formats(),
        frames in 0usize..5000,
        seed in any::<u32>(),
        kind in 0u8..4,
        quality in 1u8..=100,
    ) {
        let header = header(rate, channels, format);
        let samples = wild(format, frames * usize::from(channels), seed, kind);
        let (stream, blocks, decoded) = encode(&header, &samples, Rate::Quality(quality.into()));
        prop_assert_eq!(decoded.len(), samples.len());
        prop_assert!(decode(&stream, blocks).unwrap() == decoded);
    }

    #[test]
    fn damage_never_panics(
        flips in proptest::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..6),
        cut in any::<prop::sample::Index>(),
        params in proptest::collection::vec(any::<u8>(), 0..16),
        noise in proptest::collection::vec(any::<u8>(), 0..400),
    ) {
        let samples = melody(6000, 2);
        let header = header(48_000, 2, INT16);
        let (mut stream, mut blocks, _) = encode(&header, &samples, Rate::Quality(60.0));
        let payload = &mut blocks.0[0];
        for (at, flip) in &flips {
            let at = at.index(payload.len());
            payload[at] ^= flip;
        }
        let cut = 1 + cut.index(payload.len());
        payload.truncate(cut);
        let _ = decode(&stream, blocks);
        if !noise.is_empty() {
            let _ = decode(&stream, Blocks(vec![noise.clone()]));
        }
        let mut decoder = PacketDecoder::new(&header, &stream.params).unwrap();
        let _ = decoder.decode(&noise);
        let concealed = decoder.conceal();
        prop_assert_eq!(concealed.len(), 2 * decoder.frame_samples());
        let _ = decoder.decode(&noise);
        stream.params = params;
        let _ = decode(&stream, Blocks(vec![noise]));
    }
}
