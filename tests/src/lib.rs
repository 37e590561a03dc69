//! What the tests of the whole share: small media of every kind, and ways to
//! encode and decode them in memory.

pub mod hostile;

use rcodec::{
    AudioBlock, AudioHeader, Codec, CodecId, ColorType, DecodeContext, Effort, EncodeContext,
    ImageHeader, ImageStrip, Latency, Media, MediaHeader, Metadata, Rate, Result, SampleFormat,
    Samples, StreamEncoder,
};
use rcodec_datasets::{
    Picture, Random, checkerboard, dithered, gradient, json_lines, landscape, music, noise,
    pixel_art, prose, screen, wallpaper, white_noise,
};
use std::path::PathBuf;

/// A named stream of media, as one unit.
pub struct Sample {
    /// Short name; of files made from it too.
    pub name: &'static str,
    /// The header.
    pub header: MediaHeader,
    /// All of it, or none for an empty stream.
    pub unit: Option<Media>,
    /// Rows of a frame of a picture that holds those of an animation.
    pub frame_rows: Option<u32>,
}

impl Sample {
    fn picture(name: &'static str, picture: Picture) -> Self {
        Sample {
            name,
            unit: Some(picture.unit()),
            header: MediaHeader::Image(picture.header),
            frame_rows: None,
        }
    }

    /// Six frames of 64 x 40 pixels, below one another: a camera turns over
    /// `scene`, and a square moves before it.
    fn film(name: &'static str, scene: &Picture) -> Self {
        let (width, rows, frames) = (64, 40, 6);
        let Media::Image(ImageStrip {
            samples: Samples::U8(pixels),
            ..
        }) = scene.unit()
        else {
            panic!("not a picture of bytes");
        };
        let channels = scene.header.color.channels();
        let mut samples = Vec::new();
        for t in 0..frames {
            for y in 0..rows {
                for x in 0..width {
                    let in_square = (20 + 2 * t..28 + 2 * t).contains(&x) && (10..18).contains(&y);
                    let at = (y * scene.header.width as usize + x + 3 * t) * channels;
                    match in_square {
                        true => samples.extend(std::iter::repeat_n(200, channels)),
                        false => samples.extend(&pixels[at..at + channels]),
                    }
                }
            }
        }
        let header = ImageHeader {
            width: width as u32,
            height: (frames * rows) as u32,
            ..scene.header.clone()
        };
        Sample {
            name,
            unit: Some(Media::Image(ImageStrip {
                rows: header.height,
                samples: Samples::U8(samples),
            })),
            header: MediaHeader::Image(header),
            frame_rows: Some(rows as u32),
        }
    }

    /// What the codec is told of the sample.
    fn options(&self, codec: &dyn Codec) -> Vec<(String, i64)> {
        let rows = self
            .frame_rows
            .filter(|_| codec.info().id == CodecId::IMAGE_LOSSLESS);
        let rows = rows.map(|rows| ("frame_rows".to_string(), i64::from(rows)));
        rows.into_iter().collect()
    }

    /// A picture of random samples.
    fn random_picture(name: &'static str, color: ColorType, bits: u8) -> Self {
        let (width, height) = (37, 23);
        let palette = match color {
            ColorType::Indexed => (0..1u16 << bits)
                .map(|i| [i as u8, 255 - i as u8, 9, if i < 3 { 100 } else { 255 }])
                .collect(),
            _ => Vec::new(),
        };
        let header = ImageHeader {
            width,
            height,
            color,
            bits,
            palette,
        };
        let mut random = Random::new(u64::from(bits));
        let mut value = 0;
        let samples: Vec<u16> = (0..header.total_samples())
            .map(|_| {
                // A walk with jumps: neither flat nor noise.
                value += random.below(3) as i32 - 1;
                if random.below(20) == 0 {
                    value = random.next_u32() as i32 & 0xffff;
                }
                (value & ((1 << bits) - 1)) as u16
            })
            .collect();
        let samples = if bits <= 8 {
            Samples::U8(samples.iter().map(|&s| s as u8).collect())
        } else {
            Samples::U16(samples)
        };
        Sample {
            name,
            unit: Some(Media::Image(ImageStrip {
                rows: height,
                samples,
            })),
            header: MediaHeader::Image(header),
            frame_rows: None,
        }
    }

