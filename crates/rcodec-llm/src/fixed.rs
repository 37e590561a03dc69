//! Fixed-point arithmetic: activations are `i64` in Q20.
//!
//! Every table is computed in integers when it is first used.

use std::sync::LazyLock;

/// Fractional bits of activations.
pub(crate) const Q: i32 = 20;
/// Bound of every activation: beyond, they saturate. With it no product below
/// overflows.
pub(crate) const LIMIT: i64 = 1 << 44;
/// log2(e) in Q50.
pub(crate) const LOG2E_Q50: i64 = 1_624_330_212_139_200;
/// 1 / 2π in Q64.
const INV_TAU_Q64: u64 = 2_935_890_503_282_001_226;
/// π / 2 in Q60.
const HALF_PI_Q60: i128 = 1_811_004_864_519_280_711;

/// An activation within its bound.
#[inline(always)]
pub(crate) fn limited(x: i64) -> i64 {
    x.clamp(-LIMIT, LIMIT)
}

/// `x · 2^exponent`, rounded to nearest (halves upwards), within ±[`LIMIT`].
#[inline(always)]
pub(crate) fn scaled(x: i64, exponent: i32) -> i64 {
    if exponent >= 0 {
        let shift = exponent.min(62) as u32;
        return limited(x.clamp(-LIMIT >> shift, LIMIT >> shift) << shift);
    }
    let shift = -exponent;
    if shift > 62 {
        return 0;
    }
    limited((x >> shift) + (x >> (shift - 1) & 1))
}

/// As [`scaled`], of wider numbers.
#[inline(always)]
pub(crate) fn scaled_wide(x: i128, exponent: i32) -> i64 {
    let limit = i128::from(LIMIT);
    let x = if exponent >= 0 {
        let shift = exponent.min(62) as u32;
        x.clamp(-limit >> shift, limit >> shift) << shift
    } else if exponent < -126 {
        0
    } else {
        let shift = -exponent;
        (x >> shift) + (x >> (shift - 1) & 1)
    };
    x.clamp(-limit, limit) as i64
}

/// The largest magnitude.
#[inline(always)]
pub(crate) fn largest(x: &[i64]) -> u64 {
    x.iter().fold(0, |most, x| most.max(x.unsigned_abs()))
}

/// The power of two that brings magnitudes up to `largest` to at most
/// `2^bits`: `x · 2^-exponent`.
#[inline(always)]
pub(crate) fn exponent_for(largest: u64, bits: i32) -> i32 {
    (64 - largest.leading_zeros() as i32 - bits).max(-40)
}

/// 2^-(i/256) and 2^-(i/65536) in Q31.
struct PowerTables {
    coarse: [u32; 256],
    fine: [u32; 256],
}

static POWERS: LazyLock<PowerTables> = LazyLock::new(|| {
    let table = |halvings: u32| {
        let step_q62 = root_of_half_q62(halvings);
        let mut power_q62 = 1u64 << 62;
        std::array::from_fn(|_| {
            let entry = ((power_q62 >> 30) + 1) >> 1;
            power_q62 = times_q62(power_q62, step_q62);
            entry as u32
        })
    };
    PowerTables {
        coarse: table(8),
        fine: table(16),
    }
});

fn times_q62(a: u64, b: u64) -> u64 {
    ((u128::from(a) * u128::from(b) + (1 << 61)) >> 62) as u64
}

/// (1/2)^(2^-n) in Q62, by `n` square roots.
fn root_of_half_q62(n: u32) -> u64 {
    (0..n).fold(1 << 61, |x, _| (u128::from(x) << 62).isqrt() as u64)
}

