//! Lossy coding to a size or to a fidelity, by search for the quality, or for
//! the bound of errors where that is better.

use crate::near_lossless::limit_error;
use crate::stream::{StreamEncoder, decode};
use rcodec_bitstream::Latency;
use rcodec_core::{
    Codec, DecodeContext, EncodeContext, Error, ImageHeader, Media, MediaHeader, Metadata, Rate,
    Result, Samples,
};
use std::ops::RangeInclusive;

/// What the quality is searched for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// At most so many bytes in the whole file, metadata included.
    Bytes(u64),
    /// At most so many bits for each pixel.
    BitsPerPixel(f64),
    /// At least so much peak signal-to-noise ratio, in dB, over all samples but
    /// alpha.
    Psnr(f64),
}

/// How a picture is encoded to reach a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// By the lossy codec, at this quality.
    Quality(u8),
    /// By the lossless codec, after [`limit_error`] to this.
    MaxError(u16),
}

/// A picture in memory, and the codecs that it may be encoded by.
pub struct Candidate<'a> {
    /// What the picture is.
    pub image: &'a ImageHeader,
    /// All of it.
    pub units: &'a [Media],
    /// What goes into the file with it.
    pub metadata: &'a Metadata,
    /// The codec that has qualities.
    pub lossy: &'a dyn Codec,
    /// The codec for [`Setting::MaxError`].
    pub lossless: &'a dyn Codec,
}

/// Qualities that are tried.
const QUALITIES: RangeInclusive<u32> = 1..=100;

/// Bounds of errors that are tried for a size: with more than the last, a
/// picture shows its levels.
const MAX_ERRORS: RangeInclusive<u32> = 0..=7;

/// Below this, in dB, a bound of errors is no way to less bytes: learned
/// transforms are.
const NEAR_LOSSLESS_FROM: f64 = 40.0;

