//! Escape codes: any integer, with a length that grows with its logarithm.
//!
//! A table or bit tree covers the values that occur often; what it does not
//! cover follows as an Exp-Golomb code (Teuhola 1978). [`code_exp_golomb`]
//! spends raw bits and needs no state. [`AdaptiveExpGolomb`] learns how large
//! the values are and approaches the entropy of any smooth distribution; it
//! also serves as the only model of rarely coded numbers.

use crate::adaptive::{BitModel, CountedBit};
use crate::coder::BitCoder;
use rcodec_core::{Error, Result};

/// The number of magnitudes that a u64 has.
const CLASSES: usize = 65;

/// Maps 0, -1, 1, -2, 2 ... to 0, 1, 2, 3, 4 ...
#[inline]
pub fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The inverse of [`zigzag`].
#[inline]
pub fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Codes the low `bits` (at most 64) bits of `value`, all equiprobable.
#[inline]
pub fn code_raw_u64<C: BitCoder>(coder: &mut C, value: u64, bits: u32) -> Result<u64> {
    let bits = bits.min(64);
    let low_bits = bits.min(32);
    let high = coder.code_raw((value >> 32) as u32, bits - low_bits)?;
    let low = coder.code_raw(value as u32, low_bits)?;
    Ok(u64::from(high) << 32 | u64::from(low))
}

/// Codes any u64 as an Exp-Golomb code of order `k` (at most 63) in raw bits:
/// values under `2^k` take `k + 1` bits, and each doubling takes two more.
///
/// # Errors
///
/// As [`BitCoder::code_bit`], and [`Error::Malformed`] for a number of more
/// than 64 bits.
pub fn code_exp_golomb<C: BitCoder>(coder: &mut C, value: u64, k: u32) -> Result<u64> {
    let k = k.min(63);
    let wanted = (value >> k).checked_add(1).map_or(64, u64::ilog2);
    let mut class = 0;
    while coder.code_bit(class < wanted, 1 << 15)? {
        class += 1;
        if class + k > 64 {
            return Err(too_long(coder));
        }
    }
    code_offset(coder, value, class, k)
}

/// Codes any i64: [`zigzag`] and [`code_exp_golomb`].
///
/// # Errors
///
/// As [`code_exp_golomb`].
pub fn code_exp_golomb_signed<C: BitCoder>(coder: &mut C, value: i64, k: u32) -> Result<i64> {
    code_exp_golomb(coder, zigzag(value), k).map(unzigzag)
}

#[cold]
#[inline(never)]
fn too_long<C: BitCoder>(coder: &C) -> Error {
    Error::malformed(coder.position(), "escape code of more than 64 bits")
}

/// The smallest value of a class: `(2^class - 1) << k`.
#[inline]
fn class_base(class: u32, k: u32) -> Option<u64> {
    let base = ((1u128 << class) - 1) << k;
    u64::try_from(base).ok()
}

/// Codes where in its class a value lies: `class + k` raw bits.
#[inline]
fn code_offset<C: BitCoder>(coder: &mut C, value: u64, class: u32, k: u32) -> Result<u64> {
    let Some(base) = class_base(class, k) else {
        return Err(too_long(coder));
    };
    let offset = code_raw_u64(coder, value.wrapping_sub(base), class + k)?;
    match base.checked_add(offset) {
        Some(value) => Ok(value),
        None => Err(too_long(coder)),
    }
}

/// An Exp-Golomb code whose magnitudes, and the first bit below the leading
/// one, are learned.
///
/// The class of a value `v` is the number of bits of `(v >> k) + 1`, coded in
/// unary with an adaptive model for each step.
#[derive(Debug, Clone)]
pub struct AdaptiveExpGolomb<M = CountedBit> {
    k: u32,
    /// Whether the class is greater than the index.
    greater: Box<[M]>,
    /// The bit after the leading one, by class.
    second: Box<[M]>,
}

impl<M: BitModel> AdaptiveExpGolomb<M> {
    /// A code of order `k` (at most 32): values under `2^k` take `k` raw bits
    /// and one adaptive bit.
    pub fn new(k: u32) -> Self {
        AdaptiveExpGolomb {
            k: k.min(32),
            greater: vec![M::default(); CLASSES].into(),
            second: vec![M::default(); CLASSES].into(),
        }
    }

