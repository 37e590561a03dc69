//! Families of distributions as tables: Laplace, logistic and Gaussian, for
//! scales in equal ratios and means between two integers.
//!
//! Tables come out of integer arithmetic alone, so that they are the same on
//! every machine. Values that a table does not reach are escaped.

use crate::cdf::Cdf;
use crate::coder::BitCoder;
use crate::escape::{AdaptiveExpGolomb, unzigzag, zigzag};
use crate::fixed_math::{exp_neg_q62, exp2_neg_q62};
use rcodec_core::{Error, Result};
use std::sync::LazyLock;

/// The shape of a distribution around its mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// `exp(-|x| / b) / 2b` with scale b: residuals of prediction.
    Laplace,
    /// `sech²(x / 2s) / 4s` with scale s: residuals, with heavier shoulders.
    Logistic,
    /// The normal distribution with scale sigma: latents of lossy codecs.
    Gaussian,
}

/// The number of scales.
pub const SCALES: usize = 64;

/// The scale of a step in Q16: `0.11 (64 / 0.11)^(step / 63)`, from 0.11 to
/// 64; steps beyond 63 are taken as 63.
pub fn scale_q16(step: usize) -> u32 {
    // 2^-x counted from the largest scale, 64.
    let down = (SCALES - 1).saturating_sub(step) as u64;
    ((exp2_neg_q62(down * LOG2_RATIO_Q32) + (1 << 39)) >> 40) as u32
}

/// log2(64 / 0.11) / 63 in Q32.
const LOG2_RATIO_Q32: u64 = 626_139_733;

/// The largest value (and, negated, the smallest) that a table may hold.
const MAX_REACH: u32 = 1023;

/// Tables of a family for [`SCALES`] scales and a number of fractional means.
///
/// ```
/// use rcodec_entropy::{AdaptiveExpGolomb, Family, ParametricTables};
/// use rcodec_entropy::{RangeBitDecoder, RangeBitEncoder};
///
/// let tables = ParametricTables::new(Family::Laplace, 4)?;
/// let mut escape = AdaptiveExpGolomb::new(4);
/// let mut encoder = RangeBitEncoder::new();
/// // Scale step 30 (about 2.3); the mean lies at 2/4 over an integer that was
/// // subtracted from the value before.
/// tables.code(&mut encoder, &mut escape, 30, 2, -3)?;
/// tables.code(&mut encoder, &mut escape, 30, 2, 100_000)?;
/// let bytes = encoder.finish();
///
/// let mut decoder = RangeBitDecoder::new(&bytes);
/// let mut escape = AdaptiveExpGolomb::new(4);
/// assert_eq!(tables.code(&mut decoder, &mut escape, 30, 2, 0)?, -3);
/// assert_eq!(tables.code(&mut decoder, &mut escape, 30, 2, 0)?, 100_000);
/// # Ok::<(), rcodec_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ParametricTables {
    mean_steps: usize,
    /// By scale, then mean.
    tables: Vec<ReachTable>,
}

/// A table over `-reach..=reach` and one symbol more, the last, for the rest.
#[derive(Debug, Clone)]
struct ReachTable {
    reach: i32,
    cdf: Cdf,
}

impl ParametricTables {
    /// The tables of a family with `mean_steps` (1..=64) means `0, 1/m, 2/m
    /// ...` below 1.
    ///
    /// # Errors
    ///
    /// [`Error::Parameter`] for another number of means.
    pub fn new(family: Family, mean_steps: usize) -> Result<Self> {
        if !(1..=64).contains(&mean_steps) {
            return Err(Error::parameter("1 to 64 steps of the mean"));
        }
        let cumulative = match family {
            Family::Laplace => laplace_q62,
            Family::Logistic => logistic_q62,
            Family::Gaussian => gaussian_q62,
        };
        let mut tables = Vec::with_capacity(SCALES * mean_steps);
        for step in 0..SCALES {
            for mean in 0..mean_steps {
                let mean_q16 = ((mean << 16) / mean_steps) as i64;
                tables.push(build(family, cumulative, scale_q16(step), mean_q16)?);
            }
        }
        Ok(ParametricTables { mean_steps, tables })
    }

    /// The number of means.
    pub fn mean_steps(&self) -> usize {
        self.mean_steps
    }

    /// The table of a scale step (beyond the last: the last) and a mean step,
    /// and its reach: symbol `s` stands for the value `s - reach`, and symbol
    /// `2 reach + 1` for all others.
    #[inline]
    pub fn table(&self, scale_step: usize, mean_step: usize) -> (&Cdf, i32) {
        let scale_step = scale_step.min(SCALES - 1);
        let mean_step = mean_step.min(self.mean_steps - 1);
        let table = &self.tables[scale_step * self.mean_steps + mean_step];
        (&table.cdf, table.reach)
    }

