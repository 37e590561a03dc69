//! `rcodec stream`: sound through pipes, packet by packet.

use crate::args::{StreamCommand, StreamDecodeArgs, StreamEncodeArgs};
use crate::exit::{Failure, Outcome};
use rcodec::{
    AudioBlock, AudioHeader, Budget, Limits, Media, MediaHeader, PacketOptions, PacketReader,
    PacketWriter, Rate, SampleFormat,
};
use rcodec_io::ReadOptions;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

pub(crate) fn run(command: &StreamCommand) -> Result<Outcome, Failure> {
    match command {
        StreamCommand::Encode(args) => encode(args)?,
        StreamCommand::Decode(args) => decode(args)?,
    }
    Ok(Outcome::default())
}

fn input(path: &Path) -> Result<Box<dyn Read + Send>, Failure> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin()));
    }
    let file = File::open(path).map_err(|e| Failure::from(e).about(path.display()))?;
    Ok(Box::new(file))
}

fn output(path: &Path) -> Result<Box<dyn Write>, Failure> {
    if path == Path::new("-") {
        return Ok(Box::new(BufWriter::new(io::stdout().lock())));
    }
    let file = File::create(path).map_err(|e| Failure::from(e).about(path.display()))?;
    Ok(Box::new(BufWriter::new(file)))
}

fn encode(args: &StreamEncodeArgs) -> Result<(), Failure> {
    let options = ReadOptions {
        transcode: true,
        raw: args.raw,
        ..ReadOptions::default()
    };
    // A small buffer: a packet's worth of samples is not to wait for more.
    let reader = Box::new(BufReader::with_capacity(1 << 10, input(&args.input)?));
    let mut source = rcodec_io::open(reader, &options, &Budget::new(Limits::default()))?;
    let MediaHeader::Audio(header) = source.header().clone() else {
        return Err(Failure::usage("stream takes sound only"));
    };
    let packets = PacketOptions {
        rate: match (args.bitrate, args.quality) {
            (Some(rate), _) => Rate::TargetBitrate(rate),
            (None, Some(quality)) => Rate::Quality(quality.into()),
            (None, None) => PacketOptions::default().rate,
        },
        key_interval: if args.loss {
            1
        } else {
            PacketOptions::default().key_interval
        },
        frame_milliseconds: args.frame,
        constant: args.cbr,
    };
    let mut writer = PacketWriter::new(&header, packets, output(&args.output)?)?;
    while let Some(unit) = source.next_unit()? {
        if let Media::Audio(AudioBlock { samples }) = unit {
            writer.push(&samples)?;
        }
    }
    writer.finish()?;
    Ok(())
}

/// A generator for simulated losses, the same ones every time.
struct Dice(u64);

impl Dice {
    /// A number in 0..1.
    fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn decode(args: &StreamDecodeArgs) -> Result<(), Failure> {
    let reader = BufReader::new(input(&args.input)?);
    let mut reader = PacketReader::new(reader)?;
    let header = reader.header().clone();
    let mut out = output(&args.output)?;
    if !args.raw {
        out.write_all(&wav_header(&header))?;
    }
    let channels = usize::from(header.channels);
    let mut dice = Dice(1);
    // The end says how many of the last samples count: they wait for it.
    let mut waiting = Vec::new();
    while let Some(samples) = reader.next_samples(|| dice.next() >= args.simulate_loss)? {
        write_samples(&mut out, &waiting, header.format)?;
        out.flush()?;
        waiting = samples;
    }
    let kept = waiting.len() - (reader.surplus() as usize * channels).min(waiting.len());
    write_samples(&mut out, &waiting[..kept], header.format)?;
    out.flush()?;
    if reader.lost() > 0 {
        eprintln!("rcodec: {} packets were lost and concealed", reader.lost());
    }
    Ok(())
}

/// Bytes of a sample in a WAV file.
fn sample_bytes(format: SampleFormat) -> u16 {
    u16::from(format.bits()).div_ceil(8)
}

/// The header of a WAV file whose length is not known.
fn wav_header(header: &AudioHeader) -> Vec<u8> {
    let bytes = sample_bytes(header.format);
    let frame_bytes = bytes.wrapping_mul(header.channels);
    let tag = match header.format {
        SampleFormat::Float32 => 3u16,
        SampleFormat::Int { .. } => 1,
    };
    let mut out = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0".to_vec();
    out.extend(tag.to_le_bytes());
    out.extend(header.channels.to_le_bytes());
    out.extend(header.sample_rate.to_le_bytes());
    let second = header.sample_rate.saturating_mul(frame_bytes.into());
    out.extend(second.to_le_bytes());
    out.extend(frame_bytes.to_le_bytes());
    out.extend((bytes * 8).to_le_bytes());
    out.extend(b"data\xff\xff\xff\xff");
    out
}

fn write_samples(out: &mut dyn Write, samples: &[i32], format: SampleFormat) -> io::Result<()> {
    let count = usize::from(sample_bytes(format));
    let shift = (8 * count as u32).saturating_sub(format.bits().into());
    let mut bytes = Vec::new();
    for &sample in samples {
        let mut sample = sample << shift;
        if count == 1 {
            // WAV has 8 bits without a sign.
            sample ^= 0x80;
        }
        bytes.extend_from_slice(&sample.to_le_bytes()[..count]);
    }
    out.write_all(&bytes)
}
