//! Sines and powers of two in integers: every table of the decoder is made
//! from them, so that it is the same on every machine.

/// A quarter turn in radians, Q60.
const HALF_PI_Q60: i128 = 1_811_004_864_519_280_711;

/// An angle as a part of a turn, Q62 (modulo one turn).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn(u64);

impl Turn {
    /// `numerator / denominator` of a turn.
    pub(crate) fn ratio(numerator: u64, denominator: u64) -> Self {
        let numerator = u128::from(numerator % denominator);
        Turn(((numerator << 62) / u128::from(denominator)) as u64)
    }

    /// `value` (0 to 1 in Q30) of a quarter turn.
    pub(crate) fn of_quarter(value_q30: i64) -> Self {
        Turn((value_q30.clamp(0, 1 << 30) as u64) << 30)
    }

    /// Cosine and sine, Q30.
    pub(crate) fn cos_sin_q30(self) -> (i64, i64) {
        let quadrant = (self.0 >> 60) & 3;
        let part_q60 = i128::from(self.0 & ((1 << 60) - 1));
        let angle_q60 = (part_q60 * HALF_PI_Q60) >> 60;
        let (cos, sin) = taylor_q30(angle_q60);
        match quadrant {
            0 => (cos, sin),
            1 => (-sin, cos),
            2 => (-cos, -sin),
            _ => (sin, -cos),
        }
    }
}

/// Cosine and sine (Q30, rounded) of an angle of at most a quarter turn, Q60.
fn taylor_q30(angle_q60: i128) -> (i64, i64) {
    let square = (angle_q60 * angle_q60) >> 60;
    let (mut cos, mut sin) = (1i128 << 60, angle_q60);
    let (mut cos_term, mut sin_term) = (cos, sin);
    let mut n = 1;
    while n < 24 {
        cos_term = -((cos_term * square) >> 60) / (n * (n + 1));
        sin_term = -((sin_term * square) >> 60) / ((n + 1) * (n + 2));
        cos += cos_term;
        sin += sin_term;
        n += 2;
    }
    let rounded = |value: i128| ((value + (1 << 29)) >> 30) as i64;
    (rounded(cos), rounded(sin))
}

/// 2^(i/16) in Q30.
static EXP2_Q30: [u32; 16] = [
    1073741824, 1121280436, 1170923762, 1222764986, 1276901417, 1333434672, 1392470869, 1454120821,
    1518500250, 1585730000, 1655936265, 1729250827, 1805811301, 1885761398, 1969251188, 2056437387,
];

/// 2^(x/16) in Q`q`, rounded down; 0 where it is under that, saturated at
/// 2^62.
pub(crate) fn exp2_16(x: i32, q: i32) -> i64 {
    let octave = x.div_euclid(16) + q - 30;
    let mantissa = i64::from(EXP2_Q30[x.rem_euclid(16) as usize]);
    match octave {
        ..=-32 => 0,
        -31..=-1 => mantissa >> -octave,
        0..=31 => mantissa << octave,
        _ => 1 << 62,
    }
}

/// `8 log2(value)` in whole numbers, within 1.7; -8 for 0.
pub(crate) fn log2_q3(value: u64) -> i32 {
    if value == 0 {
        return -8;
    }
    let octave = 63 - value.leading_zeros();
    let mantissa = (value << (63 - octave)) >> 60 & 7;
    (octave * 8) as i32 + mantissa as i32
}

/// `16 log2(value)` in whole numbers, rounded down; -16 for 0.
pub(crate) fn log2_q4(value: u64) -> i32 {
    if value == 0 {
        return -16;
    }
    let octave = 63 - value.leading_zeros();
    let mantissa = ((value << (63 - octave)) >> 33) as u32;
    let steps = EXP2_Q30.iter().filter(|&&step| step <= mantissa).count();
    (octave * 16) as i32 + steps as i32 - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sines_are_sines() {
        for i in 0..5000u64 {
            let (cos, sin) = Turn::ratio(i, 4999).cos_sin_q30();
            let angle = i as f64 / 4999.0 * std::f64::consts::TAU;
            let one = f64::from(1 << 30);
            assert!((cos as f64 - angle.cos() * one).abs() < 1.0, "{i}");
            assert!((sin as f64 - angle.sin() * one).abs() < 1.0, "{i}");
        }
        assert_eq!(Turn::of_quarter(1 << 30).cos_sin_q30(), (0, 1 << 30));
    }

    #[test]
    fn powers_and_logarithms() {
        for x in -200..300 {
            let exact = (f64::from(x) / 16.0).exp2() * 1024.0;
            let off = (exp2_16(x, 10) as f64 - exact).abs();
            assert!(off <= 1.0 + exact * 1e-8, "{x}");
        }
        for value in (1..100_000u64).step_by(7) {
            let exact = (value as f64).log2();
            assert!((f64::from(log2_q3(value)) / 8.0 - exact).abs() < 0.22);
            let off = exact - f64::from(log2_q4(value)) / 16.0;
            assert!((-1e-6..0.0626).contains(&off), "{value}");
        }
    }
}
