//! Sends WAV files (16 bits) through the lossy codec: `measure_lossy OUT_DIR
//! QUANTISER FILE…` writes what comes back and prints sizes; `train OUT
//! QUANTISERS FILE…` lets the models learn. Environment variables override
//! parameters (see `rcodec_audio::lossy::experiment`).

use rcodec_audio::lossy::experiment::{round_trip, train};
use std::path::Path;

fn read(path: &str) -> (u32, usize, Vec<i16>) {
    let mut reader = hound::WavReader::open(path).expect("a WAV file");
    let spec = reader.spec();
    let samples = reader.samples::<i16>().map(|s| s.expect("samples"));
    (spec.sample_rate, spec.channels.into(), samples.collect())
}

fn given(name: &str) -> Option<f64> {
    std::env::var(name).ok()?.parse().ok()
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args[0] == "train" {
        let sounds: Vec<_> = args[3..].iter().map(|p| read(p)).collect();
        let quantisers: Vec<i32> = args[2].split(',').map(|q| q.parse().unwrap()).collect();
        std::fs::write(&args[1], train(&sounds, &quantisers, &given).unwrap()).unwrap();
        return;
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
