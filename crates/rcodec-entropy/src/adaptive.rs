//! Binary models that learn the probability of the next bit from those before.
//!
//! | model | bytes | learns | use |
//! |---|---|---|---|
//! | [`AdaptiveBit`] | 2 | at a fixed rate | many contexts, fast |
//! | [`CountedBit`] | 4 | quickly at first, then as slowly as its limit says | few bits per context, stationary sources, best by itself |
//! | [`TwoRateBit`] | 4 | at two fixed rates, averaged | sources that drift, no mixer behind |
//!
//! A [`BitTree`] makes a symbol of a small alphabet out of such bits.

use crate::coder::BitCoder;
use rcodec_core::Result;

/// A binary model: predicts, then learns what came.
pub trait BitModel: Clone + Default {
    /// The probability that the next bit is `true`, in 1..=65535 of 65536.
    fn p1_q16(&self) -> u32;

    /// Learns a bit.
    fn update(&mut self, bit: bool);

    /// Codes a bit with its own prediction and learns it.
    ///
    /// # Errors
    ///
    /// As [`BitCoder::code_bit`].
    #[inline(always)]
    fn code<C: BitCoder>(&mut self, coder: &mut C, bit: bool) -> Result<bool> {
        let bit = coder.code_bit(bit, self.p1_q16())?;
        self.update(bit);
        Ok(bit)
    }
}

/// An exponentially decaying average with rate `2^-RATE` (2..=15); 5 suits
/// most sources, 4 learns faster, 7 is for much data.
///
/// The probability stays `2^(RATE - 1)` of 65536 from the ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdaptiveBit<const RATE: u32 = 5> {
    p1_q16: u16,
}

impl<const RATE: u32> AdaptiveBit<RATE> {
    const VALID: () = assert!(RATE >= 2 && RATE <= 15);

    /// A model that begins at a probability of 1..=65535 of 65536.
    pub fn with_p1_q16(p1_q16: u32) -> Self {
        const { Self::VALID }
        AdaptiveBit {
            p1_q16: p1_q16.clamp(1, 65535) as u16,
        }
    }
}

impl<const RATE: u32> Default for AdaptiveBit<RATE> {
    fn default() -> Self {
        Self::with_p1_q16(1 << 15)
    }
}

impl<const RATE: u32> BitModel for AdaptiveBit<RATE> {
    #[inline(always)]
    fn p1_q16(&self) -> u32 {
        u32::from(self.p1_q16)
    }

    #[inline(always)]
    fn update(&mut self, bit: bool) {
        // Without a branch on the bit, which nobody can predict.
        let p1 = i32::from(self.p1_q16);
        let step = ((i32::from(bit) << 16) - p1 + (1 << (RATE - 1))) >> RATE;
        self.p1_q16 = (p1 + step) as u16;
    }
}

/// 2^16 / (n + 1.5).
static RECIPROCAL_Q16: [u16; 1024] = {
    let mut table = [0; 1024];
    let mut n = 0;
    while n < 1024 {
        table[n] = ((1 << 17) / (2 * n as u32 + 3)) as u16;
        n += 1;
    }
    table
};

/// A probability with a count: the n-th bit moves it by `1 / (n + 1.5)` of the
/// error, until the count reaches its limit and the rate stays.
///
/// With the default limit of 255 it is close to the true frequency of a
/// stationary source after a few bits; lower limits (30 for instance) follow
/// sources that change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountedBit<const LIMIT: u32 = 255> {
    /// Probability of `true` in Q22 in the upper 22 bits, count in the lower
    /// 10.
    state: u32,
}

impl<const LIMIT: u32> CountedBit<LIMIT> {
    const VALID: () = assert!(LIMIT >= 1 && LIMIT <= 1023);

    /// A model that begins at a probability of 1..=65535 of 65536, as certain
    /// of it as if it had seen `count` bits.
    pub fn with_p1_q16(p1_q16: u32, count: u32) -> Self {
        const { Self::VALID }
        CountedBit {
            state: p1_q16.clamp(1, 65535) << 16 | count.min(LIMIT),
        }
    }