    fn audio(name: &'static str, channels: u16, format: SampleFormat, samples: Vec<i32>) -> Self {
        Sample {
            name,
            header: MediaHeader::Audio(AudioHeader {
                sample_rate: 48_000,
                channels,
                format,
            }),
            unit: (!samples.is_empty()).then_some(Media::Audio(AudioBlock { samples })),
            frame_rows: None,
        }
    }

    fn bytes(name: &'static str, bytes: Vec<u8>) -> Self {
        Sample {
            name,
            header: MediaHeader::Bytes,
            unit: (!bytes.is_empty()).then_some(Media::Bytes(bytes)),
            frame_rows: None,
        }
    }

    /// Encodes the sample in one of the container's forms, at that effort; lossy
    /// codecs at quality 40.
    pub fn encode_as(&self, codec: &dyn Codec, effort: u8, latency: Latency) -> Result<Vec<u8>> {
        let rate = match codec.info().lossy {
            true => Rate::Quality(40.0),
            false => Rate::Lossless,
        };
        let options = self.options(codec);
        let context = EncodeContext {
            effort: Effort::new(effort)?,
            rate,
            options: &options,
            ..EncodeContext::default()
        };
        let none = Metadata::default();
        let header = &self.header;
        let mut encoder =
            StreamEncoder::new(codec, header, none.clone(), context, latency, Vec::new())?;
        if let Some(unit) = &self.unit {
            encoder.write(unit.clone())?;
        }
        Ok(encoder.finish(&none)?.out)
    }

    /// Encodes the sample.
    pub fn encode(&self, codec: &dyn Codec, context: EncodeContext<'_>) -> Result<Vec<u8>> {
        let options = self.options(codec);
        let context = match options.is_empty() {
            true => context,
            false => EncodeContext {
                options: &options,
                ..context
            },
        };
        rcodec::encode(codec, &self.header, self.unit.clone(), context)
    }
}

/// Small pictures of every kind.
pub fn pictures() -> Vec<Sample> {
    let mut samples = vec![
        Sample::picture("landscape", landscape(160, 120, 7)),
        Sample::picture("screen", screen(220, 150, 7)),
        Sample::picture("pixel-art", pixel_art(96, 64, 7)),
        Sample::picture("wallpaper", wallpaper(150, 110, 7)),
        Sample::picture("gradient", gradient(100, 75)),
        Sample::picture("dithered", dithered(64, 64)),
        Sample::picture("checkerboard", checkerboard(33, 31)),
        Sample::picture("noise", noise(48, 48, 7)),
        Sample::picture("one-pixel", noise(1, 1, 7)),
        Sample::picture("one-row", landscape(501, 1, 7)),
        Sample::picture("one-column", landscape(1, 501, 7)),
        Sample::film("film", &landscape(90, 40, 7)),
        Sample::film("screen-film", &screen(90, 60, 7)),
    ];
    for (name, color, bits) in [
        ("gray-1", ColorType::Gray, 1),
        ("gray-2", ColorType::Gray, 2),
        ("gray-4", ColorType::Gray, 4),
        ("gray-12", ColorType::Gray, 12),
        ("gray-16", ColorType::Gray, 16),
        ("gray-alpha-8", ColorType::GrayAlpha, 8),
        ("gray-alpha-16", ColorType::GrayAlpha, 16),
        ("rgb-10", ColorType::Rgb, 10),
        ("rgb-16", ColorType::Rgb, 16),
        ("rgba-8", ColorType::Rgba, 8),
        ("rgba-16", ColorType::Rgba, 16),
        ("indexed-1", ColorType::Indexed, 1),
        ("indexed-4", ColorType::Indexed, 4),
        ("indexed-8", ColorType::Indexed, 8),
    ] {
        samples.push(Sample::random_picture(name, color, bits));
    }
    samples
}

