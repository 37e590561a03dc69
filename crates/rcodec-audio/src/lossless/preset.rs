//! What an effort means: the parameters of the prediction, by a number that
//! stands in every block. Numbers, once released, never change their meaning.

use super::least_squares::LeastSquaresShape;
use super::nlms::NlmsShape;

/// Parameters of the prediction.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Preset {
    pub(crate) regression: RegressionShape,
    /// Other regressions, with longer or shorter memories; their differences
    /// from the first one are mixed in before the cascade and behind it.
    pub(crate) other_regressions: Vec<RegressionShape>,
    pub(crate) cascade: Vec<NlmsShape>,
    pub(crate) mixer_rate_q16: i64,
    pub(crate) mixing: Mixing,
}

/// A least-squares predictor and what it looks at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RegressionShape {
    pub(crate) least_squares: LeastSquaresShape,
    /// Own samples, for a channel without a reference.
    pub(crate) mono_order: usize,
    /// Own samples, for a channel with a reference.
    pub(crate) own_order: usize,
    /// Samples of the reference before the present one.
    pub(crate) reference_past: usize,
    /// All samples of the reference: past, present and future ones.
    pub(crate) reference_order: usize,
}

/// How much is spent on mixing the decisions of the residual coder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mixing {
    Quick,
    Narrow,
    Wide,
}

/// The step `mu` of a filter, Q32, from its value in millionths.
const fn mu_q32(millionths: i64) -> i64 {
    (millionths << 32) / 1_000_000
}

fn nlms(taps: usize, mu_millionths: i64) -> NlmsShape {
    NlmsShape {
        taps,
        mu_q32: mu_q32(mu_millionths),
    }
}

fn short_cascade() -> Vec<NlmsShape> {
    vec![nlms(256, 700), nlms(32, 3000), nlms(16, 3000)]
}

/// A regression solved every `interval` samples over `own` samples and, of a
/// reference, `reference` samples half of which lie before the present one.
fn regression(interval: usize, lambda: f64, orders: [usize; 3]) -> RegressionShape {
    let [mono_order, own_order, reference_order] = orders;
    RegressionShape {
        least_squares: LeastSquaresShape {
            interval,
            lambda,
            ridge: 0.001 * (1.0 - lambda),
        },
        mono_order,
        own_order,
        reference_past: reference_order / 2,
        reference_order,
    }
}

/// The parts of presets that cost what preset 3 does: forgetting factor and
/// orders of the regression, steps of the filters in millionths.
fn fast_preset(lambda: f64, orders: [usize; 3], mu_millionths: [i64; 2]) -> Parts {
    let [long, short] = mu_millionths;
    (
        regression(32, lambda, orders),
        vec![],
        vec![nlms(512, long), nlms(32, short)],
        Mixing::Narrow,
    )
}

/// The regressions, the cascade and the mixing of a preset.
type Parts = (
    RegressionShape,
    Vec<RegressionShape>,
    Vec<NlmsShape>,
    Mixing,
);

/// Presets that cost the same, among which [`trial`](super::trial) chooses for
/// each block: the usual one; a long memory, with most regressors on the
/// reference; a long memory and slow filters; a short memory; hardly any
/// reference, and a slow long filter. They are the ones that together made
/// training sounds smallest, of 57 that were tried; more than these five give
/// 0.03% at most.
pub(crate) const FAST_PRESETS: [u8; 5] = [3, 8, 9, 10, 11];

/// Step of the stage mixer, Q16.
const MIXER_RATE_Q16: i64 = 260;

impl Preset {
    /// The preset of a number, if there is one.
    pub(crate) fn by_number(number: u8) -> Option<Preset> {
        let (regression, other_regressions, cascade, mixing) = match number {
            1 => (
                regression(64, 0.998, [12, 8, 4]),
                vec![],
                vec![nlms(16, 2500)],
                Mixing::Quick,
            ),
            2 => (
                regression(32, 0.998, [16, 16, 7]),
                vec![],
                vec![nlms(32, 1900)],
                Mixing::Narrow,
            ),
            3 => fast_preset(0.9985, [23, 12, 11], [300, 2000]),
            4 => (
                regression(16, 0.9995, [32, 32, 15]),
                vec![regression(8, 0.998, [20, 16, 7])],
                vec![nlms(1024, 60), nlms(256, 350), nlms(32, 1500)],
                Mixing::Wide,
            ),
            5 => (
                regression(32, 0.9995, [32, 32, 23]),
                vec![
                    regression(8, 0.998, [20, 16, 7]),
                    regression(8, 0.99, [12, 8, 3]),
                ],
                vec![
                    nlms(2048, 30),
                    nlms(512, 100),
                    nlms(128, 400),
                    nlms(32, 1500),
                    nlms(16, 3000),
                ],
                Mixing::Wide,
            ),
            6 => (
                regression(8, 0.998, [24, 16, 15]),
                vec![regression(8, 0.99, [12, 10, 3])],
                short_cascade(),
                Mixing::Wide,
            ),
            7 => (
                regression(2, 0.998, [32, 32, 15]),
                vec![
                    regression(16, 0.9995, [32, 32, 7]),
                    regression(2, 0.99, [24, 16, 7]),
                    regression(1, 0.97, [8, 8, 3]),
                ],
                short_cascade(),
                Mixing::Wide,
            ),
            8 => fast_preset(0.999_625, [23, 6, 17], [300, 2000]),
            9 => fast_preset(0.999_625, [23, 12, 11], [90, 1100]),
            10 => fast_preset(0.994, [23, 12, 11], [300, 2000]),
            11 => fast_preset(0.9985, [23, 20, 3], [90, 2000]),
            _ => return None,
        };
        Some(Preset {
            regression,
            other_regressions,
            cascade,
            mixer_rate_q16: MIXER_RATE_Q16,
            mixing,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::predictor::MARGIN;
    use super::super::stages::MAX_STAGES;
    use super::*;

    #[test]
    fn presets_are_within_bounds() {
        for number in 1..=11 {
            let preset = Preset::by_number(number).unwrap();
            let others = &preset.other_regressions;
            for shape in others.iter().chain([&preset.regression]) {
                assert!(
                    shape
                        .mono_order
                        .max(shape.own_order + shape.reference_order)
                        < 64
                );
                assert!(shape.own_order.max(shape.reference_order) <= MARGIN);
            }
            let stages = preset.cascade.len() + preset.other_regressions.len();
            assert!(stages <= MAX_STAGES);
        }
        assert!(Preset::by_number(0).is_none());
        assert!(Preset::by_number(12).is_none());
    }
}
