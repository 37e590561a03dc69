//! Writes the small files with which a fuzzer's corpus begins:
//! `fuzz-seeds CHECK FOLDER`.

use rcodec::{Latency, Media, MediaHeader, Metadata, PacketOptions, PacketWriter};
use rcodec_tests::{Sample, all_samples};
use std::error::Error;
use std::fs;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [check, folder] = &args[..] else {
        return Err("usage: fuzz-seeds CHECK FOLDER".into());
    };
    let folder = Path::new(folder);
    fs::create_dir_all(folder)?;
    let mut files = Vec::new();
    match check.as_str() {
        "source" => sources(&mut files)?,
        "round_trip" => media(&mut files),
        "model" => models(&mut files)?,
        "recover" => streams(Some("audio-lossless"), &mut files),
        "container" => streams(None, &mut files),
        "packets" => packets(&mut files)?,
        codec => streams(Some(&codec.replace('_', "-")), &mut files),
    }
    // libFuzzer learns more from many small files than from a few large ones.
    files.retain(|file| file.len() <= 32_768);
    for (number, file) in files.iter().enumerate() {
        fs::write(folder.join(format!("seed-{number:03}")), file)?;
    }
    println!("{} seeds", files.len());
    Ok(())
}

type Files = Vec<Vec<u8>>;

/// Every sample small enough, by one codec or all, at three efforts, in blocks:
/// their checksums can be mended, so that what is behind them is reached.
fn streams(codec: Option<&str>, files: &mut Files) {
    for sample in all_samples() {
        let fits = |name: &str| codec.is_none_or(|codec| codec == name);
        let codecs = rcodec::CODECS
            .iter()
            .filter(|codec| codec.info().media == sample.header.kind() && fits(codec.info().name));
        for codec in codecs {
            for effort in [1, 5, 9] {
                for latency in [Latency::Live, Latency::Smallest] {
                    // Not every codec takes all media.
                    files.extend(sample.encode_as(*codec, effort, latency).ok());
                }
            }
        }
    }
}

/// Streams of packets of every sound that can be had so.
fn packets(files: &mut Files) -> rcodec::Result<()> {
    for sample in rcodec_tests::sounds() {
        let (MediaHeader::Audio(header), Some(Media::Audio(block))) =
            (&sample.header, &sample.unit)
        else {
            continue;
        };
        let Ok(mut writer) = PacketWriter::new(header, PacketOptions::default(), Vec::new()) else {
            continue;
        };
        writer.push(&block.samples)?;
        files.push(writer.finish()?);
    }
    Ok(())
}

/// Files of every format that is written, behind the byte that says how they
/// are read.
fn sources(files: &mut Files) -> Result<(), Box<dyn Error>> {
    let extensions = [
        "png", "bmp", "ppm", "pam", "tiff", "webp", "qoi", "wav", "w64", "aiff",
    ];
    for sample in all_samples() {
        for extension in extensions {
            let format = rcodec_io::OutputFormat::from_extension(extension).ok_or("no format")?;
            files.extend(file(&sample, format).ok());
        }
    }
    Ok(())
}

fn file(sample: &Sample, format: rcodec_io::OutputFormat) -> rcodec::Result<Vec<u8>> {
    let mut file = vec![3];
    let none = Metadata::default();
    let budget = rcodec::Budget::new(rcodec::Limits::default());
    let mut written = Vec::new();
    let sink = rcodec_io::Sink::Stream(Box::new(&mut written));
    let mut writer = rcodec_io::create(format, &sample.header, &none, sink, &budget)?;
    if let Some(unit) = &sample.unit {
        writer.write(unit.clone())?;
    }
    writer.finish(&none)?;
    file.extend(written);
    Ok(file)
}

/// Text as any kind of media.
fn media(files: &mut Files) {
    let text = rcodec_datasets::json_lines(8, 7).into_bytes();
    for kind in 0..12 {
        for effort in [0, 4, 8] {
            let shape = [kind, effort, 20 + kind, 3 * kind + 7, kind * 5 + effort];
            files.push([&shape[..], &text].concat());
        }
    }
}

fn models(files: &mut Files) -> Result<(), Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/rcodec-model/tests/golden");
    for entry in fs::read_dir(folder)? {
        files.push(fs::read(entry?.path())?);
    }
    Ok(())
}
