//! The logistic distribution in integers: its tail, and logarithms of odds.
//!
//! All tables are computed by the compiler in integer arithmetic.

/// Entries of the tail table: `z` up to 16.
const TAIL_LEN: usize = 4096;

/// e^-(1/256) in Q62, by its series.
const fn exp_step_q62() -> u64 {
    let one = 1i128 << 62;
    let mut sum = one;
    let mut term = one;
    let mut k = 1;
    while k < 12 {
        term = -term / 256 / k;
        sum += term;
        k += 1;
    }
    sum as u64
}

/// `1 / (1 + e^z)` in Q30 for `z` in Q8, at least 1.
static TAIL_Q30: [u32; TAIL_LEN] = {
    let step = exp_step_q62() as u128;
    let mut table = [0; TAIL_LEN];
    let mut power: u128 = 1 << 62;
    let mut i = 0;
    while i < TAIL_LEN {
        let tail = (power << 30) / ((1 << 62) + power);
        table[i] = if tail == 0 { 1 } else { tail as u32 };
        power = (power * step) >> 62;
        i += 1;
    }
    table
};

/// Natural logarithm of 1 + i/1024, Q8, rounded.
static LN_MANTISSA_Q8: [u16; 1024] = {
    let mut table = [0; 1024];
    let mut i = 0;
    while i < 1024 {
        // log2 bit by bit: square the mantissa, see whether it passes 2.
        let mut mantissa_q31: u64 = (1024 + i as u64) << 21;
        let mut log2_q24: u64 = 0;
        let mut bit = 0;
        while bit < 24 {
            mantissa_q31 = (mantissa_q31 * mantissa_q31) >> 31;
            log2_q24 <<= 1;
            if mantissa_q31 >= 1 << 32 {
                mantissa_q31 >>= 1;
                log2_q24 |= 1;
            }
            bit += 1;
        }
        // ln 2 in Q32 is 2977044472.
        let ln_q24 = (log2_q24 * 2_977_044_472) >> 32;
        table[i] = ((ln_q24 + (1 << 15)) >> 16) as u16;
        i += 1;
    }
    table
};

/// `ln(value)` in Q8 for `value` >= 1.
#[inline(always)]
pub(crate) fn ln_q8(value: u32) -> i32 {
    let value = value | 1;
    let shift = value.leading_zeros();
    let mantissa = ((value << shift) >> 21) as usize & 1023;
    (((31 - shift) * 45_426) >> 8) as i32 + i32::from(LN_MANTISSA_Q8[mantissa])
}

/// The distribution function in a form that keeps the tails exact: `F(z)` for
/// `z` < 0, `F(z) - 1` from there on, Q30.
#[inline(always)]
pub(crate) fn signed_tail_q30(z_q8: i64) -> i32 {
    let index = (z_q8.unsigned_abs() as usize).min(TAIL_LEN - 1);
    let tail = TAIL_Q30[index] as i32;
    if z_q8 < 0 { tail } else { -tail }
}

/// Mass between two points, from their [`signed_tail_q30`]; at least 1.
#[inline(always)]
pub(crate) fn mass_between_q30(low: i32, high: i32) -> u32 {
    let wrap = if low > 0 && high < 0 { 1 << 30 } else { 0 };
    (high - low + wrap).max(1) as u32
}

/// Mass above a point, from its [`signed_tail_q30`]; at least 1.
#[inline(always)]
pub(crate) fn mass_above_q30(point: i32) -> u32 {
    let mass = if point > 0 { (1 << 30) - point } else { -point };
    mass.max(1) as u32
}

/// `2^shift`-free logarithm to the base 2 in steps of a quarter, of `value`
/// >= 1: `4 log2(value)`, rounded down.
#[inline(always)]
pub(crate) fn quarter_log2(value: u32) -> usize {
    let value = value | 1;
    let whole = 31 - value.leading_zeros();
    let mantissa = ((u64::from(value)) << 32 >> whole) as u32; // fraction, Q32
    // 2^(1/4), 2^(1/2), 2^(3/4) less 1, in Q32.
    let quarters = u32::from(mantissa >= 812_661_256)
        + u32::from(mantissa >= 1_779_033_704)
        + u32::from(mantissa >= 2_928_246_036);
    (4 * whole + quarters) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_match_the_functions() {
        for z in [0, 1, 100, 256, 700, 2000, 3000] {
            let expected = 1.0 / (1.0 + (f64::from(z) / 256.0).exp()) * f64::from(1 << 30);
            let got = f64::from(TAIL_Q30[z as usize]);
            assert!((got - expected).abs() <= 1.0 + expected * 1e-6, "{z}");
        }
        for value in [1u32, 3, 17, 1000, 123_456_789, u32::MAX] {
            let expected = f64::from(value).ln() * 256.0;
            assert!((f64::from(ln_q8(value)) - expected).abs() < 2.0, "{value}");
        }
        for value in [1u32, 2, 3, 5, 7, 100, 65_535, 1 << 30] {
            let expected = (4.0 * f64::from(value | 1).log2()).floor();
            assert!(
                (quarter_log2(value) as f64 - expected).abs() < 1.0,
                "{value}"
            );
        }
    }

    #[test]
    fn masses_sum_to_one() {
        for (low, high) in [(-500, -20), (-500, 300), (10, 2000), (0, 1)] {
            let (l, h) = (signed_tail_q30(low), signed_tail_q30(high));
            let sum = mass_above_q30(-l) + mass_between_q30(l, h) + mass_above_q30(h);
            assert!(sum.abs_diff(1 << 30) <= 2, "{low} {high} {sum}");
        }
    }
}
