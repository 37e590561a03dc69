//! Buckets of magnitudes, the logarithmic scale of running means, and what a
//! discrete Laplace distribution says of each decision of the residual coder.

use rcodec_entropy::logistic::stretch;
use std::sync::LazyLock;

/// Number of buckets: magnitudes below 2^34.
pub(crate) const BUCKETS: usize = 68;

/// Steps of the logarithmic scale per octave.
const LEVEL_STEPS: usize = 8;
/// Octaves of the scale: from means of 1/16 to 2^34.
const LEVEL_OCTAVES: usize = 38;
/// Number of values that [`level_index`] can have.
pub(crate) const LEVELS: usize = LEVEL_STEPS * LEVEL_OCTAVES;

/// The bucket of a magnitude: 0, 1, 2, 3, then two for each octave.
#[inline(always)]
pub(crate) fn bucket_of(magnitude: u64) -> usize {
    if magnitude < 4 {
        return magnitude as usize;
    }
    let octave = magnitude.ilog2() as usize;
    let half = (magnitude >> (octave - 1)) as usize & 1;
    (octave * 2 + half).min(BUCKETS - 1)
}

/// The smallest magnitude of a bucket, and how many bits tell the magnitudes
/// in it apart.
#[inline(always)]
pub(crate) fn bucket_bounds(bucket: usize) -> (u64, u32) {
    if bucket < 4 {
        return (bucket as u64, 0);
    }
    let bits = (bucket / 2 - 1) as u32;
    ((2 + (bucket & 1) as u64) << bits, bits)
}

/// Place of a running mean (Q16) on a logarithmic scale with eight steps an
/// octave, which begins at a mean of 1/16 added to it.
#[inline(always)]
pub(crate) fn level_index(mean_q16: i64) -> usize {
    let value = mean_q16.max(0) as u64 + 4096;
    let octave = value.ilog2() as usize;
    let step = (value >> (octave - 3)) as usize & 7;
    ((octave - 12) * LEVEL_STEPS + step).min(LEVELS - 1)
}

/// The mean in the middle of a step of the scale, Q16.
fn level_mean_q16(index: usize) -> u64 {
    let step = (index % LEVEL_STEPS) as u64;
    let octave = index / LEVEL_STEPS;
    (((17 + 2 * step) << (octave + 12)) >> 4) - 4096
}

/// The three kinds of decisions, all of the form "is the bucket at least j?".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Nothing is known.
    First = 0,
    /// It is known to be at least j − 1.
    Up = 1,
    /// It is known to be at most j.
    Down = 2,
}

/// Tables of the Laplace distribution.
pub(crate) struct LaplaceTables {
    /// By decision, level and bucket: the logarithm of the odds, Q8.
    logits_q8: Vec<[i16; BUCKETS]>,
    /// By level: the bucket to begin with, about the median.
    start: Vec<u8>,
    /// Logarithms of odds, Q8, by the upper twelve bits of a probability.
    by_probability_q8: Box<[i16; 4096]>,
}