/// Small sounds of every kind.
pub fn sounds() -> Vec<Sample> {
    let int = |bits| SampleFormat::Int { bits };
    let scaled = |shift: u32| music(2000, 2, 3).iter().map(|s| s << shift).collect();
    vec![
        Sample::audio("music-stereo", 2, int(16), music(20_000, 2, 3)),
        Sample::audio("music-mono", 1, int(16), music(20_000, 1, 3)),
        Sample::audio("music-6-channels", 6, int(16), music(3000, 6, 3)),
        Sample::audio("music-24-bit", 2, int(24), scaled(7)),
        Sample::audio("music-32-bit", 2, int(32), scaled(15)),
        Sample::audio(
            "music-8-bit",
            1,
            int(8),
            music(9000, 1, 3).iter().map(|s| s >> 8).collect(),
        ),
        Sample::audio("silence", 2, int(16), vec![0; 20_000]),
        Sample::audio("noise-16", 1, int(16), white_noise(3000, 16, 3)),
        Sample::audio("noise-32", 3, int(32), white_noise(3000, 32, 3)),
        Sample::audio("one-frame", 2, int(16), vec![-32768, 32767]),
        Sample::audio("no-frames", 2, int(16), Vec::new()),
        Sample::audio(
            "float",
            2,
            SampleFormat::Float32,
            music(2000, 2, 3)
                .iter()
                .map(|&s| (s as f32 / 32768.0).to_bits() as i32)
                .collect(),
        ),
        Sample::audio(
            "float-patterns",
            1,
            SampleFormat::Float32,
            white_noise(2000, 32, 5),
        ),
    ]
}

/// Small strings of bytes of every kind.
pub fn byte_strings() -> Vec<Sample> {
    let mut random = Random::new(1);
    let noise: Vec<u8> = (0..5000).map(|_| random.next_u32() as u8).collect();
    vec![
        Sample::bytes("prose", prose(8000, 7).into_bytes()),
        Sample::bytes("json", json_lines(60, 7).into_bytes()),
        Sample::bytes("random", noise),
        Sample::bytes("zeros", vec![0; 100_000]),
        Sample::bytes("one-byte", vec![42]),
        Sample::bytes("empty", Vec::new()),
    ]
}

/// All of the above.
pub fn all_samples() -> Vec<Sample> {
    let mut samples = pictures();
    samples.extend(sounds());
    samples.extend(byte_strings());
    samples
}

/// Joins units into one; strips of one picture, blocks of one sound.
pub fn join(units: &[Media]) -> Option<Media> {
    let mut units = units.iter().cloned();
    let first = units.next()?;
    Some(units.fold(first, |mut joined, unit| {
        match (&mut joined, unit) {
            (Media::Bytes(all), Media::Bytes(more)) => all.extend(more),
            (Media::Audio(all), Media::Audio(more)) => all.samples.extend(more.samples),
            (Media::Image(all), Media::Image(more)) => {
                all.rows += more.rows;
                match (&mut all.samples, more.samples) {
                    (Samples::U8(all), Samples::U8(more)) => all.extend(more),
                    (Samples::U16(all), Samples::U16(more)) => all.extend(more),
                    _ => panic!("strips of two sample types"),
                }
            }
            _ => panic!("units of two kinds"),
        }
        joined
    }))
}

/// Decodes a file and joins its units.
pub fn decode(file: &[u8]) -> Result<(MediaHeader, Option<Media>)> {
    let decoded = rcodec::decode(file, DecodeContext::default())?;
    Ok((decoded.header.media, join(&decoded.units)))
}

/// Every codec of the build that takes the sample's media without loss.
pub fn lossless_codecs_for(sample: &Sample) -> Vec<&'static dyn Codec> {
    let kind = sample.header.kind();
    let fits = |codec: &&dyn Codec| codec.info().media == kind && !codec.info().lossy;
    rcodec::CODECS.iter().copied().filter(fits).collect()
}

/// The folder of golden files.
pub fn golden_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden")
}

/// The folder of real data named by `RCODEC_TEST_DATA`; prints a note if there
/// is none.
pub fn real_data() -> Option<PathBuf> {
    let folder = std::env::var_os("RCODEC_TEST_DATA").map(PathBuf::from);
    match folder {
        Some(folder) if folder.is_dir() => Some(folder),
        _ => {
            println!("skipped: RCODEC_TEST_DATA names no folder with real data");
            None
        }
    }
}
