//! What an effort means: the parameters of the prediction, by a number that
//! stands in every block. Numbers, once released, never change their meaning.

use super::least_squares::LeastSquaresShape;
use super::nlms::NlmsShape;
use rcodec_core::Effort;

/// Parameters of the prediction.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Preset {
    pub(crate) regression: RegressionShape,
    /// A second regression, usually with a longer memory; its difference from
    /// the first one is an input of the mixer.
    pub(crate) second_regression: Option<RegressionShape>,
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
    Medium,
    Wide,
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

/// Step of the stage mixer, Q16.
const MIXER_RATE_Q16: i64 = 131;

impl Preset {
    /// The preset that an effort uses.
    pub(crate) fn number_for(effort: Effort) -> u8 {
        match effort.get() {
            1 => 1,
            2..=3 => 2,
            4..=6 => 3,
            7..=8 => 4,
            _ => 5,
        }
    }

    /// The preset of a number, if there is one.
    pub(crate) fn by_number(number: u8) -> Option<Preset> {
        let (regression, second_regression, cascade, mixing) = match number {
            1 => (
                regression(64, 0.998, [12, 8, 4]),
                None,
                vec![nlms(16, 2500)],
                Mixing::Quick,
            ),
            2 => (
                regression(32, 0.998, [16, 16, 7]),
                None,
                vec![nlms(32, 1900)],
                Mixing::Narrow,
            ),
            3 => (
                regression(16, 0.998, [24, 16, 15]),
                None,
                vec![nlms(256, 470), nlms(32, 1900), nlms(16, 3000)],
                Mixing::Medium,
            ),
            4 => (
                regression(8, 0.998, [32, 32, 15]),
                None,
                vec![
                    nlms(1024, 98),
                    nlms(256, 700),
                    nlms(32, 3000),
                    nlms(16, 3000),
                ],
                Mixing::Wide,
            ),
            5 => (
                regression(4, 0.998, [32, 32, 15]),
                Some(regression(16, 0.9995, [32, 32, 7])),
                vec![
                    nlms(1024, 98),
                    nlms(256, 700),
                    nlms(32, 3000),
                    nlms(16, 3000),
                ],
                Mixing::Wide,
            ),
            _ => return None,
        };
        Some(Preset {
            regression,
            second_regression,
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
    fn every_effort_has_a_preset_within_bounds() {
        for effort in 1..=9 {
            let number = Preset::number_for(Effort::new(effort).unwrap());
            let preset = Preset::by_number(number).unwrap();
            let regressions = [Some(preset.regression), preset.second_regression];
            for shape in regressions.into_iter().flatten() {
                assert!(
                    shape
                        .mono_order
                        .max(shape.own_order + shape.reference_order)
                        < 64
                );
                assert!(shape.own_order.max(shape.reference_order) <= MARGIN);
            }
            let stages = preset.cascade.len() + usize::from(preset.second_regression.is_some());
            assert!(stages <= MAX_STAGES);
        }
        assert!(Preset::by_number(0).is_none());
    }
}