    /// How many bits were seen, up to the limit.
    #[inline(always)]
    pub fn count(&self) -> u32 {
        self.state & 1023
    }

    /// Probability and count as one number, for tables of them.
    #[inline(always)]
    pub fn to_bits(self) -> u32 {
        self.state
    }

    /// What [`to_bits`](Self::to_bits) gave. Other numbers are models too, if
    /// of a probability that no bits lead to.
    #[inline(always)]
    pub fn from_bits(state: u32) -> Self {
        CountedBit { state }
    }

    /// Learns a bit with another limit (1..=1023) than the type's.
    #[inline(always)]
    pub fn update_with_limit(&mut self, bit: bool, limit: u32) {
        self.state = counted_update(self.state, bit, limit.clamp(1, 1023));
    }
}

/// Moves a probability (upper 22 bits) towards the bit, at the rate that its
/// count (lower 10 bits) says.
#[inline(always)]
pub(crate) fn counted_update(state: u32, bit: bool, limit: u32) -> u32 {
    let count = state & 1023;
    let p_q22 = (state >> 10) as i32;
    // No branch on the bit, which nobody can predict. The sum cannot reach
    // 2^22: the rate is under 1/2 except for the first bit, which finds no
    // probability over 65535 of 65536.
    let error = (i64::from(bit) << 22) - i64::from(p_q22);
    let step = (error * i64::from(RECIPROCAL_Q16[count as usize]) + (1 << 15)) >> 16;
    // The count stays below 2^10.
    let step = (step as i32 as u32) << 10;
    state
        .wrapping_add(step)
        .wrapping_add(u32::from(count < limit))
}

impl<const LIMIT: u32> Default for CountedBit<LIMIT> {
    fn default() -> Self {
        Self::with_p1_q16(1 << 15, 0)
    }
}

impl<const LIMIT: u32> BitModel for CountedBit<LIMIT> {
    #[inline(always)]
    fn p1_q16(&self) -> u32 {
        (self.state >> 16).max(1)
    }

    #[inline(always)]
    fn update(&mut self, bit: bool) {
        self.state = counted_update(self.state, bit, LIMIT);
    }
}

/// The average of two [`AdaptiveBit`]s, one quick and one slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TwoRateBit<const FAST: u32 = 4, const SLOW: u32 = 7> {
    fast: AdaptiveBit<FAST>,
    slow: AdaptiveBit<SLOW>,
}

impl<const FAST: u32, const SLOW: u32> BitModel for TwoRateBit<FAST, SLOW> {
    #[inline(always)]
    fn p1_q16(&self) -> u32 {
        (self.fast.p1_q16() + self.slow.p1_q16()) >> 1
    }

    #[inline(always)]
    fn update(&mut self, bit: bool) {
        self.fast.update(bit);
        self.slow.update(bit);
    }
}

/// Symbols of `0..LEAVES` (a power of two, at most 65536) as their bits from
/// the highest, each with a model of its own for every prefix.
///
/// An array of trees gives one for each context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BitTree<M, const LEAVES: usize> {
    /// Index: 1 followed by the bits coded so far.
    nodes: [M; LEAVES],
}

impl<M: BitModel, const LEAVES: usize> BitTree<M, LEAVES> {
    const BITS: u32 = {
        assert!(LEAVES.is_power_of_two() && LEAVES >= 2 && LEAVES <= 65536);
        LEAVES.ilog2()
    };

    /// A tree of untrained models.
    pub fn new() -> Self {
        BitTree {
            nodes: std::array::from_fn(|_| M::default()),
        }
    }

    /// Codes a symbol (of which only the lowest `log2(LEAVES)` bits count).
    ///
    /// # Errors
    ///
    /// As [`BitCoder::code_bit`].
    #[inline]
    pub fn code<C: BitCoder>(&mut self, coder: &mut C, symbol: u32) -> Result<u32> {
        let mut node = 1;
        for shift in (0..Self::BITS).rev() {
            let bit = symbol >> shift & 1 != 0;
            // The mask changes nothing and spares the check of the index.
            let bit = self.nodes[node & (LEAVES - 1)].code(coder, bit)?;
            node = node << 1 | usize::from(bit);
        }
        Ok((node - LEAVES) as u32)
    }
}

