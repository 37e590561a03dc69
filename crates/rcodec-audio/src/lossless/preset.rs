//! What an effort means: the parameters of the prediction, by a number that
//! stands in every block. Numbers, once released, never change their meaning.

use super::least_squares::LeastSquaresShape;
use super::nlms::NlmsShape;
use rcodec_core::Effort;

/// Parameters of the prediction.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Preset {
    pub(crate) least_squares: LeastSquaresShape,
    /// Own samples in the regression of a channel without a reference.
    pub(crate) mono_order: usize,
    /// Own samples in the regression of a channel with a reference.
    pub(crate) own_order: usize,
    /// Samples of the reference before the present one.
    pub(crate) reference_past: usize,
    /// All samples of the reference: past, present and future ones.
    pub(crate) reference_order: usize,
    pub(crate) cascade: Vec<NlmsShape>,
    pub(crate) mixer_rate_q16: i64,
}

/// The step `mu` of a filter, Q32, from its value in millionths.
const fn mu_q32(millionths: i64) -> i64 {
    (millionths << 32) / 1_000_000
}

const FLAT_Q8: [i64; 8] = [256; 8];

fn nlms(taps: usize, mu_millionths: i64) -> NlmsShape {
    NlmsShape {
        taps,
        mu_q32: mu_q32(mu_millionths),
        taper_q8: FLAT_Q8,
    }
}

fn least_squares(interval: usize, lambda: f64) -> LeastSquaresShape {
    LeastSquaresShape {
        interval,
        lambda,
        ridge: 0.001 * (1.0 - lambda),
    }
}

impl Preset {
    /// The preset that an effort uses.
    pub(crate) fn number_for(effort: Effort) -> u8 {
        match effort.get() {
            1 => 1,
            2..=3 => 2,
            4..=6 => 3,
            _ => 4,
        }
    }

    /// The preset of a number, if there is one.
    pub(crate) fn by_number(number: u8) -> Option<Preset> {
        Some(match number {
            1 => Preset {
                least_squares: least_squares(64, 0.998),
                mono_order: 12,
                own_order: 8,
                reference_past: 2,
                reference_order: 4,
                cascade: vec![nlms(16, 2500)],
                mixer_rate_q16: 131,
            },
            2 => Preset {
                least_squares: least_squares(32, 0.998),
                mono_order: 16,
                own_order: 16,
                reference_past: 4,
                reference_order: 8,
                cascade: vec![nlms(32, 1900)],
                mixer_rate_q16: 131,
            },
            3 => Preset {
                least_squares: least_squares(16, 0.998),
                mono_order: 24,
                own_order: 16,
                reference_past: 8,
                reference_order: 15,
                cascade: vec![nlms(256, 470), nlms(32, 1900)],
                mixer_rate_q16: 131,
            },
            4 => Preset {
                least_squares: least_squares(8, 0.998),
                mono_order: 31,
                own_order: 16,
                reference_past: 8,
                reference_order: 15,
                cascade: vec![nlms(1024, 98), nlms(256, 470), nlms(32, 1900)],
                mixer_rate_q16: 131,
            },
            _ => return None,
        })
    }
}
