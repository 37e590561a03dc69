//! Exact conversions between kinds of pictures, for formats that have fewer.

use crate::profile::Profiles;
use rcodec_core::{ColorType, Error, ImageHeader, Result, Samples};

/// Turns samples of one kind of picture into another kind that says the same:
/// palettes into colours, a transparent colour into alpha, gray into equal red,
/// green and blue, 1, 2 and 4 bits into 8 by repetition.
#[derive(Debug)]
pub(crate) struct Conversion {
    from: ImageHeader,
    /// The transparent colour, one value per channel.
    color_key: Option<Vec<u16>>,
    /// The kind of picture that comes out; never indexed.
    pub(crate) to: ImageHeader,
}

impl Conversion {
    /// A conversion to something that is not indexed and has no transparent
    /// colour; nothing changes if `from` is so already.
    pub(crate) fn plain(from: &ImageHeader, profiles: &Profiles) -> Self {
        let color_key = profiles.color_key(from);
        let mut to = from.clone();
        if from.color == ColorType::Indexed {
            let opaque = from.palette.iter().all(|entry| entry[3] == 255);
            to.color = if opaque {
                ColorType::Rgb
            } else {
                ColorType::Rgba
            };
            to.bits = 8;
            to.palette = Vec::new();
        }
        if color_key.is_some() {
            to.color = with_alpha(from.color);
        }
        Conversion {
            from: from.clone(),
            color_key,
            to,
        }
    }

    /// Like [`plain`](Self::plain), then to the first of `allowed` that has
    /// all channels, at a depth of 8 or (if `sixteen`) 16 bits.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if that cannot be done exactly.
    pub(crate) fn to_one_of(
        from: &ImageHeader,
        profiles: &Profiles,
        allowed: &[ColorType],
        sixteen: bool,
        format: &str,
    ) -> Result<Self> {
        let mut conversion = Self::plain(from, profiles);
        let to = &mut conversion.to;
        let holds = |target: ColorType| {
            let (color, alpha) = channels_of(to.color);
            let (target_color, target_alpha) = channels_of(target);
            (target_color || !color) && (target_alpha || !alpha)
        };
        to.color = allowed.iter().copied().find(|&c| holds(c)).ok_or_else(|| {
            Error::unsupported(format!("{format} cannot hold {:?} pictures", to.color))
        })?;
        to.bits = match to.bits {
            1 | 2 | 4 | 8 => 8,
            16 if sixteen => 16,
            bits => {
                return Err(Error::unsupported(format!(
                    "{format} cannot hold samples of {bits} bits exactly"
                )));
            }
        };
        Ok(conversion)
    }

    /// Converts whole pixels.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if an index lies beyond the palette.
    pub(crate) fn apply(&self, samples: Samples) -> Result<Samples> {
        let unchanged = self.color_key.is_none()
            && (self.from.color, self.from.bits) == (self.to.color, self.to.bits);
        match samples {
            samples if unchanged => Ok(samples),
            Samples::U8(samples) => {
                let samples = samples.iter().map(|&s| u16::from(s));
                self.pixels(samples, |out: &mut Vec<u8>, value| out.push(value as u8))
                    .map(Samples::U8)
            }
            Samples::U16(samples) => self
                .pixels(samples.into_iter(), Vec::push)
                .map(Samples::U16),
        }
    }

    fn pixels<T>(
        &self,
        mut samples: impl Iterator<Item = u16>,
        mut push: impl FnMut(&mut Vec<T>, u16),
    ) -> Result<Vec<T>> {
        let channels = self.from.color.channels();
        let from_most = (1u32 << self.from.bits) - 1;
        let to_most = (1u32 << self.to.bits) - 1;
        let scale = to_most / from_most; // whole: 255, 85, 17 or 1
        let mut out = Vec::new();
        let mut pixel = [0u16; 4];
        while let Some(first) = samples.next() {
            pixel[0] = first;
            for slot in &mut pixel[1..channels] {
                *slot = samples
                    .next()
                    .ok_or_else(|| Error::parameter("a pixel is cut off"))?;
            }
            let alpha;
            if self.from.color == ColorType::Indexed {
                let entry = self.from.palette.get(usize::from(first)).ok_or_else(|| {
                    Error::unsupported(
                        "an index beyond the palette: only PNG and raw can hold that",
                    )
                })?;
                pixel = entry.map(u16::from);
                alpha = pixel[3];
            } else {
                let key = self.color_key.as_deref();
                let opaque = key.is_none_or(|key| pixel[..channels] != *key);
                pixel[..channels]
                    .iter_mut()
                    .for_each(|value| *value = (u32::from(*value) * scale) as u16);
                alpha = match self.from.color {
                    ColorType::GrayAlpha | ColorType::Rgba => pixel[channels - 1],
                    _ if opaque => to_most as u16,
                    _ => 0,
                };
                if matches!(self.from.color, ColorType::Gray | ColorType::GrayAlpha) {
                    (pixel[1], pixel[2]) = (pixel[0], pixel[0]);
                }
            }
            let (has_color, has_alpha) = channels_of(self.to.color);
            for &value in &pixel[..if has_color { 3 } else { 1 }] {
                push(&mut out, value);
            }
            if has_alpha {
                push(&mut out, alpha);
            }
        }
        Ok(out)
    }
}

/// Whether there is colour, and whether there is alpha.
fn channels_of(color: ColorType) -> (bool, bool) {
    match color {
        ColorType::Gray => (false, false),
        ColorType::GrayAlpha => (false, true),
        ColorType::Rgb => (true, false),
        ColorType::Rgba | ColorType::Indexed => (true, true),
    }
}

fn with_alpha(color: ColorType) -> ColorType {
    match color {
        ColorType::Gray | ColorType::GrayAlpha => ColorType::GrayAlpha,
        _ => ColorType::Rgba,
    }
}
