//! Encodes and decodes PGM and PPM pictures, checks that they come back, and
//! prints sizes and speeds (megapixels per second of processor time):
//!
//! ```text
//! cargo run --release -p rcodec-image --example measure_image -- [-e EFFORT] [-n] [-a ROWS] FILE...
//! ```
//!
//! `-n` leaves the decoding out; `-a` says that pictures consist of the frames
//! of an animation, so many rows each, below one another.

use rcodec_core::{
    Block, BlockSink, BlockSource, Budget, Codec, ColorType, DecodeContext, Effort, EncodeContext,
    ImageHeader, ImageStrip, Limits, Media, MediaHeader, Result, Samples, StreamHeader,
};
use rcodec_image::ImageLossless;
use std::collections::VecDeque;
use std::time::Instant;

/// Seconds of processor time used so far, from `/proc` (ticks of 10 ms), or
/// of wall time where there is none.
fn processor_seconds(start: Instant) -> f64 {
    let ticks = || {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
        let user: f64 = fields.get(11)?.parse().ok()?;
        let system: f64 = fields.get(12)?.parse().ok()?;
        Some((user + system) / 100.0)
    };
    ticks().unwrap_or_else(|| start.elapsed().as_secs_f64())
}

/// Blocks in memory.
#[derive(Default)]
struct Blocks(VecDeque<Vec<u8>>);

impl BlockSink for Blocks {
    fn write_block(&mut self, payload: &[u8]) -> Result<()> {
        self.0.push_back(payload.to_vec());
        Ok(())
    }
}

impl BlockSource for Blocks {
    fn next_block(&mut self) -> Result<Option<Block>> {
        let Some(payload) = self.0.pop_front() else {
            return Ok(None);
        };
        let reservation = Budget::new(Limits::default()).reserve(payload.len() as u64)?;
        Ok(Some(Block {
            payload,
            at: 0,
            reservation,
        }))
    }
}

/// The next word of a PNM header, and what follows it.
fn word(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let start = bytes.iter().position(|b| !b.is_ascii_whitespace())?;
    let bytes = &bytes[start..];
    let end = bytes.iter().position(u8::is_ascii_whitespace)?;
    Some((std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end..]))
}

/// A picture of a binary PGM or PPM file.
fn read_pnm(bytes: &[u8]) -> Option<(ImageHeader, Samples)> {
    let (magic, rest) = word(bytes)?;
    let color = match magic {
        "P5" => ColorType::Gray,
        "P6" => ColorType::Rgb,
        _ => return None,
    };
    let (width, rest) = word(rest)?;
    let (height, rest) = word(rest)?;
    let (max, rest) = word(rest)?;
    let max: u32 = max.parse().ok()?;
    let header = ImageHeader {
        width: width.parse().ok()?,
        height: height.parse().ok()?,
        color,
        bits: (32 - max.leading_zeros()) as u8,
        palette: Vec::new(),
    };
    let body = &rest[1..];
    let samples = if max < 256 {
        Samples::U8(body.to_vec())
    } else {
        let pairs = body.chunks_exact(2);
        Samples::U16(pairs.map(|p| u16::from_be_bytes([p[0], p[1]])).collect())
    };
    Some((header, samples))
}

/// Sums of what was measured.
#[derive(Default)]
struct Total {
    bytes: usize,
    samples: usize,
    pixels: usize,
    encode_s: f64,
    decode_s: f64,
}

impl Total {
    fn add(&mut self, other: &Total) {
        self.bytes += other.bytes;
        self.samples += other.samples;
        self.pixels += other.pixels;
        self.encode_s += other.encode_s;
        self.decode_s += other.decode_s;
    }

    fn print(&self, name: &str) {
        let mp = self.pixels as f64 / 1e6;
        println!(
            "{name:32} {:>9} B  {:.4} bpsp  encode {:.2} MP/s  decode {:.2} MP/s",
            self.bytes,
            self.bytes as f64 * 8.0 / self.samples as f64,
            mp / self.encode_s,
            mp / self.decode_s
        );
    }
}

fn measure(
    header: &ImageHeader,
    samples: &Samples,
    effort: Effort,
    start: Instant,
    decode: bool,
    options: &[(String, i64)],
) -> Result<Total> {
    let media = MediaHeader::Image(header.clone());
    let begin_s = processor_seconds(start);
    let context = EncodeContext {
        effort,
        options,
        ..EncodeContext::default()
    };
    let mut encoder = ImageLossless.encoder(&media, context)?;
    let params = encoder.params();
    let mut blocks = Blocks::default();
    let strip = ImageStrip {
        rows: header.height,
        samples: samples.clone(),
    };
    encoder.write(Media::Image(strip), &mut blocks)?;
    encoder.finish(&mut blocks)?;
    drop(encoder);
    let encode_s = processor_seconds(start) - begin_s;
    let bytes = blocks.0.iter().map(Vec::len).sum();

    if !decode {
        return Ok(Total {
            bytes,
            samples: samples.len(),
            pixels: samples.len() / header.color.channels(),
            encode_s,
            decode_s: 0.0,
        });
    }
    let stream = StreamHeader {
        version: 1,
        codec: ImageLossless.info().id,
        media,
        params,
        models: Vec::new(),
    };
    let middle_s = processor_seconds(start);
    let mut decoder = ImageLossless.decoder(&stream, DecodeContext::default())?;
    let mut at = 0;
    while let Some(unit) = decoder.next_unit(&mut blocks)? {
        let Media::Image(strip) = unit else {
            panic!("not a strip");
        };
        let same = match (&strip.samples, samples) {
            (Samples::U8(a), Samples::U8(b)) => a[..] == b[at..at + a.len()],
            (Samples::U16(a), Samples::U16(b)) => a[..] == b[at..at + a.len()],
            _ => false,
        };
        assert!(same, "decoded samples differ");
        at += strip.samples.len();
    }
    assert_eq!(at, samples.len(), "samples are missing");
    Ok(Total {
        bytes,
        samples: samples.len(),
        pixels: samples.len() / header.color.channels(),
        encode_s,
        decode_s: processor_seconds(start) - middle_s,
    })
}

fn main() {
    let mut effort = Effort::default();
    let mut total = Total::default();
    let start = Instant::now();
    let mut decode = true;
    let mut options = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "-e" {
            let number = arguments.next().and_then(|n| n.parse().ok());
            effort = Effort::new(number.unwrap_or(0)).expect("an effort of 1-9");
            continue;
        }
        if argument == "-n" {
            decode = false;
            continue;
        }
        if argument == "-a" {
            let rows = arguments.next().and_then(|n| n.parse().ok());
            options = vec![("frame_rows".to_string(), rows.expect("rows"))];
            continue;
        }
        let bytes = std::fs::read(&argument).expect("a file");
        let (header, samples) = read_pnm(&bytes).expect("a PGM or PPM file");
        let one = measure(&header, &samples, effort, start, decode, &options).expect("to code");
        let name = argument.rsplit('/').next().unwrap_or(&argument);
        one.print(name);
        total.add(&one);
    }
    total.print("total");
}
