//! Floats as integers, exactly.
//!
//! Most float files were made from integers, or by a converter: all samples of
//! a block are then whole multiples of one power of two that fit 32 bits, and
//! these multiples are coded ([`FloatForm::Scaled`]). Any other bit patterns
//! are put into the order of their values ([`FloatForm::Ordered`]), so that
//! near values stay near.

use super::bytes::{read_signed, write_signed};
use rcodec_core::{Cursor, Error, Result};

/// How the floats of a block become integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FloatForm {
    /// Bit patterns, with the order of negative ones reversed.
    Ordered,
    /// Multiples of two to this power.
    Scaled(i32),
}

/// The powers of two of the lowest and the highest bit that floats have.
const EXPONENTS: std::ops::RangeInclusive<i32> = -149..=127;

const MANTISSA_BITS: u32 = 23;
const INFINITE_EXPONENT: u32 = 255;

/// A finite float as mantissa and power of two; `None` for infinities, NaN and
/// -0.
fn split(bits: u32) -> Option<(u32, i32)> {
    let exponent = bits >> MANTISSA_BITS & 0xff;
    let fraction = bits & ((1 << MANTISSA_BITS) - 1);
    match exponent {
        INFINITE_EXPONENT => None,
        0 if bits == 1 << 31 => None,
        0 => Some((fraction, -149)),
        _ => Some((fraction | 1 << MANTISSA_BITS, exponent as i32 - 150)),
    }
}

impl FloatForm {
    /// The form in which samples are coded best.
    pub(crate) fn choose(samples: &[i32]) -> FloatForm {
        let (mut lowest, mut highest) = (i32::MAX, i32::MIN);
        for &sample in samples {
            let Some((mantissa, exponent)) = split(sample as u32) else {
                return FloatForm::Ordered;
            };
            if mantissa != 0 {
                lowest = lowest.min(exponent + mantissa.trailing_zeros() as i32);
                highest = highest.max(exponent + mantissa.ilog2() as i32);
            }
        }
        if lowest > highest {
            return FloatForm::Scaled(0);
        }
        if highest - lowest <= 30 {
            FloatForm::Scaled(lowest)
        } else {
            FloatForm::Ordered
        }
    }

    /// The integer of a float that this form can hold.
    pub(crate) fn integer(self, sample: i32) -> i32 {
        let FloatForm::Scaled(lowest) = self else {
            return sample ^ ((sample >> 31) & i32::MAX);
        };
        let (mantissa, exponent) = split(sample as u32).unwrap_or((0, 0));
        let shift = exponent - lowest;
        let magnitude = if mantissa == 0 {
            0
        } else if shift >= 0 {
            mantissa << shift
        } else {
            mantissa >> -shift
        } as i32;
        if sample < 0 { -magnitude } else { magnitude }
    }

    /// The float of an integer, if it is the integer of one.
    pub(crate) fn float(self, integer: i32) -> Option<i32> {
        let FloatForm::Scaled(lowest) = self else {
            return Some(integer ^ ((integer >> 31) & i32::MAX));
        };
        if integer == 0 {
            return Some(0);
        }
        let zeros = integer.trailing_zeros();
        let mantissa = integer.unsigned_abs() >> zeros;
        let top = mantissa.ilog2();
        let exponent = lowest + (zeros + top) as i32;
        if top > MANTISSA_BITS || !EXPONENTS.contains(&exponent) {
            return None;
        }
        let magnitude = if exponent >= -126 {
            let fraction = (mantissa << (MANTISSA_BITS - top)) & ((1 << MANTISSA_BITS) - 1);
            ((exponent + 127) as u32) << MANTISSA_BITS | fraction
        } else {
            // Subnormal: multiples of 2^-149, and the lowest bit is not lower.
            mantissa << (lowest + zeros as i32 + 149)
        };
        let sign = u32::from(integer < 0) << 31;
        Some((sign | magnitude) as i32)
    }

    pub(crate) fn write(self, out: &mut Vec<u8>) {
        match self {
            FloatForm::Ordered => out.push(0),
            FloatForm::Scaled(lowest) => {
                out.push(1);
                write_signed(out, i64::from(lowest));
            }
        }
    }

    pub(crate) fn read(reader: &mut Cursor) -> Result<FloatForm> {
        let at = reader.at();
        match reader.byte()? {
            0 => Ok(FloatForm::Ordered),
            1 => match i32::try_from(read_signed(reader)?) {
                Ok(lowest) if EXPONENTS.contains(&lowest) => Ok(FloatForm::Scaled(lowest)),
                _ => Err(Error::malformed(at, "scale of floats")),
            },
            _ => Err(Error::malformed(at, "form of floats")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(samples: &[f32]) -> FloatForm {
        let bits: Vec<i32> = samples.iter().map(|x| x.to_bits() as i32).collect();
        let form = FloatForm::choose(&bits);
        for &sample in &bits {
            assert_eq!(form.float(form.integer(sample)), Some(sample));
        }
        form
    }

    #[test]
    fn converted_integers_are_found() {
        let form = check(&[0.0, 1.0 / 32768.0, -1.0, 0.5, -3.0 / 32768.0]);
        assert_eq!(form, FloatForm::Scaled(-15));
        assert_eq!(check(&[0.0, 0.0]), FloatForm::Scaled(0));
        assert_eq!(
            check(&[f32::from_bits(5), -f32::from_bits(12)]),
            FloatForm::Scaled(-149)
        );
        assert_eq!(
            check(&[f32::MIN_POSITIVE, f32::from_bits(1)]),
            FloatForm::Scaled(-149)
        );
        assert!(matches!(
            check(&[f32::MAX, f32::MIN]),
            FloatForm::Scaled(104)
        ));
    }

    #[test]
    fn odd_patterns_keep_their_order() {
        for odd in [-0.0, f32::NAN, f32::INFINITY, 1e-30] {
            assert_eq!(check(&[1.0, odd]), FloatForm::Ordered);
        }
    }

    proptest! {
        #[test]
        fn any_integer_is_restored_or_refused(integer: i32, lowest in -149i32..=127) {
            let form = FloatForm::Scaled(lowest);
            if let Some(float) = form.float(integer) {
                prop_assert_eq!(form.integer(float), integer);
            }
        }

        #[test]
        fn any_floats_come_back(samples in prop::collection::vec(any::<u32>(), 1..4)) {
            check(&samples.iter().map(|&x| f32::from_bits(x)).collect::<Vec<_>>());
        }
    }
}
