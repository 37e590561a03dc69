//! Rotary positions (Su and others, "RoFormer", 2021): angles are fractions of
//! a turn in 64 bits, so that any position has an exact one.

use crate::config::{Config, Number, RopeScaling};
use crate::fixed::{LIMIT, cos_sin_q30, limited, rotary_frequency_q64};

/// Turns per position of each pair, Q64.
pub(crate) struct Rope {
    frequencies_q64: Vec<u64>,
}

impl Rope {
    pub(crate) fn new(config: &Config) -> Rope {
        let pairs = config.head_width as u32 / 2;
        let base = (config.rope_base.mantissa, config.rope_base.exponent);
        let frequencies = (0..pairs).map(|i| {
            let frequency_q64 = rotary_frequency_q64(base, i, pairs);
            stretched(frequency_q64, config.rope_scaling)
        });
        Rope {
            frequencies_q64: frequencies.collect(),
        }
    }

    /// Cosine and sine of each pair at a position, Q30.
    pub(crate) fn at(&self, position: u64) -> Vec<(i64, i64)> {
        let turns = self
            .frequencies_q64
            .iter()
            .map(|f| f.wrapping_mul(position));
        turns
            // Rounded to Q32.
            .map(|turns| cos_sin_q30((turns.wrapping_add(1 << 31) >> 32) as u32))
            .collect()
    }
}

/// Turns a head, whose pairs are half of it apart.
pub(crate) fn rotate(head: &mut [i64], angles: &[(i64, i64)]) {
    let (first, second) = head.split_at_mut(head.len() / 2);
    for ((a, b), &(cos, sin)) in first.iter_mut().zip(second).zip(angles) {
        // 2^44 times 2^30, twice: in 128 bits.
        let (x, y) = (i128::from(*a), i128::from(*b));
        let turned = |sum: i128| {
            limited(
                ((sum + (1 << 29)) >> 30).clamp(-2 * i128::from(LIMIT), 2 * i128::from(LIMIT))
                    as i64,
            )
        };
        *a = turned(x * i128::from(cos) - y * i128::from(sin));
        *b = turned(y * i128::from(cos) + x * i128::from(sin));
    }
}

/// A frequency over a factor.
fn divided(frequency_q64: u64, factor: Number) -> u64 {
    let factor_q32 = factor.to_fixed(32).max(1);
    u64::try_from((u128::from(frequency_q64) << 32) / factor_q32).unwrap_or(u64::MAX)
}

fn stretched(frequency_q64: u64, scaling: RopeScaling) -> u64 {
    match scaling {
        RopeScaling::None => frequency_q64,
        RopeScaling::Linear { factor } => divided(frequency_q64, factor),
        RopeScaling::Llama3 {
            factor,
            low,
            high,
            original_positions,
        } => {
            let low_q32 = low.to_fixed(32).min(1 << 62);
            let high_q32 = high.to_fixed(32).min(1 << 62);
            // Turns within the positions that it was first trained with.
            let turns_q32 = (u128::from(frequency_q64) * u128::from(original_positions)) >> 32;
            let slow = divided(frequency_q64, factor);
            if turns_q32 >= high_q32 {
                frequency_q64
            } else if turns_q32 <= low_q32 {
                slow
            } else {
                let share_q32 = ((turns_q32 - low_q32) << 32) / (high_q32 - low_q32);
                let sum = u128::from(slow) * ((1 << 32) - share_q32)
                    + u128::from(frequency_q64) * share_q32;
                (sum >> 32) as u64
            }
        }
    }
}
