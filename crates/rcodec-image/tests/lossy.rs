//! Lossy pictures: what the encoder says will come back does, however the
//! picture is cut and by however many threads; damage ends in errors.
//!
//! `data/tiny.rcm` is what `models/recipes/example-tiny.toml` gives on drawn
//! pictures: it codes badly, but it is a whole model.

use rcodec_core::{
    Block, BlockSink, BlockSource, Budget, Codec, ColorType, DecodeContext, EncodeContext, Error,
    ImageHeader, ImageStrip, Limits, Media, MediaHeader, ModelId, Rate, Result, Samples,
    StreamHeader,
};
use rcodec_image::ImageLossy;
use rcodec_model::Model;
use std::path::Path;
use std::sync::Once;

/// The folder with the tiny model, for the codec to find.
fn model() -> ModelId {
    static SET: Once = Once::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let file = std::fs::read(folder.join("tiny.rcm")).unwrap();
    SET.call_once(|| rcodec_model::registry::add_folder(folder));
    let budget = Budget::new(Limits::default());
    Model::read(&file, &budget).unwrap().id()
}

#[derive(Default)]
struct Blocks(Vec<Vec<u8>>);

impl BlockSink for Blocks {
    fn write_block(&mut self, payload: &[u8]) -> Result<()> {
        self.0.push(payload.to_vec());
        Ok(())
    }
}

struct Source<'a>(std::slice::Iter<'a, Vec<u8>>);

impl BlockSource for Source<'_> {
    fn next_block(&mut self) -> Result<Option<Block>> {
        let Some(payload) = self.0.next() else {
            return Ok(None);
        };
        Ok(Some(Block {
            payload: payload.clone(),
            at: 0,
            reservation: Budget::new(Limits::default()).reserve(payload.len() as u64)?,
        }))
    }
}

fn header(width: u32, height: u32, color: ColorType, bits: u8) -> ImageHeader {
    ImageHeader {
        width,
        height,
        color,
        bits,
        palette: Vec::new(),
    }
}

/// A smooth picture with some edges; alpha, if any, is a slope.
fn draw(header: &ImageHeader) -> Samples {
    let top = f64::from((1u32 << header.bits) - 1);
    let channels = header.color.channels();
    let mut samples = Samples::empty_for(header.bits);
    for y in 0..header.height {
        for x in 0..header.width {
            for channel in 0..channels {
                let (u, v) = (f64::from(x), f64::from(y));
                let wave = ((u * 0.05 + channel as f64).sin() + (v * 0.03).cos()) * 0.2 + 0.5;
                let edge = if (x / 50 + y / 70) % 2 == 0 {
                    0.1
                } else {
                    -0.1
                };
                let is_alpha = channels.is_multiple_of(2) && channel + 1 == channels;
                let value = if is_alpha {
                    (u + v) % 256.0 / 256.0
                } else {
                    wave + edge
                };
                match &mut samples {
                    Samples::U8(samples) => samples.push((value * top) as u8),
                    Samples::U16(samples) => samples.push((value * top) as u16),
                }
            }
        }
    }
    samples
}

/// A stream, and what the encoder says will come back.
struct Encoded {
    stream: StreamHeader,
    blocks: Vec<Vec<u8>>,
    decoded: Vec<u32>,
}

fn values(samples: &Samples) -> Vec<u32> {
    match samples {
        Samples::U8(samples) => samples.iter().map(|&s| s.into()).collect(),
        Samples::U16(samples) => samples.iter().map(|&s| s.into()).collect(),
    }
}

fn rows(samples: &Samples, range: std::ops::Range<usize>) -> Samples {
    match samples {
        Samples::U8(samples) => Samples::U8(samples[range].to_vec()),
        Samples::U16(samples) => Samples::U16(samples[range].to_vec()),
    }
}

