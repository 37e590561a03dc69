//! Adaptive probabilities with a memory of how often they were used.

/// Uses after which a counter's rate stays as it is.
pub(crate) const LIMIT_SLOW: u32 = 255;

/// Reciprocals `65536 / (n + 1.6)`.
static RATE_Q16: [u32; 1024] = {
    let mut table = [0; 1024];
    let mut n = 0;
    while n < 1024 {
        table[n] = 655_360 / (10 * n as u32 + 16);
        n += 1;
    }
    table
};

/// A probability in 22 bits and a count in 10.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counter(u32);

impl Counter {
    /// One half, never used.
    pub(crate) const NEW: Counter = Counter(1 << 31);

    /// The probability of a set bit, Q16.
    #[inline(always)]
    pub(crate) fn p_q16(self) -> u32 {
        self.0 >> 16
    }

    /// How often it has been updated, up to its limit.
    #[inline(always)]
    pub(crate) fn count(self) -> u32 {
        self.0 & 1023
    }

    /// Moves towards `bit`: by the mean of all bits while there are fewer than
    /// `limit`, exponentially afterwards.
    #[inline(always)]
    pub(crate) fn update(&mut self, bit: bool, limit: u32) {
        let count = self.0 & 1023;
        let p_q22 = (self.0 >> 10) as i32;
        let target_q22 = if bit { (1 << 22) - 1 } else { 0 };
        let rate = RATE_Q16[count as usize] as i32;
        let step = ((target_q22 - p_q22) >> 3).wrapping_mul(rate) >> 13;
        let p_q22 = (p_q22 + step) as u32;
        self.0 = p_q22 << 10 | (count + u32::from(count < limit));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn approaches_the_frequency_and_stays_within() {
        let mut counter = Counter::NEW;
        for n in 0..4000 {
            counter.update(n % 4 == 0, LIMIT_SLOW);
        }
        assert!(counter.p_q16().abs_diff(16384) < 1500);
        for bit in [true, false] {
            for _ in 0..100_000 {
                counter.update(bit, LIMIT_SLOW);
            }
            let expected = if bit { 65_535 } else { 0 };
            assert!(counter.p_q16().abs_diff(expected) < 64);
        }
        assert_eq!(counter.count(), LIMIT_SLOW);
    }
}