    /// Codes any value: by its table, and by the escape code if that does not
    /// reach it.
    ///
    /// # Errors
    ///
    /// As [`BitCoder::code_bit`]; a decoder also reports
    /// [`Error::Malformed`] for an escaped value that is not an i32.
    #[inline]
    pub fn code<C: BitCoder>(
        &self,
        coder: &mut C,
        escape: &mut AdaptiveExpGolomb,
        scale_step: usize,
        mean_step: usize,
        value: i32,
    ) -> Result<i32> {
        let (cdf, reach) = self.table(scale_step, mean_step);
        let escape_symbol = 2 * reach as u32 + 1;
        let symbol = (i64::from(value) + i64::from(reach)).clamp(-1, i64::from(escape_symbol));
        let symbol = if symbol < 0 {
            escape_symbol
        } else {
            symbol as u32
        };
        let symbol = coder.code_cdf(symbol, cdf)?;
        if symbol < escape_symbol {
            return Ok(symbol as i32 - reach);
        }
        code_escaped(coder, escape, reach, value)
    }
}

/// Codes a value outside of `-reach..=reach`.
#[cold]
fn code_escaped<C: BitCoder>(
    coder: &mut C,
    escape: &mut AdaptiveExpGolomb,
    reach: i32,
    value: i32,
) -> Result<i32> {
    // Both signs are numbered from just outside of the reach.
    let reach = i64::from(reach);
    let value = i64::from(value);
    let beyond = if value > 0 {
        value - reach - 1
    } else {
        value + reach
    };
    let beyond = unzigzag(escape.code(coder, zigzag(beyond))?);
    let value = if beyond >= 0 {
        beyond.checked_add(reach + 1)
    } else {
        beyond.checked_sub(reach)
    };
    value
        .and_then(|v| i32::try_from(v).ok())
        .ok_or_else(|| Error::malformed(coder.position(), "escaped value of more than 32 bits"))
}

/// The table of one distribution.
fn build(
    family: Family,
    cumulative: fn(i64, u32) -> u64,
    scale_q16: u32,
    mean_q16: i64,
) -> Result<ReachTable> {
    // So far that about 2^-12 of the mass is outside.
    let scales_q4 = match family {
        Family::Laplace => 8 * 16 + 5,
        Family::Logistic => 9 * 16,
        Family::Gaussian => 3 * 16 + 11,
    };
    let reach = ((u64::from(scale_q16) * scales_q4) >> 20) as u32 + 2;
    let reach = reach.min(MAX_REACH) as i64;
    let len = 2 * reach as u64 + 2;
    let free = 65536 - len;
    // Mass below -reach - 1/2 and above reach + 1/2 goes to the escape.
    let at = |value: i64| cumulative((value << 16) - (1 << 15) - mean_q16, scale_q16);
    let begin = at(-reach);
    let mut sums = Vec::with_capacity(len as usize + 1);
    for (i, value) in (-reach..=reach + 1).enumerate() {
        let share = (u128::from(at(value) - begin) * u128::from(free)) >> 62;
        sums.push(share as u32 + i as u32);
    }
    sums.push(1 << 16);
    Ok(ReachTable {
        reach: reach as i32,
        cdf: Cdf::from_cumulative(&sums)?,
    })
}

/// The lower tail at `-x` gives the upper one at `x`.
fn symmetric(x_q16: i64, tail_q62: impl Fn(u64) -> u64) -> u64 {
    let tail = tail_q62(x_q16.unsigned_abs());
    if x_q16 < 0 { tail } else { (1 << 62) - tail }
}

/// |x| / scale in Q32.
fn ratio_q32(x_q16: u64, scale_q16: u32) -> u64 {
    let ratio = (u128::from(x_q16) << 32) / u128::from(scale_q16.max(1));
    u64::try_from(ratio).unwrap_or(u64::MAX)
}

/// The Laplace distribution function in Q62.
fn laplace_q62(x_q16: i64, scale_q16: u32) -> u64 {
    symmetric(x_q16, |x| exp_neg_q62(ratio_q32(x, scale_q16)) >> 1)
}

/// The logistic distribution function in Q62.
fn logistic_q62(x_q16: i64, scale_q16: u32) -> u64 {
    symmetric(x_q16, |x| {
        let odds = exp_neg_q62(ratio_q32(x, scale_q16));
        ((u128::from(odds) << 62) / ((1 << 62) + u128::from(odds))) as u64
    })
}

/// The normal distribution function in Q62.
fn gaussian_q62(x_q16: i64, scale_q16: u32) -> u64 {
    symmetric(x_q16, |x| gaussian_tail_q62(ratio_q32(x, scale_q16)))
}

/// The upper tail of the standard normal distribution in Q62 for z in Q32:
/// linear between the points of a table with 256 steps a unit.
fn gaussian_tail_q62(z_q32: u64) -> u64 {
    let table = &*GAUSSIAN_TAIL_Q62;
    let index = (z_q32 >> 24) as usize;
    let fraction = u128::from(z_q32 & 0xff_ffff);
    match (table.get(index), table.get(index + 1)) {
        (Some(&here), Some(&next)) => here - ((u128::from(here - next) * fraction) >> 24) as u64,
        _ => 0,
    }
}

