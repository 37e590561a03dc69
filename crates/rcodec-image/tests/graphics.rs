//! Made graphics: never larger than their PNG or lossless WebP, and back as
//! they were.

mod common;

use common::{blend, coded_bytes, glyph, hash, screenshot};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::codecs::webp::WebPEncoder;
use image::{ExtendedColorType, ImageEncoder};
use std::path::Path;
use std::process::Command;

/// What one may be larger by.
const SLACK: usize = 64;

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
        coded_bytes(self.width, self.height, &self.rgb, effort, &[])
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
