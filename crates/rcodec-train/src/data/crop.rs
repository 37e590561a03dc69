//! Random crops of one picture: position, scale, mirror images.

use super::Picture;
use crate::random::Random;
use image::imageops::{FilterType, resize};
use image::{ImageBuffer, Rgb};

/// How crops are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CropOptions {
    /// Width and height of a crop.
    pub size: usize,
    /// The smallest scale: a crop shows up to `size / min_scale` samples of
    /// the original, scaled down. 1 keeps every picture as it is.
    pub min_scale: f32,
    /// The share of crops that keep the original's scale.
    pub unscaled_share: f32,
}

/// Draws one crop of `picture`, `size * size` RGB samples. Pictures smaller
/// than a crop are mirrored at their edges.
pub fn random_crop(picture: &Picture, options: &CropOptions, random: &mut Random) -> Vec<u8> {
    let size = options.size;
    let scaled = random.uniform() >= options.unscaled_share;
    let scale = random.between(options.min_scale.min(1.0), 1.0);
    let smaller_side = picture.width.min(picture.height).max(size);
    let source = if scaled {
        ((size as f32 / scale) as usize).clamp(size, smaller_side)
    } else {
        size
    };
    let left = random.below((picture.width + 1).saturating_sub(source).max(1));
    let top = random.below((picture.height + 1).saturating_sub(source).max(1));
    let flips = random.next_u64();
    let window = window(picture, left, top, source);
    let mut crop = if source == size {
        window
    } else {
        scale_down(window, source, size)
    };
    mirror(&mut crop, size, flips);
    crop
}

/// The middle `size * size` of a picture, for validation.
pub fn center(picture: &Picture, size: usize) -> Vec<u8> {
    let left = picture.width.saturating_sub(size) / 2;
    let top = picture.height.saturating_sub(size) / 2;
    window(picture, left, top, size)
}

/// `size * size` samples from `left`, `top` on.
fn window(picture: &Picture, left: usize, top: usize, size: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(size * size * 3);
    for row in 0..size {
        let line = reflect(top + row, picture.height) * picture.width;
        if left + size <= picture.width {
            out.extend_from_slice(&picture.rgb[(line + left) * 3..(line + left + size) * 3]);
            continue;
        }
        for column in 0..size {
            let at = (line + reflect(left + column, picture.width)) * 3;
            out.extend_from_slice(&picture.rgb[at..at + 3]);
        }
    }
    out
}

/// The sample in `0..len` that stands for `index`, mirrored at the ends.
fn reflect(index: usize, len: usize) -> usize {
    let period = 2 * len;
    let index = index % period;
    if index < len {
        index
    } else {
        period - 1 - index
    }
}

/// A square of `from * from` scaled to `to * to`.
fn scale_down(window: Vec<u8>, from: usize, to: usize) -> Vec<u8> {
    let side = from as u32;
    match ImageBuffer::<Rgb<u8>, _>::from_raw(side, side, window) {
        Some(buffer) => resize(&buffer, to as u32, to as u32, FilterType::CatmullRom).into_raw(),
        None => vec![0; to * to * 3],
    }
}

/// Mirrors left–right and top–bottom and transposes, by three bits of `flips`.
fn mirror(crop: &mut Vec<u8>, size: usize, flips: u64) {
    if flips & 7 == 0 {
        return;
    }
    let mut out = Vec::with_capacity(crop.len());
    for row in 0..size {
        for column in 0..size {
            let (mut y, mut x) = (row, column);
            if flips & 1 != 0 {
                x = size - 1 - x;
            }
            if flips & 2 != 0 {
                y = size - 1 - y;
            }
            if flips & 4 != 0 {
                (y, x) = (x, y);
            }
            let at = (y * size + x) * 3;
            out.extend_from_slice(&crop[at..at + 3]);
        }
    }
    *crop = out;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;

    fn picture(width: usize, height: usize) -> Picture {
        let rgb = (0..width * height)
            .flat_map(|i| [(i % width) as u8, (i / width) as u8, 7])
            .collect();
        Picture { width, height, rgb }
    }

    #[test]
    fn crops_are_parts_of_the_picture() {
        let picture = picture(40, 30);
        let options = CropOptions {
            size: 16,
            min_scale: 0.5,
            unscaled_share: 1.0,
        };
        for position in 0..50 {
            let mut random = Random::at(1, Purpose::Samples, position);
            let crop = random_crop(&picture, &options, &mut random);
            assert_eq!(crop.len(), 16 * 16 * 3);
            // Neighbours differ by one in one coordinate.
            let step = |a: usize, b: usize| {
                let (a, b) = (&crop[a * 3..a * 3 + 2], &crop[b * 3..b * 3 + 2]);
                a[0].abs_diff(b[0]) + a[1].abs_diff(b[1])
            };
            assert!((0..15).all(|i| step(i, i + 1) == 1 && step(i * 16, i * 16 + 16) == 1));
            assert!(crop.chunks(3).all(|p| p[2] == 7));
        }
    }

    #[test]
    fn scaled_crops_and_small_pictures_have_the_right_size() {
        let options = CropOptions {
            size: 32,
            min_scale: 0.4,
            unscaled_share: 0.0,
        };
        for (width, height) in [(100, 90), (20, 50), (1, 1), (32, 32)] {
            for position in 0..10 {
                let mut random = Random::at(2, Purpose::Samples, position);
                let crop = random_crop(&picture(width, height), &options, &mut random);
                assert_eq!(crop.len(), 32 * 32 * 3);
            }
        }
        assert_eq!(center(&picture(3, 2), 4).len(), 48);
    }
}