/// The tail at multiples of 1/256 up to 9, by Simpson's rule over `exp(-z²/2)`,
/// scaled so that it is 1/2 at 0.
static GAUSSIAN_TAIL_Q62: LazyLock<Vec<u64>> = LazyLock::new(|| {
    const POINTS: u64 = 9 * 256;
    // z²/2 in Q32, where z is in units of 1/512.
    let density = |z: u64| u128::from(exp_neg_q62((z * z) << (32 - 1 - 18)));
    let mut sums = vec![0u128; POINTS as usize + 1];
    for i in (0..POINTS as usize).rev() {
        let z = 2 * i as u64;
        sums[i] = sums[i + 1] + density(z) + 4 * density(z + 1) + density(z + 2);
    }
    let whole = sums[0];
    sums.iter()
        .map(|sum| (((sum << 40) / whole) << 21) as u64)
        .collect()
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CostEstimator;

    /// The distribution functions, as one would write them.
    fn exact(family: Family, x: f64, scale: f64) -> f64 {
        let z = x / scale;
        match family {
            Family::Laplace if z < 0.0 => 0.5 * z.exp(),
            Family::Laplace => 1.0 - 0.5 * (-z).exp(),
            Family::Logistic => 1.0 / (1.0 + (-z).exp()),
            Family::Gaussian => {
                // Midpoint rule; the tail beyond 9 is nothing.
                let steps = 20_000;
                let width = (z + 9.0).max(0.0) / f64::from(steps);
                let sum: f64 = (0..steps)
                    .map(|i| -9.0 + (f64::from(i) + 0.5) * width)
                    .map(|t| (-0.5 * t * t).exp())
                    .sum();
                sum * width / (2.0 * std::f64::consts::PI).sqrt()
            }
        }
    }

    const FAMILIES: [Family; 3] = [Family::Laplace, Family::Logistic, Family::Gaussian];

    #[test]
    fn scales_are_in_equal_ratios() {
        for step in 0..SCALES {
            let exact = 0.11 * (64.0f64 / 0.11).powf(step as f64 / 63.0);
            let off = f64::from(scale_q16(step)) - exact * 65536.0;
            assert!(off.abs() < 0.6, "{step}: {off}");
        }
        assert_eq!(scale_q16(0), 7209);
        assert_eq!(scale_q16(63), 64 << 16);
        assert_eq!(scale_q16(1000), 64 << 16);
    }

    #[test]
    fn tables_are_the_distributions() {
        for family in FAMILIES {
            let tables = ParametricTables::new(family, 3).unwrap();
            for step in (0..SCALES).step_by(9) {
                let scale = f64::from(scale_q16(step)) / 65536.0;
                for mean in 0..3 {
                    let (cdf, reach) = tables.table(step, mean);
                    let free = (65536 - cdf.len()) as f64;
                    let at = |edge: f64| exact(family, edge - mean as f64 / 3.0, scale);
                    let mut inside = 0.0;
                    for symbol in 0..=2 * reach {
                        let value = f64::from(symbol - reach);
                        let mass = at(value + 0.5) - at(value - 0.5);
                        inside += mass;
                        let off = f64::from(cdf.probability(symbol as u32)) - 1.0 - mass * free;
                        // Rounding moves a border by 1; means and scales are Q16.
                        assert!(off.abs() < 2.1, "{family:?} {scale} {value}: {off}");
                    }
                    // Little is left for the escape.
                    assert!(1.0 - inside < 6e-4, "{family:?} {scale}: {inside}");
                    assert!(cdf.len() <= 1200);
                }
            }
        }
    }

    #[test]
    fn tables_never_change() {
        // FNV-1a over all sums: a change would make old files unreadable.
        let hashes = FAMILIES.map(|family| {
            let tables = ParametricTables::new(family, 4).unwrap();
            let mut hash = 0xcbf2_9ce4_8422_2325u64;
            for step in 0..SCALES {
                for mean in 0..4 {
                    for sum in tables.table(step, mean).0.cumulative() {
                        hash = (hash ^ u64::from(sum)).wrapping_mul(0x100_0000_01b3);
                    }
                }
            }
            hash
        });
        assert_eq!(
            hashes,
            [
                16_365_233_918_552_340_768,
                8_817_008_031_912_326_514,
                6_437_907_925_279_340_339,
            ]
        );
    }

    #[test]
    fn every_value_has_a_code() {
        let tables = ParametricTables::new(Family::Gaussian, 1).unwrap();
        let mut escape = AdaptiveExpGolomb::new(0);
        for step in [0, 20, 63] {
            let reach = tables.table(step, 0).1;
            for value in [
                0,
                reach,
                -reach,
                reach + 1,
                -reach - 1,
                i32::MAX,
                i32::MIN,
                -12_345,
            ] {
                let mut cost = CostEstimator::new();
                let coded = tables.code(&mut cost, &mut escape, step, 0, value);
                assert_eq!(coded.unwrap(), value);
                assert!(cost.bits_q24() > 0);
            }
        }
        assert!(ParametricTables::new(Family::Gaussian, 0).is_err());
        assert!(ParametricTables::new(Family::Gaussian, 65).is_err());
    }
}
