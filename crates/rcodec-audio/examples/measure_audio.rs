//! Encodes and decodes WAV files, checks that they come back, and prints sizes
//! and speeds.
//!
//! ```text
//! measure [--effort N] [--threads N] [--block-frames N] [--files] [--encode-only] FILE.wav...
//! ```
//!
//! Sizes are those of the blocks' payloads; ratios are to the bytes of the WAV
//! files; speeds are multiples of real time, by the processor time of one
//! thread where the system tells it (Linux), else by the clock.

use rcodec_audio::AudioLossless;
use rcodec_core::{
    AudioBlock, AudioHeader, Block, BlockSink, BlockSource, Budget, Codec, DecodeContext, Effort,
    EncodeContext, Limits, Media, MediaHeader, Result, SampleFormat, StreamHeader,
};
use std::error::Error;
use std::time::Instant;

#[derive(Default)]
struct Blocks {
    payloads: Vec<Vec<u8>>,
}

impl BlockSink for Blocks {
    fn write_block(&mut self, payload: &[u8]) -> Result<()> {
        self.payloads.push(payload.to_vec());
        Ok(())
    }
}

struct Source {
    payloads: std::vec::IntoIter<Vec<u8>>,
    budget: Budget,
}

impl BlockSource for Source {
    fn next_block(&mut self) -> Result<Option<Block>> {
        let Some(payload) = self.payloads.next() else {
            return Ok(None);
        };
        let reservation = self.budget.reserve(payload.len() as u64)?;
        Ok(Some(Block {
            payload,
            at: 0,
            reservation,
        }))
    }
}

#[derive(Default)]
struct Totals {
    wav_bytes: u64,
    coded_bytes: u64,
    seconds: f64,
    encode_seconds: f64,
    decode_seconds: f64,
}

impl Totals {
    fn add(&mut self, other: &Totals) {
        self.wav_bytes += other.wav_bytes;
        self.coded_bytes += other.coded_bytes;
        self.seconds += other.seconds;
        self.encode_seconds += other.encode_seconds;
        self.decode_seconds += other.decode_seconds;
    }

    fn print(&self, name: &str) {
        println!(
            "{name:40} {:>10} -> {:>10}  {:.4}  encode {:6.1}x  decode {:6.1}x",
            self.wav_bytes,
            self.coded_bytes,
            self.coded_bytes as f64 / self.wav_bytes as f64,
            self.seconds / self.encode_seconds,
            self.seconds / self.decode_seconds,
        );
    }
}

fn read_wav(path: &str) -> Result<(AudioHeader, Vec<i32>), hound::Error> {
    let mut reader = hound::WavReader::open(path)?;
    let spec = reader.spec();
    let (format, samples) = match spec.sample_format {
        hound::SampleFormat::Int => (
            SampleFormat::Int {
                bits: spec.bits_per_sample as u8,
            },
            reader.samples::<i32>().collect::<Result<_, _>>()?,
        ),
        hound::SampleFormat::Float => (
            SampleFormat::Float32,
            reader
                .samples::<f32>()
                .map(|sample| sample.map(|x| x.to_bits() as i32))
                .collect::<Result<_, _>>()?,
        ),
    };
    let header = AudioHeader {
        sample_rate: spec.sample_rate,
        channels: spec.channels,
        format,
    };
    Ok((header, samples))
}

/// Measures processor time of this thread, or time.
struct Stopwatch {
    begun: Instant,
    begun_nanoseconds: Option<u64>,
}

fn thread_nanoseconds() -> Option<u64> {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    statistics.split_whitespace().next()?.parse().ok()
}

impl Stopwatch {
    fn new() -> Self {
        Stopwatch {
            begun: Instant::now(),
            begun_nanoseconds: thread_nanoseconds(),
        }
    }

    fn seconds(&self) -> f64 {
        match (self.begun_nanoseconds, thread_nanoseconds()) {
            (Some(begun), Some(now)) if rayon::current_num_threads() == 1 => {
                (now - begun) as f64 * 1e-9
            }
            _ => self.begun.elapsed().as_secs_f64(),
        }
    }
}

struct Settings {
    effort: Effort,
    options: Vec<(String, i64)>,
    encode_only: bool,
}

fn measure(path: &str, settings: &Settings) -> Result<Totals, Box<dyn Error>> {
    let (header, samples) = read_wav(path)?;
    let seconds = samples.len() as f64 / f64::from(header.channels) / f64::from(header.sample_rate);
    let media = MediaHeader::Audio(header);

    let begun = Stopwatch::new();
    let context = EncodeContext {
        effort: settings.effort,
        options: &settings.options,
        ..EncodeContext::default()
    };
    let mut encoder = AudioLossless.encoder(&media, context)?;
    let mut blocks = Blocks::default();
    let params = encoder.params();
    let unit = AudioBlock {
        samples: samples.clone(),
    };
    encoder.write(Media::Audio(unit), &mut blocks)?;
    encoder.finish(&mut blocks)?;
    let mut totals = Totals {
        wav_bytes: std::fs::metadata(path)?.len(),
        coded_bytes: blocks.payloads.iter().map(|p| p.len() as u64).sum(),
        seconds,
        encode_seconds: begun.seconds(),
        decode_seconds: 0.0,
    };
    if settings.encode_only {
        return Ok(totals);
    }

    let header = StreamHeader {
        version: 1,
        codec: AudioLossless.info().id,
        media,
        params,
        models: Vec::new(),
    };
    let begun = Stopwatch::new();
    let mut decoder = AudioLossless.decoder(&header, DecodeContext::default())?;
    let mut source = Source {
        payloads: blocks.payloads.into_iter(),
        budget: Budget::new(Limits::default()),
    };
    let mut decoded: Vec<i32> = Vec::new();
    while let Some(Media::Audio(unit)) = decoder.next_unit(&mut source)? {
        decoded.extend_from_slice(&unit.samples);
    }
    totals.decode_seconds = begun.seconds();
    if decoded != samples {
        return Err(format!("{path}: decoded samples differ").into());
    }
    Ok(totals)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut settings = Settings {
        effort: Effort::default(),
        options: Vec::new(),
        encode_only: false,
    };
    let mut threads = 1;
    let mut per_file = false;
    let mut paths = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().unwrap_or_default().parse::<i64>();
        match argument.as_str() {
            "--effort" => settings.effort = Effort::new(number()?.try_into()?)?,
            "--threads" => threads = number()?.try_into()?,
            "--block-frames" => settings
                .options
                .push(("block_frames".to_owned(), number()?)),
            "--files" => per_file = true,
            "--encode-only" => settings.encode_only = true,
            _ => paths.push(argument),
        }
    }
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()?;
    let mut totals = Totals::default();
    for path in &paths {
        let result = pool.install(|| measure(path, &settings).map_err(|e| e.to_string()))?;
        if per_file {
            result.print(path.rsplit('/').next().unwrap_or(path));
        }
        totals.add(&result);
    }
    let name = format!("{} files, effort {}", paths.len(), settings.effort.get());
    totals.print(&name);
    Ok(())
}
