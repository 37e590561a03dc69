//! Made graphics: never larger than their PNG or lossless WebP, and back as
//! they were.

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::codecs::webp::WebPEncoder;
use image::{ExtendedColorType, ImageEncoder};
use rcodec_core::{
    Block, BlockSink, BlockSource, Budget, Codec, ColorType, DecodeContext, Effort, EncodeContext,
    ImageHeader, ImageStrip, Limits, Media, MediaHeader, Result, Samples, StreamHeader,
};
use rcodec_image::ImageLossless;
use std::collections::VecDeque;
use std::path::Path;
use std::process::Command;

/// What one may be larger by.
const SLACK: usize = 64;

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
        let reservation = Budget::new(Limits::default()).reserve(0)?;
        Ok(self.0.pop_front().map(|payload| Block {
            payload,
            at: 0,
            reservation,
        }))
    }
}

/// A picture of three bytes a pixel.
struct Picture {
    width: u32,
    height: u32,
    rgb: Vec<u8>,
}

impl Picture {
    fn new(width: u32, height: u32, pixel: impl Fn(u32, u32) -> [u8; 3]) -> Self {
        let rows = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        Picture {
            width,
            height,
            rgb: rows.flat_map(|(x, y)| pixel(x, y)).collect(),
        }
    }

    /// Bytes of the blocks at an effort; they decode to the same.
    fn ours(&self, effort: u8) -> usize {
        let media = MediaHeader::Image(ImageHeader {
            width: self.width,
            height: self.height,
            color: ColorType::Rgb,
            bits: 8,
            palette: Vec::new(),
        });
        let context = EncodeContext {
            effort: Effort::new(effort).unwrap(),
            ..EncodeContext::default()
        };
        let mut encoder = ImageLossless.encoder(&media, context).unwrap();
        let strip = ImageStrip {
            rows: self.height,
            samples: Samples::U8(self.rgb.clone()),
        };
        let mut blocks = Blocks::default();
        encoder.write(Media::Image(strip), &mut blocks).unwrap();
        encoder.finish(&mut blocks).unwrap();
        let bytes = blocks.0.iter().map(Vec::len).sum();
        let stream = StreamHeader {
            version: 1,
            codec: ImageLossless.info().id,
            media,
            params: encoder.params(),
            models: Vec::new(),
        };
        let mut decoder = ImageLossless
            .decoder(&stream, DecodeContext::default())
            .unwrap();
        let mut rest = &self.rgb[..];
        while let Some(unit) = decoder.next_unit(&mut blocks).unwrap() {
            let Media::Image(ImageStrip {
                samples: Samples::U8(samples),
                ..
            }) = unit
            else {
                panic!("not a strip of bytes");
            };
            let (same, after) = rest.split_at(samples.len());
            assert!(samples == same, "decoded samples differ");
            rest = after;
        }
        assert!(rest.is_empty());
        bytes
    }

    fn encoded<E: ImageEncoder>(&self, encoder: E) {
        encoder
            .write_image(&self.rgb, self.width, self.height, ExtendedColorType::Rgb8)
            .unwrap();
    }

    /// Bytes of the smallest PNG over the filters.
    fn png(&self) -> usize {
        let filters = [FilterType::NoFilter, FilterType::Adaptive];
        let sizes = filters.map(|filter| {
            let mut bytes = Vec::new();
            self.encoded(PngEncoder::new_with_quality(
                &mut bytes,
                CompressionType::Best,
                filter,
            ));
            bytes.len()
        });
        sizes[0].min(sizes[1])
    }

    fn webp(&self) -> usize {
        let mut bytes = Vec::new();
        self.encoded(WebPEncoder::new_lossless(&mut bytes));
        bytes.len()
    }

