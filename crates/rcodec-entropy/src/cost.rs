//! Code lengths without coding.

use crate::cdf::Cdf;
use crate::coder::{BitCoder, clamp_p1};
use crate::fixed_math::log2_q24;
use rcodec_core::Result;

/// log2(1 + i / 1024) in Q24.
static LOG2_MANTISSA_Q24: [u32; 1025] = {
    let mut table = [0; 1025];
    let mut i = 0;
    while i <= 1024 {
        table[i] = log2_q24(1024 + i as u32, 10);
        i += 1;
    }
    table
};

/// The code length `-log2(p)` in bits, Q24, of an event of probability
/// `p_q16` (1..=65536; 0 is taken as 1).
#[inline]
pub fn cost_q24(p_q16: u32) -> u32 {
    let p = p_q16.clamp(1, 65536);
    let shift = p.leading_zeros() - 15; // 0 for 65536, 16 for 1
    let mantissa = (p << shift) - 65536; // of 65536
    let index = (mantissa >> 6) as usize;
    let low = LOG2_MANTISSA_Q24[index];
    let log2 = low + (((LOG2_MANTISSA_Q24[index + 1] - low) * (mantissa & 63)) >> 6);
    (shift << 24) - log2
}

/// Adds up the code length of what an encoder would write, so that modes can
/// be tried without coding.
///
/// ```
/// use rcodec_entropy::{BitCoder, CostEstimator};
///
/// let mut cost = CostEstimator::new();
/// cost.code_bit(true, 16384)?; // a quarter: 2 bits
/// cost.code_raw(5, 3)?;
/// assert_eq!(cost.bits_q24(), 5 << 24);
/// assert_eq!(cost.bytes(), 1);
/// # Ok::<(), rcodec_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CostEstimator {
    bits_q24: u64,
}

impl CostEstimator {
    /// An estimator at zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// The code length so far, in bits, Q24.
    pub fn bits_q24(&self) -> u64 {
        self.bits_q24
    }

    /// The code length so far, in whole bytes, rounded up.
    pub fn bytes(&self) -> u64 {
        self.bits_q24.div_ceil(8 << 24)
    }
}

impl BitCoder for CostEstimator {
    const DECODES: bool = false;

    #[inline(always)]
    fn code_bit(&mut self, bit: bool, p1_q16: u32) -> Result<bool> {
        let p1_q16 = clamp_p1(p1_q16);
        let p_q16 = if bit { p1_q16 } else { 65536 - p1_q16 };
        self.bits_q24 += u64::from(cost_q24(p_q16));
        Ok(bit)
    }

    #[inline]
    fn code_raw(&mut self, value: u32, bits: u32) -> Result<u32> {
        let bits = bits.min(32);
        self.bits_q24 += u64::from(bits) << 24;
        Ok((u64::from(value) & ((1 << bits) - 1)) as u32)
    }

    #[inline]
    fn code_cdf(&mut self, symbol: u32, cdf: &Cdf) -> Result<u32> {
        let Some((_, probability)) = cdf.span(symbol) else {
            return Err(crate::range::not_in_table(symbol, cdf));
        };
        self.bits_q24 += u64::from(cost_q24(probability));
        Ok(symbol)
    }

    fn position(&self) -> u64 {
        self.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_logarithms() {
        for p_q16 in 1..=65536u32 {
            let exact = -(f64::from(p_q16) / 65536.0).log2() * f64::from(1 << 24);
            let off = f64::from(cost_q24(p_q16)) - exact;
            // 2^-21 bits.
            assert!(off.abs() < 8.0, "{p_q16}: {off}");
        }
        assert_eq!(cost_q24(65536), 0);
        assert_eq!(cost_q24(0), 16 << 24);
        assert!(cost_q24(65535) > 300);
    }

    #[test]
    fn costs_add_up() {
        let mut cost = CostEstimator::new();
        assert_eq!(cost.bytes(), 0);
        assert!(!cost.code_bit(false, 3 << 14).unwrap());
        assert_eq!(cost.code_raw(0xffff_ffff, 7).unwrap(), 127);
        assert_eq!(cost.code_raw(0xffff_ffff, 40).unwrap(), u32::MAX);
        let cdf = Cdf::from_frequencies(&[0; 16]).unwrap();
        assert_eq!(cost.code_cdf(15, &cdf).unwrap(), 15);
        assert!(cost.code_cdf(16, &cdf).is_err());
        assert_eq!(cost.bits_q24(), (2 + 7 + 32 + 4) << 24);
        assert_eq!(cost.bytes(), 6);
    }
}