fn encode(header: &ImageHeader, samples: &Samples, quality: f32, strip: usize) -> Result<Encoded> {
    let media = MediaHeader::Image(header.clone());
    let context = EncodeContext {
        rate: Rate::Quality(quality),
        model: Some(model()),
        ..EncodeContext::default()
    };
    let mut encoder = ImageLossy.encoder(&media, context)?;
    let stream = StreamHeader {
        version: 1,
        codec: ImageLossy.info().id,
        media,
        params: encoder.params(),
        models: encoder.models(),
    };
    let mut blocks = Blocks::default();
    let mut decoded = Vec::new();
    let mut collect = |unit: Option<Media>| match unit {
        Some(Media::Image(strip)) => decoded.extend(values(&strip.samples)),
        Some(_) => panic!("not a strip"),
        None => {}
    };
    let row = header.row_samples();
    let height = header.height as usize;
    for first in (0..height).step_by(strip) {
        let count = strip.min(height - first);
        let strip = ImageStrip {
            rows: count as u32,
            samples: rows(samples, first * row..(first + count) * row),
        };
        encoder.write(Media::Image(strip), &mut blocks)?;
        collect(encoder.next_decoded());
    }
    encoder.finish(&mut blocks)?;
    while let Some(unit) = encoder.next_decoded() {
        collect(Some(unit));
    }
    Ok(Encoded {
        stream,
        blocks: blocks.0,
        decoded,
    })
}

fn decode(stream: &StreamHeader, blocks: &[Vec<u8>]) -> Result<Vec<u32>> {
    let mut decoder = ImageLossy.decoder(stream, DecodeContext::default())?;
    let mut source = Source(blocks.iter());
    let mut decoded = Vec::new();
    while let Some(unit) = decoder.next_unit(&mut source)? {
        let Media::Image(strip) = unit else {
            panic!("not a strip");
        };
        decoded.extend(values(&strip.samples));
    }
    Ok(decoded)
}

/// Mean squared error, in 8-bit levels.
fn error(a: &[u32], b: &[u32], bits: u8) -> f64 {
    let top = f64::from((1u32 << bits) - 1);
    let squares = a.iter().zip(b).map(|(&a, &b)| {
        let difference = (f64::from(a) - f64::from(b)) * 255.0 / top;
        difference * difference
    });
    squares.sum::<f64>() / a.len() as f64
}

#[test]
fn every_kind_comes_back_nearly_as_it_was_and_alpha_exactly() {
    use ColorType::{Gray, GrayAlpha, Rgb, Rgba};
    for (color, bits, width, height) in [
        (Rgb, 8, 200, 150),
        (Rgb, 16, 64, 64),
        (Rgb, 10, 65, 1),
        (Rgba, 8, 100, 70),
        (Rgba, 16, 30, 20),
        (Gray, 8, 129, 63),
        (GrayAlpha, 12, 33, 44),
        (Rgb, 8, 1, 1),
        (Gray, 8, 1, 300),
    ] {
        let header = header(width, height, color, bits);
        let samples = draw(&header);
        let encoded = encode(&header, &samples, 100.0, 17).unwrap();
        let decoded = decode(&encoded.stream, &encoded.blocks).unwrap();
        assert_eq!(decoded, encoded.decoded, "{header:?}");
        let given = values(&samples);
        assert_eq!(decoded.len(), given.len());
        let error = error(&decoded, &given, bits);
        assert!(error < 120.0, "{error} for {header:?}");
        if color.channels().is_multiple_of(2) {
            let alpha = |v: &[u32]| -> Vec<u32> {
                let channels = color.channels();
                v.iter()
                    .skip(channels - 1)
                    .step_by(channels)
                    .copied()
                    .collect()
            };
            assert_eq!(alpha(&decoded), alpha(&given));
        }
    }
}

