//! Samples of all formats to the codec's scale and back: full scale is 2^20.

use rcodec_core::{AudioHeader, Error, Result, SampleFormat};

/// Fractional bits of full scale.
const FULL_SCALE_Q: u32 = 20;
/// Floats may exceed full scale by so many bits.
const FLOAT_HEADROOM: u32 = 4;
/// The most channels of a stream.
pub(crate) const MAX_CHANNELS: u16 = 256;

/// Checks that the codec takes such sound.
///
/// # Errors
/// [`Error::Parameter`] for what is no sound, [`Error::Unsupported`] for too
/// many channels.
pub(crate) fn check_header(header: &AudioHeader) -> Result<()> {
    if header.channels == 0 || header.sample_rate == 0 {
        return Err(Error::parameter("sound without channels or rate"));
    }
    if header.channels > MAX_CHANNELS {
        return Err(Error::unsupported("lossy sound of more than 256 channels"));
    }
    match header.format {
        SampleFormat::Int { bits: 1..=32 } | SampleFormat::Float32 => Ok(()),
        SampleFormat::Int { bits } => Err(Error::parameter(format!(
            "samples of {bits} bits, not 1..32"
        ))),
    }
}

/// A sample in the codec's scale. What is no number is silence.
pub(crate) fn to_internal(sample: i32, format: SampleFormat) -> i64 {
    match format {
        SampleFormat::Float32 => {
            let scaled = f64::from(f32::from_bits(sample as u32)) * f64::from(1 << FULL_SCALE_Q);
            let bound = f64::from(1 << (FULL_SCALE_Q + FLOAT_HEADROOM));
            // NaN becomes 0.
            scaled.clamp(-bound, bound).round() as i64
        }
        SampleFormat::Int { bits } => {
            let sample = i64::from(sample);
            match (FULL_SCALE_Q + 1).checked_sub(bits.into()) {
                Some(shift) => sample << shift,
                None => {
                    let shift = u32::from(bits) - FULL_SCALE_Q - 1;
                    (sample + (1 << (shift - 1))) >> shift
                }
            }
        }
    }
}

/// A decoded sample in the stream's format, limited to its range.
pub(crate) fn from_internal(value: i64, format: SampleFormat) -> i32 {
    match format {
        SampleFormat::Float32 => {
            let bound = 1 << (FULL_SCALE_Q + FLOAT_HEADROOM);
            // At most 2^24: the conversion and the power of two are exact.
            let value = value.clamp(-bound, bound) as f32;
            (value / (1u32 << FULL_SCALE_Q) as f32).to_bits() as i32
        }
        SampleFormat::Int { bits } => {
            let value = match (FULL_SCALE_Q + 1).checked_sub(bits.into()) {
                Some(0) => value,
                Some(shift) => (value + (1 << (shift - 1))) >> shift,
                None => value << (u32::from(bits) - FULL_SCALE_Q - 1),
            };
            let bound = 1i64 << (bits - 1);
            value.clamp(-bound, bound - 1) as i32
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_come_back() {
        for bits in 1..=32u8 {
            let format = SampleFormat::Int { bits };
            let bound = 1i64 << (bits - 1);
            for sample in [-bound, -1, 0, bound / 3, bound - 1] {
                let sample = sample.clamp(-bound, bound - 1) as i32;
                let back = from_internal(to_internal(sample, format), format);
                let lost = 1i64 << u32::from(bits).saturating_sub(21);
                assert!(
                    (i64::from(back) - i64::from(sample)).abs() < lost.max(1),
                    "{bits}"
                );
            }
            assert_eq!(i64::from(from_internal(1 << 34, format)), bound - 1);
            assert_eq!(i64::from(from_internal(-(1 << 34), format)), -bound);
        }
        for x in [0.0f32, 1.0, -0.25, 15.5] {
            let bits = x.to_bits() as i32;
            let back = from_internal(
                to_internal(bits, SampleFormat::Float32),
                SampleFormat::Float32,
            );
            assert_eq!(f32::from_bits(back as u32), x);
        }
        let nan = f32::NAN.to_bits() as i32;
        assert_eq!(to_internal(nan, SampleFormat::Float32), 0);
    }
}
