//! Pictures.

use crate::random::{Random, lattice};
use rcodec_core::{ColorType, ImageHeader, ImageStrip, Media, Samples};

/// A whole picture of up to 8 bits per sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Its shape.
    pub header: ImageHeader,
    /// Its samples, rows from top to bottom, channels interleaved.
    pub samples: Vec<u8>,
}

impl Picture {
    fn new(
        (width, height): (u32, u32),
        color: ColorType,
        mut pixel: impl FnMut(i32, i32, &mut Vec<u8>),
    ) -> Self {
        let mut samples = Vec::new();
        for y in 0..height as i32 {
            for x in 0..width as i32 {
                pixel(x, y, &mut samples);
            }
        }
        let header = ImageHeader {
            width,
            height,
            color,
            bits: 8,
            palette: Vec::new(),
        };
        assert_eq!(samples.len() as u64, header.total_samples());
        Picture { header, samples }
    }

    /// The picture as one unit.
    pub fn unit(&self) -> Media {
        Media::Image(ImageStrip {
            rows: self.header.height,
            samples: Samples::U8(self.samples.clone()),
        })
    }
}

/// One octave of value noise, 0–255, with `1 << scale` pixels between lattice
/// points and smoothstep between them.
fn value_noise(x: i32, y: i32, scale: u32, seed: u32) -> i32 {
    let smooth = |position: i32| {
        let t = ((position & ((1 << scale) - 1)) << 8) >> scale;
        (t * t * (768 - 2 * t)) >> 16
    };
    let (cx, cy) = (x >> scale, y >> scale);
    let corner = |dx: i32, dy: i32| (lattice(cx + dx, cy + dy, seed) & 255) as i32;
    let (tx, ty) = (smooth(x), smooth(y));
    let top = corner(0, 0) * (256 - tx) + corner(1, 0) * tx;
    let bottom = corner(0, 1) * (256 - tx) + corner(1, 1) * tx;
    (top * (256 - ty) + bottom * ty) >> 16
}

/// Octaves of value noise from `1 << coarse` down to `1 << fine` pixels, each
/// half as strong as the one before; about 0–255.
fn fractal(x: i32, y: i32, coarse: u32, fine: u32, seed: u32) -> i32 {
    let octaves = (fine..=coarse).rev().enumerate();
    let sum: i32 = octaves
        .map(|(i, scale)| value_noise(x, y, scale, seed + i as u32) >> (i + 1))
        .sum();
    sum.min(255)
}

/// A photograph of sorts: sky, hills and a meadow, with sensor noise.
pub fn landscape(width: u32, height: u32, seed: u32) -> Picture {
    let mut grain = Random::new(u64::from(seed) + 1);
    let h = height as i32;
    Picture::new((width, height), ColorType::Rgb, |x, y, out| {
        let ridge = h / 3 + (fractal(x, 0, 8, 3, seed) - 128) * h / 512;
        let meadow = 2 * h / 3 + (fractal(x, 0, 7, 2, seed + 50) - 128) * h / 1024;
        let rgb = if y < ridge {
            let cloud = (fractal(x, 2 * y, 8, 1, seed + 100) - 110).max(0);
            [
                100 + y * 80 / h + cloud,
                150 + y * 60 / h + cloud,
                215 + cloud / 2,
            ]
        } else if y < meadow {
            let rock = fractal(x, y, 6, 0, seed + 200);
            let haze = (meadow - y) * 60 / h.max(1);
            [
                40 + rock / 2 + haze,
                60 + rock / 2 + haze,
                50 + rock / 3 + 2 * haze,
            ]
        } else {
            let grass = fractal(x * 2, y, 5, 0, seed + 300);
            let flower = i32::from(lattice(x / 3, y / 3, seed + 400).is_multiple_of(97)) * 90;
            [
                30 + grass / 3 + flower,
                70 + grass / 2 + flower / 2,
                20 + grass / 5,
            ]
        };
        let luma_grain = (grain.below(5) + grain.below(5)) as i32 - 4;
        for value in rgb {
            let own_grain = grain.below(3) as i32 - 1;
            out.push((value + luma_grain + own_grain).clamp(0, 255) as u8);
        }
    })
}