    /// Bytes that programs make of the picture, as far as they are installed.
    fn by_programs(&self, folder: &Path) -> Vec<(&'static str, usize)> {
        let [png, best, webp] =
            ["in.png", "best.png", "best.webp"].map(|name| folder.join(name).display().to_string());
        let mut bytes = Vec::new();
        self.encoded(PngEncoder::new(&mut bytes));
        std::fs::write(&png, bytes).unwrap();
        let oxipng = ["-q", "-o", "max", "--strip", "all", "--out", &best, &png];
        let cwebp = [
            "-quiet",
            "-lossless",
            "-exact",
            "-z",
            "9",
            &png,
            "-o",
            &webp,
        ];
        let programs = [("oxipng", &oxipng[..], &best), ("cwebp", &cwebp[..], &webp)];
        let run = |(program, arguments, output): (&'static str, &[&str], &String)| {
            let status = Command::new(program).args(arguments).status().ok()?;
            assert!(status.success(), "{program}: {status}");
            let bytes = std::fs::metadata(output).unwrap().len();
            Some((program, bytes as usize))
        };
        programs.into_iter().filter_map(run).collect()
    }

    /// Compares at some efforts with the PNG and WebP of the image crate, and
    /// with what else is given; says where one was larger.
    fn larger(&self, name: &str, efforts: &[u8], others: &[(&str, usize)]) -> Vec<String> {
        let mut larger = Vec::new();
        let own = [("PNG", self.png()), ("WebP", self.webp())];
        let peers: Vec<(&str, usize)> = own.iter().chain(others).copied().collect();
        for &effort in efforts {
            let ours = self.ours(effort);
            println!("{name}: effort {effort}: {ours}, {peers:?}");
            for &(peer, bytes) in &peers {
                if ours > bytes + SLACK {
                    larger.push(format!("{name}: {ours} at effort {effort}, {peer} {bytes}"));
                }
            }
        }
        larger
    }
}

/// A random number that depends on what it is given.
fn hash(a: u32, b: u32, c: u32) -> u32 {
    let mut h = a.wrapping_mul(0x9e37_79b1);
    for x in [b, c] {
        h = (h ^ h >> 15).wrapping_mul(0x85eb_ca77) ^ x.wrapping_mul(0xc2b2_ae3d);
    }
    h = (h ^ h >> 13).wrapping_mul(0x27d4_eb2f);
    h ^ h >> 16
}

/// Coverage (0..=4) of a pixel by made-up text of cells of 8x14.
fn glyph(x: u32, y: u32) -> u32 {
    let letter = hash(x / 8, y / 14, 3) % 30;
    if letter < 5 || x % 8 > 5 || y % 14 > 9 {
        return 0;
    }
    let ink = |x: u32, y: u32| u32::from(hash(letter, x % 8 / 2, y % 14 / 2) % 5 < 2);
    ink(x, y) + ink(x + 1, y) + ink(x, y + 1) + ink(x + 1, y + 1)
}

fn blend(from: [u8; 3], to: [u8; 3], quarters: u32) -> [u8; 3] {
    std::array::from_fn(|c| {
        let (a, b) = (u32::from(from[c]), u32::from(to[c]));
        ((a * (4 - quarters) + b * quarters) / 4) as u8
    })
}

/// Windows with title bars, text, buttons and a smooth picture.
fn screenshot(x: u32, y: u32) -> [u8; 3] {
    if (60..420).contains(&x) && (40..260).contains(&y) {
        if y < 60 {
            let shade = 90 + (y - 40) as u8 * 4;
            return [shade / 2, shade / 2, shade];
        }
        if x > 400 {
            return if (y / 40).is_multiple_of(2) {
                [200; 3]
            } else {
                [230; 3]
            };
        }
        return blend([250, 250, 248], [20, 20, 30], glyph(x, y));
    }
    if (300..460).contains(&x) && (200..300).contains(&y) {
        let wave = ((x * x / 64 + y * y / 40) % 128) as u8;
        return [wave + 60, 120 - wave / 2, (hash(x, y, 1) % 6) as u8 + wave];
    }
    [40, 70, (80 + y / 8) as u8]
}

