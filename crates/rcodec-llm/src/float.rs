//! Floats as they stand in files, by their bits: no float unit is asked.

use rcodec_core::{Error, Result};

/// How the numbers of a tensor are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FloatType {
    /// bfloat16.
    Bf16,
    /// IEEE half precision.
    F16,
    /// IEEE single precision.
    F32,
}

impl FloatType {
    /// The type of that name in a safetensors header.
    pub(crate) fn from_name(name: &str) -> Result<FloatType> {
        match name {
            "BF16" => Ok(FloatType::Bf16),
            "F16" => Ok(FloatType::F16),
            "F32" => Ok(FloatType::F32),
            _ => Err(Error::unsupported(format!("tensors of type {name}"))),
        }
    }

    /// Bytes of a number.
    pub(crate) fn bytes(self) -> usize {
        match self {
            FloatType::Bf16 | FloatType::F16 => 2,
            FloatType::F32 => 4,
        }
    }

    /// The numbers of some bytes.
    ///
    /// # Errors
    /// [`Error::Parameter`] if one is infinite or not a number.
    pub(crate) fn read(self, bytes: &[u8], out: &mut Vec<Float>) -> Result<()> {
        out.clear();
        let bits16 = |b: &[u8; 2]| u32::from(u16::from_le_bytes(*b));
        match self {
            FloatType::Bf16 => {
                for b in bytes.as_chunks::<2>().0 {
                    out.push(Float::from_parts(bits16(b) << 16, 8, 23)?);
                }
            }
            FloatType::F16 => {
                for b in bytes.as_chunks::<2>().0 {
                    let bits = bits16(b);
                    // Sign, exponent and fraction at the places of an f32's,
                    // but for the exponent's three missing bits.
                    let bits = (bits & 0x8000) << 16 | (bits & 0x7fff) << 13;
                    out.push(Float::from_parts(bits, 5, 23)?);
                }
            }
            FloatType::F32 => {
                for b in bytes.as_chunks::<4>().0 {
                    out.push(Float::from_parts(u32::from_le_bytes(*b), 8, 23)?);
                }
            }
        }
        Ok(())
    }
}

/// `mantissa · 2^exponent`; the mantissa has 24 significant bits, or is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Float {
    pub(crate) mantissa: i32,
    pub(crate) exponent: i32,
}

impl Float {
    pub(crate) const ZERO: Float = Float {
        mantissa: 0,
        exponent: 0,
    };

    /// Of a sign in bit 31, an exponent of so many bits, and a fraction.
    fn from_parts(bits: u32, exponent_bits: u32, fraction_bits: u32) -> Result<Float> {
        let most = (1u32 << exponent_bits) - 1;
        let exponent = bits >> fraction_bits & most;
        if exponent == most {
            return Err(Error::parameter("a weight that is not a finite number"));
        }
        let fraction = bits & ((1 << fraction_bits) - 1);
        let bias = (most >> 1) as i32 + fraction_bits as i32;
        let (mut mantissa, mut power) = match exponent {
            0 => (fraction, 1 - bias),
            _ => (fraction | 1 << fraction_bits, exponent as i32 - bias),
        };
        if mantissa == 0 {
            return Ok(Float::ZERO);
        }
        // Subnormal numbers, too, get 24 bits.
        let shift = mantissa.leading_zeros() - 8;
        mantissa <<= shift;
        power -= shift as i32;
        let mantissa = mantissa as i32;
        Ok(Float {
            mantissa: if bits >> 31 != 0 { -mantissa } else { mantissa },
            exponent: power,
        })
    }

    /// What orders magnitudes.
    #[inline(always)]
    pub(crate) fn magnitude(self) -> (i32, u32) {
        match self.mantissa {
            0 => (i32::MIN, 0),
            m => (self.exponent, m.unsigned_abs()),
        }
    }

    /// In fixed point with `q` fractional bits, to nearest, saturating.
    pub(crate) fn to_fixed(self, q: i32) -> i64 {
        crate::fixed::scaled(i64::from(self.mantissa), self.exponent + q)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value(float: Float) -> f64 {
        f64::from(float.mantissa) * 2f64.powi(float.exponent)
    }

    proptest! {
        #[test]
        fn every_single_is_exact(bits in any::<u32>()) {
            let mut out = Vec::new();
            let exact = f32::from_bits(bits);
            let read = FloatType::F32.read(&bits.to_le_bytes(), &mut out);
            prop_assert_eq!(read.is_ok(), exact.is_finite());
            if exact.is_finite() {
                prop_assert_eq!(value(out[0]), f64::from(exact));
            }
        }
    }

    #[test]
    fn every_half_is_exact() {
        let mut out = Vec::new();
        for bits in 0..=u16::MAX {
            let exact = f32::from_bits(u32::from(bits) << 16);
            let read = FloatType::Bf16.read(&bits.to_le_bytes(), &mut out);
            assert_eq!(read.is_ok(), exact.is_finite());
            if read.is_ok() {
                assert_eq!(value(out[0]), f64::from(exact));
            }
            let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
            let magnitude = match exponent {
                0 => fraction * 2f64.powi(-24),
                _ => (1024.0 + fraction) * 2f64.powi(exponent - 25),
            };
            let read = FloatType::F16.read(&bits.to_le_bytes(), &mut out);
            assert_eq!(read.is_ok(), exponent != 31);
            if read.is_ok() {
                let sign = if bits >> 15 != 0 { -1.0 } else { 1.0 };
                assert_eq!(value(out[0]), sign * magnitude);
            }
        }
    }
}
