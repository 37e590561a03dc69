//! Lossy coding to a size or to a fidelity, by search for the quality.

use crate::stream::{StreamDecoder, StreamEncoder};
use rcodec_bitstream::Latency;
use rcodec_core::{
    Codec, DecodeContext, EncodeContext, Error, ImageHeader, Media, MediaHeader, Metadata, Rate,
    Result, Samples,
};

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

/// Qualities that are tried.
const QUALITIES: std::ops::RangeInclusive<u8> = 1..=100;

/// The quality with which `codec` reaches a target: the highest of those small
/// enough, or the lowest of those good enough. `units` are the whole picture;
/// it is encoded about seven times with what `context` makes.
///
/// # Errors
/// [`Error::Parameter`] if no quality reaches the target, and says how near they
/// come; [`Error::Unsupported`] for other media than pictures; what encoding
/// gives.
pub fn quality_for<'a>(
    target: Target,
    codec: &dyn Codec,
    (media, units): (&MediaHeader, &[Media]),
    metadata: &Metadata,
    context: impl Fn() -> EncodeContext<'a>,
) -> Result<u8> {
    let MediaHeader::Image(image) = media else {
        return Err(Error::unsupported("targets are for pictures"));
    };
    let encode = |quality: u8| -> Result<Vec<u8>> {
        let context = EncodeContext {
            rate: Rate::Quality(f32::from(quality)),
            ..context()
        };
        // Between trials is time to stop.
        context.progress.check(0, None)?;
        let (metadata, out) = (metadata.clone(), Vec::new());
        let latency = Latency::Smallest;
        let mut encoder = StreamEncoder::new(codec, media, metadata, context, latency, out)?;
        for unit in units {
            encoder.write(unit.clone())?;
        }
        Ok(encoder.finish(&Metadata::default())?.out)
    };
    let pixels = u64::from(image.width) as f64 * u64::from(image.height) as f64;
    match target {
        Target::Bytes(bytes) => best_within(bytes, |quality| Ok(encode(quality)?.len() as u64)),
        Target::BitsPerPixel(bits) => {
            let bytes = (bits * pixels / 8.0) as u64;
            best_within(bytes, |quality| Ok(encode(quality)?.len() as u64))
        }
        Target::Psnr(least) => {
            let fidelity = |quality| psnr(image, units, &encode(quality)?);
            let highest = *QUALITIES.end();
            let most = fidelity(highest)?;
            if most < least {
                return Err(Error::parameter(format!(
                    "quality {highest} comes to {most:.2} dB only"
                )));
            }
            partition(|quality| Ok(fidelity(quality)? < least))
        }
    }
}

/// The highest quality of at most so many bytes.
fn best_within(bytes: u64, size: impl Fn(u8) -> Result<u64>) -> Result<u8> {
    let lowest = *QUALITIES.start();
    let least = size(lowest)?;
    if least > bytes {
        return Err(Error::parameter(format!(
            "the picture takes {least} bytes at quality {lowest}, more than {bytes}"
        )));
    }
    Ok(partition(|quality| Ok(size(quality)? <= bytes))? - 1)
}

/// The first quality that is not `below`; one more than the last if all are.
fn partition(below: impl Fn(u8) -> Result<bool>) -> Result<u8> {
    let (mut from, mut to) = (*QUALITIES.start(), *QUALITIES.end() + 1);
    while from < to {
        let middle = from + (to - from) / 2;
        if below(middle)? {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    Ok(from)
}

/// PSNR of a file in memory over all samples but alpha, in dB.
fn psnr(image: &ImageHeader, units: &[Media], file: &[u8]) -> Result<f64> {
    let mut decoder = StreamDecoder::open(file, DecodeContext::default())?;
    let mut decoded = Vec::new();
    while let Some(unit) = decoder.next_unit()? {
        decoded.push(unit);
    }
    let channels = image.color.channels();
    let has_alpha = channels.is_multiple_of(2);
    let colours = channels - usize::from(has_alpha);
    let pairs = samples(units).zip(samples(&decoded)).enumerate();
    let colours = pairs.filter(|(i, _)| i % channels < colours);
    let (mut squares, mut count) = (0u64, 0u64);
    for (_, (a, b)) in colours {
        squares += u64::from(a.abs_diff(b)).pow(2);
        count += 1;
    }
    let peak = f64::from((1u32 << image.bits) - 1);
    let error = squares as f64 / count.max(1) as f64;
    Ok(10.0 * (peak * peak / error).log10())
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
            assert_eq!(partition(|quality| Ok(quality < first)).unwrap(), first);
        }
    }

    #[test]
    fn the_best_that_is_small_enough() {
        let size = |quality: u8| Ok(u64::from(quality) * 10);
        assert_eq!(best_within(10, size).unwrap(), 1);
        assert_eq!(best_within(999, size).unwrap(), 99);
        assert_eq!(best_within(5000, size).unwrap(), 100);
        let error = best_within(9, size).unwrap_err().to_string();
        assert!(error.contains("10 bytes at quality 1"), "{error}");
    }
}
