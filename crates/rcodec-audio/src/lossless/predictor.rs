//! The prediction of one channel: least squares, a cascade of NLMS filters and
//! their mixers.
//!
//! ```text
//! own past, reference channel ─▶ least squares ─▶ first mixer ─┬───────▶ + ─▶ prediction
//!                     └─▶ others ─▶ differences ─┘└───────┐ │         │
//!                                 what is left ─▶ NLMS cascade ─▶ mixer
//! ```
//!
//! Predictions carry eight bits of fraction (Q8).

use super::least_squares::LeastSquares;
use super::nlms::Nlms;
use super::preset::{Preset, RegressionShape};
use super::stages::{FRACTION_BITS, MAX_STAGES, StageMixer};

/// Zeros before and behind the samples of a plane, so that filters may look
/// over its ends.
pub(crate) const MARGIN: usize = 64;

/// Predictions stay within this, so that nothing overflows.
const MAX_PREDICTION_Q8: i64 = 1 << 42;

/// Step of the mixer of the regressions, Q16.
const FIRST_MIXER_RATE_Q16: i64 = 60;

/// The samples of one channel between two margins of zeros.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plane {
    padded: Vec<i32>,
}

impl Plane {
    pub(crate) fn new(frames: usize) -> Self {
        Plane {
            padded: vec![0; frames + 2 * MARGIN],
        }
    }

    pub(crate) fn with_margins(&self) -> &[i32] {
        &self.padded
    }

    pub(crate) fn samples(&self) -> &[i32] {
        &self.padded[MARGIN..self.padded.len() - MARGIN]
    }

    pub(crate) fn samples_mut(&mut self) -> &mut [i32] {
        let end = self.padded.len() - MARGIN;
        &mut self.padded[MARGIN..end]
    }

    /// `count` samples from `first` on, which may lie up to [`MARGIN`] outside.
    #[inline(always)]
    pub(crate) fn window(&self, first: isize, count: usize) -> &[i32] {
        &self.padded[(first + MARGIN as isize) as usize..][..count]
    }

    #[inline(always)]
    pub(crate) fn set(&mut self, frame: usize, value: i32) {
        self.padded[MARGIN + frame] = value;
    }

    #[inline(always)]
    pub(crate) fn get(&self, frame: usize) -> i32 {
        self.padded[MARGIN + frame]
    }
}

/// Estimates of stages that help to code the sign.
pub(crate) const ESTIMATES: usize = 8;
/// Other regressions whose predictions are estimates of their own.
const ESTIMATED_OTHERS: usize = 3;

/// What the stages say of the next sample, Q8.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Prediction {
    /// The final prediction.
    pub(crate) value_q8: i64,
    /// The final prediction, the regressions together, these with three
    /// filters of the cascade, single other regressions, and the regressions
    /// with one and with two filters.
    pub(crate) estimates_q8: [i64; ESTIMATES],
}

/// Least squares over a channel's past and a window of its reference.
struct Regression {
    least_squares: LeastSquares,
    own_order: usize,
    reference_past: usize,
    reference_order: usize,
}

impl Regression {
    fn new(shape: &RegressionShape, has_reference: bool) -> Self {
        let (own_order, reference_order) = if has_reference {
            (shape.own_order, shape.reference_order)
        } else {
            (shape.mono_order, 0)
        };
        Regression {
            least_squares: LeastSquares::new(own_order + reference_order, shape.least_squares),
            own_order,
            reference_past: shape.reference_past,
            reference_order,
        }
    }

    /// The prediction of sample `frame`, Q8.
    #[inline(always)]
    fn predict_q8(&mut self, own: &Plane, reference: Option<&Plane>, frame: isize) -> i64 {
        let regressors = self.least_squares.regressors();
        let (from_own, from_reference) = regressors.split_at_mut(self.own_order);
        let past = own.window(frame - self.own_order as isize, self.own_order);
        for (x, &sample) in from_own.iter_mut().zip(past) {
            *x = f64::from(sample);
        }
        if let Some(reference) = reference {
            let window =
                reference.window(frame - self.reference_past as isize, self.reference_order);
            for (x, &sample) in from_reference.iter_mut().zip(window) {
                *x = f64::from(sample);
            }
        }
        // The cast saturates and turns NaN into 0.
        let prediction_q8 = (self.least_squares.predict() * 256.0) as i64;
        prediction_q8.clamp(-MAX_PREDICTION_Q8, MAX_PREDICTION_Q8)
    }
}

/// Predicts the samples of one channel, one by one.
pub(crate) struct Predictor {
    regression: Regression,
    other_regressions: Vec<Regression>,
    cascade: Vec<Nlms>,
    /// Mixes the regressions.
    first_mixer: StageMixer,
    /// Mixes the cascade, and the regressions once more.
    mixer: StageMixer,
    /// History units are samples divided by 2^`history_shift`.
    history_shift: i32,
    /// Prediction of the first regression.
    regression_q8: i64,
    /// That of all regressions.
    base_q8: i64,
    stage_q8: [i64; MAX_STAGES],
}