impl Candidate<'_> {
    /// The setting that reaches a target: the best of those small enough, or the
    /// smallest of those good enough. The picture is encoded about seven times
    /// with what `context` makes for a codec.
    ///
    /// # Errors
    /// [`Error::Parameter`] if no quality is small enough, and says how near they
    /// come; what encoding gives.
    pub fn setting_for<'b>(
        &self,
        target: Target,
        context: impl Fn(&dyn Codec) -> EncodeContext<'b>,
    ) -> Result<Setting> {
        let encode = |setting| self.encode(setting, &context);
        let pixels = u64::from(self.image.width) as f64 * u64::from(self.image.height) as f64;
        match target {
            Target::Bytes(bytes) => self.best_within(bytes, encode),
            Target::BitsPerPixel(bits) => self.best_within((bits * pixels / 8.0) as u64, encode),
            Target::Psnr(least) => self.smallest_of(least, encode),
        }
    }

    fn encode<'b>(
        &self,
        setting: Setting,
        context: impl Fn(&dyn Codec) -> EncodeContext<'b>,
    ) -> Result<Vec<u8>> {
        let (codec, rate, max_error) = match setting {
            Setting::Quality(quality) => (self.lossy, Rate::Quality(f32::from(quality)), 0),
            Setting::MaxError(max_error) => (self.lossless, Rate::Lossless, max_error),
        };
        let context = EncodeContext {
            rate,
            ..context(codec)
        };
        // Between trials is time to stop.
        context.progress.check(0, None)?;
        let media = MediaHeader::Image(self.image.clone());
        let (metadata, out) = (self.metadata.clone(), Vec::new());
        let latency = Latency::Smallest;
        let mut encoder = StreamEncoder::new(codec, &media, metadata, context, latency, out)?;
        for unit in self.units {
            encoder.write(limit_error(self.image, unit.clone(), max_error))?;
        }
        Ok(encoder.finish(&Metadata::default())?.out)
    }

    /// The best setting of at most so many bytes.
    fn best_within(
        &self,
        bytes: u64,
        encode: impl Fn(Setting) -> Result<Vec<u8>>,
    ) -> Result<Setting> {
        let (lowest, highest) = (*QUALITIES.start(), *QUALITIES.end());
        let size =
            |quality| -> Result<u64> { Ok(encode(Setting::Quality(quality as u8))?.len() as u64) };
        let least = size(lowest)?;
        if least > bytes {
            return Err(Error::parameter(format!(
                "the picture takes {least} bytes at quality {lowest}, more than {bytes}"
            )));
        }
        let quality = partition(QUALITIES, |quality| Ok(size(quality)? <= bytes))? - 1;
        let lossy = Setting::Quality(quality as u8);
        if quality < highest {
            return Ok(lossy);
        }
        let too_long = |n| Ok(encode(Setting::MaxError(n as u16))?.len() as u64 > bytes);
        let max_error = partition(MAX_ERRORS, too_long)?;
        let psnr = self.psnr(&self.limited(max_error as u16));
        let decoded = decode(&encode(lossy)?, DecodeContext::default())?;
        if max_error <= *MAX_ERRORS.end() && psnr >= self.psnr(&decoded.units) {
            return Ok(Setting::MaxError(max_error as u16));
        }
        Ok(lossy)
    }

    /// The smallest setting of at least so many dB.
    fn smallest_of(
        &self,
        least: f64,
        encode: impl Fn(Setting) -> Result<Vec<u8>>,
    ) -> Result<Setting> {
        let falls_short = |quality: u32| {
            let file = encode(Setting::Quality(quality as u8))?;
            let decoded = decode(&file, DecodeContext::default())?;
            Ok(self.psnr(&decoded.units) < least)
        };
        let lossy = if falls_short(*QUALITIES.end())? {
            None
        } else {
            Some(Setting::Quality(partition(QUALITIES, falls_short)? as u8))
        };
        if let Some(lossy) = lossy
            && least < NEAR_LOSSLESS_FROM
        {
            return Ok(lossy);
        }
        // No error at all is good enough for any target.
        let bounds = 1..=1u32 << (self.image.bits - 1);
        let enough = |n| Ok(self.psnr(&self.limited(n as u16)) >= least);
        let near = Setting::MaxError((partition(bounds, enough)? - 1) as u16);
        match lossy {
            Some(lossy) if encode(lossy)?.len() <= encode(near)?.len() => Ok(lossy),
            _ => Ok(near),
        }
    }

    fn limited(&self, max_error: u16) -> Vec<Media> {
        let units = self.units.iter().cloned();
        units
            .map(|unit| limit_error(self.image, unit, max_error))
            .collect()
    }

    /// PSNR over all samples but alpha, in dB.
    fn psnr(&self, decoded: &[Media]) -> f64 {
        let channels = self.image.color.channels();
        let colours = channels - usize::from(channels.is_multiple_of(2));
        let pairs = samples(self.units).zip(samples(decoded)).enumerate();
        let colours = pairs.filter(|(i, _)| i % channels < colours);
        let (mut squares, mut count) = (0u64, 0u64);
        for (_, (a, b)) in colours {
            squares += u64::from(a.abs_diff(b)).pow(2);
            count += 1;
        }
        let peak = f64::from((1u32 << self.image.bits) - 1);
        let error = squares as f64 / count.max(1) as f64;
        10.0 * (peak * peak / error).log10()
    }
}

/// The first of `range` for which `holds` does not, if it holds for those
/// before; one more than the last if it does for all.
fn partition(range: RangeInclusive<u32>, holds: impl Fn(u32) -> Result<bool>) -> Result<u32> {
    let (mut from, mut to) = (*range.start(), *range.end() + 1);
    while from < to {
        let middle = from + (to - from) / 2;
        if holds(middle)? {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    Ok(from)
}

/// The samples of strips, one after the other.
fn samples(units: &[Media]) -> impl Iterator<Item = u16> + '_ {
    units.iter().flat_map(|unit| {
        let Media::Image(strip) = unit else {
            return Box::new(std::iter::empty()) as Box<dyn Iterator<Item = u16>>;
        };
        match &strip.samples {
            Samples::U8(values) => Box::new(values.iter().map(|&v| v.into())),
            Samples::U16(values) => Box::new(values.iter().copied()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partition_is_found_at_every_place() {
        for first in 1..=101 {
            assert_eq!(partition(1..=100, |n| Ok(n < first)).unwrap(), first);
        }
        assert_eq!(partition(0..=7, |_| Ok(false)).unwrap(), 0);
    }
}