/// The made graphics.
fn pictures() -> Vec<(&'static str, Picture)> {
    let bayer = [[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]];
    let gray = |v: u32| [v as u8; 3];
    vec![
        ("screenshot", Picture::new(480, 320, screenshot)),
        (
            "pixel art",
            Picture::new(256, 192, |x, y| {
                let tile = hash(x / 16, y / 16, 9) % 7;
                let shade = hash(tile, x % 16 / 2, y % 16 / 2) % 4;
                gray(40 * shade + 10 * tile).map(|v| v ^ (tile as u8 * 29))
            }),
        ),
        (
            "pixel art, four times",
            Picture::new(512, 384, |x, y| {
                let index = hash(x / 4 % 24, y / 4 % 31, 5) % 12;
                [hash(index, 1, 0) as u8, hash(index, 2, 0) as u8, 90]
            }),
        ),
        (
            "ordered dithering",
            Picture::new(320, 240, |x, y| {
                let level = (x + y) * 16 / 560;
                let over = level * 2 % 16 + x % 3 > bayer[y as usize % 4][x as usize % 4];
                gray(if over { 255 } else { 0 })
            }),
        ),
        (
            "noisy dithering",
            Picture::new(320, 240, |x, y| {
                gray(255 * u32::from(hash(x, y, 7) % 320 < x))
            }),
        ),
        (
            "linear gradient",
            Picture::new(400, 300, |x, y| {
                [(x / 2) as u8, (y * 4 / 5) as u8, (x / 4 + y / 4) as u8]
            }),
        ),
        (
            "round gradient",
            Picture::new(300, 300, |x, y| {
                let (dx, dy) = (x.abs_diff(150), y.abs_diff(140));
                gray(255 - ((dx * dx + dy * dy) / 200).min(255))
            }),
        ),
        (
            "text, two colours",
            Picture::new(600, 400, |x, y| gray(255 * u32::from(glyph(x, y) < 2))),
        ),
        (
            "text, smooth",
            Picture::new(600, 400, |x, y| blend([255; 3], [0, 40, 90], glyph(x, y))),
        ),
        (
            "checkerboard of 1",
            Picture::new(500, 500, |x, y| gray(255 * ((x + y) % 2))),
        ),
        (
            "checkerboard of 8",
            Picture::new(500, 500, |x, y| {
                [(255 * ((x / 8 + y / 8) % 2)) as u8, 7, 99]
            }),
        ),
        (
            "noise",
            Picture::new(200, 200, |x, y| {
                std::array::from_fn(|c| hash(x, y, c as u32) as u8)
            }),
        ),
        (
            "noise of 3 levels",
            Picture::new(200, 200, |x, y| gray(hash(x, y, 1) % 3 * 100)),
        ),
        (
            "tiles of noise",
            Picture::new(384, 384, |x, y| {
                std::array::from_fn(|c| hash(x % 64, y % 64, c as u32) as u8)
            }),
        ),
        ("one pixel", Picture::new(1, 1, |_, _| [1, 2, 3])),
        (
            "lines",
            Picture::new(300, 300, |x, y| {
                let on = (x * 3 + y).is_multiple_of(97) || (x + 300 - y).is_multiple_of(61);
                if on { [200, 30, 30] } else { [255; 3] }
            }),
        ),
    ]
}

#[test]
fn never_larger_than_png_or_webp() {
    for (name, picture) in &pictures() {
        let larger = picture.larger(name, &[1, 5, 9], &[]);
        assert!(larger.is_empty(), "{larger:?}");
    }
}

#[test]
#[ignore = "takes a minute, and compares with oxipng and cwebp only where they are installed"]
fn never_larger_than_what_programs_make() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let larger = |(name, picture): &(&str, Picture)| {
        picture.larger(name, &[1, 5, 9], &picture.by_programs(folder))
    };
    let larger: Vec<String> = pictures().iter().flat_map(larger).collect();
    assert!(larger.is_empty(), "{larger:#?}");
}

#[test]
fn one_colour_of_64_megapixels() {
    let picture = Picture::new(8000, 8000, |_, _| [12, 200, 34]);
    let bytes = picture.ours(5);
    // A few bytes for each of the groups.
    assert!(bytes < 1000, "{bytes}");
}
