//! Strokes drawn as PNG, with smooth edges, at twice the size of the SVG.

use super::chart::{Align, Color, HEIGHT, Stroke, WIDTH};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};
use std::path::Path;

const SCALE: f64 = 2.0;
const FONT: RasterHeight = RasterHeight::Size24;
/// Of the font's rows, those above the base line.
const ASCENT: f64 = 19.0;

struct Canvas {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
}

/// Draws the strokes and writes them as PNG.
pub(crate) fn write_png(strokes: &[Stroke], path: &Path) -> std::io::Result<()> {
    let (width, height) = ((WIDTH * SCALE) as usize, (HEIGHT * SCALE) as usize);
    let mut canvas = Canvas {
        width,
        height,
        rgb: vec![255; width * height * 3],
    };
    for stroke in strokes {
        match stroke {
            Stroke::Line {
                from,
                to,
                width,
                color,
            } => canvas.line(scaled(*from), scaled(*to), width * SCALE, *color),
            Stroke::Dot { at, radius, color } => {
                canvas.line(scaled(*at), scaled(*at), radius * SCALE * 2.0, *color);
            }
            Stroke::Text {
                at,
                align,
                color,
                text,
            } => canvas.text(scaled(*at), *align, *color, text),
        }
    }
    let file = std::io::BufWriter::new(std::fs::File::create(path)?);
    let mut encoder = png::Encoder::new(file, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    encoder.write_header()?.write_image_data(&canvas.rgb)?;
    Ok(())
}

fn scaled((x, y): (f64, f64)) -> (f64, f64) {
    (x * SCALE, y * SCALE)
}

impl Canvas {
    /// Blends a colour into a pixel; beyond the edges nothing happens.
    fn blend(&mut self, x: i64, y: i64, cover: f64, color: Color) {
        let inside = (0..self.width as i64).contains(&x) && (0..self.height as i64).contains(&y);
        if !inside || cover <= 0.0 {
            return;
        }
        let at = (y as usize * self.width + x as usize) * 3;
        for (sample, ink) in self.rgb[at..at + 3].iter_mut().zip(color) {
            let mixed = f64::from(*sample) * (1.0 - cover) + f64::from(ink) * cover;
            *sample = mixed.round() as u8;
        }
    }

    /// A line with round ends: pixels are covered by their distance to it.
    fn line(&mut self, from: (f64, f64), to: (f64, f64), width: f64, color: Color) {
        let radius = width / 2.0;
        let reach = radius + 1.0;
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length2 = dx * dx + dy * dy;
        let low = |a: f64, b: f64| (a.min(b) - reach).floor() as i64;
        let high = |a: f64, b: f64| (a.max(b) + reach).ceil() as i64;
        for y in low(from.1, to.1)..=high(from.1, to.1) {
            for x in low(from.0, to.0)..=high(from.0, to.0) {
                let (px, py) = (x as f64 + 0.5 - from.0, y as f64 + 0.5 - from.1);
                let along = if length2 > 0.0 {
                    ((px * dx + py * dy) / length2).clamp(0.0, 1.0)
                } else {
                    0.0
                };
                let distance = (px - along * dx).hypot(py - along * dy);
                self.blend(x, y, (radius + 0.5 - distance).clamp(0.0, 1.0), color);
            }
        }
    }

    fn text(&mut self, at: (f64, f64), align: Align, color: Color, text: &str) {
        let advance = get_raster_width(FontWeight::Regular, FONT) as f64;
        let length = advance * text.chars().count() as f64;
        let mut x = match align {
            Align::Start => at.0,
            Align::Middle => at.0 - length / 2.0,
            Align::End => at.0 - length,
        };
        let top = (at.1 - ASCENT).round() as i64;
        for c in text.chars() {
            let glyph = get_raster(c, FontWeight::Regular, FONT)
                .or_else(|| get_raster('?', FontWeight::Regular, FONT));
            for (row, pixels) in glyph.iter().flat_map(|g| g.rows().enumerate()) {
                for (column, &cover) in pixels.iter().enumerate() {
                    let (px, py) = (x.round() as i64 + column as i64, top + row as i64);
                    self.blend(px, py, f64::from(cover) / 255.0, color);
                }
            }
            x += advance;
        }
    }
}
