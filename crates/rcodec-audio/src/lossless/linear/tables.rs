//! The frozen distributions of the residuals of linear prediction.
//!
//! A residual is expected to have the magnitude that running means of the
//! magnitudes before it say. Its distribution in multiples of that mean was
//! learned once for each of a few contexts (whether the last magnitudes were
//! small or large for the mean) and is the same for every file, so a residual
//! is one symbol of a table that is known before the block is coded: static
//! tables for an ANS coder.

use crate::lossless::learned::BELOW_Q16;
use rcodec_entropy::Cdf;
use std::sync::LazyLock;

/// Steps of the mean's scale per octave.
const STEPS: usize = 4;
/// Residuals of a mean from here on are split: the symbol is the residual
/// without its low bits, so that the mean, without them, is 4 to 8.
const SPLIT_OCTAVE: u32 = 3;
/// Octaves of the scale below the split: from means of 1/8.
const LOW_OCTAVES: usize = 6;
/// Steps of the scale with tables of their own.
const SCALES: usize = (LOW_OCTAVES + 1) * STEPS;
/// Symbols: residuals (without low bits) from −63 to 63, and one for the rest.
pub(crate) const REACH: i64 = 63;
/// The symbol of residuals beyond [`REACH`].
pub(crate) const ESCAPE: u32 = 2 * REACH as u32 + 1;

/// Contexts by the last magnitudes.
pub(crate) const CONTEXTS: usize = 6;

/// Points of the learned distribution functions, in multiples of the mean
/// (Q4).
pub(crate) const KNOTS_Q4: [u32; KNOTS] = {
    let mut knots = [0; KNOTS];
    let mut i = 1;
    while i < KNOTS {
        let step = if i <= 16 {
            2
        } else if i <= 24 {
            4
        } else if i <= 32 {
            8
        } else {
            16
        };
        knots[i] = knots[i - 1] + step;
        i += 1;
    }
    knots
};
pub(crate) const KNOTS: usize = 41;

/// The tables of all contexts and scales.
pub(crate) struct Tables {
    tables: Vec<Cdf>,
}

/// What the running mean says: which scale, and how many low bits to split
/// off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scale {
    pub(crate) index: usize,
    pub(crate) low_bits: u32,
}

impl Scale {
    /// The scale of a running mean (Q16).
    #[inline(always)]
    pub(crate) fn of(mean_q16: u64) -> Scale {
        // From means of 1/8 on.
        let value = (mean_q16 | 1 << 13).min(1 << 50);
        let octave = value.ilog2();
        let step = (value >> (octave - 2)) as usize & (STEPS - 1);
        let low_bits = octave.saturating_sub(16 + SPLIT_OCTAVE - 1);
        Scale {
            index: ((octave - low_bits) as usize - 13) * STEPS + step,
            low_bits,
        }
    }
}

impl Tables {
    pub(crate) fn shared() -> &'static Tables {
        static TABLES: LazyLock<Tables> = LazyLock::new(Tables::new);
        &TABLES
    }

    /// The table of a context and a scale.
    #[inline(always)]
    pub(crate) fn table(&self, context: usize, scale: Scale) -> &Cdf {
        &self.tables[context * SCALES + scale.index]
    }

    fn new() -> Tables {
        let mut tables = Vec::with_capacity(CONTEXTS * SCALES);
        for knots in &BELOW_Q16 {
            for scale in 0..SCALES {
                // The middle of the step, Q20.
                let octave = scale / STEPS;
                let mean_q20 = ((2 * STEPS + 2 * (scale % STEPS) + 1) as u64) << (octave + 14);
                tables.push(table(knots, mean_q20));
            }
        }
        Tables { tables }
    }
}

/// P(|x| < at), Q32, of a continuous residual whose mean magnitude is
/// `mean_q20`; `at` in half units.
fn below_q32(knots_q16: &[u32; KNOTS], mean_q20: u64, half_units: u64) -> u64 {
    // In multiples of the mean, Q20.
    let at_q20 = (half_units << 39) / mean_q20;
    let place = |i: usize| u64::from(KNOTS_Q4[i]) << 16;
    let value = |i: usize| u64::from(knots_q16[i]) << 16;
    let next = (1..KNOTS).find(|&i| place(i) > at_q20);
    let Some(i) = next else {
        return value(KNOTS - 1);
    };
    let (from, to) = (place(i - 1), place(i));
    value(i - 1) + (value(i) - value(i - 1)) * (at_q20 - from) / (to - from)
}

/// The table of the symbols for a mean magnitude.
fn table(knots_q16: &[u32; KNOTS], mean_q20: u64) -> Cdf {
    let below = |half_units: i64| below_q32(knots_q16, mean_q20, half_units.unsigned_abs());
    let mut frequencies = vec![0u32; ESCAPE as usize + 1];
    for (symbol, frequency) in frequencies.iter_mut().enumerate().take(ESCAPE as usize) {
        let value = symbol as i64 - REACH;
        // The residual lies from value − 1/2 to value + 1/2.
        let (from, to) = (2 * value - 1, 2 * value + 1);
        let part = if value == 0 {
            2 * below(1)
        } else {
            below(from).abs_diff(below(to))
        };
        *frequency = (part >> 5) as u32 + 1;
    }
    let beyond = (1 << 32) - below(2 * REACH + 1);
    frequencies[ESCAPE as usize] = (beyond >> 4) as u32 + 1;
    match Cdf::from_frequencies(&frequencies) {
        Ok(cdf) => cdf,
        Err(_) => unreachable!("128 frequencies below 2^28"),
    }
}
