//! `make-samples FOLDER`: writes the synthetic samples as ordinary files.

use rcodec_core::ColorType;
use rcodec_datasets::{Picture, json_lines, landscape, music, prose, screen};
use std::error::Error;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let folder: PathBuf = std::env::args_os()
        .nth(1)
        .ok_or("usage: make-samples FOLDER")?
        .into();
    fs::create_dir_all(&folder)?;
    write_png(&folder.join("landscape.png"), &landscape(384, 256, 1))?;
    write_png(&folder.join("screen.png"), &screen(400, 280, 1))?;
    write_wav(&folder.join("music.wav"), &music(48_000, 2, 1))?;
    fs::write(folder.join("prose.txt"), prose(20_000, 1))?;
    fs::write(folder.join("log.jsonl"), json_lines(300, 1))?;
    Ok(())
}

fn write_png(path: &Path, picture: &Picture) -> Result<(), Box<dyn Error>> {
    let file = BufWriter::new(File::create(path)?);
    let mut encoder = png::Encoder::new(file, picture.header.width, picture.header.height);
    encoder.set_color(match picture.header.color {
        ColorType::Gray => png::ColorType::Grayscale,
        _ => png::ColorType::Rgb,
    });
    encoder.set_compression(png::Compression::High);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&picture.samples)?;
    Ok(writer.finish()?)
}

fn write_wav(path: &Path, samples: &[i32]) -> Result<(), Box<dyn Error>> {
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: 48_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec)?;
    for &sample in samples {
        writer.write_sample(sample)?;
    }
    Ok(writer.finalize()?)
}
