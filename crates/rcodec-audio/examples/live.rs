//! Live sound: `live FILE.wav [BITRATE]` takes a WAV file (16 bits) at the speed
//! of its samples, as if it came from a microphone, a millisecond at a time;
//! encodes it to packets, each of which goes through a pipe as soon as it is
//! complete; and decodes them in another thread. Prints for each packet how
//! long ago its first sample was heard by the microphone: the delay of it all,
//! computing included.

use rcodec_audio::lossy::{PacketOptions, PacketReader, PacketWriter};
use rcodec_core::{AudioHeader, Rate, Result, SampleFormat};
use std::io::{PipeReader, pipe};
use std::thread;
use std::time::{Duration, Instant};

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let path = args.next().expect("a WAV file of 16 bits");
    let bitrate = args.next().map_or(64_000, |b| b.parse().expect("bits/s"));
    let mut file = hound::WavReader::open(path).expect("a WAV file");
    let spec = file.spec();
    let samples: Vec<i32> = file.samples().map(|s| s.expect("samples")).collect();
    let header = AudioHeader {
        sample_rate: spec.sample_rate,
        channels: spec.channels,
        format: SampleFormat::Int { bits: 16 },
    };
    let options = PacketOptions {
        rate: Rate::TargetBitrate(bitrate),
        ..PacketOptions::default()
    };
    let (from, to) = pipe()?;
    let begun = Instant::now();
    let listener = thread::spawn(move || listen(from, begun));

    // What a program does that has a microphone: take what there is, push it.
    let mut writer = PacketWriter::new(&header, options, to)?;
    let block = spec.sample_rate.div_ceil(1000) as usize;
    let mut captured = 0;
    for part in samples.chunks(block * usize::from(spec.channels)) {
        captured += part.len() / usize::from(spec.channels);
        let heard = begun + span(captured as u64, spec.sample_rate);
        thread::sleep(heard.saturating_duration_since(Instant::now()));
        writer.push(part)?;
    }
    drop(writer.finish()?);
    listener.join().expect("the listener")
}

/// How long so many samples last.
fn span(samples: u64, sample_rate: u32) -> Duration {
    Duration::from_secs_f64(samples as f64 / f64::from(sample_rate))
}

/// Takes packets as they come.
fn listen(pipe: PipeReader, begun: Instant) -> Result<()> {
    let mut reader = PacketReader::new(pipe)?;
    let header = reader.header().clone();
    let (mut given, mut delays) = (0u64, Vec::new());
    while let Some(samples) = reader.next_samples(|| true)? {
        let first = span(given, header.sample_rate);
        let delay = begun.elapsed().saturating_sub(first).as_secs_f64() * 1000.0;
        given += samples.len() as u64 / u64::from(header.channels);
        println!("packet {}: {delay:.2} ms", delays.len());
        delays.push(delay);
    }
    delays.sort_by(f64::total_cmp);
    let at = |part: usize| delays.get(delays.len() * part / 100).copied();
    if let (Some(median), Some(late), Some(last)) = (at(50), at(99), delays.last()) {
        println!("median {median:.2} ms, 99 of 100 within {late:.2} ms, at most {last:.2} ms");
    }
    Ok(())
}
