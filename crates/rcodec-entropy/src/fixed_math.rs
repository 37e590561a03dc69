//! Powers and logarithms of two in integers, for building tables that are the
//! same on every machine.

/// floor(sqrt(value)).
const fn isqrt(value: u128) -> u128 {
    // Bit by bit; there is no speed to win here.
    let mut root = 0;
    let mut bit = 1u128 << 63;
    while bit > 0 {
        let trial = root | bit;
        if trial * trial <= value {
            root = trial;
        }
        bit >>= 1;
    }
    root
}

/// 2^-(1/2), 2^-(1/4), 2^-(1/8) ... in Q63, each the root of the one before.
const fn roots_q63() -> [u64; 32] {
    let mut roots = [0; 32];
    let mut root_q63: u128 = 1 << 62; // 2^-1
    let mut i = 0;
    while i < 32 {
        root_q63 = isqrt(root_q63 << 63);
        roots[i] = root_q63 as u64;
        i += 1;
    }
    roots
}

static ROOTS_Q63: [u64; 32] = roots_q63();

/// 2^-x in Q62 for x in Q32; below 2^-62 it is 0. The error is under 2^-58.
pub(crate) fn exp2_neg_q62(x_q32: u64) -> u64 {
    let whole = x_q32 >> 32;
    if whole > 62 {
        return 0;
    }
    let mut value_q63: u64 = 1 << 63;
    let mut fraction = x_q32 as u32;
    while fraction != 0 {
        let i = fraction.leading_zeros();
        fraction &= !(0x8000_0000 >> i);
        value_q63 = ((u128::from(value_q63) * u128::from(ROOTS_Q63[i as usize])) >> 63) as u64;
    }
    value_q63 >> 1 >> whole
}

/// log2(e) in Q32.
const LOG2_E_Q32: u64 = 6_196_328_019;

/// e^-x in Q62 for x in Q32. The relative error is under x 2^-32.
pub(crate) fn exp_neg_q62(x_q32: u64) -> u64 {
    let y_q32 = (u128::from(x_q32) * u128::from(LOG2_E_Q32)) >> 32;
    exp2_neg_q62(u64::try_from(y_q32).unwrap_or(u64::MAX))
}

/// log2(value) in Q24 for value >= 1 in Q`value_q` (so 1.0 is `1 << value_q`),
/// rounded down.
pub(crate) const fn log2_q24(value: u32, value_q: u32) -> u32 {
    let whole = value.ilog2();
    // Mantissa in [1, 2) in Q31, squared for one bit of the result at a time.
    let mut mantissa_q31 = (value as u64) << (31 - whole);
    let mut fraction = 0;
    let mut i = 0;
    while i < 24 {
        mantissa_q31 = (mantissa_q31 * mantissa_q31) >> 31;
        fraction <<= 1;
        if mantissa_q31 >= 1 << 32 {
            mantissa_q31 >>= 1;
            fraction |= 1;
        }
        i += 1;
    }
    ((whole - value_q) << 24) | fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    fn q62(value: u64) -> f64 {
        value as f64 / 2f64.powi(62)
    }

    #[test]
    fn powers_are_right() {
        assert_eq!(exp2_neg_q62(0), 1 << 62);
        assert_eq!(exp2_neg_q62(62 << 32), 1);
        assert_eq!(exp2_neg_q62(63 << 32), 0);
        assert_eq!(exp2_neg_q62(u64::MAX), 0);
        for i in 0..10_000u64 {
            let x_q32 = i * i * 2_531;
            let x = x_q32 as f64 / 2f64.powi(32);
            let last = 2f64.powi(-61);
            let off = q62(exp2_neg_q62(x_q32)) - (-x).exp2();
            assert!(off.abs() < 1e-14 * (-x).exp2() + last, "2^-{x}: {off}");
            let off = q62(exp_neg_q62(x_q32)) - (-x).exp();
            assert!(off.abs() < 1e-8 * (-x).exp() + last, "e^-{x}: {off}");
        }
    }

    #[test]
    fn logarithms_are_right() {
        for value in (1..100_000).chain([1 << 31, u32::MAX]) {
            let exact = f64::from(value).log2() * f64::from(1 << 24);
            let off = f64::from(log2_q24(value, 0)) - exact;
            assert!((-2.0..0.5).contains(&off), "{value}: {off}");
        }
        assert_eq!(log2_q24(1 << 12, 10), 2 << 24);
    }
}