/// `value << shift`, or `>> -shift` with rounding.
#[inline(always)]
fn scale(value: i64, shift: i32) -> i64 {
    if shift >= 0 {
        value << shift
    } else {
        (value + (1 << (-shift - 1))) >> -shift
    }
}

impl Predictor {
    /// A predictor at the start of a block. `history_shift` is within −8..=17.
    pub(crate) fn new(preset: &Preset, has_reference: bool, history_shift: i32) -> Self {
        Predictor {
            regression: Regression::new(&preset.regression, has_reference),
            other_regressions: preset
                .other_regressions
                .iter()
                .map(|shape| Regression::new(shape, has_reference))
                .collect(),
            cascade: preset
                .cascade
                .iter()
                .map(|&shape| Nlms::new(shape))
                .collect(),
            first_mixer: StageMixer::new(0, preset.other_regressions.len(), FIRST_MIXER_RATE_Q16),
            mixer: StageMixer::new(
                preset.cascade.len(),
                preset.other_regressions.len(),
                preset.mixer_rate_q16,
            ),
            history_shift,
            regression_q8: 0,
            base_q8: 0,
            stage_q8: [0; MAX_STAGES],
        }
    }

    /// Predicts sample `frame` of `own` from those before it and from all of
    /// `reference`.
    #[inline(always)]
    pub(crate) fn predict(
        &mut self,
        own: &Plane,
        reference: Option<&Plane>,
        frame: usize,
    ) -> Prediction {
        let frame = frame as isize;
        self.regression_q8 = self.regression.predict_q8(own, reference, frame);
        let filters = self.cascade.len();
        for (stage, filter) in self.stage_q8.iter_mut().zip(&self.cascade) {
            let history_q14 = i64::from(filter.predict_q14());
            *stage = scale(history_q14, self.history_shift + FRACTION_BITS as i32 - 14);
        }
        self.base_q8 = self.regression_q8;
        let mut others_q8 = [self.regression_q8; ESTIMATED_OTHERS];
        if !self.other_regressions.is_empty() {
            let mut differences_q8 = [0; MAX_STAGES];
            for (i, regression) in self.other_regressions.iter_mut().enumerate() {
                let other_q8 = regression.predict_q8(own, reference, frame);
                differences_q8[i] = other_q8 - self.regression_q8;
                others_q8[i.min(ESTIMATED_OTHERS - 1)] = other_q8;
            }
            let mixed = self.regression_q8 + self.first_mixer.mix(&differences_q8);
            self.base_q8 = mixed.clamp(-MAX_PREDICTION_Q8, MAX_PREDICTION_Q8);
            let moved_q8 = self.base_q8 - self.regression_q8;
            let stages = self.stage_q8[filters..].iter_mut().zip(differences_q8);
            for (stage, difference) in stages.take(self.other_regressions.len()) {
                *stage = difference - moved_q8;
            }
        }
        let mixed = self.base_q8 + self.mixer.mix(&self.stage_q8);
        let value_q8 = mixed.clamp(-MAX_PREDICTION_Q8, MAX_PREDICTION_Q8);
        let one_filter_q8 = self.base_q8 + self.stage_q8[0];
        let two_filters_q8 = one_filter_q8 + if filters > 1 { self.stage_q8[1] } else { 0 };
        let three_filters_q8 = two_filters_q8 + if filters > 2 { self.stage_q8[2] } else { 0 };
        Prediction {
            value_q8,
            estimates_q8: [
                value_q8,
                self.base_q8,
                three_filters_q8,
                others_q8[0],
                others_q8[1],
                others_q8[2],
                one_filter_q8,
                two_filters_q8,
            ],
        }
    }

    /// Learns the sample that was predicted.
    #[inline(always)]
    pub(crate) fn update(&mut self, sample: i32) {
        let value_q8 = i64::from(sample) << FRACTION_BITS;
        if !self.other_regressions.is_empty() {
            self.first_mixer.update(value_q8 - self.regression_q8);
        }
        let left_q8 = value_q8 - self.base_q8;
        self.mixer.update(left_q8);
        self.regression.least_squares.update(f64::from(sample));
        for regression in &mut self.other_regressions {
            regression.least_squares.update(f64::from(sample));
        }
        let mut target_q8 = left_q8;
        let shift = -(FRACTION_BITS as i32) - self.history_shift;
        for (i, filter) in self.cascade.iter_mut().enumerate() {
            let error_q8 = target_q8 - self.stage_q8[i];
            let history = scale(target_q8, shift).clamp(-32768, 32767) as i16;
            filter.update(scale(error_q8, -self.history_shift), history);
            target_q8 -= (self.stage_q8[i] * self.mixer.weight_q16(i)) >> 16;
        }
    }
}
