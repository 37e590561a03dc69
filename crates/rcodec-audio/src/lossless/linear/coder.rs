//! Coding of residuals and coefficients with frozen tables.

use super::tables::{CONTEXTS, ESCAPE, REACH, Scale, Tables};
use rcodec_core::Result;
use rcodec_entropy::{BitCoder, code_exp_golomb_signed};

/// The most low bits that are split off.
const MAX_LOW_BITS: u32 = 32;

/// Codes `value`, whose magnitude is expected to be `mean_q16`.
#[inline(always)]
fn code_value<C: BitCoder>(
    coder: &mut C,
    tables: &Tables,
    value: i64,
    mean_q16: u64,
    context: usize,
) -> Result<i64> {
    let scale = Scale::of(mean_q16);
    let low_bits = scale.low_bits.min(MAX_LOW_BITS);
    let half = (1i64 << low_bits) >> 1;
    let lifted = value.wrapping_add(half);
    let high = lifted >> low_bits;
    let symbol = if (-REACH..=REACH).contains(&high) {
        (high + REACH) as u32
    } else {
        ESCAPE
    };
    let symbol = coder.code_cdf(symbol, tables.table(context, scale))?;
    if symbol == ESCAPE {
        return code_exp_golomb_signed(coder, value, low_bits + 6);
    }
    let mut low = 0;
    if low_bits > 0 {
        let mask = (1u64 << low_bits) - 1;
        low = coder.code_raw((lifted as u64 & mask) as u32, low_bits)?;
    }
    Ok(((i64::from(symbol) - REACH) << low_bits) + i64::from(low) - half)
}

/// Codes the residuals of one channel: running means of their magnitudes
/// choose the tables.
pub(crate) struct Residuals {
    tables: &'static Tables,
    fast_q16: i64,
    medium_q16: i64,
    slow_q16: i64,
}

/// Magnitudes count up to this, so that nothing overflows.
const MAX_MAGNITUDE: u64 = 1 << 40;

impl Residuals {
    pub(crate) fn new() -> Self {
        let mean_q16 = 32 << 16;
        Residuals {
            tables: Tables::shared(),
            fast_q16: mean_q16,
            medium_q16: mean_q16,
            slow_q16: mean_q16,
        }
    }

    /// The expected magnitude (Q16) and the context of the next residual.
    #[inline(always)]
    pub(crate) fn expected(&self) -> (u64, usize) {
        let mean_q16 = (self.medium_q16 + self.slow_q16) >> 1;
        let (fast, mean) = (self.fast_q16 * 8, mean_q16);
        let context = usize::from(fast > 3 * mean)
            + usize::from(fast > 5 * mean)
            + usize::from(fast > 7 * mean)
            + usize::from(fast > 10 * mean)
            + usize::from(fast > 15 * mean);
        (mean_q16 as u64, context.min(CONTEXTS - 1))
    }

    /// Codes the next residual.
    #[inline(always)]
    pub(crate) fn code<C: BitCoder>(&mut self, coder: &mut C, residual: i64) -> Result<i64> {
        let (mean_q16, context) = self.expected();
        let residual = code_value(coder, self.tables, residual, mean_q16, context)?;
        let magnitude_q16 = (residual.unsigned_abs().min(MAX_MAGNITUDE) << 16) as i64;
        self.fast_q16 += (magnitude_q16 - self.fast_q16) >> 2;
        self.medium_q16 += (magnitude_q16 - self.medium_q16) >> 4;
        self.slow_q16 += (magnitude_q16 - self.slow_q16) >> 7;
        Ok(residual)
    }
}

/// Codes the coefficients of one channel's predictors.
pub(crate) struct Coefficients {
    tables: &'static Tables,
    /// For each tap a running mean of its magnitudes, Q16.
    means_q16: [u64; super::MAX_TAPS],
}

impl Coefficients {
    pub(crate) fn new() -> Self {
        let mut means_q16 = [3000; super::MAX_TAPS];
        for (tap, mean_q16) in means_q16.iter_mut().enumerate().take(super::MAX_OWN) {
            *mean_q16 += 100_000 / (tap as u64 + 1);
        }
        Coefficients {
            tables: Tables::shared(),
            means_q16,
        }
    }

    /// Codes coefficient `tap` (Q`shift`).
    pub(crate) fn code<C: BitCoder>(
        &mut self,
        coder: &mut C,
        tap: usize,
        value: i64,
        shift: u32,
    ) -> Result<i64> {
        let mean_q16 = &mut self.means_q16[tap];
        let value = code_value(coder, self.tables, value, *mean_q16 << shift, 2)?;
        let magnitude_q16 = (value.unsigned_abs().min(1 << 24) << 16) >> shift;
        *mean_q16 = (3 * *mean_q16 + magnitude_q16) >> 2;
        Ok(value)
    }
}