#[test]
fn quality_costs_bytes_and_buys_likeness() {
    let header = header(256, 256, ColorType::Rgb, 8);
    let samples = draw(&header);
    let run = |quality| {
        let encoded = encode(&header, &samples, quality, 256).unwrap();
        let bytes: usize = encoded.blocks.iter().map(Vec::len).sum();
        (bytes, error(&encoded.decoded, &values(&samples), 8))
    };
    let (low, middle, high) = (run(1.0), run(50.0), run(100.0));
    assert!(
        low.0 < middle.0 && middle.0 < high.0,
        "{low:?} {middle:?} {high:?}"
    );
    assert!(
        low.1 > middle.1 && middle.1 > high.1,
        "{low:?} {middle:?} {high:?}"
    );
}

/// Three bands.
fn tall() -> (ImageHeader, Samples) {
    // Bands of a picture this wide are as low as they can be: 128 rows.
    let header = header(62_000, 300, ColorType::Gray, 8);
    let samples = draw(&header);
    (header, samples)
}

#[test]
fn strips_and_threads_do_not_matter() {
    let (header, samples) = tall();
    let one = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap();
    let three = rayon::ThreadPoolBuilder::new()
        .num_threads(3)
        .build()
        .unwrap();
    let encoded = one
        .install(|| encode(&header, &samples, 60.0, 300))
        .unwrap();
    assert_eq!(encoded.blocks.len(), 3);
    let other = three
        .install(|| encode(&header, &samples, 60.0, 7))
        .unwrap();
    assert!(other.blocks == encoded.blocks && other.decoded == encoded.decoded);
    let decoded = three
        .install(|| decode(&encoded.stream, &encoded.blocks))
        .unwrap();
    assert!(decoded == encoded.decoded);
}

#[test]
fn damage_ends_in_errors_or_pictures() {
    let header = header(130, 70, ColorType::Rgba, 8);
    let encoded = encode(&header, &draw(&header), 40.0, 70).unwrap();
    let block = &encoded.blocks[0];
    for i in 0..60 {
        let mut damaged = block.clone();
        let at = i * 7919 % damaged.len();
        damaged[at] ^= 1 << (i % 8);
        let _ = decode(&encoded.stream, &[damaged]);
        let cut = block[..i * block.len() / 60].to_vec();
        assert!(decode(&encoded.stream, &[cut]).is_err());
    }
    assert!(matches!(
        decode(&encoded.stream, &[]),
        Err(Error::Truncated { .. })
    ));
    let twice = [block.clone(), block.clone()];
    assert!(matches!(
        decode(&encoded.stream, &twice),
        Err(Error::Malformed { .. })
    ));
}

#[test]
fn missing_models_and_wrong_headers_are_errors() {
    let header = header(64, 64, ColorType::Rgb, 8);
    let encoded = encode(&header, &draw(&header), 40.0, 64).unwrap();
    let mut stream = encoded.stream.clone();
    stream.models = vec![ModelId([7; 8])];
    assert!(matches!(
        decode(&stream, &encoded.blocks),
        Err(Error::ModelMissing(_))
    ));
    stream.models = Vec::new();
    assert!(matches!(
        decode(&stream, &encoded.blocks),
        Err(Error::Malformed { .. })
    ));
    for (color, bits) in [(ColorType::Indexed, 8), (ColorType::Gray, 4)] {
        let mut stream = encoded.stream.clone();
        stream.media = MediaHeader::Image(ImageHeader {
            color,
            bits,
            ..header.clone()
        });
        assert!(matches!(
            decode(&stream, &encoded.blocks),
            Err(Error::Malformed { .. })
        ));
    }
    let huge = ImageHeader {
        width: u32::MAX,
        height: u32::MAX,
        ..header.clone()
    };
    let mut stream = encoded.stream.clone();
    stream.media = MediaHeader::Image(huge);
    assert!(matches!(
        decode(&stream, &encoded.blocks),
        Err(Error::Limit(_))
    ));
    let media = MediaHeader::Image(header);
    let context = EncodeContext {
        model: Some(model()),
        ..EncodeContext::default()
    };
    assert!(ImageLossy.encoder(&media, context).is_err(), "no quality");
}
