//! Samples of a picture as the networks take and give them.
//!
//! Every bit depth becomes levels in Q7 of 255: 0 to 32640, which 8 bits do
//! exactly.

use rcodec_core::{ColorType, Samples};

/// The highest level, in Q7.
const TOP_Q7: u64 = 255 << 7;
/// The middle between levels, in Q7: where Y is 0.
const MIDDLE_Q7: i32 = 128 << 7;

/// An 8-bit RGB sample as Y, Co and Cg in [`SAMPLE_Q`]: exact in integers.
///
/// ```text
/// Y = (R + 2G + B) / 4 − 128     Co = (R − B) / 2     Cg = (2G − R − B) / 4
/// ```
///
/// One level is 2⁷, so that a level is 1/64 in real units.
pub fn ycocg_q13(rgb: [u8; 3]) -> [i16; 3] {
    ycocg_of(rgb.map(|v| i32::from(v) << 7))
}

/// Y, Co and Cg in [`SAMPLE_Q`] as 8-bit RGB samples, rounded and clipped.
pub fn rgb8(ycocg: [i16; 3]) -> [u8; 3] {
    levels_of(ycocg).map(|level| sample_of(level, 255) as u8)
}

/// RGB levels in Q7 as Y, Co and Cg, rounded.
fn ycocg_of([r, g, b]: [i32; 3]) -> [i16; 3] {
    let y = ((r + 2 * g + b + 2) >> 2) - MIDDLE_Q7;
    let co = (r - b + 1) >> 1;
    let cg = (2 * g - r - b + 2) >> 2;
    [y as i16, co as i16, cg as i16]
}

/// RGB levels in Q7 of Y, Co and Cg; not clipped.
fn levels_of(ycocg: [i16; 3]) -> [i32; 3] {
    let [y, co, cg] = ycocg.map(i32::from);
    [y - cg + co, y + cg, y - cg - co].map(|level| level + MIDDLE_Q7)
}

/// A sample of 0 to `top` as a level in Q7.
fn level_of(sample: u32, top: u64) -> i32 {
    ((u64::from(sample) * TOP_Q7 + top / 2) / top) as i32
}

/// A level in Q7 as a sample of 0 to `top`, clipped.
fn sample_of(level_q7: i32, top: u64) -> u32 {
    let level = level_q7.clamp(0, TOP_Q7 as i32) as u64;
    ((level * top + TOP_Q7 / 2) / TOP_Q7) as u32
}

/// Appends a row to `out` as Y, Co and Cg, and lengthens it to `padded_width`
/// pixels by its last one. Appends its alpha, if it has one, to `alpha`.
///
/// `row` holds whole pixels of `color`, of `bits` each; it is not empty, and
/// `color` is not indexed.
pub(super) fn append_row(
    row: &[u32],
    (color, bits): (ColorType, u8),
    padded_width: usize,
    out: &mut Vec<i16>,
    alpha: &mut Samples,
) {
    let top = (1u64 << bits) - 1;
    let channels = color.channels();
    for pixel in row.chunks_exact(channels) {
        let level = |channel: usize| level_of(pixel[channel], top);
        let levels = if channels < 3 {
            [level(0); 3]
        } else {
            [level(0), level(1), level(2)]
        };
        out.extend(ycocg_of(levels));
        if channels % 2 == 0 {
            push(alpha, pixel[channels - 1]);
        }
    }
    let last = out[out.len() - 3..].to_vec();
    for _ in row.len() / channels..padded_width {
        out.extend(&last);
    }
}

/// Samples of pixels, given as Y, Co and Cg, for a picture of that kind; the
/// next samples of `alpha` go between them where it has any.
pub(super) fn to_samples<'a>(
    pixels: impl Iterator<Item = &'a [i16]>,
    (color, bits): (ColorType, u8),
    alpha: Option<&Samples>,
) -> Samples {
    let top = (1u64 << bits) - 1;
    let mut samples = Samples::empty_for(bits);
    for (i, pixel) in pixels.enumerate() {
        if color.channels() < 3 {
            push(
                &mut samples,
                sample_of(i32::from(pixel[0]) + MIDDLE_Q7, top),
            );
        } else {
            for level in levels_of([pixel[0], pixel[1], pixel[2]]) {
                push(&mut samples, sample_of(level, top));
            }
        }
        match alpha {
            Some(Samples::U8(alpha)) => push(&mut samples, u32::from(alpha[i])),
            Some(Samples::U16(alpha)) => push(&mut samples, u32::from(alpha[i])),
            None => {}
        }
    }
    samples
}

fn push(samples: &mut Samples, sample: u32) {
    match samples {
        Samples::U8(samples) => samples.push(sample as u8),
        Samples::U16(samples) => samples.push(sample as u16),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_come_back() {
        for r in (0..=255).step_by(15) {
            for g in (0..=255).step_by(17) {
                for b in (0..=255).step_by(5) {
                    let rgb = [r as u8, g as u8, b as u8];
                    assert_eq!(rgb8(ycocg_q13(rgb)), rgb);
                }
            }
        }
    }

    #[test]
    fn all_depths_come_back() {
        for bits in 1..=16u8 {
            let top = (1u64 << bits) - 1;
            // 15 and 16 bits have more samples than there are levels in Q7.
            let tolerance = if bits >= 15 { 1 } else { 0 };
            for sample in (0..=top as u32).step_by(1 + (top / 4096) as usize) {
                let back = sample_of(level_of(sample, top), top);
                assert!(
                    back.abs_diff(sample) <= tolerance,
                    "{sample} of {bits} bits"
                );
            }
        }
    }

    #[test]
    fn rows_are_lengthened_and_alpha_is_apart() {
        let (mut out, mut alpha) = (Vec::new(), Samples::empty_for(8));
        let kind = (ColorType::GrayAlpha, 8);
        append_row(&[128, 7, 129, 9], kind, 4, &mut out, &mut alpha);
        assert_eq!(out, [0, 0, 0, 128, 0, 0, 128, 0, 0, 128, 0, 0]);
        assert_eq!(alpha, Samples::U8(vec![7, 9]));
        let pixels = out.chunks_exact(3).take(2);
        let back = to_samples(pixels, kind, Some(&alpha));
        assert_eq!(back, Samples::U8(vec![128, 7, 129, 9]));
    }
}