impl LaplaceTables {
    pub(crate) fn shared() -> &'static LaplaceTables {
        static TABLES: LazyLock<LaplaceTables> = LazyLock::new(LaplaceTables::new);
        &TABLES
    }

    /// The logarithm of the odds that the bucket is at least `bucket`, Q8.
    #[inline(always)]
    pub(crate) fn logit_q8(&self, decision: Decision, level: usize, bucket: usize) -> i16 {
        self.logits_q8[decision as usize * LEVELS + level][bucket]
    }

    /// The bucket that decisions begin with.
    #[inline(always)]
    pub(crate) fn start(&self, level: usize) -> usize {
        usize::from(self.start[level])
    }

    /// The logarithm of the odds of a probability of 65536, Q8, in less detail
    /// than [`stretch`] but faster.
    #[inline(always)]
    pub(crate) fn coarse_stretch(&self, p1_q16: u32) -> i16 {
        self.by_probability_q8[(p1_q16 >> 4) as usize & 4095]
    }

    fn new() -> LaplaceTables {
        let mut logits_q8 = vec![[0; BUCKETS]; 3 * LEVELS];
        let mut start = vec![1; LEVELS];
        for level in 0..LEVELS {
            let survival = survival_q62(level_mean_q16(level));
            let logit = |p: u128, of: u128| {
                let p_q16 = ((p << 16) / of.max(1)).clamp(1, 65535);
                stretch(p_q16 as u32) as i16
            };
            for j in 1..BUCKETS {
                let beyond = survival.get(j + 1).copied().unwrap_or(0);
                logits_q8[Decision::First as usize * LEVELS + level][j] =
                    logit(survival[j], 1 << 62);
                logits_q8[Decision::Up as usize * LEVELS + level][j] =
                    logit(survival[j], survival[j - 1]);
                logits_q8[Decision::Down as usize * LEVELS + level][j] =
                    logit(survival[j].saturating_sub(beyond), (1 << 62) - beyond);
            }
            let median = (1..BUCKETS).rev().find(|&j| survival[j] >= 1 << 61);
            start[level] = median.unwrap_or(1) as u8;
        }
        let mut by_probability_q8 = Box::new([0; 4096]);
        for (i, logit) in by_probability_q8.iter_mut().enumerate() {
            *logit = stretch(16 * i as u32 + 8) as i16;
        }
        LaplaceTables {
            logits_q8,
            start,
            by_probability_q8,
        }
    }
}

/// `(a * b) >> 62`.
fn times_q62(a: u128, b: u128) -> u128 {
    (a * b) >> 62
}

/// The probabilities, Q62, that a two-sided geometric variable whose magnitude
/// has the given mean lies in each bucket or a higher one.
fn survival_q62(mean_q16: u64) -> [u128; BUCKETS] {
    // P(e) ~ theta^|e| has the mean magnitude 2 theta / (1 - theta^2), hence
    // theta = mean / (1 + sqrt(1 + mean^2)).
    let mean_q24 = u128::from(mean_q16) << 8;
    let root_q24 = ((1u128 << 48) + mean_q24 * mean_q24).isqrt();
    let theta_q62 = (mean_q24 << 62) / ((1 << 24) + root_q24);
    let mut survival = [0; BUCKETS];
    survival[0] = 1 << 62;
    for (j, value) in survival.iter_mut().enumerate().skip(1) {
        let (mut exponent, _) = bucket_bounds(j);
        let (mut power, mut square) = (1 << 62, theta_q62);
        while exponent > 0 {
            if exponent & 1 == 1 {
                power = times_q62(power, square);
            }
            square = times_q62(square, square);
            exponent >>= 1;
        }
        *value = ((2 * power) << 62) / ((1 << 62) + theta_q62);
    }
    survival
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_cover_all_magnitudes() {
        let mut next = 0;
        for bucket in 0..BUCKETS {
            let (low, bits) = bucket_bounds(bucket);
            assert_eq!(low, next, "bucket {bucket}");
            next = low + (1 << bits);
            assert_eq!(bucket_of(low), bucket);
            assert_eq!(bucket_of(next - 1), bucket);
        }
        assert_eq!(next, 1 << 34);
    }

    #[test]
    fn levels_grow_with_the_mean() {
        assert_eq!(level_index(0), 0);
        assert_eq!(level_index(i64::MAX), LEVELS - 1);
        for index in 0..LEVELS {
            assert_eq!(level_index(level_mean_q16(index) as i64), index);
        }
    }

    #[test]
    fn laplace_tables_follow_the_distribution() {
        let tables = LaplaceTables::shared();
        // Mean magnitude 10: P(m >= 8) = 2 theta^8 / (1 + theta), about 0.473.
        let level = level_index(10 << 16);
        let logit = tables.logit_q8(Decision::First, level, 6);
        assert!((-50..=10).contains(&logit), "{logit}");
        assert!(tables.logit_q8(Decision::Up, level, 12) < logit);
        assert_eq!(tables.start(level_index(0)), 1);
    }
}
