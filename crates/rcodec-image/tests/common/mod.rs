//! What tests of lossless pictures have in common: coding, and drawings.

#![allow(dead_code, reason = "each test uses a part of this")]

use rcodec_core::{
    Block, BlockSink, BlockSource, Budget, Codec, ColorType, DecodeContext, Effort, EncodeContext,
    ImageHeader, ImageStrip, Limits, Media, MediaHeader, Result, Samples, StreamHeader,
};
use rcodec_image::ImageLossless;
use std::collections::VecDeque;

/// Blocks in memory.
#[derive(Default)]
pub(crate) struct Blocks(pub(crate) VecDeque<Vec<u8>>);

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

/// Bytes of the blocks of a picture of three bytes a pixel, with options of the
/// encoder; they decode to the same.
pub(crate) fn coded_bytes(
    width: u32,
    height: u32,
    rgb: &[u8],
    effort: u8,
    options: &[(String, i64)],
) -> usize {
    let media = MediaHeader::Image(ImageHeader {
        width,
        height,
        color: ColorType::Rgb,
        bits: 8,
        palette: Vec::new(),
    });
    let context = EncodeContext {
        effort: Effort::new(effort).unwrap(),
        options,
        ..EncodeContext::default()
    };
    let mut encoder = ImageLossless.encoder(&media, context).unwrap();
    let strip = ImageStrip {
        rows: height,
        samples: Samples::U8(rgb.to_vec()),
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
    let mut rest = rgb;
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

/// A random number that depends on what it is given.
pub(crate) fn hash(a: u32, b: u32, c: u32) -> u32 {
    let mut h = a.wrapping_mul(0x9e37_79b1);
    for x in [b, c] {
        h = (h ^ h >> 15).wrapping_mul(0x85eb_ca77) ^ x.wrapping_mul(0xc2b2_ae3d);
    }
    h = (h ^ h >> 13).wrapping_mul(0x27d4_eb2f);
    h ^ h >> 16
}

/// Coverage (0..=4) of a pixel by made-up text of cells of 8x14.
pub(crate) fn glyph(x: u32, y: u32) -> u32 {
    let letter = hash(x / 8, y / 14, 3) % 30;
    if letter < 5 || x % 8 > 5 || y % 14 > 9 {
        return 0;
    }
    let ink = |x: u32, y: u32| u32::from(hash(letter, x % 8 / 2, y % 14 / 2) % 5 < 2);
    ink(x, y) + ink(x + 1, y) + ink(x, y + 1) + ink(x + 1, y + 1)
}

/// A colour between two.
pub(crate) fn blend(from: [u8; 3], to: [u8; 3], quarters: u32) -> [u8; 3] {
    std::array::from_fn(|c| {
        let (a, b) = (u32::from(from[c]), u32::from(to[c]));
        ((a * (4 - quarters) + b * quarters) / 4) as u8
    })
}

/// Windows with title bars, text, buttons and a smooth picture.
pub(crate) fn screenshot(x: u32, y: u32) -> [u8; 3] {
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
