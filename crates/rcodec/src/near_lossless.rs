//! Loss with a bound: no sample of a picture is off by more than so much.
//!
//! Samples are drawn to the middles of intervals of `2 n + 1` values, and the
//! picture that results is coded without loss. JPEG-LS (ISO 14495-1) quantises
//! prediction errors instead; but a coder that learns which values occur makes
//! as much of a picture that has fewer of them, and its decoder need not know.

use rcodec_core::{ImageHeader, Media, Samples};

/// Changes the samples of a strip of a picture by at most `max_error`, so that
/// it takes fewer bits. Alpha stays, and so do indices of a palette.
pub fn limit_error(image: &ImageHeader, mut unit: Media, max_error: u16) -> Media {
    if max_error == 0 || !image.palette.is_empty() {
        return unit;
    }
    let channels = image.color.channels();
    let colours = channels - usize::from(channels.is_multiple_of(2));
    let largest = (1u32 << image.bits) - 1;
    let middle = |sample: u32| {
        let interval = 2 * u32::from(max_error) + 1;
        (sample / interval * interval + u32::from(max_error)).min(largest)
    };
    if let Media::Image(strip) = &mut unit {
        match &mut strip.samples {
            Samples::U8(samples) => {
                for pixel in samples.chunks_exact_mut(channels) {
                    pixel[..colours]
                        .iter_mut()
                        .for_each(|s| *s = middle((*s).into()) as u8);
                }
            }
            Samples::U16(samples) => {
                for pixel in samples.chunks_exact_mut(channels) {
                    pixel[..colours]
                        .iter_mut()
                        .for_each(|s| *s = middle((*s).into()) as u16);
                }
            }
        }
    }
    unit
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcodec_core::{ColorType, ImageStrip};

    fn header(color: ColorType, bits: u8) -> ImageHeader {
        ImageHeader {
            width: 256,
            height: 1,
            color,
            bits,
            palette: Vec::new(),
        }
    }

    fn limited(image: &ImageHeader, samples: Samples, max_error: u16) -> Samples {
        let strip = ImageStrip { rows: 1, samples };
        match limit_error(image, Media::Image(strip), max_error) {
            Media::Image(strip) => strip.samples,
            _ => panic!("a picture gives a picture"),
        }
    }

    #[test]
    fn no_sample_is_off_by_more() {
        let all: Vec<u8> = (0..=255).collect();
        for max_error in [0, 1, 2, 7, 127, 255, u16::MAX] {
            let image = header(ColorType::Gray, 8);
            let Samples::U8(found) = limited(&image, Samples::U8(all.clone()), max_error) else {
                panic!("8 bits stay 8 bits");
            };
            let off = |(a, b): (&u8, &u8)| u16::from(a.abs_diff(*b));
            let most = all.iter().zip(&found).map(off).max();
            assert!(most <= Some(max_error), "{max_error}");
            let mut values = found;
            values.dedup();
            assert_eq!(
                values.len(),
                256usize.div_ceil(2 * usize::from(max_error) + 1)
            );
        }
    }

    #[test]
    fn bits_alpha_and_palettes_are_respected() {
        let image = header(ColorType::GrayAlpha, 12);
        let samples = Samples::U16(vec![4095, 4095, 4094, 1, 0, 7]);
        let found = limited(&image, samples, 4);
        assert_eq!(found, Samples::U16(vec![4095, 4095, 4090, 1, 4, 7]));
        let mut image = header(ColorType::Indexed, 8);
        image.palette = vec![[0; 4]; 9];
        let samples = Samples::U8(vec![1, 2, 3]);
        assert_eq!(limited(&image, samples.clone(), 4), samples);
    }
}