/// A screenshot of sorts: windows, flat colours, lines of glyph-like marks.
pub fn screen(width: u32, height: u32, seed: u32) -> Picture {
    const BACK: [u8; 3] = [32, 78, 120];
    const INK: [u8; 3] = [28, 28, 30];
    Picture::new((width, height), ColorType::Rgb, |x, y, out| {
        let (window, wx, wy) = ((x / 200) + 7 * (y / 140), x % 200, y % 140);
        let paper = [250 - (window % 3) as u8 * 6, 250, 245];
        let bar = [90 + (window % 5) as u8 * 20, 120, 160];
        let line = (wy - 24) / 12;
        let glyph = lattice(wx / 7, line + 40 * window, seed);
        let bit = (wx % 7) / 2 + 3 * ((wy - 24).rem_euclid(12) / 2);
        let rgb = if !(8..192).contains(&wx) || !(8..132).contains(&wy) {
            BACK
        } else if wy < 22 {
            bar
        } else if wx > 14
            && wx < 186
            && (wy - 24).rem_euclid(12) < 10
            && !glyph.is_multiple_of(6)
            && (glyph >> bit) & 1 == 1
        {
            INK
        } else {
            paper
        };
        out.extend(rgb);
    })
}

/// Pixel art: a few 8x8 tiles of a few colours, repeated.
pub fn pixel_art(width: u32, height: u32, seed: u32) -> Picture {
    const COLORS: [[u8; 3]; 6] = [
        [20, 12, 28],
        [68, 36, 52],
        [78, 74, 78],
        [133, 76, 48],
        [52, 101, 36],
        [208, 70, 72],
    ];
    Picture::new((width, height), ColorType::Rgb, |x, y, out| {
        let tile = lattice(x / 8, y / 8, seed) % 5;
        // Each tile is symmetric, as sprites often are.
        let (tx, ty) = ((x % 8).min(7 - x % 8), y % 8);
        let color = lattice(tx, ty, seed + 1000 + tile) % 6;
        out.extend(COLORS[color as usize]);
    })
}

/// Wallpaper: one tile of 40x30 pixels, nearly all of different colours, again
/// and again. Graphics with too many colours for a palette.
pub fn wallpaper(width: u32, height: u32, seed: u32) -> Picture {
    Picture::new((width, height), ColorType::Rgb, |x, y, out| {
        let color = lattice(x % 40, y % 30, seed);
        out.extend([color as u8, (color >> 8) as u8, (color >> 16) as u8]);
    })
}

/// A smooth gradient in both directions.
pub fn gradient(width: u32, height: u32) -> Picture {
    let (w, h) = (width as i32, height as i32);
    Picture::new((width, height), ColorType::Rgb, |x, y, out| {
        out.extend([
            (x * 255 / w) as u8,
            (y * 255 / h) as u8,
            ((x + y) * 255 / (w + h)) as u8,
        ]);
    })
}

/// A black and white gradient by ordered dithering (Bayer 4x4), as gray.
pub fn dithered(width: u32, height: u32) -> Picture {
    const BAYER: [[i32; 4]; 4] = [[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]];
    let w = width as i32;
    Picture::new((width, height), ColorType::Gray, |x, y, out| {
        let threshold = BAYER[y as usize % 4][x as usize % 4];
        out.push(if x * 16 / w > threshold { 255 } else { 0 });
    })
}

/// A checkerboard of single pixels, as gray.
pub fn checkerboard(width: u32, height: u32) -> Picture {
    Picture::new((width, height), ColorType::Gray, |x, y, out| {
        out.push(if (x + y) % 2 == 0 { 0 } else { 255 });
    })
}

/// Noise that nothing can compress.
pub fn noise(width: u32, height: u32, seed: u32) -> Picture {
    let mut random = Random::new(u64::from(seed));
    Picture::new((width, height), ColorType::Rgb, |_, _, out| {
        out.extend(random.next_u32().to_le_bytes()[..3].iter());
    })
}