    /// Codes any u64.
    ///
    /// # Errors
    ///
    /// As [`BitCoder::code_bit`], and [`Error::Malformed`] for a number of
    /// more than 64 bits.
    pub fn code<C: BitCoder>(&mut self, coder: &mut C, value: u64) -> Result<u64> {
        let k = self.k;
        let wanted = (value >> k).checked_add(1).map_or(64, u64::ilog2);
        let mut class = 0;
        while self.greater[class as usize].code(coder, class < wanted)? {
            class += 1;
            if class + k > 64 {
                return Err(too_long(coder));
            }
        }
        if class == 0 {
            return code_raw_u64(coder, value, k);
        }
        let Some(base) = class_base(class, k) else {
            return Err(too_long(coder));
        };
        let offset = value.wrapping_sub(base);
        let rest_bits = class + k - 1;
        let second = self.second[class as usize].code(coder, offset >> rest_bits & 1 != 0)?;
        let rest = code_raw_u64(coder, offset, rest_bits)?;
        match base.checked_add(u64::from(second) << rest_bits | rest) {
            Some(value) => Ok(value),
            None => Err(too_long(coder)),
        }
    }

    /// Codes any i64 through [`zigzag`].
    ///
    /// # Errors
    ///
    /// As [`code`](Self::code).
    pub fn code_signed<C: BitCoder>(&mut self, coder: &mut C, value: i64) -> Result<i64> {
        self.code(coder, zigzag(value)).map(unzigzag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CostEstimator, RangeBitDecoder, RangeBitEncoder};

    const CORNERS: [u64; 9] = [
        0,
        1,
        2,
        255,
        u32::MAX as u64,
        1 << 32,
        i64::MAX as u64,
        u64::MAX - 1,
        u64::MAX,
    ];

    #[test]
    fn zigzag_folds_signs() {
        let folded = [0, -1, 1, -2, 2].map(zigzag);
        assert_eq!(folded, [0, 1, 2, 3, 4]);
        for value in [i64::MIN, i64::MAX, 0, -1] {
            assert_eq!(unzigzag(zigzag(value)), value);
        }
    }

    #[test]
    fn lengths_are_those_of_exp_golomb() {
        for (value, k, bits) in [
            (0, 0, 1),
            (1, 0, 3),
            (2, 0, 3),
            (3, 0, 5),
            (3, 2, 3),
            (4, 2, 5),
            (u64::MAX, 0, 65 + 64),
            (u64::MAX, 63, 2 + 64),
        ] {
            let mut cost = CostEstimator::new();
            assert_eq!(code_exp_golomb(&mut cost, value, k).unwrap(), value);
            assert_eq!(cost.bits_q24(), bits << 24, "{value} with k = {k}");
        }
    }

    #[test]
    fn corners_come_back_at_every_order() {
        for k in 0..70 {
            let mut encoder = RangeBitEncoder::new();
            let mut model = AdaptiveExpGolomb::<CountedBit>::new(k);
            for value in CORNERS {
                code_exp_golomb(&mut encoder, value, k).unwrap();
                model.code(&mut encoder, value).unwrap();
            }
            let payload = encoder.finish();
            let mut decoder = RangeBitDecoder::new(&payload);
            let mut model = AdaptiveExpGolomb::<CountedBit>::new(k);
            for value in CORNERS {
                assert_eq!(code_exp_golomb(&mut decoder, 0, k).unwrap(), value);
                assert_eq!(model.code(&mut decoder, 0).unwrap(), value);
            }
            decoder.finish().unwrap();
        }
    }

    /// A coder that always answers `true` or all ones.
    struct Ones;

    impl BitCoder for Ones {
        const DECODES: bool = true;
        fn code_bit(&mut self, _: bool, _: u32) -> Result<bool> {
            Ok(true)
        }
        fn code_raw(&mut self, _: u32, bits: u32) -> Result<u32> {
            Ok(u32::MAX.checked_shr(32 - bits.min(32)).unwrap_or(0))
        }
        fn code_cdf(&mut self, _: u32, cdf: &crate::Cdf) -> Result<u32> {
            Ok(cdf.len() as u32 - 1)
        }
        fn position(&self) -> u64 {
            17
        }
    }

    #[test]
    fn endless_ones_are_malformed() {
        for k in 0..64 {
            let error = code_exp_golomb(&mut Ones, 0, k).unwrap_err();
            assert!(matches!(error, Error::Malformed { at: 17, .. }));
            let error = AdaptiveExpGolomb::<CountedBit>::new(k).code(&mut Ones, 0);
            assert!(matches!(error, Err(Error::Malformed { at: 17, .. })));
        }
    }

    #[test]
    fn learning_pays() {
        let mut cost = CostEstimator::new();
        let mut model = AdaptiveExpGolomb::<CountedBit>::new(0);
        for i in 0..1000 {
            model.code(&mut cost, 1000 + i % 16).unwrap();
        }
        // The class is soon certain, and the second bit; 8 bits are raw.
        assert!(cost.bits_q24() >> 24 < 8 * 1000 + 200);
    }
}
