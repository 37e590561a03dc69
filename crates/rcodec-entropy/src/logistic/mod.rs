//! Logistic mixing: many weak predictions into one strong one.
//!
//! ```text
//! p1 of each model ──stretch──▶ Inputs ──▶ Mixer / MixerStack ──▶ Apm ──▶ code_bit
//!                                             ▲ bit ◀───────────── bit ◀──┘
//! ```
//!
//! Probabilities are moved to the logistic domain, `ln(p / (1 - p))`, in which
//! evidence adds up: [`stretch`] and its inverse [`squash`]. A [`Mixer`] is a
//! neuron that learns online how much each input deserves to be trusted
//! (Mattern, "Linear and Geometric Mixtures", 2013; PAQ7 and later), with a
//! weight set for each value of a small context. A [`MixerStack`] asks several
//! of them, each with a context of its own, and mixes their answers again. An
//! [`Apm`] corrects a final probability from experience.
//!
//! Everything is integers; tables are computed when the crate is compiled, by
//! integer arithmetic.

mod apm;
mod mixer;
mod stack;

pub use apm::Apm;
pub use mixer::{Inputs, LearningRate, Mixer, mix_all, update_all};
pub use stack::{MixerStack, StackParameters};

/// The bound of the logistic domain in Q8: `ln(p / (1 - p))` of the smallest
/// probability, 1 of 65536, is about -11.
pub const STRETCH_MAX_Q8: i32 = 2815;

/// e^-(1/256) in Q62.
const EXP_STEP_Q62: u64 = 4_593_706_758_521_714_574;
/// e^-(1/512) in Q62.
const EXP_HALF_STEP_Q62: u64 = 4_602_687_609_541_841_169;

const fn times_q62(a: u64, b: u64) -> u64 {
    ((a as u128 * b as u128) >> 62) as u64
}

/// 1 / (1 + e^-x) in Q16, indexed by x + STRETCH_MAX_Q8.
static SQUASH: [u16; 2 * STRETCH_MAX_Q8 as usize + 1] = {
    let mut table = [0; 2 * STRETCH_MAX_Q8 as usize + 1];
    let mut odds_q62 = 1 << 62;
    let mut x = 0;
    while x <= STRETCH_MAX_Q8 as usize {
        let denominator = (1u128 << 62) + odds_q62 as u128;
        let mut p = ((1u128 << 79) + denominator) / (2 * denominator);
        if p > 65535 {
            p = 65535;
        }
        table[STRETCH_MAX_Q8 as usize + x] = p as u16;
        table[STRETCH_MAX_Q8 as usize - x] = (65536 - p) as u16;
        odds_q62 = times_q62(odds_q62, EXP_STEP_Q62);
        x += 1;
    }
    table
};

/// Below this, [`STRETCH`] has an entry for each probability; above, one for
/// 16.
const STRETCH_FINE: usize = 2048;
const STRETCH_LEN: usize = STRETCH_FINE + (32768 - STRETCH_FINE) / 16 + 1;

/// -ln(p / (1 - p)) in Q8 for p <= 1/2.
static STRETCH: [i16; STRETCH_LEN] = {
    let mut table = [0; STRETCH_LEN];
    // Odds fall with x: from the middle of the domain outwards, `x` is right
    // as long as the odds are above those of x + 1/2.
    let mut x = 0;
    let mut odds_q62 = EXP_HALF_STEP_Q62;
    let mut i = STRETCH_LEN;
    while i > 0 {
        i -= 1;
        let p_q17 = if i < STRETCH_FINE {
            2 * i
        } else {
            let centre = 2 * (STRETCH_FINE + 16 * (i - STRETCH_FINE)) + 15;
            if centre > 65536 { 65536 } else { centre }
        };
        while x < STRETCH_MAX_Q8 as u16
            && (p_q17 as u128) << 62 < odds_q62 as u128 * (131_072 - p_q17) as u128
        {
            x += 1;
            odds_q62 = times_q62(odds_q62, EXP_STEP_Q62);
        }
        table[i] = x as i16;
    }
    table
};

/// `ln(p / (1 - p))` in Q8 of a probability of 1..=65535 of 65536, within
/// ±[`STRETCH_MAX_Q8`].
///
/// Rounded to the nearest for probabilities under 1/32 and over 31/32; between
/// them, 16 neighbours share a value, which is off by at most 1/256.
#[inline(always)]
pub fn stretch(p_q16: u32) -> i32 {
    let p = p_q16.min(65536);
    let low = p.min(65536 - p) as usize;
    let index = if low < STRETCH_FINE {
        low
    } else {
        STRETCH_FINE + ((low - STRETCH_FINE) >> 4)
    };
    let magnitude = i32::from(STRETCH[index]);
    if p < 32768 { -magnitude } else { magnitude }
}

/// `1 / (1 + e^-x)` in 1..=65535 of 65536, for x in Q8; beyond
/// ±[`STRETCH_MAX_Q8`] it stays what it is there.
#[inline(always)]
pub fn squash(x_q8: i32) -> u32 {
    let x = x_q8.clamp(-STRETCH_MAX_Q8, STRETCH_MAX_Q8);
    u32::from(SQUASH[(x + STRETCH_MAX_Q8) as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logit_q8(p_q16: u32) -> f64 {
        let p = f64::from(p_q16) / 65536.0;
        (p / (1.0 - p)).ln() * 256.0
    }

    #[test]
    fn stretch_is_the_log_odds() {
        for p_q16 in 1..65536u32 {
            let off = f64::from(stretch(p_q16)) - logit_q8(p_q16).clamp(-2815.0, 2815.0);
            let bound = if p_q16.min(65536 - p_q16) < 2048 {
                0.51
            } else {
                1.6
            };
            assert!(off.abs() < bound, "{p_q16}: {off}");
            assert_eq!(stretch(p_q16), -stretch(65536 - p_q16), "{p_q16}");
        }
        assert_eq!(stretch(0), -STRETCH_MAX_Q8);
        assert_eq!(stretch(1), -STRETCH_MAX_Q8);
        assert_eq!(stretch(65535), STRETCH_MAX_Q8);
        assert_eq!(stretch(u32::MAX), STRETCH_MAX_Q8);
        assert_eq!(stretch(1 << 15), 0);
    }

    #[test]
    fn squash_is_the_logistic_function() {
        for x in -STRETCH_MAX_Q8..=STRETCH_MAX_Q8 {
            let exact = 65536.0 / (1.0 + (-f64::from(x) / 256.0).exp());
            let off = f64::from(squash(x)) - exact;
            assert!(off.abs() < 0.501, "{x}: {off}");
            assert_eq!(squash(x) + squash(-x), 65536);
        }
        assert_eq!(squash(0), 1 << 15);
        assert_eq!(squash(i32::MAX), 65535);
        assert_eq!(squash(i32::MIN), 1);
    }

    #[test]
    fn both_rise() {
        assert!((2..65536).all(|p| stretch(p - 1) <= stretch(p)));
        assert!((1 - STRETCH_MAX_Q8..=STRETCH_MAX_Q8).all(|x| squash(x - 1) <= squash(x)));
    }
}
