//! Sends WAV files (16 bits) through the lossy codec: `measure_lossy OUT_DIR
//! QUANTISER FILE…` writes what comes back and prints sizes; `train OUT
//! QUANTISERS FILE…` lets the models learn; `time BITRATE FILE…` takes the codec
//! itself and prints kbit/s and how many times faster than the sound it is; `plain
//! QUANTISERS FILE…` compares with adaptive contexts that are not mixed.
//! Environment variables override parameters (see `rcodec_audio::lossy::experiment`).

use rcodec_audio::AudioLossy;
use rcodec_audio::lossy::experiment::{round_trip, train, with_plain_contexts};
use rcodec_core::{
    AudioBlock, AudioHeader, Block, BlockSink, BlockSource, Budget, Codec, DecodeContext,
    EncodeContext, Limits, Media, MediaHeader, Rate, Result, SampleFormat, StreamHeader,
};
use std::path::Path;
use std::time::Instant;

#[derive(Default)]
struct Blocks(Vec<Vec<u8>>);

impl BlockSink for Blocks {
    fn write_block(&mut self, payload: &[u8]) -> Result<()> {
        self.0.push(payload.to_vec());
        Ok(())
    }
}

impl BlockSource for Blocks {
    fn next_block(&mut self) -> Result<Option<Block>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        Ok(Some(Block {
            payload: self.0.remove(0),
            at: 0,
            reservation: Budget::new(Limits::default()).reserve(0)?,
        }))
    }
}

/// Encodes and decodes; kbit/s and the times of both against the sound's.
fn time(path: &str, bitrate: u32) -> Result<[f64; 3]> {
    let (sample_rate, channels, samples) = read(path);
    let seconds = samples.len() as f64 / channels as f64 / f64::from(sample_rate);
    let media = MediaHeader::Audio(AudioHeader {
        sample_rate,
        channels: channels as u16,
        format: SampleFormat::Int { bits: 16 },
    });
    let context = EncodeContext {
        rate: Rate::TargetBitrate(bitrate),
        ..EncodeContext::default()
    };
    let begun = Instant::now();
    let mut blocks = Blocks::default();
    let mut encoder = AudioLossy.encoder(&media, context)?;
    for part in samples.chunks(4096 * channels) {
        let samples = part.iter().map(|&s| s.into()).collect();
        encoder.write(Media::Audio(AudioBlock { samples }), &mut blocks)?;
    }
    encoder.finish(&mut blocks)?;
    let encoding = begun.elapsed().as_secs_f64();
    let bytes: usize = blocks.0.iter().map(|b| b.len() + 15).sum();
    let header = StreamHeader {
        version: 1,
        codec: AudioLossy.info().id,
        media,
        params: encoder.params(),
        models: Vec::new(),
    };
    let begun = Instant::now();
    let mut decoder = AudioLossy.decoder(&header, DecodeContext::default())?;
    while decoder.next_unit(&mut blocks)?.is_some() {}
    let decoding = begun.elapsed().as_secs_f64();
    let kbps = bytes as f64 * 8.0 / seconds / 1000.0;
    Ok([kbps, seconds / encoding, seconds / decoding])
}

fn read(path: &str) -> (u32, usize, Vec<i16>) {
    let mut reader = hound::WavReader::open(path).expect("a WAV file");
    let spec = reader.spec();
    let samples = reader.samples::<i16>().map(|s| s.expect("samples"));
    (spec.sample_rate, spec.channels.into(), samples.collect())
}

fn given(name: &str) -> Option<f64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Tables of energies, angles, active bands and levels that predict alone, from
/// the simplest contexts on.
const TABLES: [[usize; 4]; 6] = [
    [0, 2, 0, 2],
    [0, 2, 0, 3],
    [0, 2, 0, 4],
    [1, 1, 2, 0],
    [1, 1, 2, 1],
    [1, 1, 2, 5],
];

/// kbit/s of all sounds as they are coded, and with single tables.
fn plain(quantisers: &str, paths: &[String]) {
    for quantiser in quantisers.split(',') {
        let quantiser = quantiser.parse().expect("quantisers");
        let (mut bytes, mut seconds) = ([0; 2 + TABLES.len()], 0.0);
        for path in paths {
            let (rate, channels, samples) = read(path);
            seconds += samples.len() as f64 / channels as f64 / f64::from(rate);
            let sizes =
                with_plain_contexts(&samples, rate, channels, (quantiser, 128), &TABLES, &given);
            let sizes = sizes.expect("the codec");
            bytes.iter_mut().zip(sizes).for_each(|(sum, n)| *sum += n);
        }
        print!(
            "quantiser {quantiser}: {:.2} kbit/s",
            bytes[0] as f64 * 8.0 / seconds / 1000.0
        );
        let fewer = |sum: usize| 100.0 * (bytes[0] as f64 / sum as f64 - 1.0);
        print!(
            "; of the mixture without the network {:+.2}%",
            fewer(bytes[1])
        );
        print!("; of single tables");
        for (tables, sum) in TABLES.iter().zip(&bytes[2..]) {
            print!(" {tables:?} {:+.2}%", fewer(*sum));
        }
        println!();
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args[0] == "time" {
        for path in &args[2..] {
            let bitrate = args[1].parse().expect("a bit rate");
            let [kbps, encode, decode] = time(path, bitrate).expect("the codec");
            println!("{path}: {kbps:.1} kbit/s, encode {encode:.0}x, decode {decode:.0}x");
        }
        return;
    }
    if args[0] == "train" {
        let sounds: Vec<_> = args[3..].iter().map(|p| read(p)).collect();
        let quantisers: Vec<i32> = args[2].split(',').map(|q| q.parse().unwrap()).collect();
        std::fs::write(&args[1], train(&sounds, &quantisers, &given).unwrap()).unwrap();
        return;
    }
    if args[0] == "plain" {
        return plain(&args[1], &args[2..]);
    }
    let quantiser: i32 = args[1].parse().expect("a quantiser");
    for path in &args[2..] {
        let (rate, channels, samples) = read(path);
        let begun = std::time::Instant::now();
        let (bytes, decoded) =
            round_trip(&samples, rate, channels, (quantiser, 128), &given).unwrap();
        let seconds = samples.len() as f64 / channels as f64 / f64::from(rate);
        let name = Path::new(path).file_name().unwrap();
        let out = Path::new(&args[0]).join(name);
        let spec = hound::WavSpec {
            channels: channels as u16,
            sample_rate: rate,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(&out, spec).unwrap();
        decoded
            .iter()
            .for_each(|&s| writer.write_sample(s).unwrap());
        writer.finalize().unwrap();
        println!(
            "{} {:.3} {:.2}",
            path,
            bytes as f64 * 8.0 / seconds / 1000.0,
            seconds / begun.elapsed().as_secs_f64()
        );
    }
}
