//! Our integer models in the form in which `constriction` takes them, all with
//! 16 bits of precision.

use crate::cdf::Cdf;
use constriction::stream::model::{DecoderModel, EncoderModel, EntropyModel};
use std::borrow::Borrow;
use std::num::NonZeroU32;

/// `value`, which is never 0 where this is called, as a `NonZeroU32`. Where
/// the optimiser sees the bound, nothing is left of the test.
#[inline(always)]
fn non_zero(value: u32) -> NonZeroU32 {
    NonZeroU32::new(value).unwrap_or(NonZeroU32::MIN)
}

/// A binary decision; `p1_q16` is in 1..=65535. `true` takes the lower part of
/// the interval.
#[derive(Clone, Copy)]
pub(crate) struct Bit {
    pub(crate) p1_q16: u32,
}

impl EntropyModel<16> for Bit {
    type Symbol = bool;
    type Probability = u32;
}

impl EncoderModel<16> for Bit {
    #[inline(always)]
    fn left_cumulative_and_probability(&self, bit: impl Borrow<bool>) -> Option<(u32, NonZeroU32)> {
        let (left, probability) = if *bit.borrow() {
            (0, self.p1_q16)
        } else {
            (self.p1_q16, 65536 - self.p1_q16)
        };
        Some((left, non_zero(probability)))
    }
}

impl DecoderModel<16> for Bit {
    #[inline(always)]
    fn quantile_function(&self, quantile: u32) -> (bool, u32, NonZeroU32) {
        let bit = quantile < self.p1_q16;
        let (left, probability) = if bit {
            (0, self.p1_q16)
        } else {
            (self.p1_q16, 65536 - self.p1_q16)
        };
        (bit, left, non_zero(probability))
    }
}

/// `2^bits` equiprobable values, `bits` <= 16.
#[derive(Clone, Copy)]
pub(crate) struct Uniform {
    pub(crate) bits: u32,
}

impl EntropyModel<16> for Uniform {
    type Symbol = u32;
    type Probability = u32;
}

impl EncoderModel<16> for Uniform {
    #[inline(always)]
    fn left_cumulative_and_probability(
        &self,
        value: impl Borrow<u32>,
    ) -> Option<(u32, NonZeroU32)> {
        let value = *value.borrow() & ((1 << self.bits) - 1);
        Some((value << (16 - self.bits), non_zero(1 << (16 - self.bits))))
    }
}

impl DecoderModel<16> for Uniform {
    #[inline(always)]
    fn quantile_function(&self, quantile: u32) -> (u32, u32, NonZeroU32) {
        let shift = 16 - self.bits;
        let value = quantile >> shift;
        (value, value << shift, non_zero(1 << shift))
    }
}

/// A symbol of a [`Cdf`].
#[derive(Clone, Copy)]
pub(crate) struct Table<'a>(pub(crate) &'a Cdf);

impl EntropyModel<16> for Table<'_> {
    type Symbol = u32;
    type Probability = u32;
}

impl EncoderModel<16> for Table<'_> {
    #[inline(always)]
    fn left_cumulative_and_probability(
        &self,
        symbol: impl Borrow<u32>,
    ) -> Option<(u32, NonZeroU32)> {
        let (left, probability) = self.0.span(*symbol.borrow())?;
        Some((left, NonZeroU32::new(probability)?))
    }
}

impl DecoderModel<16> for Table<'_> {
    #[inline(always)]
    fn quantile_function(&self, quantile: u32) -> (u32, u32, NonZeroU32) {
        let (symbol, left, probability) = self.0.lookup(quantile);
        (symbol, left, non_zero(probability))
    }
}

/// One interval of the unit interval, for coding what was recorded before.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    pub(crate) left: u32,
    pub(crate) probability: u32,
}

impl EntropyModel<16> for Span {
    type Symbol = ();
    type Probability = u32;
}

impl EncoderModel<16> for Span {
    #[inline(always)]
    fn left_cumulative_and_probability(&self, _: impl Borrow<()>) -> Option<(u32, NonZeroU32)> {
        Some((self.left, non_zero(self.probability)))
    }
}