/// Computes 2^-x.
#[derive(Clone, Copy)]
pub(crate) struct Powers(&'static PowerTables);

impl Powers {
    pub(crate) fn new() -> Powers {
        Powers(&POWERS)
    }

    /// 2^-x in Q30, of x in Q16, not negative.
    #[inline(always)]
    pub(crate) fn negative_q30(self, x_q16: i64) -> i64 {
        let whole = x_q16 >> 16;
        if whole > 30 {
            return 0;
        }
        let coarse = self.0.coarse[(x_q16 >> 8 & 255) as usize];
        let fine = self.0.fine[(x_q16 & 255) as usize];
        // Q62 to Q30.
        let product = u64::from(coarse) * u64::from(fine);
        (product >> (32 + whole)) as i64
    }
}

/// x / (1 + e^-x), both in Q20: the SiLU.
#[inline(always)]
pub(crate) fn silu(x: i64, powers: Powers) -> i64 {
    // |x| · log2(e) in Q16; beyond 2^30 it makes no difference.
    let bits_q16 = (x.unsigned_abs().min(1 << 30) * (LOG2E_Q50 >> 20) as u64) >> 34;
    let e_q30 = powers.negative_q30(bits_q16 as i64);
    let numerator = if x >= 0 { 1 << 30 } else { e_q30 };
    let share_q30 = (numerator << 30) / ((1 << 30) + e_q30);
    scaled_wide(i128::from(x) * i128::from(share_q30), -30)
}

/// sin of a quarter turn in 1024 steps, Q30.
static SINE: LazyLock<[i32; 1025]> = LazyLock::new(|| {
    std::array::from_fn(|i| {
        let x = HALF_PI_Q60 * i as i128 / 1024;
        let square = (x * x) >> 60;
        let (mut term, mut sum) = (x, x);
        for n in 1..15 {
            term = -((term * square) >> 60) / (2 * n * (2 * n + 1));
            sum += term;
        }
        ((sum + (1 << 29)) >> 30) as i32
    })
});

/// cos and sin in Q30 of an angle in turns, Q32.
pub(crate) fn cos_sin_q30(turns_q32: u32) -> (i64, i64) {
    (
        sine_q30(turns_q32.wrapping_add(1 << 30)),
        sine_q30(turns_q32),
    )
}

fn sine_q30(turns_q32: u32) -> i64 {
    let within = turns_q32 & ((1 << 30) - 1);
    // The second and fourth quarters run backwards.
    let is_back = turns_q32 >> 30 & 1 != 0;
    let along = if is_back { (1 << 30) - within } else { within };
    let (at, rest) = ((along >> 20) as usize, i64::from(along & ((1 << 20) - 1)));
    let low = i64::from(SINE[at]);
    let high = i64::from(SINE[(at + 1).min(1024)]);
    let value = low + (((high - low) * rest + (1 << 19)) >> 20);
    if turns_q32 >> 31 != 0 { -value } else { value }
}

/// The rotary frequency `base^(-i/n) / 2π` in turns per position, Q64, of a
/// base `mantissa · 2^exponent` of at least 1 and i < n.
pub(crate) fn rotary_frequency_q64((mantissa, exponent): (u64, i32), i: u32, n: u32) -> u64 {
    let log_q56 = log2_q56(mantissa, exponent);
    let bits_q56 = log_q56 * u128::from(i) / u128::from(n);
    let whole = (bits_q56 >> 56) as u32;
    if whole > 60 {
        return 0;
    }
    let mut power_q62 = 1u64 << 62;
    for k in 0..56 {
        if bits_q56 >> (55 - k) & 1 != 0 {
            power_q62 = times_q62(power_q62, root_of_half_q62(k + 1));
        }
    }
    (((u128::from(INV_TAU_Q64) * u128::from(power_q62)) >> 62) >> whole) as u64
}

/// log2 in Q56 of a number of at least 1, bit by bit; 0 for smaller ones.
fn log2_q56(mantissa: u64, exponent: i32) -> u128 {
    if mantissa == 0 {
        return 0;
    }
    let lead = mantissa.leading_zeros();
    let whole = 63 - lead as i32 + exponent;
    if !(0..1024).contains(&whole) {
        return 0;
    }
    let mut x_q62 = (mantissa << lead) >> 1;
    let mut log_q56 = (whole as u128) << 56;
    for k in 0..56 {
        // x is in [1, 2), its square in [1, 4).
        let square = (u128::from(x_q62) * u128::from(x_q62)) >> 62;
        if square >> 63 != 0 {
            log_q56 |= 1 << (55 - k);
            x_q62 = (square >> 1) as u64;
        } else {
            x_q62 = square as u64;
        }
    }
    log_q56
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn functions_are_what_they_say(x in -40.0f64..40.0, turns in any::<u32>()) {
            let x_q20 = (x * f64::from(1 << 20)) as i64;
            let exact = x / (1.0 + (-x).exp());
            let found = silu(x_q20, Powers::new()) as f64 / f64::from(1 << 20);
            prop_assert!((found - exact).abs() < 2e-5 * (1.0 + x.abs()), "{found} {exact}");

            let power = Powers::new().negative_q30((x.abs() * 65536.0) as i64);
            let exact = (-((x.abs() * 65536.0).floor() / 65536.0)).exp2();
            prop_assert!((power as f64 / f64::from(1 << 30) - exact).abs() < 3e-9);

            let angle = f64::from(turns) / 4294967296.0 * std::f64::consts::TAU;
            let (cos, sin) = cos_sin_q30(turns);
            prop_assert!((cos as f64 / f64::from(1 << 30) - angle.cos()).abs() < 4e-7);
            prop_assert!((sin as f64 / f64::from(1 << 30) - angle.sin()).abs() < 4e-7);
        }

        #[test]
        fn frequencies_are_precise(base in 1.0f64..1e7, n in 1u32..128, i in any::<prop::sample::Index>()) {
            let i = i.index(n as usize) as u32;
            let bits = base.to_bits();
            let parts = ((bits & ((1 << 52) - 1)) | 1 << 52, (bits >> 52) as i32 - 1075);
            let found = rotary_frequency_q64(parts, i, n) as f64 / 2f64.powi(64);
            let exact = base.powf(-f64::from(i) / f64::from(n)) / std::f64::consts::TAU;
            prop_assert!((found - exact).abs() < 1e-14, "{found} {exact}");
        }

        #[test]
        fn scaling_rounds_and_saturates(x in any::<i64>(), exponent in -62i32..70) {
            let exact = x as f64 * 2f64.powi(exponent);
            let found = scaled(x, exponent) as f64;
            let limit = LIMIT as f64;
            prop_assert!((found - exact.clamp(-limit, limit)).abs() <= 0.5 + exact.abs() * 1e-9 || exponent >= 0);
            prop_assert!(found.abs() <= limit);
            prop_assert_eq!(scaled(x, exponent), scaled_wide(i128::from(x), exponent));
        }
    }

    #[test]
    fn exponents_bring_numbers_into_range() {
        for largest in [0, 1, 5, 1 << 13, (1 << 14) - 1, 1 << 14, u64::MAX] {
            let exponent = exponent_for(largest, 14);
            if exponent >= 0 {
                assert!(largest >> exponent <= 1 << 14);
            } else {
                assert!(largest << -exponent <= 1 << 14);
            }
        }
    }
}