impl<M: BitModel, const LEAVES: usize> Default for BitTree<M, LEAVES> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CostEstimator;

    /// Feeds a model only ones, only zeros, and alternating bits.
    fn stays_in_range<M: BitModel>() {
        for pattern in 0..3 {
            let mut model = M::default();
            for i in 0..100_000 {
                assert!((1..=65535).contains(&model.p1_q16()));
                model.update(match pattern {
                    0 => false,
                    1 => true,
                    _ => i / 1000 % 2 == 0,
                });
            }
        }
    }

    #[test]
    fn probabilities_stay_in_range() {
        stays_in_range::<AdaptiveBit<2>>();
        stays_in_range::<AdaptiveBit<5>>();
        stays_in_range::<AdaptiveBit<15>>();
        stays_in_range::<CountedBit<1>>();
        stays_in_range::<CountedBit<30>>();
        stays_in_range::<CountedBit<1023>>();
        stays_in_range::<TwoRateBit<2, 15>>();
        for p1_q16 in [0, 1, 65535, 65536, u32::MAX] {
            for first in [false, true] {
                let mut adaptive = AdaptiveBit::<2>::with_p1_q16(p1_q16);
                let mut counted = CountedBit::<255>::with_p1_q16(p1_q16, 0);
                for _ in 0..100 {
                    adaptive.update(first);
                    counted.update(first);
                    assert!((1..=65535).contains(&adaptive.p1_q16()));
                    assert!((1..=65535).contains(&counted.p1_q16()));
                }
            }
        }
    }

    #[test]
    fn certainty_is_reached() {
        // The ends that each model can reach, which bound its cost per bit.
        fn end<M: BitModel>(bit: bool) -> u32 {
            let mut model = M::default();
            (0..200_000).for_each(|_| model.update(bit));
            model.p1_q16()
        }
        assert_eq!(end::<AdaptiveBit<5>>(false), 16);
        assert_eq!(end::<AdaptiveBit<5>>(true), 65536 - 15);
        assert!(end::<CountedBit<255>>(true) >= 65536 - 3);
        assert!(end::<CountedBit<255>>(false) <= 2);
        assert!(end::<CountedBit<1023>>(true) >= 65536 - 9);
        assert!(end::<CountedBit<1023>>(false) <= 8);
    }

    #[test]
    fn counts_make_frequencies() {
        let mut model = CountedBit::<1023>::default();
        for i in 0..1000 {
            model.update(i % 10 == 0);
        }
        assert_eq!(model.count(), 1000);
        assert!(model.p1_q16().abs_diff(6554) < 100, "{}", model.p1_q16());
        // The first bits weigh most: two thirds, two fifths ...
        let mut model = CountedBit::<255>::default();
        model.update(true);
        assert_eq!(model.p1_q16(), 32768 + 65536 / 3);
        let mut model = CountedBit::<255>::with_p1_q16(1 << 15, 9999);
        assert_eq!(model.count(), 255);
        model.update_with_limit(true, 20);
        assert_eq!(model.count(), 255);
        assert!(model.p1_q16() < 33_000);
    }

    #[test]
    fn a_tree_learns_its_symbols() {
        let mut tree = BitTree::<CountedBit, 16>::new();
        let mut cost = CostEstimator::new();
        for i in 0..400 {
            let symbol = [3, 3, 3, 12][i % 4];
            assert_eq!(tree.code(&mut cost, symbol).unwrap(), symbol);
        }
        // 0.811 bits a symbol, and what it takes to learn three nodes.
        let bits = cost.bits_q24() >> 24;
        assert!((324..365).contains(&bits), "{bits}");
        // Only the low bits of a symbol count.
        assert_eq!(tree.code(&mut cost, 16 + 3).unwrap(), 3);
    }
}
