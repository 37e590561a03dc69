//! The pictures that metrics compare.

use rcodec_core::{Error, Result};

/// A picture of 8-bit RGB samples, interleaved, rows from top to bottom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rgb8 {
    width: usize,
    height: usize,
    samples: Vec<u8>,
}

impl Rgb8 {
    /// A picture of `width * height` pixels.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless there are `width * height * 3` samples, and
    /// at least one pixel.
    pub fn new(width: usize, height: usize, samples: Vec<u8>) -> Result<Self> {
        let expected = width.checked_mul(height).and_then(|n| n.checked_mul(3));
        if expected != Some(samples.len()) || samples.is_empty() {
            return Err(Error::parameter(format!(
                "{} samples for an RGB picture of {width}x{height}",
                samples.len()
            )));
        }
        Ok(Rgb8 {
            width,
            height,
            samples,
        })
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The samples, interleaved.
    pub fn samples(&self) -> &[u8] {
        &self.samples
    }

    /// The pixels, from left to right and top to bottom.
    pub fn pixels(&self) -> impl ExactSizeIterator<Item = [u8; 3]> + '_ {
        self.samples
            .chunks_exact(3)
            .map(|rgb| [rgb[0], rgb[1], rgb[2]])
    }

    /// One channel (0 red, 1 green, 2 blue) in 0–255.
    pub(crate) fn channel(&self, channel: usize) -> Vec<f32> {
        let samples = self.samples.iter().skip(channel).step_by(3);
        samples.map(|&s| f32::from(s)).collect()
    }

    /// The luma of JFIF (BT.601 weights, full range), not rounded, in 0–255.
    pub(crate) fn luma(&self) -> Vec<f32> {
        self.pixels()
            .map(|[r, g, b]| {
                let luma = 0.299 * f64::from(r) + 0.587 * f64::from(g) + 0.114 * f64::from(b);
                luma as f32
            })
            .collect()
    }

    /// The window of `width * height` pixels whose left top corner is at
    /// (`x`, `y`); cut where the picture ends.
    #[must_use]
    pub fn crop(&self, x: usize, y: usize, width: usize, height: usize) -> Rgb8 {
        let x = x.min(self.width - 1);
        let y = y.min(self.height - 1);
        let width = width.clamp(1, self.width - x);
        let height = height.clamp(1, self.height - y);
        let rows = self
            .samples
            .chunks_exact(self.width * 3)
            .skip(y)
            .take(height);
        let samples = rows.flat_map(|row| &row[x * 3..(x + width) * 3]);
        Rgb8 {
            width,
            height,
            samples: samples.copied().collect(),
        }
    }
}

/// Refuses pictures of different sizes.
pub(crate) fn check_same_size(a: &Rgb8, b: &Rgb8) -> Result<()> {
    if (a.width, a.height) == (b.width, b.height) {
        Ok(())
    } else {
        Err(Error::parameter(format!(
            "pictures of {}x{} and {}x{} cannot be compared",
            a.width, a.height, b.width, b.height
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_must_fit() {
        assert!(Rgb8::new(2, 2, vec![0; 12]).is_ok());
        assert!(Rgb8::new(2, 2, vec![0; 11]).is_err());
        assert!(Rgb8::new(0, 2, Vec::new()).is_err());
        assert!(Rgb8::new(usize::MAX, 2, vec![0; 12]).is_err());
    }

    #[test]
    fn crops_end_where_the_picture_ends() {
        let picture = Rgb8::new(3, 2, (0..18).collect()).unwrap();
        let crop = picture.crop(1, 1, 9, 9);
        assert_eq!((crop.width(), crop.height()), (2, 1));
        assert_eq!(crop.samples(), [12, 13, 14, 15, 16, 17]);
    }
}
